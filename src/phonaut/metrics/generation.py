"""What was generated beside what was recorded: distances of spectra, of two samples of embeddings, and copying."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array, Index
from phonaut.metrics.intervals import Estimate, Z, bootstrap, by_group, quantiles
from phonaut.metrics.pairwise import checked, distances

SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the items, at which a distance is computed to see how it falls
N_DRAWS = 4  # of items for each share
N_RESAMPLES = 200  # of two samples, for an interval


class Frechet(NamedTuple):
    """A Frechet distance with what the size of the samples has added to it.

    Attributes:
        value: the distance, of all items.
        bias: how much of it is due to `n`: `value - unbiased`.
        unbiased: the distance extrapolated to endlessly many items; it may be below 0 by chance.
        n: items of the smaller sample.
    """

    value: float
    bias: float
    unbiased: float
    n: int


class Copying(NamedTuple):
    """How near generated items lie to training data, by the median, and how near unseen ones do.

    Attributes:
        generated: median distance of generated items to their nearest training item.
        held_out: the same of held-out items.
        ratio: of the two; well below 1: training data are copied.
        nearer: share of generated items that are nearer than 95 % of held-out items; 0.05 is chance.
    """

    generated: float
    held_out: float
    ratio: float
    nearer: float


def log_spectral_distance(reference: Array, other: Array) -> float:
    """Mean over frames of `sqrt(mean over bins of (a - b)^2)`, of spectra `(T, K)` in dB: a distance in dB."""
    a, b = _pair(reference, other)
    return float(np.sqrt(np.square(a - b).mean(axis=1)).mean())


def reconstruction_snr(reference: Array, other: Array) -> float:
    """`10 log10(sum (x - m)^2 / sum (x - y)^2)` in dB, over all frames and bins of `x, y (N, D)`.

    `m (D,)` is the mean of each bin over the N frames given: a reconstruction by that mean alone has 0 dB. Infinite
    for an exact one; NaN where the reference does not vary and is not met.
    """
    x, y = _pair(reference, other)
    signal, noise = np.square(x - x.mean(axis=0)).sum(), np.square(x - y).sum()
    if noise == 0:
        return np.inf
    return float(10 * np.log10(signal / noise)) if signal > 0 else np.nan


def mel_cepstral_distortion(reference: Array, other: Array, path: Index | None = None) -> float:
    """`10 / ln 10 sqrt(2 sum_{d >= 1} (c_d - c'_d)^2)` in dB, its mean over a path (Kubichek 1993).

    Args:
        reference: cepstra `(T, D)` with `ln |X| = c_0 + sum c_d cos(d w)`, C0 first, which is left out: those of an
            orthonormal DCT of M logarithms of power are to be divided by `sqrt(2 M)`, of dB by `sqrt(2 M) 10 / ln 10`.
        other: cepstra `(U, D)`.
        path: pairs of frames `(P, 2)`, as `densities.dtw.path` gives them; None: frame by frame, T = U.
    """
    if path is not None:
        reference, other = reference[path[:, 0]], other[path[:, 1]]
    a, b = _pair(reference, other)
    return float(10 / np.log(10) * np.sqrt(2 * np.square(a[:, 1:] - b[:, 1:]).sum(axis=1)).mean())


def frechet_distance(first: Array, second: Array, *, seed: int = 0) -> Frechet:
    """`||m - m'||^2 + tr(S + S' - 2 (S S')^{1/2})` of two samples of embeddings `(N, D)` and `(M, D)`.

    The distance of the Gaussians of their means and covariances (with N - 1), as of inception features (Heusel et al.
    2017). It is too large by about `b / n`: computed on shares of the items, drawn again, and extrapolated to
    `1 / n = 0` it is unbiased but for terms in `1 / n^2` (Chong and Forsyth 2020). Compare distances of equal n only,
    or the unbiased ones.
    """
    x, y = checked(first, second, at_least=2)
    value = _frechet(x, y)
    rng = np.random.default_rng(seed)
    inverse, found = [1.0], [value]
    for share in SHARES[:-1]:
        n, m = max(2, round(share * len(x))), max(2, round(share * len(y)))
        for _ in range(N_DRAWS):
            found.append(_frechet(x[rng.permutation(len(x))[:n]], y[rng.permutation(len(y))[:m]]))
            inverse.append(1 / share)
    slope = np.polyfit(inverse, found, 1)[0] if len(x) > 3 and len(y) > 3 else np.nan
    return Frechet(value, float(slope), float(value - slope), min(len(x), len(y)))


def frechet_estimate(real: Array, speakers: NDArray[Any], generated: Array) -> Estimate:
    """The Frechet distance with its interval `value ± 1.96 s`, s over resamples of speakers and of generated items.

    A resample has fewer distinct items, and so a larger distance: its quantiles would lie too high, its spread does
    not.
    """
    x, y = checked(real, generated, at_least=2)
    value = _frechet(x, y)
    drawn = resampledchecked(lambda rows, others: _frechet(x[rows], y[others]), speakers, len(y))
    half = Z * float(drawn.std(ddof=1))
    method = "1.96 standard deviations over resampled speakers and samples"
    return Estimate(value, max(0.0, value - half), value + half, min(len(x), len(y)), method)


def resampledchecked(statistic: Callable[[Index, Index], float], speakers: NDArray[Any], n_others: int) -> Array:
    """A statistic of the rows of two samples, each resampled, `(R,)`.

    Args:
        statistic: rows of the first and of the second sample to a figure.
        speakers: of the items of the first, of which whole speakers are drawn, or items where there is one speaker.
        n_others: items of the second, which are drawn one by one.
    """
    _, group = np.unique(speakers, return_inverse=True)
    if group.max(initial=0) == 0:
        group = np.arange(len(group))
    rows_of = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group))[:-1])
    rng, found = np.random.default_rng(0), []
    for _ in range(N_RESAMPLES):
        rows = np.concatenate([rows_of[i] for i in rng.integers(len(rows_of), size=len(rows_of))])
        found.append(statistic(rows, rng.integers(n_others, size=n_others)))
    return np.array(found)


def _frechet(x: Array, y: Array) -> float:
    """Of the Gaussians of two samples; `tr (S S')^{1/2}` is the nuclear norm of the factors' product."""
    ours, theirs = x - x.mean(axis=0), y - y.mean(axis=0)
    s, t = ours.T @ ours / (len(x) - 1), theirs.T @ theirs / (len(y) - 1)
    root = _root(s)
    cross = np.sqrt(np.linalg.eigvalsh(root @ t @ root).clip(min=0)).sum()
    return float(np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + np.trace(s) + np.trace(t) - 2 * cross)


def _root(covariance: Array) -> Array:
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root


def copying(generated: Array, training: Array, held_out: Array) -> Copying:
    """Whether generated items `(N, D)` are nearer to training items `(M, D)` than held-out ones `(L, D)` are."""
    near, unseen = nearest(generated, training), nearest(held_out, training)
    a, b = float(np.median(near)), float(np.median(unseen))
    ratio = a / b if b > 0 else np.nan
    return Copying(a, b, ratio, float((near < np.quantile(unseen, 0.05)).mean()))


def copying_estimate(near: Array, unseen: Array, speakers: NDArray[Any]) -> Estimate | None:
    """The ratio of `Copying` with its interval, a bootstrap over speakers and samples; None where it is none.

    Args:
        near: distances of generated items to their nearest training items, `(N,)`.
        unseen: those of held-out items, `(L,)`.
        speakers: of the held-out items, `(L,)`.
    """
    if not np.median(unseen) > 0:
        return None
    value = float(np.median(near) / np.median(unseen))
    drawn = resampledchecked(
        lambda rows, others: float(np.median(near[others]) / max(np.median(unseen[rows]), 1e-300)), speakers, len(near)
    )
    low, high = quantiles(drawn, 0.025)
    method = "bootstrap over speakers and samples"
    return Estimate(value, min(float(low), value), max(float(high), value), len(near), method)


def nearest(items: Array, training: Array) -> Array:
    """Distance of each item `(N, D)` to the nearest of `(M, D)`, `(N,)`."""
    ours, known = checked(items, training, at_least=1)
    return np.concatenate([block.min(axis=1) for block in distances(ours, known)])


def inception_score(probabilities: Array) -> float:
    """`exp(mean KL(p(y | x) || p(y)))` of class probabilities `(N, C)`: from 1 to C (Salimans et al. 2016)."""
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or not len(p) or (p < 0).any() or not np.allclose(p.sum(axis=1), 1, atol=1e-4):
        raise ValueError(f"probabilities must be (N, C), at least 0 and of sum 1 in each row; got shape {p.shape}")
    mean = p.mean(axis=0)
    terms = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0) / np.where(mean > 0, mean, 1.0)), 0.0)
    return float(np.exp(terms.sum(axis=1).mean()))


def inception_estimate(probabilities: Array, speakers: NDArray[Any] | None = None) -> Estimate:
    """The inception score with its interval: 95 % of resampled speakers; of items where these are not given.

    `exp(mean_i sum_c p_ic log p_ic - sum_c m_c log m_c)` with the mean `m` of the probabilities: sums over the items of
    a resample are all that it takes.
    """
    value = inception_score(probabilities)
    p = np.asarray(probabilities, np.float64)
    information = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(axis=1)
    sums = np.concatenate([np.ones((len(p), 1)), information[:, None], p], axis=1)

    def score(drawn: Array) -> Array:
        mean = drawn[..., 2:] / drawn[..., :1]
        entropy = -np.where(mean > 0, mean * np.log(np.where(mean > 0, mean, 1.0)), 0.0).sum(axis=-1)
        return np.asarray(np.exp(drawn[..., 1] / drawn[..., 0] + entropy))

    low, high = bootstrap(sums if speakers is None else by_group(sums, speakers), score)
    method = "over resampled samples" if speakers is None else "over speakers"
    return Estimate(value, min(float(low), value), max(float(high), value), len(p), method)


def direction_cosines(directions: Array) -> Array:
    """`|cos|` of the angle between each two of `(A, Z)` directions: 0 where attributes are apart, NaN beside none."""
    d = np.asarray(directions, np.float64)
    norms = np.sqrt(np.square(d).sum(axis=1, keepdims=True))
    unit = np.divide(d, norms, out=np.full_like(d, np.nan), where=norms > 0)
    cosines: Array = np.abs(unit @ unit.T).clip(max=1.0)
    return cosines


def _pair(a: NDArray[np.floating], b: NDArray[np.floating]) -> tuple[Array, Array]:
    if a.shape != b.shape or a.ndim != 2 or not len(a):
        raise ValueError(f"two arrays (T, D) of one shape are compared, not empty; got {a.shape} and {b.shape}")
    return np.asarray(a, np.float64), np.asarray(b, np.float64)
