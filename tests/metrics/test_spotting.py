"""Misses and false alarms are those of the best matching; rates, intervals and time are what their definitions say."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import chi2

from phonaut.metrics.spotting import (
    NEAR_S,
    Curve,
    Events,
    Time,
    chosen,
    false_alarms_per_hour,
    matched,
    misses,
    poisson,
    time_without,
)


def events(*rows: tuple[int, float, float]) -> Events:
    word, start, end = (np.array(column) for column in zip(*rows, strict=True))
    return Events(word, start.astype(float), end.astype(float), np.array([f"s{i % 3}" for i in range(len(rows))]))


def may(time: float, word: int, event: tuple[int, float, float]) -> bool:
    """The rule in the words of the page: since it begins, at least the last NEAR_S, until NEAR_S after it."""
    return word == event[0] and min(event[1], event[2] - NEAR_S) <= time <= event[2] + NEAR_S


def most_pairs(times: np.ndarray, words: np.ndarray, rows: list[tuple[int, float, float]]) -> int:
    """By trying every way."""

    def best(d: int, free: frozenset[int]) -> int:
        if d == len(times):
            return 0
        ways = (1 + best(d + 1, free - {e}) for e in free if may(times[d], words[d], rows[e]))
        return max(itertools.chain([best(d + 1, free)], ways))

    return best(0, frozenset(range(len(rows))))


@pytest.mark.oracle
@pytest.mark.parametrize("seed", range(40))
def test_a_matching_has_as_many_pairs_as_there_can_be(seed: int) -> None:
    rng = np.random.default_rng(seed)
    starts = rng.uniform(0, 6, 6)
    rows = [(int(rng.integers(2)), start, start + rng.choice([0.0, 0.3, 2.5])) for start in starts]
    times, words = np.sort(rng.uniform(0, 8, 7)), rng.integers(2, size=7)
    pairs = matched(times, words, events(*rows))
    taken = pairs[pairs >= 0]
    assert len(set(taken.tolist())) == len(taken)
    assert all(may(times[d], words[d], rows[e]) for d, e in enumerate(pairs) if e >= 0)
    assert len(taken) == most_pairs(times, words, rows)


def test_the_first_that_fits_is_not_always_right() -> None:
    long, short = (0, 1.0, 5.0), (0, 1.1, 1.5)
    assert sorted(matched(np.array([1.6, 5.2]), np.array([0, 0]), events(long, short)).tolist()) == [0, 1]


def test_a_moment_is_found_within_three_quarters_of_a_second_on_either_side_and_once() -> None:
    at = np.array([9.2, 9.26, 10.74, 10.76, 30.0])
    found = [matched(np.array([t]), np.array([0]), events((0, 10.0, 10.0))).tolist()[0] for t in at]
    assert found == [-1, 0, 0, -1, -1]
    assert matched(np.array([10.0, 10.1]), np.array([0, 0]), events((0, 10.0, 10.0))).tolist() == [0, -1]
    assert matched(np.array([10.0]), np.array([1]), events((0, 10.0, 10.0))).tolist() == [-1]


@pytest.mark.oracle
def test_time_without_words_is_what_counting_milliseconds_gives() -> None:
    rng = np.random.default_rng(0)
    sound = (np.array([0.0, 130.0]), np.array([100.0, 301.0]))
    start = np.concatenate([[20.0, 21.0, 22.0], rng.uniform(0, 90, 7), rng.uniform(130, 290, 20)])
    said = (start, start + np.concatenate([[30.0, 1.0], rng.uniform(0, 9, 28)]))  # one within another
    ms = np.arange(0, 360, 0.001) + 0.0005
    heard, words = (((ms[:, None] >= a) & (ms[:, None] < b)).any(axis=1) for a, b in (sound, said))
    counted = (heard & ~words).reshape(6, -1).sum(axis=1) / 1000
    np.testing.assert_allclose(3600 * time_without(sound, said).hours, counted, atol=0.01)


@pytest.mark.peer
@pytest.mark.parametrize("n", [0, 1, 7, 50])
def test_the_interval_of_a_rate_is_garwoods(n: int) -> None:
    low, high = poisson(n, 2.0)
    assert low == pytest.approx(chi2.ppf(0.025, 2 * n) / 4 if n else 0.0, rel=1e-9)
    assert high == pytest.approx(chi2.ppf(0.975, 2 * n + 2) / 4, rel=1e-9)


def test_false_alarms_in_bursts_have_a_wider_interval_than_those_that_are_spread() -> None:
    time = Time(np.full(60, 1 / 60))
    spread = false_alarms_per_hour(np.arange(0, 3600, 120.0), time)
    bursts = false_alarms_per_hour(np.repeat([30.0, 1830.0, 3000.0], 10) + np.tile(np.arange(10.0), 3), time)
    assert spread.value == bursts.value == pytest.approx(30.0)
    assert bursts.high - bursts.low > 1.5 * (spread.high - spread.low)
    assert (spread.low, spread.high) == pytest.approx(poisson(30, 1.0))
    assert false_alarms_per_hour(np.zeros(0), time).high == pytest.approx(-math.log(0.025))


def test_misses_of_one_speaker_alone_widen_the_interval() -> None:
    missed = np.repeat([True, False, False, False], 10)
    alike = misses(missed, np.repeat(["a", "b", "c", "d"], 10))
    spread = misses(missed, np.tile(["a", "b", "c", "d"], 10))
    assert alike.value == spread.value == 0.25
    assert alike.high - alike.low > 1.5 * (spread.high - spread.low)


def test_the_threshold_chosen_has_the_fewest_misses_of_those_that_hold_the_rate() -> None:
    curve = Curve(np.array([0.1, 0.3, 0.5, 0.7, 0.9, 0.99]), np.array([1, 1, 2, 2, 2, 5]), np.array([9, 3, 1, 1, 0, 0]))
    assert curve.threshold[chosen(curve, 3) or 0] == 0.3
    assert curve.threshold[chosen(curve, 1) or 0] == 0.7  # in the middle of 0.5, 0.7 and 0.9
    assert curve.threshold[chosen(curve, 0) or 0] == 0.9
    assert chosen(curve._replace(false=curve.false + 1), 0) is None
