"""Densities over frames: `log_prob`, `sample`, and sufficient statistics that add up; they open no file."""

from importlib import import_module
from typing import Any

__all__ = ["Flows", "GaussianStatistics", "Gaussians"]

_MODULES = {"Flows": "flow", "GaussianStatistics": "statistics", "Gaussians": "gaussian"}


def __getattr__(name: str) -> Any:
    """Import a class when it is asked for: flows and Gaussians load torch, statistics and k-means do not."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
