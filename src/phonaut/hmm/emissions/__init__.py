"""Emissions of the states of a hidden Markov model: densities with their sufficient statistics and M-steps."""

from importlib import import_module
from typing import Any

from phonaut.hmm.emissions.base import Emissions
from phonaut.hmm.emissions.gaussian import GaussianEmissions
from phonaut.hmm.emissions.mixture import MixtureEmissions

__all__ = ["Emissions", "FlowEmissions", "GSEmissions", "GaussianEmissions", "GenEmissions", "LatEmissions",
           "MixtureEmissions"]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import the flows, and torch with them, when they are asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.flow"), name)
