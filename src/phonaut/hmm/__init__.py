"""Hidden Markov models: inference over log-likelihoods, and models with the conventions of hmmlearn."""

from phonaut.hmm.gaussian import GaussianHMM
from phonaut.hmm.genhmm import GenHMM
from phonaut.hmm.gmmhmm import GMMHMM
from phonaut.hmm.gshmm import GSHMM
from phonaut.hmm.lathmm import LatHMM

__all__ = ["GMMHMM", "GSHMM", "GaussianHMM", "GenHMM", "LatHMM"]
