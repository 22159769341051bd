"""Total variability: a low-rank factor model of the means of all components in a recording, and its i-vectors.

In a recording, component c has the mean `m_c + o_c + T_c y` with `y ~ N(0, I)` of R dimensions, and residual covariance
S_c. Frames are given to components beforehand, so that a recording is known by its statistics: occupancies N_c and
first-order sums F_c about m_c.

Source: Kenny, Boulianne and Dumouchel 2005, "Eigenvoice modeling with sparse training data"; Dehak et al. 2011,
"Front-end factor analysis for speaker verification".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from phonaut.arrays import Array
from phonaut.densities.priors import positive_definite
from phonaut.densities.statistics import GaussianStatistics

BLOCK_CELLS = 2**24  # numbers in the matrices of a block of utterances or components: 128 MB
STRIP = 32  # rows of a lower triangle that are kept together
LEAST_FRAMES = 1e-5  # a component that fewer visit does not vary
LEAST_OF_VARIANCE = 1e-3  # that one M-step leaves to a residual variance


class Posterior(NamedTuple):
    """Of y, given each of B recordings.

    Attributes:
        means: the i-vectors, `(B, R)`.
        covariances: `(B, R, R)`.
        log_ratio: log-likelihood of the recording less what it would be with y = 0, `(B,)`.
    """

    means: Array
    covariances: Array
    log_ratio: Array


@dataclass(frozen=True, eq=False)
class TotalVariability:
    """The model of K components.

    Attributes:
        offsets: o, of the mean recording from the means that statistics are about, `(K, D)`.
        loadings: T, `(K, D, R)`.
        covariances: S, `(K, D)` diagonal or `(K, D, D)`.
    """

    offsets: Array
    loadings: Array
    covariances: Array

    @property
    def rank(self) -> int:
        """R."""
        return self.loadings.shape[2]

    @cached_property
    def weighted(self) -> Tensor:
        """`S_c^-1 T_c`, `(K, D, R)`."""
        if self.covariances.ndim == 2:
            return torch.from_numpy(self.loadings / self.covariances[:, :, None])
        return torch.linalg.solve(torch.from_numpy(self.covariances), torch.from_numpy(self.loadings))

    @cached_property
    def precisions(self) -> Tensor:
        """`T_c' S_c^-1 T_c`, packed, one row a component."""
        loadings, size = torch.from_numpy(self.loadings), block_of(self.rank)
        parts = zip(loadings.split(size), self.weighted.split(size), strict=True)
        return torch.cat([packed(some.mT @ weighted) for some, weighted in parts])

    def blocks(self, n: Array, f: Array, *, covariances: bool) -> Iterator[tuple[Tensor, Tensor, Posterior]]:
        """Occupancies, sums and posteriors of some recordings at a time, so that memory is bounded."""
        r, size, weighted = self.rank, block_of(self.rank), self.weighted.flatten(0, 1)
        shift = (torch.from_numpy(self.offsets)[:, None, :] @ self.weighted)[:, 0]
        for first in range(0, len(n), size):
            counts = torch.from_numpy(n[first : first + size]).double()
            sums = torch.from_numpy(f[first : first + size]).double().flatten(1)
            precision = unpacked(counts @ self.precisions, r)
            precision.diagonal(dim1=1, dim2=2).add_(1.0)
            factor = torch.from_numpy(np.linalg.cholesky(precision.numpy()))  # reads lower triangles alone
            linear = (sums @ weighted - counts @ shift)[:, :, None]
            white = torch.linalg.solve_triangular(factor, linear, upper=False)
            means = torch.linalg.solve_triangular(factor.mT, white, upper=True)[:, :, 0]
            half = factor.diagonal(dim1=1, dim2=2).log().sum(dim=1)
            ratio = 0.5 * white.square().sum(dim=(1, 2)) - half
            spread = torch.cholesky_inverse(factor).numpy() if covariances else np.empty((0, r, r))
            yield counts, sums, Posterior(means.numpy(), spread, ratio.numpy())

    def posterior(self, n: Array, f: Array) -> Posterior:
        """Of y, with precision `I + sum_c N_c T_c' S_c^-1 T_c` and the mean `its inverse times
        sum_c T_c' S_c^-1 (F_c - N_c o_c)`.

        Args:
            n: occupancies of B recordings, `(B, K)`.
            f: first-order sums about the components' means, `(B, K, D)`.
        """
        parts = [part for _, _, part in self.blocks(n, f, covariances=True)]
        return Posterior(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def ivectors(self, n: Array, f: Array) -> Array:
        """Posterior means of y, `(B, R)`, without their covariances."""
        parts = [part.means for _, _, part in self.blocks(n, f, covariances=False)]
        return np.concatenate([np.empty((0, self.rank)), *parts])


@dataclass
class Expectations:
    """What an M-step needs of all recordings.

    Attributes:
        n: occupancies, `(K,)`. f: first-order sums, `(K, D)`.
        moments: `sum_b N_bc E[y y']`, packed, `(K, P)`.
        cross: `sum_b (F_bc - N_bc o_c) E[y]'`, `(K, D, R)`.
        mean: `sum_b E[y] / B`, `(R,)`. second: `sum_b E[y y'] / B`, `(R, R)`.
        log_likelihood: of all frames in their components, but for what depends on S alone.
    """

    n: Array
    f: Array
    moments: Tensor
    cross: Tensor
    mean: Array
    second: Array
    log_likelihood: float


def expectations(model: TotalVariability, n: Array, f: Array) -> Expectations:
    """The E-step over statistics `n (B, K)` and `f (B, K, D)`."""
    (k, d, r), total = model.loadings.shape, 0.0
    moments, cross = torch.zeros_like(model.precisions), torch.zeros(k * d, r, dtype=torch.float64)
    counted, mean, second = torch.zeros(k, r, dtype=torch.float64), np.zeros(r), np.zeros((r, r))
    for counts, sums, part in model.blocks(n, f, covariances=True):
        y = torch.from_numpy(part.means)
        squares = torch.from_numpy(part.covariances) + y[:, :, None] * y[:, None, :]
        moments += counts.T @ packed(squares)
        cross += sums.T @ y
        counted += counts.T @ y
        mean += part.means.sum(axis=0)
        second += squares.sum(dim=0).numpy()
        total += float(part.log_ratio.sum())
    about = cross.view(k, d, r) - torch.from_numpy(model.offsets)[:, :, None] * counted[:, None, :]
    of_all, sums_of_all = n.sum(axis=0, dtype=np.float64), f.sum(axis=0, dtype=np.float64)
    pull = sums_of_all - 0.5 * of_all[:, None] * model.offsets
    total += float((solved(model.covariances, model.offsets) * pull).sum())
    return Expectations(of_all, sums_of_all, moments, about, mean / len(n), second / len(n), total)


def em_step(
    model: TotalVariability, n: Array, f: Array, scatter: Array | None = None, *, minimum_divergence: bool = True
) -> tuple[TotalVariability, float]:
    """One step of EM, and the log-likelihood before it, which no step lowers.

    The M-step of maximum likelihood solves `T_c sum_b N_bc E[y y'] = sum_b (F_bc - N_bc o_c) E[y]'` for each component;
    one that no frame visits does not vary.

    Args:
        model: before the step.
        n: occupancies of B recordings, `(B, K)`.
        f: first-order sums about the components' means, `(B, K, D)`.
        scatter: second-order sums about them of all recordings, in the shape of the covariances: S is trained as well,
            `S_c = (scatter_c - T_c cross_c') / n_c`. The log-likelihood then is that of the frames up to a constant,
            and without them up to what S adds.
        minimum_divergence: move and turn y, whose posteriors' average then is the prior.

    Source: Kenny 2008, "Joint factor analysis of speaker and session variability", and "A small footprint i-vector
    extractor" (2012) for minimum divergence.
    """
    found = expectations(model, n, f)
    loadings, size = torch.empty_like(found.cross), block_of(model.rank)
    eye = torch.eye(model.rank, dtype=torch.float64)
    there = torch.from_numpy(found.n >= LEAST_FRAMES)[:, None, None]
    for first in range(0, len(loadings), size):
        some = slice(first, first + size)
        moments = torch.where(there[some], unpacked(found.moments[some], model.rank), eye)
        factor = torch.from_numpy(np.linalg.cholesky(moments.numpy()))
        loadings[some] = torch.cholesky_solve(found.cross[some].mT, factor).mT
    loadings = torch.where(there, loadings, 0.0)
    trained = TotalVariability(model.offsets, loadings.numpy(), model.covariances)
    likelihood = found.log_likelihood
    if scatter is not None:
        likelihood -= 0.5 * scatter_cost(model.covariances, found.n, scatter)
        trained = TotalVariability(model.offsets, trained.loadings, residual(trained, found, scatter))
    return (minimally_divergent(trained, found.mean, found.second) if minimum_divergence else trained), likelihood


def minimally_divergent(model: TotalVariability, mean: Array, second: Array) -> TotalVariability:
    """The same densities with `y = mean + Q z`, where Q Q' is the covariance of y over all recordings: z is standard.

    Args:
        model: as trained with y.
        mean: of y over all recordings, `(R,)`.
        second: of `E[y y']`, `(R, R)`.
    """
    turn = np.linalg.cholesky(positive_definite(second - np.outer(mean, mean)))
    return TotalVariability(model.offsets + model.loadings @ mean, model.loadings @ turn, model.covariances)


def residual(model: TotalVariability, found: Expectations, scatter: Array) -> Array:
    """Covariances that the loadings do not explain; no variance falls to less than a thousandth in one step."""
    about = GaussianStatistics(found.n, found.f, scatter, np.zeros(scatter.shape[1])).scatter(model.offsets)
    weight = np.maximum(found.n, LEAST_FRAMES).reshape(-1, *(1,) * (scatter.ndim - 1))
    cross = found.cross.numpy()
    if scatter.ndim == 2:
        explained = (model.loadings * cross).sum(axis=2)
        covariances = np.maximum((about - explained) / weight, LEAST_OF_VARIANCE * model.covariances)
    else:
        covariances = positive_definite((about - model.loadings @ cross.transpose(0, 2, 1)) / weight)
    return np.where(found.n.reshape(weight.shape) >= LEAST_FRAMES, covariances, model.covariances)


def scatter_cost(covariances: Array, n: Array, scatter: Array) -> float:
    """`sum_c n_c log |S_c| + tr(S_c^-1 scatter_c)`."""
    if covariances.ndim == 2:
        return float((n[:, None] * np.log(covariances) + scatter / covariances).sum())
    traces = np.trace(np.linalg.solve(covariances, scatter), axis1=1, axis2=2)
    return float((n * np.linalg.slogdet(covariances)[1] + traces).sum())


def solved(covariances: Array, vectors: Array) -> Array:
    """`S_c^-1 v_c`, `(K, D)`."""
    if covariances.ndim == 2:
        quotient: Array = vectors / covariances
        return quotient
    solution: Array = np.linalg.solve(covariances, vectors[:, :, None])[:, :, 0]
    return solution


# --- lower triangles of symmetric matrices, in strips of rows, which a product fills without any index


def block_of(rank: int) -> int:
    """Matrices `(R, R)` that are worked on at once."""
    return max(1, BLOCK_CELLS // rank**2)


def strips(rank: int) -> list[tuple[int, int]]:
    """First row of each strip, and the one after its last."""
    return [(first, min(first + STRIP, rank)) for first in range(0, rank, STRIP)]


def packed(matrices: Tensor) -> Tensor:
    """Strips of the lower triangles of matrices `(B, R, R)`, one after another, `(B, P)`."""
    return torch.cat([matrices[:, i:j, :j].flatten(1) for i, j in strips(matrices.shape[1])], dim=1)


def unpacked(rows: Tensor, rank: int) -> Tensor:
    """Matrices `(B, R, R)` whose lower triangles were packed; what is above the strips is 0."""
    matrices, at = rows.new_zeros(len(rows), rank, rank), 0
    for i, j in strips(rank):
        matrices[:, i:j, :j] = rows[:, at : at + (j - i) * j].view(-1, j - i, j)
        at += (j - i) * j
    return matrices
