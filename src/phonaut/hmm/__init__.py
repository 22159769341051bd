"""Hidden Markov models: inference over log-likelihoods, and models with the conventions of hmmlearn."""

from phonaut.hmm.gaussian import GaussianHMM

__all__ = ["GaussianHMM"]
