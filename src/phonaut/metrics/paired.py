"""Paired comparison of two models on the same items: difference, interval and p.

The difference is the other model's figure minus the first one's. Its interval and p are those of the paired bootstrap
over speakers: a resample draws speakers, and both models are scored on what those said, so that what is hard for both
cancels. Percentiles of few speakers are too narrow; they are taken further out by the factor that Student's t asks for
(the expanded percentiles of Hesterberg 2015, "What teachers should know about the bootstrap", section 4.2): at
`Phi(-sqrt(G / (G - 1)) t_{0.975, G - 1})` for G speakers, where plain percentiles have 0.025.

As intervals of a single figure are never narrower than Wilson's over items, so those of a difference are never narrower
than Newcombe's over items, which is Wilson's for pairs. It is used alone where there is one speaker.

McNemar's test asks less: whether, among the items of which exactly one model was right, each was so equally often. It
takes items as independent of each other, which those of one speaker are not: its p can be too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array
from phonaut.metrics.classification import (
    accuracy_statistic,
    effective_n,
    f1_statistic,
    labelled_rows,
    precision_recall_f1,
    recall_statistic,
    tallies_by_speaker,
)
from phonaut.metrics.intervals import Z, by_group, quantiles, ratio, resampled, wilson

STATISTICS: dict[str, Callable[[Array], Array]] = {
    "accuracy": accuracy_statistic,
    "recall": recall_statistic,
    "f1": f1_statistic,
}
N_RESAMPLES = 10_000  # tails further out than 2.5 % need more than a single figure does
MIN_CHI_SQUARED = 25  # from so many on, chi-squared is near enough to the binomial


class Difference(NamedTuple):
    """A difference of two figures, its 95 % interval, its p (two-sided), and how many items it rests on."""

    value: float
    low: float
    high: float
    p: float
    n: int


class McNemar(NamedTuple):
    """McNemar's test.

    Attributes:
        only_first: items of which only the first model was right.
        only_other: items of which only the other one was.
        p: two-sided.
        exact: by the binomial distribution; else by chi-squared with continuity correction.
    """

    only_first: int
    only_other: int
    p: float
    exact: bool


class Disagreement(NamedTuple):
    """Count of items of one class that two models predict differently."""

    truth: str
    first: str
    other: str
    n: int


def mcnemar(only_first: int, only_other: int) -> McNemar:
    """McNemar's test (1947) of the two counts of items of which exactly one model was right.

    Below 25 such items, `2 P(X <= min(b, c))` with `X ~ Binomial(b + c, 1/2)`, at most 1. From there on, the upper tail
    of chi-squared with one degree of freedom at `(|b - c| - 1)^2 / (b + c)` (Edwards 1948).

    Raises:
        ValueError: a negative count.

    >>> mcnemar(2, 8).p
    0.109375
    """
    if min(only_first, only_other) < 0:
        raise ValueError(f"counts of items must be >= 0, got {only_first} and {only_other}")
    n, fewer = only_first + only_other, min(only_first, only_other)
    if n < MIN_CHI_SQUARED:
        tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
        return McNemar(only_first, only_other, min(1.0, 2 * tail), exact=True)
    statistic = max(abs(only_first - only_other) - 1, 0) ** 2 / n
    return McNemar(only_first, only_other, math.erfc(math.sqrt(statistic / 2)), exact=False)


def mcnemar_of_predictions(label: ArrayLike, first: ArrayLike, other: ArrayLike) -> McNemar:
    """McNemar's test of the answers of two models; labels of -1 are left out."""
    true = np.asarray(label)
    right = [(np.asarray(answer) == true) & (true >= 0) for answer in (first, other)]
    return mcnemar(int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum()))


def difference(
    label: ArrayLike,
    first: ArrayLike,
    other: ArrayLike,
    speaker: ArrayLike,
    *,
    n_classes: int,
    metric: str = "accuracy",
) -> Difference:
    """Paired difference: the figure of `other` minus that of `first`.

    Args:
        label: true classes, `(N,)`; -1 is left out.
        first: answers of the first model, `(N,)`.
        other: answers of the other, `(N,)`.
        speaker: speaker of each item, `(N,)`.
        n_classes: classes are `0 ... n_classes - 1`.
        metric: `accuracy`, `recall` or `f1`, the latter two as means over classes. Where their interval is that over
            items, it is approximate: Newcombe's for the effective number of items.

    Raises:
        ValueError: another metric, arrays of different lengths, or classes that are not among `n_classes`.

    >>> difference([0, 1, 1, 0], [0, 1, 1, 1], [0, 1, 1, 0], ["a", "a", "b", "b"], n_classes=2).value
    0.25
    """
    if metric not in STATISTICS:
        raise ValueError(f"metric must be one of {', '.join(STATISTICS)}, got {metric}")
    pair = counted_pair(label, first, other, speaker, n_classes)
    statistic = STATISTICS[metric]
    n = len(pair.right)
    n_independent = float(n) if metric == "accuracy" else effective_n(pair.tallies[:, 0])
    (result,) = differences(pair, lambda tallies: statistic(tallies)[..., None], [pair.right], [n_independent])
    return result


def difference_of_frames(first: ArrayLike, other: ArrayLike, speaker: ArrayLike) -> Difference:
    """Paired difference of frame accuracy, `other` minus `first`, by the bootstrap alone.

    There is no interval over frames, as those of a span stand or fall together; where there is one speaker, spans are
    drawn in place of speakers.

    Args:
        first: right frames and all frames of each span by the first model, `(N, 2)`.
        other: the same of the other model.
        speaker: speaker of each span, `(N,)`.

    Returns:
        The difference; its n are frames of `first`.

    Raises:
        ValueError: arrays of different shapes, or no frames.

    >>> difference_of_frames([[1, 4], [2, 4]], [[3, 4], [2, 4]], ["a", "b"]).value
    0.25
    """
    counts = np.stack([np.asarray(first, np.float64), np.asarray(other, np.float64)], axis=1)
    if counts.shape != (np.size(speaker), 2, 2) or not (counts[..., 1].sum(axis=0) > 0).all():
        raise ValueError(f"counts must be (N, 2) for N speakers, with frames; got {counts.shape} for both")
    counts = by_group(counts, np.asarray(speaker))

    def moved(sums: Array) -> Array:
        right = ratio(sums[..., 0], sums[..., 1])
        return (right[..., 1] - right[..., 0])[..., None]

    value, n = float(moved(counts.sum(axis=0))[0]), int(counts[:, 0, 1].sum())
    if len(counts) < 2:
        return Difference(value, -1.0, 1.0, math.nan, n)
    return bootstrapped(value, resampled(counts, moved, n_resamples=N_RESAMPLES), len(counts), n)


def bootstrapped(value: float, drawn: Array, n_groups: int, n: int) -> Difference:
    """A difference over `n` items with interval and p of its resamples `(R, 1)` of `n_groups` speakers."""
    (low,), (high,) = quantiles(drawn, tail_probability(n_groups))
    return Difference(value, min(float(low), value), max(float(high), value), float(p_value(drawn, n_groups)[0]), n)


def difference_by_class(
    label: ArrayLike, first: ArrayLike, other: ArrayLike, speaker: ArrayLike, *, n_classes: int
) -> list[Difference]:
    """Paired difference of the recall of each class; NaN where a class has no items.

    Raises:
        ValueError: arrays of different lengths, or classes that are not among `n_classes`.
    """
    pair = counted_pair(label, first, other, speaker, n_classes)
    right = [pair.right[pair.label == c] for c in range(n_classes)]
    return differences(
        pair, lambda tallies: precision_recall_f1(tallies)[..., 1, :], right, [float(len(r)) for r in right]
    )


def disagreements(label: ArrayLike, first: ArrayLike, other: ArrayLike, classes: Sequence[str]) -> list[Disagreement]:
    """Predictions of two models for the items on which they differ, most frequent first; labels of -1 are left out."""
    rows = np.stack([np.asarray(column) for column in (label, first, other)], axis=1)
    rows = rows[(rows[:, 0] >= 0) & (rows[:, 1] != rows[:, 2])]
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    rows, numbers = kinds[order].tolist(), counts[order].tolist()
    return [Disagreement(classes[t], classes[a], classes[b], n) for (t, a, b), n in zip(rows, numbers, strict=True)]


class Pair(NamedTuple):
    """Items of known class: true classes `(N,)`, correctness of each model `(N, 2)`, tallies `(G, 2, 3, C)`."""

    label: NDArray[np.int64]
    right: NDArray[np.bool_]
    tallies: NDArray[np.int64]


def counted_pair(label: ArrayLike, first: ArrayLike, other: ArrayLike, speaker: ArrayLike, n_classes: int) -> Pair:
    """Check the arrays, and count for each speaker and model."""
    known = [labelled_rows(label, answer, speaker, n_classes) for answer in (first, other)]
    tallies = np.stack([tallies_by_speaker(*rows, n_classes) for rows in known], axis=1)
    return Pair(known[0][0], np.stack([true == answer for true, answer, _ in known], axis=1), tallies)


def differences(
    pair: Pair, statistic: Callable[[Array], Array], right: list[NDArray[np.bool_]], n_independent: list[float]
) -> list[Difference]:
    """Differences of all figures of `statistic`, each with the wider of two intervals and the p that belongs to it.

    Args:
        pair: counts of both models.
        statistic: tallies `(..., 3, C)` to figures `(..., F)`.
        right: correctness of each model, of the items of each figure, `(N_f, 2)`.
        n_independent: items in Newcombe's interval of each figure.
    """

    def change(sums: Array) -> Array:
        figures = statistic(sums)
        moved: Array = figures[..., 1, :] - figures[..., 0, :]
        return moved

    values = statistic(pair.tallies.sum(axis=0).astype(np.float64))
    n_speakers = len(pair.tallies)
    over_speakers = [(math.nan, math.nan, math.nan)] * len(right)
    if n_speakers > 1:
        drawn = resampled(pair.tallies, change, n_resamples=N_RESAMPLES)
        low, high = quantiles(drawn, tail_probability(n_speakers))
        over_speakers = list(zip(low, high, p_value(drawn, n_speakers), strict=True))
    result = []
    for (a, b), bounds, both, n in zip(values.T, over_speakers, right, n_independent, strict=True):
        if not len(both) or math.isnan(a) or math.isnan(b):
            result.append(Difference(math.nan, -1.0, 1.0, math.nan, len(both)))
            continue
        value, phi = float(b - a), correlation(both)
        low_items, high_items = newcombe(float(a), float(b), phi, n)
        low_s, high_s, p = (float(x) for x in bounds)
        if not high_s - low_s >= high_items - low_items:  # also where there is none
            low_s, high_s, p = low_items, high_items, newcombe_p(float(a), float(b), phi, n)
        result.append(Difference(value, min(low_s, value), max(high_s, value), p, len(both)))
    return result


def tail_probability(n_groups: int) -> float:
    """Tail probability of the percentiles that end a 95 % interval over `n_groups`."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(-math.sqrt(n_groups / (n_groups - 1)) * stdtrit(n_groups - 1, 0.975)))


def p_value(drawn: Array, n_groups: int) -> Array:
    """Two-sided p of each figure of the resamples `(R, F)`: 1 less the confidence of the interval that ends at 0.

    The share of resamples on the rarer side of 0, the value itself counted as one of them (Davison and Hinkley 1997,
    "Bootstrap methods and their application", section 4.2), taken from the normal distribution to Student's t. Where
    no resample is on that side, the share is that of a normal distribution with their mean and standard deviation.
    """
    from scipy.special import ndtr, ndtri, stdtr

    there = ~np.isnan(drawn)
    n = there.sum(axis=0)
    rarer = np.minimum((drawn <= 0).sum(axis=0), (drawn >= 0).sum(axis=0))
    share = np.minimum((rarer + 1) / (n + 1), 0.5)
    for f in np.flatnonzero((rarer == 0) & (n > 0)):
        column = drawn[there[:, f], f]
        spread = max(float(column.std()), np.finfo(float).tiny)
        share[f] = min(share[f], max(float(ndtr(-abs(column.mean()) / spread)), 1e-300))
    p: Array = 2 * stdtr(n_groups - 1, ndtri(share) / math.sqrt(n_groups / (n_groups - 1)))
    return p


def correlation(right: NDArray[np.bool_]) -> float:
    """Correlation of being right, of pairs `(N, 2)`, with Newcombe's continuity correction; 0 where undefined."""
    both, neither = int(right.all(axis=1).sum()), int((~right).all(axis=1).sum())
    only_first = int((right[:, 0] & ~right[:, 1]).sum())
    only_other = len(right) - both - neither - only_first
    margins = (both + only_first) * (only_other + neither) * (both + only_other) * (only_first + neither)
    if not margins:
        return 0.0
    product = both * neither - only_first * only_other
    corrected = max(product - len(right) / 2, 0.0) if product > 0 else float(product)
    return corrected / math.sqrt(margins)


def newcombe(first: float, other: float, phi: float, n: float, *, z: float = Z) -> tuple[float, float]:
    """Interval of the difference `other - first` of two rates of the same items.

    Newcombe 1998, "Improved confidence intervals for the difference between binomial proportions based on paired data",
    method 10: `d - sqrt(x^2 - 2 phi x y + y^2)`, where `x` and `y` are how far Wilson's limits lie from the rates.

    Args:
        first: rate of the first model.
        other: rate of the other.
        phi: correlation of being right.
        n: items, independent of each other.
        z: quantile of the normal distribution.
    """
    low_1, high_1 = wilson(first * n, n, z=z)
    low_2, high_2 = wilson(other * n, n, z=z)
    value = other - first
    down, up = (other - low_2, high_1 - first), (high_2 - other, first - low_1)
    reach = [math.sqrt(max(x * x - 2 * phi * x * y + y * y, 0.0)) for x, y in (down, up)]
    return max(value - reach[0], -1.0), min(value + reach[1], 1.0)


def newcombe_p(first: float, other: float, phi: float, n: float) -> float:
    """Two-sided p: 1 less the confidence at which Newcombe's interval ends at 0, by bisection."""
    if first == other:
        return 1.0
    inside, outside = 40.0, 0.0
    for _ in range(60):
        z = (inside + outside) / 2
        low, high = newcombe(first, other, phi, n, z=z)
        inside, outside = (z, outside) if low <= 0 <= high else (inside, z)
    return math.erfc(inside / math.sqrt(2))
