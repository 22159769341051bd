"""Probabilistic principal components of windows: the linear generator at which others begin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from phonaut.networks.linear_path import LinearPath

LEAST_VARIANCE = 1e-6  # of what is left out, where nothing is


@dataclass(frozen=True)
class PrincipalComponents:
    """`x = m + B^T c + sum_i sqrt(v_i - s) u_i z_i + e`, z ~ N(0, I), e ~ N(0, s I) (Tipping and Bishop 1999).

    Attributes:
        mean: m, `(D,)`.
        by_condition: B, by least squares, which conditions add, `(K, D)`; no condition, nothing.
        directions: u_i, orthonormal, `(Z, D)`; zero where there are fewer than Z.
        variances: v_i, those of the data along them, `(Z,)`; s where there is none.
        noise: s, the mean variance of the directions that are left out.
    """

    mean: Tensor
    by_condition: Tensor
    directions: Tensor
    variances: Tensor
    noise: float

    @property
    def loadings(self) -> Tensor:
        """`sqrt(v_i - s) u_i`, `(Z, D)`: what latents do."""
        return self.directions * (self.variances - self.noise).clamp(min=0.0).sqrt()[:, None]

    @property
    def posterior(self) -> tuple[Tensor, Tensor]:
        """W `(Z, D)` and v `(Z,)` of the exact posterior `N(W (x - m - B^T c), diag v)` of the latents."""
        return self.loadings / self.variances[:, None], self.noise / self.variances

    @property
    def spread(self) -> Tensor:
        """`sqrt(v_i) u_i`, `(Z, D)`: from coordinates of variance 1 to data, the inverse of `whitening`."""
        return self.directions * self.variances.sqrt()[:, None]

    @property
    def whitening(self) -> Tensor:
        """`u_i / sqrt(v_i)`, `(Z, D)`: coordinates of variance 1."""
        return self.directions / self.variances.sqrt()[:, None]


def start_posterior(path: nn.Module, weight: Tensor, components: PrincipalComponents, variance: Tensor | None) -> None:
    """Begin an encoder at means `W (x - m - B^T c)`, behind them the logarithms of variances if there are some."""
    assert isinstance(path, LinearPath)
    bias, by_condition = -weight @ components.mean, -weight @ components.by_condition.T
    if variance is not None:
        nothing = torch.zeros(len(variance), 1)
        weight = torch.cat([weight, nothing.expand(-1, weight.shape[1])])
        by_condition = torch.cat([by_condition, nothing.expand(-1, by_condition.shape[1])])
        bias = torch.cat([bias, variance.log()])
    path.start(weight, by_condition, bias)


def principal_components(batches: Iterable[tuple[Tensor, Tensor]], n: int) -> PrincipalComponents:
    """The first `n` components of windows `(B, T, D)` and conditions `(B, K)`, batch by batch; a window is one vector.

    There are at most half as many as windows: all of few windows leave nothing out, and without noise other windows
    have no likelihood.

    Args:
        batches: of windows with their conditions.
        n: Z.

    >>> windows = torch.randn(500, 4, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1.0])
    >>> principal_components([(windows, torch.zeros(500, 0))], 4).variances.round().tolist()
    [9.0, 9.0, 8.0, 8.0]
    """
    from scipy.linalg import eigh

    total, products, count, d = 0.0, 0.0, 0, 0
    for windows, condition in batches:
        x, d = torch.cat([windows.flatten(1), condition], dim=1).double().cpu().numpy(), windows[0].numel()
        total, products, count = total + x.sum(axis=0), products + x.T @ x, count + len(x)
    means, moments = np.asarray(total) / count, np.asarray(products) / count
    covariance = moments - np.outer(means, means)
    # Of `x - m` on conditions as they are, so that where there is none it is the mean of all.
    by_condition = np.linalg.pinv(moments[d:, d:], hermitian=True) @ covariance[d:, :d]
    mean, covariance = means[:d], covariance[:d, :d] - by_condition.T @ covariance[d:, :d]
    kept = min(n, d, max(1, count // 2))  # as many more directions of windows tell what is left out
    values, vectors = eigh(covariance, subset_by_index=[d - kept, d - 1])
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1].T
    left_out = max(0.0, float(np.trace(covariance) - values.sum()))
    noise = max(left_out / max(1, d - kept), LEAST_VARIANCE)
    signs = np.sign(vectors[np.arange(kept), np.abs(vectors).argmax(axis=1)])  # LAPACK leaves them open
    directions, variances = np.zeros((n, d)), np.full(n, noise)
    directions[:kept], variances[:kept] = vectors * signs[:, None], np.maximum(values, noise)
    arrays = (mean, by_condition, directions, variances)
    m, b, u, v = (torch.from_numpy(array).float() for array in arrays)
    return PrincipalComponents(m, b, u, v, noise)
