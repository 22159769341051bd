"""Sufficient statistics of Gaussian components: sums over frames, weighted by responsibilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from phonaut.arrays import Array
from phonaut.densities.processes import all_reduce

if TYPE_CHECKING:
    from phonaut.densities.priors import CovarianceType

LEAST_SHARE = 1e-4  # of a second moment that is still known to 1 % in float32, for steps that others follow


@dataclass
class GaussianStatistics:
    """Zeroth, first and second order statistics of K components; those of two sets of frames add up.

    Attributes:
        n: occupancies `sum_t r_tk`, `(K,)`.
        first: `sum_t r_tk (x_t - origin)`, `(K, D)`.
        second: `sum_t r_tk (x_t - origin)(x_t - origin)^T`, `(K, D, D)`, or its diagonal, `(K, D)`.
        origin: `(D,)`.
        log_prob: log-likelihood of the frames, where it was computed on the way.
    """

    n: Array
    first: Array
    second: Array
    origin: Array
    log_prob: float = 0.0

    @property
    def n_frames(self) -> float:
        """Frames, each counted by its responsibilities."""
        return float(self.n.sum())

    def __add__(self, other: GaussianStatistics) -> GaussianStatistics:
        """Those of both sets of frames.

        Raises:
            ValueError: they are about different origins; `about` moves one.
        """
        if not np.array_equal(self.origin, other.origin):
            raise ValueError("statistics about different origins do not add up: move one of them with about()")
        sums = (self.n + other.n, self.first + other.first, self.second + other.second)
        return GaussianStatistics(*sums, self.origin, self.log_prob + other.log_prob)

    def scaled(self, factor: float) -> GaussianStatistics:
        """Those of frames that count `factor` times each."""
        sums = (self.n * factor, self.first * factor, self.second * factor)
        return GaussianStatistics(*sums, self.origin, self.log_prob * factor)

    def reduced(self) -> GaussianStatistics:
        """Those of all processes."""
        sums = (all_reduce(self.n), all_reduce(self.first), all_reduce(self.second))
        return GaussianStatistics(*sums, self.origin, float(all_reduce(np.array([self.log_prob]))[0]))

    def about(self, origin: Array) -> GaussianStatistics:
        """The same relative to another origin `(D,)`; zeros give `sum_t r_tk x_t` and `sum_t r_tk x_t x_t^T`."""
        move = np.asarray(origin, dtype=np.float64) - self.origin
        moved = np.broadcast_to(self.origin + move, self.first.shape)
        return replace(
            self, first=self.first - self.n[:, None] * move, second=self.scatter(moved, clip=False), origin=moved[0]
        )

    def means(self) -> Array:
        """Weighted means `(K, D)`; the origin where nothing was seen."""
        mean: Array = self.origin + self.first / np.maximum(self.n, np.finfo(np.float64).tiny)[:, None]
        return mean

    def keeps_digits(self, covariance_type: CovarianceType, ridge: float) -> bool:
        """Tell whether covariances of sums in float32 have their digits: what is left of second moments about the
        origin, once the squared means and all that other dimensions explain are taken off, is not of rounding's size.

        Args:
            covariance_type: of the covariances.
            ridge: added to variances, so that what is far less need not be known.
        """
        there = self.n > 0
        n = self.n[there, None]
        second, scatter = self.second[there], self.scatter(self.means())[there]
        if covariance_type == "tied":
            n, second, scatter = n.sum(axis=0, keepdims=True), second.sum(axis=0)[None], scatter.sum(axis=0)[None]
        moments = (np.diagonal(second, axis1=1, axis2=2) if second.ndim == 3 else second) / n
        scale = np.sqrt(np.where(moments > 0, moments, 1.0))
        if second.ndim == 2:
            return bool((scatter / n + ridge >= LEAST_SHARE * moments).all())
        covariances = scatter / n[:, :, None] + ridge * np.eye(scale.shape[1])
        covariances[:, range(scale.shape[1]), range(scale.shape[1])] += moments == 0  # a dimension that is constant
        try:
            factors = np.linalg.cholesky(covariances / (scale[:, :, None] * scale[:, None, :]))
        except np.linalg.LinAlgError:
            return False
        return bool((np.square(np.diagonal(factors, axis1=1, axis2=2)) > LEAST_SHARE).all())

    def scatter(self, means: Array, *, clip: bool = True) -> Array:
        """`sum_t r_tk (x_t - mu_k)(x_t - mu_k)^T`, `(K, D, D)` or `(K, D)`; rounding leaves no negative diagonal."""
        m = means - self.origin
        if self.second.ndim == 2:
            diagonal: Array = self.second - 2 * m * self.first + self.n[:, None] * np.square(m)
            return np.maximum(diagonal, 0.0) if clip else diagonal
        cross = m[:, :, None] * self.first[:, None, :]
        scatter: Array = self.second - cross - cross.transpose(0, 2, 1)
        return scatter + self.n[:, None, None] * m[:, :, None] * m[:, None, :]
