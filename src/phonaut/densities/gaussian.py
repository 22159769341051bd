"""Gaussian densities of K components as products with quadratic features of the frames.

A Gaussian is an exponential family, `log p(x | k) = theta_k . phi(x)` with

    phi(x) = (1, x_i, x_i x_j for i <= j)        full and tied covariances
    phi(x) = (1, x_i, x_i^2)                     diag and spherical

So the log-densities of all components are one matrix product, and the sums that EM needs, `sum_t r_tk phi(x_t)`, are
another. Frames are taken relative to an origin in their midst: the products then lose no more digits than the square of
(distance of a mean from the origin / its standard deviation) is large, and where that would be too many, differences
from each mean are formed instead.

Source: Bishop 2006, "Pattern recognition and machine learning", sections 2.4 and 9.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from phonaut.densities.processes import summed

CovarianceType = Literal["full", "diag", "tied", "spherical"]
COVARIANCE_TYPES: tuple[CovarianceType, ...] = ("full", "diag", "tied", "spherical")
BLOCK_CELLS = 2**22  # numbers in the features of a block of frames: 16 MB of float32


def is_quadratic(covariance_type: CovarianceType) -> bool:
    """Whether products of different dimensions are needed."""
    return covariance_type in ("full", "tied")


def features(x: Tensor, *, full: bool) -> Tensor:
    """`phi(x)` of centred frames `(N, D)`: `(N, 1 + D + D (D + 1) / 2)`, or `(N, 1 + 2 D)`."""
    n, d = x.shape
    if not full:
        return torch.cat([x.new_ones(n, 1), x, x.square()], dim=1)
    phi = x.new_empty(n, 1 + d + d * (d + 1) // 2)
    phi[:, 0] = 1.0
    phi[:, 1 : d + 1] = x
    at = d + 1
    for i in range(d):
        torch.mul(x[:, i:], x[:, i : i + 1], out=phi[:, at : at + d - i])
        at += d - i
    return phi


@dataclass
class Gaussians:
    """K Gaussians of D dimensions.

    Attributes:
        means: `(K, D)`.
        covariances: `(K, D, D)` full, `(K, D)` diag, `(D, D)` tied, `(K,)` spherical.
        covariance_type: which of these.
        about: what features of frames are relative to, `(D,)`; None: the mean of the means.

    Raises:
        ValueError: a covariance is not positive definite; the component is named.
    """

    means: Tensor
    covariances: Tensor
    covariance_type: CovarianceType
    about: Tensor | None = None

    def __post_init__(self) -> None:
        self.origin = self.means.mean(dim=0) if self.about is None else self.about
        k, d = self.means.shape
        if is_quadratic(self.covariance_type):
            covariances = self.covariances if self.covariance_type == "full" else self.covariances[None]
            factor, wrong = torch.linalg.cholesky_ex(covariances)
            if bool(wrong.any()):
                raise ValueError(f"covariance of component {int(wrong.nonzero()[0])} is not positive definite")
            self.factor = factor.expand(k, d, d)
        else:
            variances = self.covariances[:, None].expand(k, d) if self.covariances.ndim == 1 else self.covariances
            if not bool((variances > 0).all()):
                component = int((~(variances > 0)).any(dim=1).nonzero()[0])
                raise ValueError(f"variance of component {component} is not positive")
            self.factor = variances.sqrt()

    @property
    def log_determinant(self) -> Tensor:
        """`log |Sigma_k|`, `(K,)`."""
        diagonal = self.factor.diagonal(dim1=1, dim2=2) if self.factor.ndim == 3 else self.factor
        logs: Tensor = 2 * diagonal.log().sum(dim=1)
        return logs

    @property
    def whitened_means(self) -> Tensor:
        """`L^-1 (mu - origin)` with `Sigma = L L^T`, `(K, D)`: distances of the means in standard deviations."""
        centred = self.means - self.origin
        if self.factor.ndim == 2:
            white: Tensor = centred / self.factor
            return white
        solved: Tensor = torch.linalg.solve_triangular(self.factor, centred[:, :, None], upper=False)
        return solved[:, :, 0]

    def natural(self) -> Tensor:
        """`theta (P, K)`, for frames relative to `origin`."""
        k, d = self.means.shape
        white = self.whitened_means
        constant = -0.5 * (d * math.log(2 * math.pi) + self.log_determinant + white.square().sum(dim=1))
        if self.factor.ndim == 2:
            precision = 1 / self.factor.square()
            return torch.cat([constant[:, None], white / self.factor, -0.5 * precision], dim=1).T
        inverse = torch.linalg.solve_triangular(
            self.factor, torch.eye(d, dtype=self.factor.dtype, device=self.factor.device).expand(k, d, d), upper=False
        )
        linear = (inverse.mT @ white[:, :, None])[:, :, 0]
        weights = -(inverse.mT @ inverse)
        weights.diagonal(dim1=1, dim2=2).mul_(0.5)
        rows, columns = torch.triu_indices(d, d, device=weights.device)
        return torch.cat([constant[:, None], linear, weights[:, rows, columns]], dim=1).T

    def loses_digits(self, dtype: torch.dtype) -> Tensor:
        """Components for which products with features would be wrong by more than 1e-9 (1e-3 in float32), `(K,)`."""
        away = self.whitened_means.square().sum(dim=1)
        return away * torch.finfo(dtype).eps > (1e-9 if dtype == torch.float64 else 1e-3)

    def log_prob(self, x: Tensor) -> Tensor:
        """`log N(x_t; mu_k, Sigma_k)` of frames `(N, D)`: `(N, K)`, in blocks."""
        origin, result = self.origin.to(x.dtype), x.new_empty(len(x), len(self.means))
        theta = self.natural().to(x.dtype)
        far = self.loses_digits(x.dtype).nonzero()[:, 0]
        size = max(1, BLOCK_CELLS // len(theta))
        full = is_quadratic(self.covariance_type)
        for first in range(0, len(x), size):
            block, into = x[first : first + size], result[first : first + size]
            self.log_prob_of_features(features(block - origin, full=full), block, theta, far, into)
        return result

    def log_prob_of_features(self, phi: Tensor, x: Tensor, theta: Tensor, far: Tensor, out: Tensor) -> None:
        """The same of one block, of which features, parameters and the components that lose digits are known."""
        if len(far) < len(self.means):
            torch.mm(phi, theta, out=out)
        if len(far):
            out[:, far] = self.log_prob_of_differences(x, far)

    def log_prob_of_differences(self, x: Tensor, which: Tensor | slice = slice(None)) -> Tensor:
        """The same of some components, from `L_k^-1 (x_t - mu_k)`, exact however far the means lie from each other."""
        d, means, factor = self.means.shape[1], self.means[which], self.factor[which]
        constant = -0.5 * (d * math.log(2 * math.pi) + self.log_determinant[which])
        inverse = 1 / factor
        if factor.ndim == 3:
            eye = torch.eye(d, dtype=factor.dtype, device=factor.device)
            inverse = torch.linalg.solve_triangular(factor, eye.expand(factor.shape), upper=False)
        result = x.new_empty(len(x), len(means))
        size = max(1, BLOCK_CELLS // (len(means) * d))
        for first in range(0, len(x), size):
            difference = x[first : first + size].to(means.dtype) - means[:, None, :]  # (K, n, D)
            white = difference @ inverse.mT if factor.ndim == 3 else difference * inverse[:, None, :]
            result[first : first + size] = (constant[:, None] - 0.5 * white.square().sum(dim=2)).T.to(x.dtype)
        return result

    def sample(self, components: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """A frame from each of `components (N,)`, `(N, D)`."""
        noise = torch.randn(len(components), self.means.shape[1], dtype=self.means.dtype, generator=generator)
        noise = noise.to(self.means.device)
        if self.factor.ndim == 2:
            coloured: Tensor = noise * self.factor[components]
        else:
            coloured = (self.factor[components] @ noise[:, :, None])[:, :, 0]
        return self.means[components] + coloured


@dataclass
class Statistics:
    """Sums over frames, weighted by responsibilities; those of two sets of frames add up to those of both.

    Attributes:
        n: `sum_t r_tk`, `(K,)`.
        first: `sum_t r_tk (x_t - origin)`, `(K, D)`.
        second: `sum_t r_tk (x_t - origin)(x_t - origin)^T`, `(K, D, D)`, or its diagonal, `(K, D)`.
        origin: `(D,)`.
    """

    n: Tensor
    first: Tensor
    second: Tensor
    origin: Tensor

    def __add__(self, other: Statistics) -> Statistics:
        if not torch.equal(self.origin, other.origin):
            raise ValueError("statistics about different origins do not add up")
        return Statistics(self.n + other.n, self.first + other.first, self.second + other.second, self.origin)

    def map(self, function: Callable[[Tensor], Tensor]) -> Statistics:
        """The sums, each put through a function; the origin is what it was."""
        return Statistics(function(self.n), function(self.first), function(self.second), self.origin)

    def scaled(self, factor: float) -> Statistics:
        """As if every frame counted `factor` times."""
        return self.map(lambda value: value * factor)

    def summed(self) -> Statistics:
        """Those of all processes."""
        return self.map(summed)

    def cpu(self) -> Statistics:
        """The same in the processor's memory."""
        return Statistics(self.n.cpu(), self.first.cpu(), self.second.cpu(), self.origin.cpu())

    def means(self) -> Tensor:
        """Weighted means `(K, D)`; the origin where nothing was seen."""
        return self.origin + self.first / self.n.clamp(min=torch.finfo(self.n.dtype).tiny)[:, None]

    def scatter(self, means: Tensor) -> Tensor:
        """`sum_t r_tk (x_t - mu_k)(x_t - mu_k)^T`, `(K, D, D)` or `(K, D)`."""
        m = means - self.origin
        if self.second.ndim == 2:
            return (self.second - 2 * m * self.first + self.n[:, None] * m.square()).clamp(min=0)
        cross = m[:, :, None] * self.first[:, None, :]
        return self.second - cross - cross.mT + self.n[:, None, None] * m[:, :, None] * m[:, None, :]


def statistics(x: Tensor, responsibilities: Tensor, origin: Tensor, *, full: bool) -> Statistics:
    """Sums over frames `(N, D)` with responsibilities `(N, K)`, in float64 over blocks in the type of `x`."""
    d, k = x.shape[1], responsibilities.shape[1]
    n_features = 1 + d + (d * (d + 1) // 2 if full else d)
    sums = torch.zeros(k, n_features, dtype=torch.float64, device=x.device)
    size = max(1, BLOCK_CELLS // n_features)
    about = origin.to(x.dtype)
    for first in range(0, len(x), size):
        phi = features(x[first : first + size] - about, full=full)
        sums += responsibilities[first : first + size].T.to(phi.dtype) @ phi
    return from_features(sums, about.double(), d, full=full)


def from_features(sums: Tensor, origin: Tensor, d: int, *, full: bool) -> Statistics:
    """`sum_t r_tk phi(x_t)`, `(K, P)`, as statistics."""
    first, rest = sums[:, 1 : d + 1], sums[:, d + 1 :]
    if not full:
        return Statistics(sums[:, 0], first, rest, origin)
    rows, columns = torch.triu_indices(d, d, device=sums.device)
    second = sums.new_empty(len(sums), d, d)
    second[:, rows, columns] = rest
    second[:, columns, rows] = rest
    return Statistics(sums[:, 0], first, second, origin)


def pooled(scatter: Tensor, n: Tensor, covariance_type: CovarianceType) -> Tensor:
    """Maximum-likelihood covariances of `scatter (K, D[, D])` and counts `(K,)`, in the shape of the type."""
    if covariance_type == "tied":
        return scatter.sum(dim=0) / n.sum()
    if covariance_type == "full":
        return scatter / n[:, None, None]
    variances = scatter / n[:, None]
    return variances.mean(dim=1) if covariance_type == "spherical" else variances
