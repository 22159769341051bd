"""Densities over frames: `log_prob`, `sample`, and sufficient statistics that add up; they open no file."""

from phonaut.densities.gaussian import Gaussians, Statistics
from phonaut.densities.gmm import GMM, ObjectiveFellWarning

__all__ = ["GMM", "Gaussians", "ObjectiveFellWarning", "Statistics"]
