"""Probabilistic principal components of windows: the linear generator at which others begin."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
import torch
from torch import Tensor, nn

from phonaut.networks.linear_path import LinearPath

LEAST_VARIANCE = 1e-6  # of what is left out, where nothing is


@dataclass(frozen=True)
class PrincipalComponents:
    """`x = m + sum_i sqrt(v_i - s) u_i z_i + e`, z ~ N(0, I), e ~ N(0, s I) (Tipping and Bishop 1999).

    Attributes:
        mean: m, `(D,)`.
        directions: u_i, orthonormal, `(Z, D)`; zero where there are fewer than Z.
        variances: v_i, those of the data along them, `(Z,)`; s where there is none.
        noise: s, the mean variance of the directions that are left out.
    """

    mean: Tensor
    directions: Tensor
    variances: Tensor
    noise: float

    @property
    def loadings(self) -> Tensor:
        """`sqrt(v_i - s) u_i`, `(Z, D)`: what latents do."""
        return self.directions * (self.variances - self.noise).clamp(min=0.0).sqrt()[:, None]

    @property
    def posterior(self) -> tuple[Tensor, Tensor]:
        """W `(Z, D)` and v `(Z,)` of the exact posterior `N(W (x - m), diag v)` of the latents."""
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
    """Begin an encoder at means `W (x - m)`, and at the logarithms of variances behind them if there are some."""
    assert isinstance(path, LinearPath)
    bias = -weight @ components.mean
    if variance is not None:
        weight, bias = torch.cat([weight, torch.zeros_like(weight)]), torch.cat([bias, variance.log()])
    path.start(weight, bias)


def principal_components(batches: Iterable[Tensor], n: int) -> PrincipalComponents:
    """The first `n` components of windows `(B, T, D)`, batch by batch, each window as one vector.

    There are at most half as many as windows: all of few windows leave nothing out, and without noise other windows
    have no likelihood.

    Args:
        batches: of windows.
        n: Z.

    >>> windows = torch.randn(500, 4, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1.0])
    >>> principal_components([windows], 4).variances.round().tolist()
    [10.0, 10.0, 9.0, 8.0]
    """
    total, squares, count = 0.0, 0.0, 0
    for batch in batches:
        x = batch.flatten(1).double().cpu().numpy()
        total, squares, count = total + x.sum(axis=0), squares + x.T @ x, count + len(x)
    mean = np.asarray(total) / count
    covariance = np.asarray(squares) / count - np.outer(mean, mean)
    size = len(mean)
    kept = min(n, size, max(1, count // 2))  # as many more directions of windows tell what is left out
    values, vectors = scipy.linalg.eigh(covariance, subset_by_index=[size - kept, size - 1])
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1].T
    left_out = max(0.0, float(np.trace(covariance) - values.sum()))
    noise = max(left_out / max(1, size - kept), LEAST_VARIANCE)
    signs = np.sign(vectors[np.arange(kept), np.abs(vectors).argmax(axis=1)])  # LAPACK leaves them open
    directions, variances = np.zeros((n, size)), np.full(n, noise)
    directions[:kept], variances[:kept] = vectors * signs[:, None], np.maximum(values, noise)
    floats = [torch.from_numpy(array).float() for array in (mean, directions, variances)]
    return PrincipalComponents(floats[0], floats[1], floats[2], noise)
