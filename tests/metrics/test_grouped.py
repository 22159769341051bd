"""Intervals of distances between samples are as wide as draws of whole groups differ, where items of one are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from phonaut.metrics import Estimate
from phonaut.metrics.discrepancy import mmd, mmd_difference
from phonaut.metrics.grouped import groups_of, half_width, jackknife_variance
from phonaut.metrics.overlap import neighbours, overlap_estimates

pytestmark = pytest.mark.oracle

G, EACH = 12, 10  # groups, items of each


def grouped(rng: np.random.Generator, shift: float, each: int = EACH) -> tuple[np.ndarray, np.ndarray]:
    """Items `(G each, 2)` of twelve groups, three quarters of whose variance lies between groups; and their groups."""
    ids = np.repeat(np.arange(G), each)
    centres = shift + np.sqrt(0.75) * rng.standard_normal((G, 2))
    return centres[ids] + np.sqrt(0.25) * rng.standard_normal((G * each, 2)), ids


def caught(estimate: Callable[[np.random.Generator, bool], Estimate], n: int) -> tuple[float, float]:
    """How many of n intervals hold the mean of all values: with groups, and taking items as independent."""
    found = [[estimate(np.random.default_rng(seed), groups) for groups in (True, False)] for seed in range(n)]
    mean = np.mean([one.value for one, _ in found])
    shares = [np.mean([pair[i].low <= mean <= pair[i].high for pair in found]) for i in (0, 1)]
    return float(shares[0]), float(shares[1])


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("both", [False, True])
def test_intervals_of_the_discrepancy_hold_its_mean_where_items_come_in_groups(shift: float, both: bool) -> None:
    """19 times in 20, with few groups; taken as independent items, far less often."""

    def estimate(rng: np.random.Generator, with_groups: bool) -> Estimate:
        real, ids = grouped(rng, shift)
        made = grouped(rng, 0.0)[0] if both else rng.standard_normal((G * EACH, 2))
        return mmd(made, real, groups=ids if both and with_groups else None, other_groups=ids if with_groups else None)

    ours, theirs = caught(estimate, 300)
    assert 0.91 <= ours <= 1.0
    assert theirs < 0.85


def test_a_difference_of_discrepancies_is_that_of_one_kernel_pair_by_pair() -> None:
    rng = np.random.default_rng(0)
    real, first, second = (rng.standard_normal((n, 3)) + shift for n, shift in ((30, 0.0), (20, 1.0), (25, -0.3)))
    gaps = [np.linalg.norm(a - b) for a in real for b in real]
    width = np.median([gap for i, gap in enumerate(gaps) if i % 31] + [0.0] * 15)  # of a pair, and each with its double

    def mean(x: np.ndarray, y: np.ndarray) -> float:
        pairs = [(i, j) for i in range(len(x)) for j in range(len(y)) if x is not y or i != j]
        return float(np.mean([np.exp(-((x[i] - y[j]) ** 2).sum() / (2 * width**2)) for i, j in pairs]))

    expected = mean(first, first) - 2 * mean(first, real) - mean(second, second) + 2 * mean(second, real)
    found = mmd_difference(first, second, real)
    assert found.value == pytest.approx(expected, rel=1e-3)
    assert found.low < found.value < found.high
    assert found.n == 20


def test_intervals_of_a_difference_of_discrepancies_hold_its_mean_and_are_narrower_than_those_of_both() -> None:
    widths = []

    def estimate(rng: np.random.Generator, with_groups: bool) -> Estimate:
        real, ids = grouped(rng, 0.5)
        first, second = 1.1 * rng.standard_normal((100, 2)), rng.standard_normal((100, 2))
        groups = ids if with_groups else None
        found = mmd_difference(first, second, real, groups=groups)
        if with_groups:
            alone = mmd(first, real, other_groups=groups)
            widths.append((found.high - found.low) / (alone.high - alone.low))
        return found

    ours, _ = caught(estimate, 200)
    assert 0.91 <= ours <= 1.0
    assert np.mean(widths) < 0.7


def test_intervals_of_overlaps_hold_their_mean_where_items_come_in_groups() -> None:
    """Taken as independent, half of them do not."""
    found: dict[bool, list[dict[str, Estimate]]] = {True: [], False: []}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        real, ids = grouped(rng, 0.7, 30)
        made = rng.standard_normal((len(real), 2))
        for known, of in found.items():
            of.append(overlap_estimates(real, made, groups=ids if known else None))
    for name in ("precision", "recall", "coverage"):
        mean = np.mean([one[name].value for one in found[True]])
        ours, theirs = (np.mean([one[name].low <= mean <= one[name].high for one in found[k]]) for k in (True, False))
        assert ours >= 0.92, name
        assert theirs < 0.7, name
        assert np.mean([one[name].high - one[name].low for one in found[True]]) < 0.5, name


def test_overlaps_are_those_of_neighbours() -> None:
    rng = np.random.default_rng(0)
    real, ids = grouped(rng, 0.0)
    made = rng.standard_normal((80, 2))
    found, wanted = overlap_estimates(real, made, groups=ids, k=4), neighbours(real, made, k=4)
    assert [found[name].value for name in found] == [wanted.precision, wanted.recall, wanted.coverage]
    assert [one.n for one in found.values()] == [80, 120, 120]


def test_a_jackknife_of_a_mean_is_the_variance_over_groups() -> None:
    """Of equal groups: the variance of their means over G; of unequal ones, about that of draws."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 5))
    without = np.array([np.delete(x, g, axis=0).mean() for g in range(6)])
    found = jackknife_variance(np.array(x.mean()), without, np.full(6, 5))
    assert float(found) == pytest.approx(x.mean(axis=1).var(ddof=1) / 6)
    assert float(half_width([(found, 6)])) == pytest.approx(2.5706 * np.sqrt(found), rel=1e-4)


@pytest.mark.parametrize("with_groups", [False, True])
def test_a_group_left_out_is_the_discrepancy_of_the_rest(with_groups: bool) -> None:
    """The sums by group give what the measure gives on fewer items."""
    from phonaut.metrics.discrepancy import _without
    from phonaut.metrics.pairwise import kernel_sums

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 2)), rng.standard_normal((7, 2))
    of = np.array([0, 0, 1, 2, 2, 2, 1]) if with_groups else np.arange(7)

    def theta(rows: np.ndarray) -> float:
        k = [[np.exp(-((a - b) @ (a - b)) / 2) for b in y[rows]] for a in y[rows]]
        cross = [[np.exp(-((a - b) @ (a - b)) / 2) for b in y[rows]] for a in x]
        n = len(rows)
        return (np.sum(k) - n) / (n * (n - 1)) - 2 * np.mean(cross)

    own, cross = kernel_sums(y, y, "rbf", 1.0, of), kernel_sums(x, y, "rbf", 1.0)
    found = _without(own, cross.columns / 9, of, np.bincount(of))
    everything = theta(np.arange(7))
    assert found == pytest.approx([theta(np.flatnonzero(of != g)) - everything for g in range(of.max() + 1)])


def test_speakers_are_resampled_where_there_are_five_and_recordings_where_there_are_not() -> None:
    speakers, recordings = np.array(list("aabbccddee")), np.arange(10) // 2 * 10
    assert groups_of(speakers, recordings).what == "speakers"
    two = np.array(list("aaaaabbbbb"))
    assert groups_of(two, recordings).ids.tolist() == recordings.tolist()
    alone: Any = groups_of(two, np.arange(10) // 5)
    assert alone.ids.tolist() == list(range(10))
    assert "independent" in alone.what


def test_one_group_has_no_interval() -> None:
    x = np.random.default_rng(0).standard_normal((9, 2))
    with pytest.raises(ValueError, match="groups must name one of two or more for each of 9 items; got 1 for 9"):
        mmd(x, x, other_groups=np.zeros(9))
