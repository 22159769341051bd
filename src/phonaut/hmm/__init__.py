"""Hidden Markov models: inference over log-likelihoods, topologies, and models with the conventions of hmmlearn."""
