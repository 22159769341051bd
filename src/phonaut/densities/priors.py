"""Conjugate priors of Gaussians, and the M-step under them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phonaut.densities.gaussian import CovarianceType, Statistics, is_quadratic

LEAST_FRAMES = 1e-5  # a component that fewer visit keeps its covariance
LEAST_VARIANCE = 1e-150


@dataclass
class GaussianPrior:
    """Gaussian for the means, inverse Gamma (Wishart) for the variances.

    The log-density is, up to a constant,

    `-1/2 sum_k [v log |C_k| + tr(P C_k^-1) + w (mu_k - m)^T C_k^-1 (mu_k - m)]`.

    Source: Gauvain and Lee 1994, "Maximum a posteriori estimation for multivariate Gaussian mixture observations".

    Attributes:
        mean: m, `(D,)`, `(K, D)` or a number.
        mean_weight: w, in frames.
        scale: P: a number; or `(D,)`, `(K, D)` (diag), `(K,)` (spherical), `(D, D)`, `(G, D, D)` (full, tied).
        weight: v, in frames.
    """

    mean: Tensor
    mean_weight: float
    scale: Tensor
    weight: float

    def _scale(self, kind: CovarianceType, n_features: int) -> Tensor:
        """`scale` in the shape that it is added in; a number is that on the diagonal of a matrix."""
        if is_quadratic(kind):
            eye = torch.eye(n_features, dtype=self.scale.dtype, device=self.scale.device)
            return self.scale * eye if self.scale.ndim == 0 else self.scale
        return self.scale.reshape(-1, 1) if kind == "spherical" and self.scale.ndim else self.scale

    def best_means(self, found: Statistics, before: Tensor) -> Tensor:
        """`(w m + sum_t r_t x_t) / (w + n)`; where there is nothing to divide by, what was is kept."""
        worth = (self.mean_weight + found.n)[:, None]
        total = found.first + found.origin * found.n[:, None]
        means = (self.mean_weight * self.mean + total) / worth.clamp(min=torch.finfo(worth.dtype).tiny)
        return torch.where(worth > 0, means, before)

    def best_covariances(self, found: Statistics, means: Tensor, before: Tensor, kind: CovarianceType) -> Tensor:
        """`(P + scatter + w (mu - m)(mu - m)^T) / (n + v)`; where fewer than 1e-5 frames are, what was is kept.

        Args:
            found: of K components.
            means: `(K, D)`.
            before: covariances of now: `(K, D, D)`, `(K, D)`, `(K,)`, or, tied, `(G, D, D)` of G groups of neighbours.
            kind: of covariances.
        """
        scale, n = self._scale(kind, means.shape[1]), found.n
        scatter, away = found.scatter(means), means - self.mean
        if is_quadratic(kind):
            scatter = scatter + self.mean_weight * away[:, :, None] * away[:, None, :]
            if kind == "tied":
                scatter, n = (
                    scatter.reshape(len(before), -1, *scatter.shape[1:]).sum(dim=1),
                    n.view(len(before), -1).sum(1),
                )
            worth = n + self.weight
            covariances = positive_definite((scale + scatter) / worth.clamp(min=LEAST_FRAMES)[:, None, None])
        else:
            worth = n + self.weight
            variances = (scale + scatter + self.mean_weight * away.square()) / worth.clamp(min=LEAST_FRAMES)[:, None]
            covariances = variances.clamp(min=LEAST_VARIANCE)
            covariances = covariances.mean(dim=1) if kind == "spherical" else covariances
        enough = (worth > LEAST_FRAMES).reshape(-1, *(1,) * (covariances.ndim - 1))
        return torch.where(enough, covariances, before)

    def log_density(self, means: Tensor, covariances: Tensor, kind: CovarianceType, *, of_covariances: bool) -> float:
        """The log-density above; without the terms of `v` and `P` where covariances are not trained."""
        scale, away, total = self._scale(kind, means.shape[1]), means - self.mean, 0.0
        if is_quadratic(kind):
            factor = torch.linalg.cholesky(covariances)
            inverse = torch.cholesky_inverse(factor)
            if of_covariances:
                determinant = 2 * factor.diagonal(dim1=1, dim2=2).log().sum()
                total -= 0.5 * float((inverse * scale).sum() + self.weight * determinant)
            if self.mean_weight:
                each = inverse.repeat_interleave(len(means) // len(inverse), dim=0)
                total -= 0.5 * self.mean_weight * float(torch.einsum("kd,kde,ke->", away, each, away))
            return total
        variances = covariances[:, None].expand_as(means) if kind == "spherical" else covariances
        if of_covariances:
            total -= 0.5 * float((self.weight * variances.log() + scale / variances).sum())
        return total - 0.5 * self.mean_weight * float((away.square() / variances).sum())


def positive_definite(covariances: Tensor) -> Tensor:
    """Covariances `(..., D, D)`, symmetric; where one is not positive definite, with the least added to its diagonal
    that makes rounding harmless, and where that is not enough, which is when it holds nothing else, its diagonal."""
    covariances = (covariances + covariances.mT) / 2
    wrong = torch.linalg.cholesky_ex(covariances)[1] > 0
    if bool(wrong.any()):
        diagonal = covariances.diagonal(dim1=-2, dim2=-1)
        least = 1e-10 * diagonal.amax(dim=-1).clamp(min=LEAST_VARIANCE)
        covariances = covariances + torch.diag_embed(torch.where(wrong, least, 0.0)[..., None].expand_as(diagonal))
        wrong = torch.linalg.cholesky_ex(covariances)[1] > 0
        alone = torch.diag_embed(torch.maximum(diagonal, least[..., None]))
        covariances = torch.where(wrong[..., None, None], alone, covariances)
    return covariances


def as_prior(mean: object, mean_weight: float, scale: object, weight: float) -> GaussianPrior:
    """A prior from numbers and arrays."""
    mean_, scale_ = (torch.from_numpy(np.array(value, dtype=np.float64)) for value in (mean, scale))
    return GaussianPrior(mean_, float(mean_weight), scale_, float(weight))
