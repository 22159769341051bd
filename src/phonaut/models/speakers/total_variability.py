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
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpftrf, dpftri, dpftrs, dtrttf

from phonaut.arrays import Array, Index
from phonaut.densities.priors import positive_definite
from phonaut.densities.statistics import GaussianStatistics

BLOCK_CELLS = 2**24  # numbers in the matrices of a block of utterances or components: 128 MB
LEAST_FRAMES = 1e-5  # a component that fewer visit does not vary
LEAST_OF_VARIANCE = 1e-3  # that one M-step leaves to a residual variance
Sums = NDArray[Any]  # statistics may be kept in float32


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
        return int(self.loadings.shape[2])

    @cached_property
    def weighted(self) -> Array:
        """`S_c^-1 T_c`, `(K, D, R)`."""
        if self.covariances.ndim == 2:
            return np.asarray(self.loadings / self.covariances[:, :, None], np.float64)
        return np.asarray(np.linalg.solve(self.covariances, self.loadings), np.float64)

    @cached_property
    def precisions(self) -> Array:
        """`T_c' S_c^-1 T_c`, packed, one row a component."""
        size = block_of(self.rank)
        return np.concatenate([
            packed(self.loadings[first : first + size].transpose(0, 2, 1) @ self.weighted[first : first + size])
            for first in range(0, len(self.loadings), size)
        ])  # fmt: skip

    def blocks(self, n: Sums, f: Sums, *, covariances: bool) -> Iterator[tuple[Array, Array, Posterior]]:
        """Occupancies, sums and posteriors of some recordings at a time, so that memory is bounded.

        Covariances of y are packed, and only computed where they are asked for.
        """
        r, size = self.rank, block_of(self.rank)
        weighted = self.weighted.reshape(-1, r)
        shift = (self.offsets[:, None, :] @ self.weighted)[:, 0]
        diagonal = packing(r)[1].diagonal()
        for first in range(0, len(n), size):
            counts = n[first : first + size].astype(np.float64)
            sums = f[first : first + size].reshape(len(counts), -1).astype(np.float64)
            factors = counts @ self.precisions
            factors[:, diagonal] += 1.0
            linear = sums @ weighted - counts @ shift
            means = np.empty_like(linear)
            for b, row in enumerate(factors):  # precisions, then their Cholesky factors
                factors[b] = dpftrf(r, row, overwrite_a=1)[0]
                means[b] = dpftrs(r, factors[b], linear[b])[0].reshape(r)
            ratio = 0.5 * (linear * means).sum(axis=1) - np.log(factors[:, diagonal]).sum(axis=1)
            if covariances:
                for b, row in enumerate(factors):
                    factors[b] = dpftri(r, row, overwrite_a=1)[0]
            yield counts, sums, Posterior(means, factors, ratio)

    def posterior(self, n: Sums, f: Sums) -> Posterior:
        """Of y, with precision `I + sum_c N_c T_c' S_c^-1 T_c` and the mean `its inverse times
        sum_c T_c' S_c^-1 (F_c - N_c o_c)`.

        Args:
            n: occupancies of B recordings, `(B, K)`.
            f: first-order sums about the components' means, `(B, K, D)`.
        """
        parts = [part for _, _, part in self.blocks(n, f, covariances=True)]
        means, covariances, ratios = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return Posterior(means, unpacked(covariances, self.rank), ratios)

    def ivectors(self, n: Sums, f: Sums) -> Array:
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
    moments: Array
    cross: Array
    mean: Array
    second: Array
    log_likelihood: float


def expectations(model: TotalVariability, n: Sums, f: Sums) -> Expectations:
    """The E-step over statistics `n (B, K)` and `f (B, K, D)`."""
    (k, d, r), total = model.loadings.shape, 0.0
    moments, cross, counted = np.zeros_like(model.precisions), np.zeros((k * d, r)), np.zeros((k, r))
    mean, second = np.zeros(r), np.zeros(model.precisions.shape[1])
    for counts, sums, part in model.blocks(n, f, covariances=True):
        y = part.means
        squares = part.covariances + packed(y[:, :, None] * y[:, None, :])
        moments += counts.T @ squares
        cross += sums.T @ y
        counted += counts.T @ y
        mean += y.sum(axis=0)
        second += squares.sum(axis=0)
        total += float(part.log_ratio.sum())
    about = cross.reshape(k, d, r) - model.offsets[:, :, None] * counted[:, None, :]
    of_all, sums_of_all = n.sum(axis=0, dtype=np.float64), f.sum(axis=0, dtype=np.float64)
    pull = sums_of_all - 0.5 * of_all[:, None] * model.offsets
    total += float((solved(model.covariances, model.offsets) * pull).sum())
    average = unpacked(second[None], r)[0] / len(n)
    return Expectations(of_all, sums_of_all, moments, about, mean / len(n), average, total)


def em_step(
    model: TotalVariability, n: Sums, f: Sums, scatter: Array | None = None, *, minimum_divergence: bool = True
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
    loadings, size = np.zeros_like(found.cross), block_of(model.rank)
    there = np.flatnonzero(found.n >= LEAST_FRAMES)
    for first in range(0, len(there), size):
        some = there[first : first + size]
        moments = unpacked(found.moments[some], model.rank)
        loadings[some] = np.linalg.solve(moments, found.cross[some].transpose(0, 2, 1)).transpose(0, 2, 1)
    trained = TotalVariability(model.offsets, loadings, model.covariances)
    likelihood = found.log_likelihood
    if scatter is not None:
        likelihood -= 0.5 * scatter_cost(model.covariances, found.n, scatter)
        trained = TotalVariability(model.offsets, loadings, residual(trained, found, scatter))
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
    covariances: NDArray[Any]
    cross = found.cross
    if scatter.ndim == 2:
        explained = (model.loadings * cross).sum(axis=2)
        covariances = np.maximum((about - explained) / weight, LEAST_OF_VARIANCE * model.covariances)
    else:
        unexplained = about - model.loadings @ cross.transpose(0, 2, 1)
        covariances = positive_definite(unexplained / weight)
    there = found.n.reshape(weight.shape) >= LEAST_FRAMES
    return np.asarray(np.where(there, covariances, model.covariances), np.float64)


def scatter_cost(covariances: Array, n: Array, scatter: Array) -> float:
    """`sum_c n_c log |S_c| + tr(S_c^-1 scatter_c)`."""
    if covariances.ndim == 2:
        return float((n[:, None] * np.log(covariances) + scatter / covariances).sum())
    traces = np.trace(np.linalg.solve(covariances, scatter), axis1=1, axis2=2)
    return float((n * np.linalg.slogdet(covariances)[1] + traces).sum())


def solved(covariances: Array, vectors: Array) -> Array:
    """`S_c^-1 v_c`, `(K, D)`."""
    if covariances.ndim == 2:
        return np.asarray(vectors / covariances, np.float64)
    return np.asarray(np.linalg.solve(covariances, vectors[:, :, None])[:, :, 0], np.float64)


# --- triangles of symmetric matrices, in LAPACK's rectangular full packed format, which a product fills as it is


def block_of(rank: int) -> int:
    """Matrices `(R, R)` that are worked on at once."""
    return max(1, BLOCK_CELLS // rank**2)


@cache
def packing(rank: int) -> tuple[Index, Index]:
    """Where each packed number is in the rows of a matrix, one after another, `(P,)`; which one is each, `(R, R)`."""
    where = dtrttf(np.arange(float(rank * rank)).reshape(rank, rank))[0].astype(np.int64)
    row, column = np.divmod(where, rank)
    places = np.empty((rank, rank), np.int64)
    places[row, column] = places[column, row] = np.arange(len(where))
    return where, places


def packed(matrices: Array) -> Array:
    """One triangle of each of symmetric matrices `(B, R, R)`, `(B, R (R + 1) / 2)`."""
    rows: Array = matrices.reshape(len(matrices), -1)[:, packing(matrices.shape[1])[0]]
    return rows


def unpacked(rows: Array, rank: int) -> Array:
    """The symmetric matrices `(B, R, R)` that were packed."""
    matrices: Array = rows[:, packing(rank)[1]]
    return matrices
