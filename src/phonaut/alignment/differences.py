"""Differences between two alignments of the same utterances: at phone boundaries, in milliseconds.

Phones are matched by their sequence: one to one where both have the same, else by the least number of insertions,
deletions and substitutions (Levenshtein 1966), and those that agree count. Boundaries are where a matched
phone begins and where it ends; where the next one is matched too and no silence lies between, that is one boundary.
Where both begin with the recording, or end with it, there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from phonaut.arrays import Array
from phonaut.corpora.phone_alignments import SILENCES
from phonaut.data.utterance import Phone
from phonaut.metrics.intervals import Estimate, bootstrap

BIN_MS = 0.1  # of the histograms that intervals are made from
MOST_MS = 2000.0  # beyond it, differences are alike to an interval
NEAR_MS = 20.0
SAME_S = 2.5e-4  # times of a CTM file are rounded


class Differences(NamedTuple):
    """Two alignments compared; figures have 95 % intervals over speakers, where there are several.

    Attributes:
        first, second: names of the alignments.
        n_utterances: that both have.
        n_same: of which both have the same phones.
        n_phones: of the first.
        n_matched: of which the second has the same.
        median_ms: of the absolute differences of boundaries.
        p90_ms: 90 % are smaller.
        within_20_ms: share of boundaries.
        bias_ms: median of second minus first: positive where the second is late.
    """

    first: str
    second: str
    n_utterances: int
    n_same: int
    n_phones: int
    n_matched: int
    median_ms: Estimate
    p90_ms: Estimate
    within_20_ms: Estimate
    bias_ms: float

    def as_dict(self) -> dict[str, Any]:
        """As a file keeps it."""
        return {key: value.as_dict() if isinstance(value, Estimate) else value for key, value in self._asdict().items()}


def matched(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    """Places of the elements that agree when one sequence is turned into the other in the fewest steps; of ways with as
    few, one in which most agree.

    >>> matched(["K", "AE", "T"], ["K", "T", "S"])
    [(0, 0), (2, 1)]
    """
    n, m = len(first), len(second)
    if list(first) == list(second):
        return [(i, i) for i in range(n)]
    names = {name: code for code, name in enumerate(dict.fromkeys([*first, *second]))}
    a, b = (np.array([names[name] for name in part], dtype=np.int64) for part in (first, second))
    step = n + m + 1  # what an edit costs; to agree costs -1, so that no number of agreements is worth one
    pair = np.where(a[:, None] == b, -1, step)
    cost = np.zeros((n + 1, m + 1), dtype=np.int64)
    cost[0] = steps = step * np.arange(m + 1)
    for i in range(n):
        row = np.append(cost[i, 0] + step, np.minimum(cost[i, 1:] + step, cost[i, :-1] + pair[i]))
        cost[i + 1] = np.minimum.accumulate(row - steps) + steps  # insertions, from the left
    pairs, i, j = [], n, m
    while i and j:
        if cost[i, j] == cost[i - 1, j - 1] + pair[i - 1, j - 1]:
            i, j = i - 1, j - 1
            if a[i] == b[j]:
                pairs.append((i, j))
        elif cost[i, j] == cost[i - 1, j] + step:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]


class Compared(NamedTuple):
    """Two alignments of an utterance.

    Attributes:
        away_ms: second minus first, at each boundary.
        n_phones: of the first, without silence.
        n_matched: that the second has too.
        same: whether both have the same phones.
    """

    away_ms: Array
    n_phones: int
    n_matched: int
    same: bool


def compared(first: Sequence[Phone], second: Sequence[Phone]) -> Compared:
    """The differences of an utterance."""
    end_s = max((phone.end_s for phone in first), default=0.0)
    a, b = ([phone for phone in part if phone.label not in SILENCES] for part in (first, second))
    pairs = matched([phone.label for phone in a], [phone.label for phone in b])
    borders: list[tuple[float, float]] = []
    for i, j in pairs:
        begin = (a[i].start_s, b[j].start_s)
        shared = bool(borders) and max(abs(x - y) for x, y in zip(borders[-1], begin, strict=True)) < SAME_S
        borders += [(a[i].end_s, b[j].end_s)] if shared else [begin, (a[i].end_s, b[j].end_s)]
    times = np.array(borders, dtype=np.float64).reshape(-1, 2)
    edge = (times < SAME_S).all(axis=1) | (times > end_s - SAME_S).all(axis=1)
    return Compared(1e3 * (times[~edge, 1] - times[~edge, 0]), len(a), len(pairs), len(a) == len(b) == len(pairs))


def differences(
    first: Mapping[str, Sequence[Phone]],
    second: Mapping[str, Sequence[Phone]],
    speaker: Mapping[str, str],
    names: tuple[str, str] = ("first", "second"),
) -> Differences | None:
    """Compare two alignments.

    Args:
        first: phones of utterances by id.
        second: likewise.
        speaker: of utterances.
        names: of the alignments.

    Returns:
        None where they have no boundary in common.
    """
    both = [name for name in first if name in second]
    found = [compared(first[name], second[name]) for name in both]
    away = np.concatenate([one.away_ms for one in found]) if found else np.empty(0)
    if not len(away):
        return None
    speakers = sorted({speaker[name] for name in both})
    whose = np.repeat([speakers.index(speaker[name]) for name in both], [len(one.away_ms) for one in found])
    size = np.abs(away)
    n_bins = int(MOST_MS / BIN_MS) + 1
    binned = np.minimum(np.round(size / BIN_MS), n_bins - 1).astype(np.int64)
    counts = np.bincount(whose * n_bins + binned, minlength=len(speakers) * n_bins).reshape(-1, n_bins)
    low, high = bootstrap(counts, figures) if len(speakers) > 1 else (np.full(3, np.nan),) * 2
    values = (float(np.median(size)), float(np.quantile(size, 0.9)), float((size <= NEAR_MS).mean()))
    median, p90, near = (
        Estimate(v, min(float(a), v), max(float(b), v), len(away)) for v, a, b in zip(values, low, high, strict=True)
    )
    return Differences(
        names[0],
        names[1],
        len(both),
        sum(one.same for one in found),
        sum(one.n_phones for one in found),
        sum(one.n_matched for one in found),
        median,
        p90,
        near,
        float(np.median(away)),
    )


def figures(counts: Array) -> Array:
    """Median, 90th percentile and share within 20 ms of histograms `(R, bins)`, `(R, 3)`."""
    share = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    at = [(share < q).sum(axis=1) * BIN_MS for q in (0.5, 0.9)]
    return np.stack([*at, share[:, round(NEAR_MS / BIN_MS)]], axis=1)
