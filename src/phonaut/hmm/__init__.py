"""Hidden Markov models: inference over log-likelihoods, and models with the conventions of hmmlearn."""

from phonaut.hmm.gaussian import GaussianHMM
from phonaut.hmm.gmmhmm import GMMHMM

__all__ = ["GMMHMM", "GaussianHMM"]
