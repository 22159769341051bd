"""Conjugate priors of Gaussians, and the M-step under them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array
from phonaut.densities.statistics import GaussianStatistics

CovarianceType = Literal["full", "diag", "tied", "spherical"]
COVARIANCE_TYPES: tuple[CovarianceType, ...] = ("full", "diag", "tied", "spherical")
LEAST_FRAMES = 1e-5  # a component that fewer visit keeps its covariance
LEAST_VARIANCE = 1e-150


def is_quadratic(covariance_type: CovarianceType) -> bool:
    """Tell whether a covariance has products of different dimensions."""
    return covariance_type in ("full", "tied")


@dataclass
class GaussianPrior:
    """Gaussian for the means, inverse Gamma (Wishart) for the variances.

    The log-density is, up to a constant,

    `-1/2 sum_k [v log |C_k| + tr(P C_k^-1) + w (mu_k - m)^T C_k^-1 (mu_k - m)]`.

    Source: Gauvain and Lee 1994, "Maximum a posteriori estimation for multivariate Gaussian mixture observations".

    Args:
        mean: m, `(D,)`, `(K, D)` or a number.
        mean_weight: w, in frames.
        scale: P: a number; or `(D,)`, `(K, D)` (diag), `(K,)` (spherical), `(D, D)`, `(G, D, D)` (full, tied).
        weight: v, in frames.
        ridge: added to the variances after each M-step, as `reg_covar` of scikit-learn, which is no prior.
    """

    mean: ArrayLike
    mean_weight: float
    scale: ArrayLike
    weight: float
    ridge: float = 0.0

    def _scale(self, kind: CovarianceType, n_features: int) -> Array:
        """`scale` in the shape that it is added in; a number is that on the diagonal of a matrix."""
        scale = np.asarray(self.scale, dtype=np.float64)
        if is_quadratic(kind):
            return scale * np.eye(n_features) if scale.ndim == 0 else scale
        return scale.reshape(-1, 1) if kind == "spherical" and scale.ndim else scale

    def best_means(self, statistics: GaussianStatistics, before: Array) -> Array:
        """`(w m + sum_t r_t x_t) / (w + n)`; where there is nothing to divide by, those `before` stay."""
        n = (self.mean_weight + statistics.n)[:, None]
        total = statistics.first + statistics.origin * statistics.n[:, None]
        means = (self.mean_weight * np.asarray(self.mean) + total) / np.maximum(n, np.finfo(np.float64).tiny)
        return np.where(n > 0, means, before)

    def best_covariances(
        self, statistics: GaussianStatistics, means: Array, before: Array, kind: CovarianceType
    ) -> Array:
        """`(P + scatter + w (mu - m)(mu - m)^T) / (n + v)`; with fewer than 1e-5 frames, those `before` stay.

        Args:
            statistics: of K components.
            means: `(K, D)`.
            before: covariances of now: `(K, D, D)`, `(K, D)`, `(K,)`, or, tied, `(G, D, D)` of G groups of neighbours.
            kind: of covariances.
        """
        scale, n = self._scale(kind, means.shape[1]), statistics.n
        scatter, away = statistics.scatter(means), means - np.asarray(self.mean)
        if is_quadratic(kind):
            if self.mean_weight:
                scatter = scatter + self.mean_weight * away[:, :, None] * away[:, None, :]
            if kind == "tied":
                scatter = scatter.reshape(len(before), -1, *scatter.shape[1:]).sum(axis=1)
                n = n.reshape(len(before), -1).sum(axis=1)
            weight = n + self.weight
            covariances = (scale + scatter) / np.maximum(weight, LEAST_FRAMES)[:, None, None]
            covariances = positive_definite(covariances + self.ridge * np.eye(means.shape[1]))
        else:
            weight = n + self.weight
            sums = scale + scatter + self.mean_weight * np.square(away)
            variances = sums / np.maximum(weight, LEAST_FRAMES)[:, None] + self.ridge
            covariances = np.maximum(variances, LEAST_VARIANCE)
            covariances = covariances.mean(axis=1) if kind == "spherical" else covariances
        enough = (weight > LEAST_FRAMES).reshape(-1, *(1,) * (covariances.ndim - 1))
        return np.where(enough, covariances, before)

    def log_density(self, means: Array, covariances: Array, kind: CovarianceType, *, of_covariances: bool) -> float:
        """The log-density above; without the terms of `v` and `P` where covariances are not trained."""
        scale, away, total = self._scale(kind, means.shape[1]), means - np.asarray(self.mean), 0.0
        of_covariances = of_covariances and bool(self.weight or scale.any())
        if is_quadratic(kind):
            if not (of_covariances or self.mean_weight):
                return 0.0
            factor = np.linalg.cholesky(covariances)
            root = np.linalg.inv(factor)
            inverse = np.swapaxes(root, -1, -2) @ root
            if of_covariances:
                determinant = 2 * np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum()
                total -= 0.5 * float((inverse * scale).sum() + self.weight * determinant)
            if self.mean_weight:
                each = np.repeat(inverse, len(means) // len(inverse), axis=0)
                total -= 0.5 * self.mean_weight * float(np.einsum("kd,kde,ke->", away, each, away))
            return total
        variances = np.broadcast_to(covariances[:, None] if kind == "spherical" else covariances, means.shape)
        if of_covariances:
            total -= 0.5 * float((self.weight * np.log(variances) + scale / variances).sum())
        return total - 0.5 * self.mean_weight * float((np.square(away) / variances).sum())


def is_positive_definite(matrices: Array, margin: float = 0.0) -> NDArray[np.bool_]:
    """Tell whether matrices `(..., D, D)` have Cholesky factors with pivots above `margin` of their diagonals."""
    try:
        factors = np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        if matrices.ndim > 2:
            return np.array([is_positive_definite(matrix, margin) for matrix in matrices])
        return np.array(False)
    pivots = np.square(np.diagonal(factors, axis1=-2, axis2=-1))
    return np.asarray((pivots > margin * np.diagonal(matrices, axis1=-2, axis2=-1)).all(axis=-1))


def positive_definite(covariances: Array) -> Array:
    """Covariances `(..., D, D)`, symmetric; where one is not positive definite, with the least added to its diagonal
    that makes rounding harmless, and where that is not enough, which is when it holds nothing else, its diagonal."""
    covariances = (covariances + np.swapaxes(covariances, -1, -2)) / 2
    margin = 4 * covariances.shape[-1] * np.finfo(np.float64).eps  # others' Cholesky rounds in another order
    wrong = ~is_positive_definite(covariances, margin)
    if wrong.any():
        eye = np.eye(covariances.shape[-1])
        diagonal = np.diagonal(covariances, axis1=-2, axis2=-1)
        least = 1e-10 * np.maximum(diagonal.max(axis=-1), LEAST_VARIANCE)
        covariances = covariances + np.where(wrong, least, 0.0)[..., None, None] * eye
        alone = np.maximum(diagonal, least[..., None])[..., None] * eye
        covariances = np.where(is_positive_definite(covariances, margin)[..., None, None], covariances, alone)
    return covariances
