"""Sufficient statistics of Gaussian components: sums over frames, weighted by responsibilities."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from phonaut.arrays import Array
from phonaut.densities.processes import all_reduce


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

    def scatter(self, means: Array, *, clip: bool = True) -> Array:
        """`sum_t r_tk (x_t - mu_k)(x_t - mu_k)^T`, `(K, D, D)` or `(K, D)`; rounding leaves no negative diagonal."""
        m = means - self.origin
        if self.second.ndim == 2:
            diagonal: Array = self.second - 2 * m * self.first + self.n[:, None] * np.square(m)
            return np.maximum(diagonal, 0.0) if clip else diagonal
        cross = m[:, :, None] * self.first[:, None, :]
        scatter: Array = self.second - cross - cross.transpose(0, 2, 1)
        return scatter + self.n[:, None, None] * m[:, :, None] * m[:, None, :]
