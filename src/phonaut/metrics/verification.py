"""Figures of speaker verification: equal error rate, detection cost, Cllr and its minimum, intervals over speakers.

A trial is accepted where its score is at least the threshold. Equal scores are accepted together, so the curve of
misses against false alarms has one point for each distinct score, infinite ones among them; no score is clamped.

The equal error rate is read off the straight lines between those points, as published figures are: what lies between
two points is had by a coin that is tossed over the trials of one score. `hull=True` reads it off the lower convex hull
instead (BOSARIS, Brummer and de Villiers 2011), where the coin may choose between any two thresholds. That is never
larger, and on few trials it is optimistic, since the two are chosen by the trials that they are measured on.

Intervals resample speakers (with replacement), as trials of one speaker stand or fall together. A trial counts with
the product of the multiplicities of the two speakers in it, the enrolled one and the tested one. A trial of a speaker
against himself has one speaker in it, and counts with his multiplicity, not with its square: the square, or a draw for
each side, triples the variance of what is seen once per pair (Owen 2007, "The pigeonhole bootstrap"), and intervals of
95 % then cover the truth in 99 to 100 % of simulated tests, in place of 93 to 96 %. Percentiles are expanded for few
speakers, as in `metrics.paired`. The two minima (of cost and of Cllr) are sought on the trials that they are measured
on, which makes them too small, and those of resamples smaller still: their intervals are the percentiles reflected at
the figure (the basic bootstrap), which takes that back. Rates have no narrower interval than Wilson's over trials.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array, Index
from phonaut.checks import refuse
from phonaut.metrics.intervals import MAX_CELLS, Estimate, estimate, quantiles, wilson
from phonaut.metrics.paired import Difference, bootstrapped, tail_probability

TARGET = "TC"  # the enrolled speaker says the enrolled phrase
NON_TARGETS = ("TW", "IC", "IW")  # the wrong phrase, an impostor with the right one, an impostor with a wrong one
N_RESAMPLES = 1000
FIGURES = ("eer", "min_dcf", "min_cllr")
FIGURES_OF_RATIOS = ("dcf", "cllr")  # that only log-likelihood ratios have

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Cost:
    """Cost of decisions (NIST's detection cost): how likely an owner is, and what each kind of error costs.

    Attributes:
        p_target: prior probability of a target.
        c_miss: cost of an owner turned away.
        c_false_alarm: cost of somebody else let in.

    >>> Cost(p_target=0.5, c_false_alarm=10).threshold
    2.302585092994046
    """

    p_target: float = 0.01
    c_miss: float = 1.0
    c_false_alarm: float = 1.0

    def __post_init__(self) -> None:
        costs = {"c_miss": self.c_miss, "c_false_alarm": self.c_false_alarm}
        problems = [f"{name} must be > 0 and finite, got {c}" for name, c in costs.items() if not 0 < c < math.inf]
        if not 0 < self.p_target < 1:
            problems.append(f"p_target must be between 0 and 1, got {self.p_target}")
        refuse(problems, "cost of decisions: ")

    @property
    def threshold(self) -> float:
        """Bayes threshold of a log-likelihood ratio: `log(c_false_alarm (1 - p_target) / (c_miss p_target))`."""
        return math.log(self.c_false_alarm * (1 - self.p_target) / (self.c_miss * self.p_target))

    @property
    def weights(self) -> tuple[float, float]:
        """Weights of the two rates in the normalised cost, the smaller one 1: to accept all, or nobody, costs 1."""
        miss, false_alarm = self.c_miss * self.p_target, self.c_false_alarm * (1 - self.p_target)
        return miss / min(miss, false_alarm), false_alarm / min(miss, false_alarm)

    def of(self, miss: Any, false_alarm: Any) -> Any:
        """Normalised cost of rates of error."""
        return self.weights[0] * miss + self.weights[1] * false_alarm


class DetCurve(NamedTuple):
    """Rates of error at all thresholds that matter, from accepting everything to accepting nothing, `(K + 1,)` each.

    Between scores of targets alone, or of non-targets alone, the curve is straight, and has no point of its own.

    Attributes:
        threshold: least score that is accepted; at the last point NaN, as no score is.
        miss: fraction of targets below it.
        false_alarm: fraction of non-targets at or above it.
    """

    threshold: Array
    miss: Array
    false_alarm: Array


@dataclass(frozen=True)
class Trials:
    """What is tried, a row a trial.

    Attributes:
        condition: `TC`, `TW`, `IC` or `IW`, `(N,)`; of text-independent trials `TC` and `IC`.
        enrolled: speaker of the model, `(N,)`.
        tested: speaker of the recording, `(N,)`.
        gender: `(N,)`, empty where unknown; None where figures of each gender are not asked for.
    """

    condition: NDArray[Any]
    enrolled: NDArray[Any]
    tested: NDArray[Any]
    gender: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        shapes = [np.shape(self.condition), np.shape(self.enrolled), np.shape(self.tested)]
        shapes += [] if self.gender is None else [np.shape(self.gender)]
        if any(shape != (np.size(self.condition),) for shape in shapes):
            raise ValueError(f"condition, enrolled, tested and gender must be rows of one length; got {shapes}")
        condition = np.asarray(self.condition)
        strange = ~np.isin(condition, [TARGET, *NON_TARGETS])
        if strange.any():
            row = int(strange.argmax())
            raise ValueError(f"condition must be TC, TW, IC or IW; got {condition[row]} in row {row}")


def error_rates(scores: ArrayLike, target: ArrayLike, threshold: float) -> tuple[float, float]:
    """Fractions of targets below a threshold (misses) and of non-targets at or above it (false alarms).

    Raises:
        ValueError: as for `eer`.

    >>> error_rates([0.2, 0.8, 0.5, 0.1], [True, True, False, False], 0.5)
    (0.5, 0.5)
    """
    values, is_target = checked(scores, target)
    accepted = values >= threshold
    return float(1 - accepted[is_target].mean()), float(accepted[~is_target].mean())


def det_curve(scores: ArrayLike, target: ArrayLike) -> DetCurve:
    """Misses against false alarms at all thresholds: a DET curve (Martin et al. 1997) once both are drawn as probits.

    Raises:
        ValueError: as for `eer`.

    >>> det_curve([1.0, 2.0, 2.0, 3.0], [False, True, False, True]).miss.tolist()
    [0.0, 0.0, 0.5, 1.0]
    """
    values, is_target = checked(scores, target)
    order = np.argsort(values, kind="stable")
    cell = cells_of(values[order], is_target[order])
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    miss, false_alarm = curves(*counts_of(cell, is_target[order]))
    return DetCurve(np.append(values[order][starts], np.nan), miss[:, 0], false_alarm[:, 0])


def eer(scores: ArrayLike, target: ArrayLike, *, hull: bool = False) -> float:
    """Equal error rate: where as large a fraction of targets is missed as of non-targets is accepted.

    Args:
        scores: larger is more likely a target, `(N,)`; they may be infinite.
        target: which trials are of targets, `(N,)`, true or false.
        hull: on the convex hull of the curve, in place of the lines between its points.

    Raises:
        ValueError: a score is NaN, the arrays differ in length, or there are no targets or no non-targets.

    >>> eer([0.2, 0.8, 0.5, 0.1], [True, True, False, False])
    0.5
    """
    counts = counted(scores, target)
    if hull:
        counts = pooled_adjacent_violators(*(column[:, 0] for column in counts))
    return float(eer_of(*curves(*counts))[0])


def min_dcf(scores: ArrayLike, target: ArrayLike, cost: Cost | None = None) -> float:
    """Least normalised detection cost of all thresholds (NIST): 1 is what deciding without scores costs.

    Args:
        scores: as for `eer`.
        target: as for `eer`.
        cost: None: prior 0.01, both costs 1.

    Raises:
        ValueError: as for `eer`.

    >>> min_dcf([0.2, 0.8, 0.5, 0.1], [True, True, False, False])
    0.5
    """
    return float((cost or Cost()).of(*curves(*counted(scores, target))).min())


def actual_dcf(
    scores: ArrayLike, target: ArrayLike, cost: Cost | None = None, *, threshold: float | None = None
) -> float:
    """Normalised detection cost at one threshold; None: the Bayes threshold, for log-likelihood ratios.

    Raises:
        ValueError: as for `eer`.

    >>> actual_dcf([5.0, 9.0, 5.0, 1.0], [True, True, False, False], Cost(p_target=0.5), threshold=6.0)
    0.5
    """
    cost = cost or Cost()
    return float(cost.of(*error_rates(scores, target, cost.threshold if threshold is None else threshold)))


def cllr(scores: ArrayLike, target: ArrayLike) -> float:
    """Cost of log-likelihood ratios in bits (Brummer and du Preez 2006): 0 is perfect, 1 what knowing nothing costs.

    `(mean over targets of log2(1 + e^-s) + mean over non-targets of log2(1 + e^s)) / 2`; infinite where a trial is
    certain and wrong.

    Raises:
        ValueError: as for `eer`.

    >>> cllr([0.0, 0.0], [True, False])
    1.0
    """
    values, is_target = checked(scores, target)
    bits = bits_of(values, is_target)
    return float(bits[is_target].mean() + bits[~is_target].mean()) / 2


def min_cllr(scores: ArrayLike, target: ArrayLike) -> float:
    """Least Cllr of all monotone maps of the scores (pool adjacent violators): what perfect calibration leaves.

    Raises:
        ValueError: as for `eer`.

    >>> min_cllr([1.0, 2.0, 3.0], [False, True, True])
    0.0
    """
    return float(min_cllr_of(*counted(scores, target))[0])


def detection_figures(
    scores: ArrayLike,
    trials: Trials,
    cost: Cost | None = None,
    *,
    ratios: bool = True,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, Estimate]:
    """All figures of all trials and of each condition and gender, with 95 % intervals over speakers.

    Targets are those of `TC`; pooled, all others are non-targets, each trial counting once.

    Args:
        scores: `(N,)`, in the order of the trials.
        trials: what was tried.
        cost: of `min_dcf` and `dcf`; None: prior 0.01, both costs 1.
        ratios: whether scores are log-likelihood ratios; `dcf`, at the Bayes threshold, and `cllr` are of those alone.
        seed: of the resamples.
        n_resamples: their number.

    Returns:
        `eer`, `eer/TW`, `eer/f`, `eer/TW/f` and so on: pooled, of a condition, of a gender, of both; n are trials. A
        part without targets or without non-targets is left out.

    Raises:
        ValueError: a score is NaN, the arrays differ in length, or there are no targets or no non-targets at all.
    """
    cost, names = cost or Cost(), FIGURES + (FIGURES_OF_RATIOS if ratios else ())
    systems = [Sorted.of(values) for values in checked_systems([scores], trials)]
    result: dict[str, Estimate] = {}
    for suffix, part in parts_of(trials):
        figures, drawn = Sample(part, systems).resampled(cost, n_resamples, seed)
        found = estimates(figures[0], drawn[0], part, cost)
        result |= {name + suffix: found[name] for name in names}
    return result


def detection_differences(
    first: ArrayLike,
    other: ArrayLike,
    trials: Trials,
    cost: Cost | None = None,
    *,
    ratios: bool = True,
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> dict[str, Difference]:
    """Paired differences of two systems on the same trials, `other` minus `first`, by the same resamples of speakers.

    Where no resample differs from another, though the scores do, as where both systems make no error, the interval is
    that of figures which have nothing to do with one another: distances of both systems' own ends, squared and added.

    Args:
        first: scores of one system, `(N,)`, in the order of the trials.
        other: scores of the other.
        trials: as for `detection_figures`, as are the rest.
        cost: likewise.
        ratios: whether both systems give log-likelihood ratios.
        seed: likewise.
        n_resamples: likewise.

    Returns:
        Differences by the names of `detection_figures`.

    Raises:
        ValueError: as for `detection_figures`.
    """
    cost, names = cost or Cost(), FIGURES + (FIGURES_OF_RATIOS if ratios else ())
    systems = [Sorted.of(values) for values in checked_systems([first, other], trials)]
    result: dict[str, Difference] = {}
    for suffix, part in parts_of(trials):
        figures, drawn = Sample(part, systems).resampled(cost, n_resamples, seed)
        ends = [estimates(figure, draws, part, cost) for figure, draws in zip(figures, drawn, strict=True)]
        alike = bool((systems[0].scores[part.rows] == systems[1].scores[part.rows]).all())
        for name in names:
            column = COLUMNS.index(name)
            with np.errstate(invalid="ignore"):  # both infinite
                moved = drawn[1][:, column] - drawn[0][:, column]
            result[name + suffix] = paired(ends[0][name], ends[1][name], moved, part.n_groups, alike=alike)
    return result


def paired(a: Estimate, b: Estimate, moved: Array, n_groups: int, *, alike: bool) -> Difference:
    """The difference `b - a`, of resamples `(R,)` of it."""
    value = b.value - a.value  # NaN where both are infinite
    if alike:
        return Difference(0.0, 0.0, 0.0, 1.0, a.n)
    if not math.isfinite(value):
        return Difference(value, -math.inf, math.inf, math.nan, a.n)
    if np.isfinite(moved).all() and len(moved) and np.ptp(moved) > 0 and n_groups > 1:
        return bootstrapped(value, moved[:, None], n_groups, a.n)
    low = value - math.hypot(b.value - b.low, a.high - a.value)
    high = value + math.hypot(b.high - b.value, a.value - a.low)
    return Difference(value, low, high, 1.0 if value == 0 else math.nan, a.n)


class Sorted(NamedTuple):
    """Scores of all trials, `(N,)`, and their rows in rising order, sorted once for all parts."""

    scores: Array
    order: Index

    @classmethod
    def of(cls, scores: Array) -> Sorted:
        """Of scores in the order of the trials."""
        return cls(scores, np.argsort(scores, kind="stable"))


class Part(NamedTuple):
    """Trials of some condition and gender.

    Attributes:
        rows: of all trials, `(N,)`.
        target: `(N,)`.
        enrolled: number of the enrolled speaker, `(N,)`.
        tested: number of the tested one, `(N,)`.
        n_groups: speakers; of one alone, trials.
        is_of_speakers: the groups are speakers.
    """

    rows: Index
    target: Mask
    enrolled: Index
    tested: Index
    n_groups: int
    is_of_speakers: bool = True


def parts_of(trials: Trials) -> Iterator[tuple[str, Part]]:
    """What figures are given of, with the end of its name: all trials, each condition, and each gender of those."""
    condition = np.asarray(trials.condition)
    is_target = condition == TARGET
    enrolled, tested = numbered(trials.enrolled, trials.tested)
    of_gender = {"": np.ones(len(condition), dtype=bool)}
    if trials.gender is not None:
        gender_of = np.asarray(trials.gender).astype(str)
        of_gender |= {name: gender_of == name for name in sorted(set(gender_of.tolist())) if name}
    for kind in ("", *NON_TARGETS):
        of_kind = is_target | (condition == kind) if kind else np.ones(len(condition), dtype=bool)
        for gender, chosen in of_gender.items():
            rows = np.flatnonzero(of_kind & chosen)
            target = is_target[rows]
            if target.any() and not target.all():
                suffix = "".join(f"/{word}" for word in (kind, gender) if word)
                yield suffix, part_of(rows, target, enrolled[rows], tested[rows])


def part_of(rows: Index, target: Mask, enrolled: Index, tested: Index) -> Part:
    """A part with its own speakers; where there is one alone, each trial stands for itself."""
    there = np.bincount(np.concatenate([enrolled, tested])) > 0
    n_groups = int(there.sum())
    if n_groups < 2:
        alone = np.arange(len(rows))
        return Part(rows, target, alone, alone, len(rows), is_of_speakers=False)
    number = np.cumsum(there) - 1
    return Part(rows, target, number[enrolled], number[tested], n_groups)


def numbered(*columns: NDArray[Any]) -> list[Index]:
    """Names as whole numbers, the same over all columns, in the order of the names."""
    lists = [np.asarray(column).astype(str).tolist() for column in columns]
    number = {name: i for i, name in enumerate(sorted({name for names in lists for name in names}))}
    return [np.fromiter(map(number.__getitem__, names), np.int64, len(names)) for names in lists]


WILSON = "Wilson's over trials, wider than the bootstrap over speakers"
WILSON_OF_BOTH = "Wilson's of both rates over trials, put together, wider than the bootstrap over speakers"
ENTROPY = "from 0 to the entropy of the upper end of the equal error rate, as resamples of {} do not differ"
NO_INTERVAL = "no interval ({})"  # too few, or all alike: resamples do not differ

COLUMNS = ("eer", "min_dcf", "min_cllr", "dcf", "cllr", "best_miss", "best_false_alarm", "miss", "false_alarm")


class Sample:
    """Trials of a part as counts of (place in the order of scores, pair of speakers): what a resample multiplies.

    Trials of one pair count equally often, so that the sorted trials are summed once, and each resample after that
    costs a product of a sparse matrix with a column.

    Args:
        part: the trials.
        systems: scores of all trials by each system, sorted.
    """

    def __init__(self, part: Part, systems: list[Sorted]) -> None:
        from scipy.sparse import csr_array

        self.part = part
        pairs, self.pair = np.unique(part.enrolled * part.n_groups + part.tested, return_inverse=True)
        self.enrolled, self.tested = np.divmod(pairs, part.n_groups)
        self.scores = [system.scores[part.rows] for system in systems]
        self.counts = []
        place = np.full(len(systems[0].scores), -1)
        place[part.rows] = np.arange(len(part.rows))
        for system, scores in zip(systems, self.scores, strict=True):
            order = place[system.order]
            order = order[order >= 0]
            cell, is_target, pair = cells_of(scores[order], part.target[order]), part.target[order], self.pair[order]
            shape = (int(cell[-1]) + 1, len(pairs))
            kinds = [
                csr_array((np.ones(len(rows)), (cell[rows], pair[rows])), shape=shape)
                for rows in (np.flatnonzero(is_target), np.flatnonzero(~is_target))
            ]
            for kind in kinds:
                kind.sum_duplicates()
            self.counts.append(kinds)

    def resampled(self, cost: Cost, n_resamples: int, seed: int) -> tuple[Array, Array]:
        """Figures of each system, `(S, F)`, and of the resamples that have targets and non-targets, `(S, R, F)`."""
        n, part = len(self.scores), self.part
        sums = [self.per_pair(scores, cost) for scores in self.scores]
        once = np.ones((len(self.enrolled), 1))
        figures = np.concatenate([self.figures(i, sums[i], once, cost) for i in range(n)])
        rng = np.random.default_rng(seed)
        largest = max(len(once), part.n_groups, *(kinds[0].shape[0] for kinds in self.counts))
        chunk, drawn = max(1, MAX_CELLS // largest), []
        for done in range(0, n_resamples, chunk):
            size = min(chunk, n_resamples - done)
            times = rng.multinomial(part.n_groups, np.full(part.n_groups, 1 / part.n_groups), size=size).T.astype(
                np.float64
            )
            of_self = (self.enrolled == self.tested)[:, None]
            weights = times[self.enrolled] * np.where(of_self, 1.0, times[self.tested])
            weights = weights[:, (sums[0][:2] @ weights > 0).all(axis=0)]
            drawn.append(np.stack([self.figures(i, sums[i], weights, cost) for i in range(n)]))
        return figures, np.concatenate(drawn, axis=1) if drawn else np.empty((n, 0, len(COLUMNS)))

    def per_pair(self, scores: Array, cost: Cost) -> Array:
        """Sums of each pair, `(8, P)`: targets, non-targets, errors of each, bits and infinite bits of each."""
        is_target = self.part.target
        bits = bits_of(scores, is_target)
        accepted, endless = scores >= cost.threshold, np.isinf(bits)
        bits = np.where(endless, 0.0, bits)
        columns = [column for kind in (is_target, ~is_target) for column in (bits * kind, endless * kind)]
        columns = [is_target, ~is_target, is_target & ~accepted, ~is_target & accepted, *columns]
        return np.stack([np.bincount(self.pair, column, len(self.enrolled)) for column in columns])

    def figures(self, system: int, sums: Array, weights: Array, cost: Cost) -> Array:
        """Figures of resamples, `(R, F)`, of the weights of each pair, `(P, R)`."""
        targets, non_targets = (kind @ weights for kind in self.counts[system])
        miss, false_alarm = curves(targets, non_targets)
        every = cost.of(miss, false_alarm)
        best = every.argmin(axis=0)[None]
        n_target, n_other, missed, accepted, bits_t, endless_t, bits_n, endless_n = sums @ weights
        bits = np.where(endless_t + endless_n > 0, np.inf, (bits_t / n_target + bits_n / n_other) / 2)
        rates = missed / n_target, accepted / n_other
        best_rates = (np.take_along_axis(rate, best, axis=0)[0] for rate in (miss, false_alarm))
        least = min_cllr_of(targets, non_targets)
        return np.stack(
            [eer_of(miss, false_alarm), every.min(axis=0), least, cost.of(*rates), bits, *best_rates, *rates], axis=1
        )


def estimates(figures: Array, drawn: Array, part: Part, cost: Cost) -> dict[str, Estimate]:
    """Figures `(F,)` with the intervals of their resamples `(R, F)`, and no narrower ones than over trials.

    Wilson's interval of the equal error rate takes `4 / (1 / targets + 1 / non-targets)` trials, which gives it its
    variance where both kinds are equally dense at the threshold. Those of costs put Wilson's of both rates together:
    the distances of their ends, squared and added (Zou and Donner 2008). Cllr has none: where resamples do not differ,
    it has no interval, and that of its minimum ends at the entropy of the upper end of the equal error rate, which no
    perfect calibration exceeds. Each estimate says which interval it has.
    """
    groups = f"{part.n_groups:,} speakers" if part.is_of_speakers else f"{part.n_groups:,} trials of one speaker"
    of_groups = f"bootstrap over {groups}"
    value = dict(zip(COLUMNS, figures.tolist(), strict=True))
    n, n_targets = len(part.rows), int(part.target.sum())
    n_groups = part.n_groups
    tail = tail_probability(n_groups) if n_groups > 1 else 0.025
    finite = [i for i, name in enumerate(COLUMNS) if math.isfinite(value[name])]
    low, high = np.full((2, len(COLUMNS)), np.nan)
    low[finite], high[finite] = quantiles(drawn[:, finite], tail)
    ends = {name: (float(low[i]), float(high[i])) for i, name in enumerate(COLUMNS)}
    for name in ("min_dcf", "min_cllr"):
        ends[name] = 2 * value[name] - ends[name][1], 2 * value[name] - ends[name][0]
    n_independent = 4 * n_targets * (n - n_targets) / n
    first = estimate(value["eer"], n, n_independent=n_independent, low=ends["eer"][0], high=ends["eer"][1])
    is_wilson = (first.low, first.high) == wilson(value["eer"] * n_independent, n_independent)
    result = {"eer": first._replace(method=WILSON if is_wilson else of_groups)}
    for name, of in (("min_dcf", "best_"), ("dcf", "")):
        rates = ((value[of + "miss"], n_targets), (value[of + "false_alarm"], n - n_targets))
        reach = [0.0, 0.0]
        for (rate, of_trials), weight in zip(rates, cost.weights, strict=True):
            ends_of_rate = wilson(rate * of_trials, of_trials)
            reach = [math.hypot(r, weight * (rate - end)) for r, end in zip(reach, ends_of_rate, strict=True)]
        by_trials = value[name] - reach[0], value[name] + reach[1]
        most = 1.0 if name == "min_dcf" else math.inf
        found = wider(value[name], ends[name], by_trials, n, most=most)
        is_wilson = found == wider(value[name], by_trials, by_trials, n, most=most)
        result[name] = found._replace(method=WILSON_OF_BOTH if is_wilson else of_groups)
    least = min(result["eer"].high, 0.5)
    entropy = -(least * math.log2(least) + (1 - least) * math.log2(1 - least))
    for name, most in (("min_cllr", entropy), ("cllr", math.inf)):
        spread = ends[name][1] > ends[name][0]
        every = 1.0 if name == "min_cllr" else math.inf
        found = wider(value[name], ends[name], ends[name] if spread else (0.0, most), n, most=every)
        none = NO_INTERVAL if name == "cllr" else ENTROPY
        result[name] = found._replace(method=of_groups if spread else none.format(groups))
    return result


def wider(
    value: float, first: tuple[float, float], other: tuple[float, float], n: int, *, most: float = math.inf
) -> Estimate:
    """A figure of at least 0 and at most `most`, with the wider of two intervals; NaN is no interval."""
    low, high = first if first[1] - first[0] >= other[1] - other[0] else other
    return Estimate(value, max(min(low, value), 0.0), max(min(high, most), value), n)


def checked(scores: ArrayLike, target: ArrayLike) -> tuple[Array, Mask]:
    """Scores and which are of targets, as arrays.

    Raises:
        ValueError: a score is NaN, the arrays differ in length, or there are no targets or no non-targets.
    """
    values, is_target = np.asarray(scores, dtype=np.float64), np.asarray(target)
    if values.shape != is_target.shape or values.ndim != 1:
        raise ValueError(f"scores and target must be rows of one length; got {values.shape} and {is_target.shape}")
    refuse_nan(values)
    if is_target.dtype != bool:
        if not np.isin(is_target, [0, 1]).all():
            raise ValueError(f"target must be true or false; got {is_target[~np.isin(is_target, [0, 1])][0]}")
        is_target = is_target.astype(bool)
    refuse_one_kind(is_target)
    return values, is_target


def checked_systems(systems: list[ArrayLike], trials: Trials) -> list[Array]:
    """Scores of each system, as arrays; the errors are those of `checked`."""
    arrays, target = (
        [np.asarray(scores, dtype=np.float64) for scores in systems],
        np.asarray(trials.condition) == TARGET,
    )
    for values in arrays:
        if values.shape != target.shape:
            raise ValueError(f"there must be one score for each trial; got {values.shape} and {target.shape}")
        refuse_nan(values)
    refuse_one_kind(target)
    return arrays


def refuse_nan(scores: Array) -> None:
    """Raise where a score is NaN, naming the first row."""
    if np.isnan(scores).any():
        raise ValueError(f"scores must be numbers; got NaN in row {int(np.isnan(scores).argmax())}")


def refuse_one_kind(target: Mask) -> None:
    """Raise where there are no targets or no non-targets."""
    n = int(target.sum())
    if not 0 < n < len(target):
        raise ValueError(f"there must be targets and non-targets; got {n} and {len(target) - n}")


def cells_of(scores: Array, target: Mask) -> Index:
    """Cells of sorted trials `(N,)`: a score that both kinds have is one, and so are neighbours of one kind.

    Within a cell of one kind the curve is straight: no cost is least there, and no hull has a corner there.
    """
    group = np.zeros(len(scores), dtype=np.int64)
    group[1:] = np.cumsum(scores[1:] != scores[:-1])
    n, n_targets = np.bincount(group), np.bincount(group, target)
    kind = np.where(n_targets == 0, 0, np.where(n_targets == n, 1, 2))
    new = np.ones(len(kind), dtype=np.int64)
    new[1:] = (kind[1:] != kind[:-1]) | (kind[1:] == 2)
    return (np.cumsum(new) - 1)[group]


def counts_of(cell: Index, target: Mask) -> tuple[Array, Array]:
    """Counts of targets and of non-targets in each cell, `(K, 1)` each."""
    size = int(cell[-1]) + 1
    targets, others = (np.bincount(cell, kind, size).astype(np.float64) for kind in (target, ~target))
    return targets[:, None], others[:, None]


def counted(scores: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    """Counts of targets and of non-targets in the order of scores, `(K, 1)` each."""
    values, is_target = checked(scores, target)
    order = np.argsort(values, kind="stable")
    return counts_of(cells_of(values[order], is_target[order]), is_target[order])


def curves(targets: Array, non_targets: Array) -> tuple[Array, Array]:
    """Misses and false alarms with thresholds before each cell and after the last, `(K + 1, R)`, of counts `(K, R)`."""
    missed, rejected = (np.pad(np.cumsum(kind, axis=0), ((1, 0), (0, 0))) for kind in (targets, non_targets))
    return missed / missed[-1], (rejected[-1] - rejected) / rejected[-1]


def eer_of(miss: Array, false_alarm: Array) -> Array:
    """Where straight lines between the points of curves `(K + 1, R)` have equal errors, `(R,)`."""
    more = miss - false_alarm  # rises from -1 to 1
    after = (more >= 0).argmax(axis=0)[None]
    (a, b), (start, end) = (
        [np.take_along_axis(column, place, axis=0)[0] for place in (after - 1, after)] for column in (more, miss)
    )
    crossing: Array = start - a / (b - a) * (end - start)
    return crossing


def pooled_adjacent_violators(targets: Array, non_targets: Array) -> tuple[Array, Array]:
    """Counts `(K,)` of cells pooled until the share of targets rises from one to the next, `(B, 1)` each."""
    from scipy.optimize import isotonic_regression

    n = targets + non_targets
    there = n > 0
    targets, non_targets, n = targets[there], non_targets[there], n[there]
    starts = isotonic_regression(targets / n, weights=n).blocks[:-1]
    return np.add.reduceat(targets, starts)[:, None], np.add.reduceat(non_targets, starts)[:, None]


def min_cllr_of(targets: Array, non_targets: Array) -> Array:
    """Least Cllr in bits, `(R,)`, of counts `(K, R)` in the order of scores."""
    result = np.empty(targets.shape[1])
    for r in range(targets.shape[1]):
        t, n = (kind[:, 0] for kind in pooled_adjacent_violators(targets[:, r], non_targets[:, r]))
        t, n = t / t.sum(), n / n.sum()
        both = t + n
        result[r] = sum((kind[kind > 0] * np.log2(both[kind > 0] / kind[kind > 0])).sum() for kind in (t, n)) / 2
    return result


def bits_of(scores: Array, target: Mask) -> Array:
    """What each log-likelihood ratio costs at even odds, in bits."""
    bits: Array = np.logaddexp(0.0, np.where(target, -scores, scores)) / math.log(2)
    return bits
