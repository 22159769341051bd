"""MAP adaptation of Gaussian mixtures: from a background model to a speaker."""

from __future__ import annotations

from typing import Any

import numpy as np

from phonaut.densities.priors import GaussianPrior
from phonaut.densities.statistics import GaussianStatistics


def map_adapted(emissions: Any, statistics: GaussianStatistics, relevance_factor: float, params: str) -> Any:
    """A copy whose components move towards the frames of `statistics`, the farther the more frames they have.

    With `a_k = n_k / (n_k + r)` and the moments `E_k` of the statistics (all components of a state sum to N):

        w_k <- (a_k n_k / N + (1 - a_k) w_k) / sum,   mu_k <- a_k E_k[x] + (1 - a_k) mu_k,
        sigma_k^2 <- a_k E_k[x^2] + (1 - a_k) (sigma_k^2 + mu_k^2) - (the new mu_k)^2

    Args:
        emissions: of the background model, `MixtureEmissions`.
        statistics: of the frames of a speaker, under these emissions.
        relevance_factor: r, in frames.
        params: letters of what is adapted: w(eights), m(eans), c(ovariances).

    Raises:
        ValueError: the factor is not positive, or covariances are shared by components.

    Source: Reynolds, Quatieri and Dunn 2000, "Speaker verification using adapted Gaussian mixture models",
    equations 11 to 14; for the means it is the MAP estimate of Gauvain and Lee 1994.
    """
    if not relevance_factor > 0:
        raise ValueError(f"relevance_factor must be > 0, got {relevance_factor}")
    if "c" in params and emissions.covariance_type == "tied":
        raise ValueError("tied covariances are those of no single component: leave c out of params")
    adapted, (means, covariances), kind = emissions.copy(), emissions._flat(), emissions.covariance_type
    prior = GaussianPrior(means, relevance_factor, relevance_factor * covariances, relevance_factor)
    new = prior.best_means(statistics, means) if "m" in params else means
    if "c" in params:
        covariances = prior.best_covariances(statistics, new, covariances, kind)
    adapted._set_flat(new, covariances)
    if "w" in params:
        counts = statistics.n.reshape(emissions.weights_.shape)
        alpha = counts / (counts + relevance_factor)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        weights = alpha * shares + (1 - alpha) * emissions.weights_
        adapted.weights_ = weights / weights.sum(axis=1, keepdims=True)
    return adapted
