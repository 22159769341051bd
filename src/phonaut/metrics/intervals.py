"""Figures with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array

N_RESAMPLES = 2000
Z = 1.959963984540054  # 97.5 % quantile of the normal distribution
MAX_CELLS = 2**22  # of one array of the bootstrap: 32 MB


class Estimate(NamedTuple):
    """A figure, its 95 % interval, and how many items it rests on; of some also how the interval was made, in words."""

    value: float
    low: float
    high: float
    n: int
    method: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As `metrics.json` keeps it."""
        about = {"method": self.method} if self.method else {}
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, **about}


def wilson(n_right: float, n: float, *, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a rate (Wilson 1927): of 95 %, for `n` items that are independent of each other.

    `(p + z^2 / 2n ± z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)`; all of [0, 1] where n is 0.

    >>> [round(x, 3) for x in wilson(300, 300)]
    [0.987, 1.0]
    """
    if n == 0:
        return 0.0, 1.0
    p = n_right / n
    centre = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    return 0.0 if n_right <= 0 else (centre - half) / scale, 1.0 if n_right >= n else (centre + half) / scale


def bootstrap(counts: NDArray[Any], statistic: Callable[[Array], Array], *, seed: int = 0) -> tuple[Array, Array]:
    """Percentile bootstrap over groups (Efron 1979): the 2.5 % and 97.5 % quantiles over 2,000 resamples.

    Args:
        counts: sums of each group (speaker), `(G, ...)`; a resample draws G groups with replacement and adds up.
        statistic: sums `(R, ...)` to figures `(R, ...)`; NaN where a resample has none, which is left out.
        seed: of the resamples.

    Returns:
        The two quantiles of each figure; NaN where no resample has it.
    """
    return quantiles(resampled(counts, statistic, seed=seed), 0.025)


def resampled(
    counts: NDArray[Any], statistic: Callable[[Array], Array], *, seed: int = 0, n_resamples: int = N_RESAMPLES
) -> Array:
    """The figures of every resample, `(R, ...)`; arguments as for `bootstrap`."""
    n_groups = len(counts)
    flat = counts.reshape(n_groups, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    chunk = max(1, MAX_CELLS // max(n_groups, flat.shape[1]))
    parts = []
    for done in range(0, n_resamples, chunk):
        n = min(chunk, n_resamples - done)
        drawn = rng.integers(n_groups, size=(n, n_groups)) + n_groups * np.arange(n)[:, None]
        times = np.bincount(drawn.ravel(), minlength=n * n_groups).reshape(n, n_groups)
        parts.append(statistic((times.astype(np.float64) @ flat).reshape(n, *counts.shape[1:])))
    return np.concatenate(parts)


def quantiles(figures: Array, tail: float) -> tuple[Array, Array]:
    """The quantiles at `tail` and `1 - tail` of each figure over resamples `(R, ...)`; NaN where no resample has it."""
    shape, columns = figures.shape[1:], figures.reshape(len(figures), -1)
    there = ~np.isnan(columns).all(axis=0)
    ends = np.full((2, columns.shape[1]), np.nan)
    ends[:, there] = np.nanquantile(columns[:, there], [tail, 1 - tail], axis=0)
    return ends[0].reshape(shape), ends[1].reshape(shape)


def estimate(value: float, n: int, *, n_independent: float, low: float = math.nan, high: float = math.nan) -> Estimate:
    """A figure with the wider of two intervals: `low ... high` over speakers, and Wilson's over items.

    Items of one speaker stand or fall together, which can only widen an interval. Where the one over speakers is
    narrower, that is chance: few speakers, who happen to be alike. Where there is one speaker, or nothing is wrong, or
    nothing right, it has no width at all.

    Args:
        value: in [0, 1], or NaN where there is none.
        n: items that it rests on.
        n_independent: items in Wilson's interval.
        low: lower end over speakers; NaN: there is none.
        high: upper end over speakers.
    """
    if math.isnan(value):
        return Estimate(value, 0.0, 1.0, n)
    by_items = wilson(value * n_independent, n_independent)
    if high - low >= by_items[1] - by_items[0]:  # no if NaN
        return Estimate(value, min(low, value), max(high, value), n)
    return Estimate(value, *by_items, n)


def mean_over(sums: NDArray[np.float64], speakers: NDArray[Any]) -> Estimate:
    """A mean of counts with its interval: bootstrap over speakers, or over recordings where there is one speaker.

    Args:
        sums: numerator and denominator of each recording, `(R, 2)`.
        speakers: speaker ids, `(R,)`.

    >>> mean_over(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1])).value
    0.6666666666666666
    """

    def mean(drawn: Array) -> Array:
        return ratio(drawn[..., 0], drawn[..., 1])

    low, high = bootstrap(by_group(sums, speakers), mean)
    return Estimate(float(mean(sums.sum(axis=0))), float(low), float(high), len(sums))


def by_group(counts: NDArray[np.float64], speakers: NDArray[Any]) -> NDArray[np.float64]:
    """Sums of counts `(N, ...)` over each speaker, `(G, ...)`; the counts themselves where there is one speaker."""
    names, group = np.unique(speakers, return_inverse=True)
    if len(names) < 2:
        return counts if len(counts) else np.zeros((1, *counts.shape[1:]))
    sums = np.zeros((len(names), *counts.shape[1:]))
    np.add.at(sums, group, counts)
    return sums


def ratio(part: Array, whole: Array) -> Array:
    """`part / whole`, NaN where there is nothing."""
    fractions: Array = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)
    return fractions
