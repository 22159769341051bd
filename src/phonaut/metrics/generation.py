"""What was generated beside what was recorded: distances of spectra, of two samples of embeddings, and copying."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array, Index
from phonaut.metrics.intervals import Estimate, Z, bootstrap, by_group, quantiles

Kernel = Literal["rbf", "polynomial"]
BLOCK_CELLS = 2**21  # of a block of distances: 16 MB
N_FOR_MEDIAN = 1000  # items of each sample from which the width of a kernel is taken
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


class Neighbours(NamedTuple):
    """How two samples overlap, by balls about their items: all in [0, 1] but `density`, which may be above.

    Attributes:
        precision: share of generated items within the ball of some real one.
        recall: share of real items within the ball of some generated one.
        density: balls of real items about a generated one, on average, over k.
        coverage: share of real items with a generated one in their ball.
        k: a ball reaches to its item's k-th neighbour in its own sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int


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
    x, y = _samples(first, second, at_least=2)
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
    x, y = _samples(real, generated, at_least=2)
    value = _frechet(x, y)
    drawn = resampled_samples(lambda rows, others: _frechet(x[rows], y[others]), speakers, len(y))
    half = Z * float(drawn.std(ddof=1))
    method = "1.96 standard deviations over resampled speakers and samples"
    return Estimate(value, max(0.0, value - half), value + half, min(len(x), len(y)), method)


def resampled_samples(statistic: Callable[[Index, Index], float], speakers: NDArray[Any], n_others: int) -> Array:
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


def mmd(first: Array, second: Array, *, kernel: Kernel = "rbf") -> Estimate:
    r"""Squared maximum mean discrepancy of two samples `(N, D)` and `(M, D)`, unbiased: it may be below 0.

    `mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`, no item paired with itself (Gretton et al. 2012, eq. 3). The
    interval is `value ± 1.96 s`; `s` adds up the variances of the terms of Hoeffding's decomposition, those of one
    item and those of pairs, so that it holds where the samples are of one distribution too (there it is a quarter too
    wide, as a variance that is 0 is not estimated below 0).

    Args:
        first: `(N, D)`, at least 4.
        second: `(M, D)`, likewise.
        kernel: `rbf`: `exp(-|x - y|^2 / 2 h^2)` with `h` the median distance between up to 1,000 items of each;
            `polynomial`: `(x^T y / D + 1)^3`, as of KID (Binkowski et al. 2018).
    """
    x, y = _samples(first, second, at_least=4)
    n, m = len(x), len(y)
    if kernel == "rbf":
        some = np.concatenate([x[_spread(n)], y[_spread(m)]])
        pairs = np.triu_indices(len(some), 1)
        scale = float(np.median(np.concatenate(list(_distances(some, some)))[pairs])) or 1.0
    elif kernel == "polynomial":
        scale = float(x.shape[1])
    else:
        raise ValueError(f"kernel must be rbf or polynomial; got {kernel!r}")

    xx, xx_squares, _ = _kernel_sums(x, x, kernel, scale)
    yy, yy_squares, _ = _kernel_sums(y, y, kernel, scale)
    xy, xy_squares, yx = _kernel_sums(x, y, kernel, scale)
    own_x, own_y = xx / (n - 1), yy / (m - 1)
    of_x, of_y = own_x - xy / m, own_y - yx / n
    value = float(own_x.mean() + own_y.mean() - 2 * xy.sum() / (n * m))
    # What pairs add beyond what their two items do: E k^2 less the variances of the rows' means and the squared mean.
    pair_x = max(0.0, xx_squares / (n * (n - 1)) - 2 * own_x.var() - own_x.mean() ** 2)
    pair_y = max(0.0, yy_squares / (m * (m - 1)) - 2 * own_y.var() - own_y.mean() ** 2)
    crossed = xy.sum() / (n * m)
    pair_xy = max(0.0, xy_squares / (n * m) - (xy / m).var() - (yx / n).var() - crossed**2)
    # The means over rows vary by their pairs too, which is no variance of the items themselves.
    item_x = max(0.0, of_x.var(ddof=1) - pair_x / (n - 1) - pair_xy / m)
    item_y = max(0.0, of_y.var(ddof=1) - pair_y / (m - 1) - pair_xy / n)
    variance = 4 * item_x / n + 4 * item_y / m
    variance += 2 * pair_x / (n * (n - 1)) + 2 * pair_y / (m * (m - 1)) + 4 * pair_xy / (n * m)
    half = Z * float(np.sqrt(variance))
    return Estimate(value, value - half, value + half, min(n, m))


def _kernel_sums(x: Array, y: Array, kernel: Kernel, scale: float) -> tuple[Array, float, Array]:
    """Sums of a kernel over rows and over columns, and of its squares; pairs of one item with itself left out."""
    rows, columns, squares, done = np.zeros(len(x)), np.zeros(len(y)), 0.0, 0
    for block in _distances(x, y) if kernel == "rbf" else _products(x, y):
        if kernel == "rbf":
            values = np.exp(np.square(block, out=block) / (-2 * scale**2), out=block)
        else:
            values = (block / scale + 1) ** 3
        if x is y:
            values[np.arange(len(values)), done + np.arange(len(values))] = 0.0
        rows[done : done + len(values)] = values.sum(axis=1)
        columns += values.sum(axis=0)
        squares += float(np.vdot(values, values))
        done += len(values)
    return rows, squares, columns


def neighbours(real: Array, generated: Array, *, k: int = 5) -> Neighbours:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) of `(N, D)`, `(M, D)`.

    Balls are closed: an item on the sphere is within. Density and coverage withstand outliers, whose large balls make
    precision and recall large; coverage of equally many items of one distribution is about `1 - 2^-k`.

    Raises:
        ValueError: a sample has no more than k items, or shapes do not agree.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    x, y = _samples(real, generated, at_least=k + 1)
    reach_x, reach_y = _kth_distance(x, k), _kth_distance(y, k)
    balls, done = np.zeros(len(y), np.int64), 0
    recalled, covered = np.zeros(len(x), bool), np.zeros(len(x), bool)
    for block in _distances(x, y):
        rows = slice(done, done + len(block))
        within = block <= reach_x[rows, None]
        balls += within.sum(axis=0)
        covered[rows] = within.any(axis=1)
        recalled[rows] = (block <= reach_y).any(axis=1)
        done += len(block)
    return Neighbours(
        float((balls > 0).mean()), float(recalled.mean()), float(balls.mean() / k), float(covered.mean()), k
    )


def _kth_distance(x: Array, k: int) -> Array:
    """Distance of each item to its k-th neighbour, itself not counted."""
    found, done = [], 0
    for block in _distances(x, x):
        block[np.arange(len(block)), done + np.arange(len(block))] = np.inf
        found.append(np.partition(block, k - 1, axis=1)[:, k - 1])
        done += len(block)
    return np.concatenate(found)


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
    drawn = resampled_samples(
        lambda rows, others: float(np.median(near[others]) / max(np.median(unseen[rows]), 1e-300)), speakers, len(near)
    )
    low, high = quantiles(drawn, 0.025)
    method = "bootstrap over speakers and samples"
    return Estimate(value, min(float(low), value), max(float(high), value), len(near), method)


def nearest(items: Array, training: Array) -> Array:
    """Distance of each item `(N, D)` to the nearest of `(M, D)`, `(N,)`."""
    ours, known = _samples(items, training, at_least=1)
    return np.concatenate([block.min(axis=1) for block in _distances(ours, known)])


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


def _products(x: Array, y: Array) -> Iterator[Array]:
    """`x @ y.T` in blocks of rows."""
    size = max(1, BLOCK_CELLS // len(y))
    for first in range(0, len(x), size):
        yield x[first : first + size] @ y.T


def _distances(x: Array, y: Array) -> Iterator[Array]:
    """Euclidean distances between the rows of `x` and those of `y`, in blocks of rows of `x`."""
    centre = y.mean(axis=0)  # near which fewer digits are lost than at a far origin
    x, y = x - centre, y - centre
    done, of_x, of_y = 0, np.square(x).sum(axis=1), np.square(y).sum(axis=1)
    for block in _products(x, y):
        block *= -2
        block += of_x[done : done + len(block), None]
        block += of_y
        done += len(block)
        yield np.sqrt(block.clip(min=0, out=block), out=block)


def _spread(n: int) -> Index:
    """Up to 1,000 of `n` items, evenly spread."""
    return np.unique(np.linspace(0, n - 1, min(n, N_FOR_MEDIAN)).round().astype(np.int64))


def _pair(a: NDArray[np.floating], b: NDArray[np.floating]) -> tuple[Array, Array]:
    if a.shape != b.shape or a.ndim != 2 or not len(a):
        raise ValueError(f"two arrays (T, D) of one shape are compared, not empty; got {a.shape} and {b.shape}")
    return np.asarray(a, np.float64), np.asarray(b, np.float64)


def _samples(a: NDArray[np.floating], b: NDArray[np.floating], *, at_least: int) -> tuple[Array, Array]:
    """Two samples in float64, checked."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < at_least:
        raise ValueError(
            f"samples must be (N, D) and (M, D), of {at_least} items at least; got {a.shape} and {b.shape}"
        )
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("samples must be finite; a value is NaN or infinite")
    return x, y
