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
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phonaut.arrays import Array
from phonaut.densities.priors import CovarianceType, is_quadratic
from phonaut.densities.statistics import GaussianStatistics

BLOCK_CELLS = 2**22  # numbers in the features of a block of frames: 16 MB of float32
BLOCK_FRAMES = 2048  # features and responsibilities of a block of mixtures stay in the cache


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


def statistics(x: Tensor, responsibilities: Tensor, origin: Array, *, full: bool) -> GaussianStatistics:
    """Sums over frames `(N, D)` with responsibilities `(N, K)`, in float64 over blocks in the type of `x`."""
    d, k = x.shape[1], responsibilities.shape[1]
    n_sums = 1 + d + (d * (d + 1) // 2 if full else d)
    sums = torch.zeros(k, n_sums, dtype=torch.float64, device=x.device)
    size = max(1, BLOCK_CELLS // n_sums)
    about = torch.from_numpy(origin).to(x)
    for first in range(0, len(x), size):
        phi = features(x[first : first + size] - about, full=full)
        sums += responsibilities[first : first + size].T.to(phi.dtype) @ phi
    return from_features(sums.cpu().numpy(), about.double().cpu().numpy(), full=full)


def mixture_statistics(
    x: Tensor, gaussians: Gaussians, log_weights: Tensor, gamma: Tensor | None = None
) -> GaussianStatistics:
    """Statistics of all components of S mixtures of M components; features of a block of frames serve for densities
    and sums.

    Args:
        x: frames `(N, D)`.
        gaussians: `S M` of them; sums are taken about their origin.
        log_weights: `(S, M)`.
        gamma: `p(s_t = s | x)`, `(N, S)`; None: there is one mixture, and the log-likelihood is computed as well.
    """
    full, about, shape = is_quadratic(gaussians.covariance_type), gaussians.origin.to(x.dtype), log_weights.shape
    theta, weights = gaussians.natural(), log_weights.to(x.device).flatten()
    theta[0] += weights
    theta, weights = theta.to(x.dtype), weights.to(x.dtype)
    far = gaussians.loses_digits(x.dtype).nonzero()[:, 0]
    sums = torch.zeros(theta.shape[1], theta.shape[0], dtype=torch.float64, device=x.device)
    log_likelihood = torch.zeros((), dtype=torch.float64, device=x.device)
    for first in range(0, len(x), BLOCK_FRAMES):
        block = x[first : first + BLOCK_FRAMES]
        phi, logs = features(block - about, full=full), x.new_empty(len(block), len(gaussians.means))
        gaussians.log_prob_of_features(phi, block, theta, far, logs)
        if len(far):
            logs[:, far] += weights[far]
        if gamma is None:
            r = torch.softmax(logs, dim=1)
            # log sum_k exp(l_k) = max_k l_k - log max_k r_k, which is cheaper than to exponentiate again.
            log_likelihood += (logs.amax(dim=1) - r.amax(dim=1).log()).sum(dtype=torch.float64)
        else:
            r = torch.softmax(logs.view(-1, *shape), dim=2).mul_(gamma[first : first + BLOCK_FRAMES, :, None])
            r = r.nan_to_num_(0.0).flatten(1)  # a frame that no component can explain counts for none
        sums += r.T @ phi
    result = from_features(sums.cpu().numpy(), gaussians.origin.double().cpu().numpy(), full=full)
    result.log_prob = float(log_likelihood)
    return result


def from_features(sums: Array, origin: Array, *, full: bool) -> GaussianStatistics:
    """Statistics from `sum_t r_tk phi(x_t)`, `(K, P)`."""
    d = len(origin)
    first, rest = sums[:, 1 : d + 1], sums[:, d + 1 :]
    if not full:
        return GaussianStatistics(sums[:, 0], first, rest, origin)
    rows, columns = np.triu_indices(d)
    second = np.empty((len(sums), d, d))
    second[:, rows, columns] = rest
    second[:, columns, rows] = rest
    return GaussianStatistics(sums[:, 0], first, second, origin)
