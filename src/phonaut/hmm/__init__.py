"""Hidden Markov models: inference over log-likelihoods, and estimators in the terms of hmmlearn and scikit-learn."""

from importlib import import_module
from typing import Any

from phonaut.hmm.base import HMM
from phonaut.hmm.em import ObjectiveFellWarning
from phonaut.hmm.estimators import GMMHMM, GaussianHMM
from phonaut.hmm.gmm import GMM

__all__ = ["GMM", "GMMHMM", "GSHMM", "HMM", "GaussianHMM", "GenHMM", "LatHMM", "ObjectiveFellWarning"]


def __getattr__(name: str) -> Any:
    """Import the models of flows, and torch with them, when they are asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module("phonaut.hmm.flow_estimators"), name)
