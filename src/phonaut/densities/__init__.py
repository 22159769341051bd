"""Densities over frames: `log_prob`, `sample`, and sufficient statistics that add up; they open no file."""

from phonaut.densities.flow import Flows
from phonaut.densities.gaussian import Gaussians, Statistics
from phonaut.densities.gmm import GMM, ObjectiveFellWarning

__all__ = ["GMM", "Flows", "Gaussians", "ObjectiveFellWarning", "Statistics"]
