"""Differences of two models: McNemar's p is the binomial's, intervals cover, and pairs are used as pairs."""

import math
from itertools import product

import numpy as np
import pytest

from phonaut.metrics import (
    accuracy,
    difference,
    difference_by_class,
    difference_of_frames,
    disagreements,
    mcnemar,
    mcnemar_of_predictions,
)
from phonaut.metrics.paired import correlation, newcombe, newcombe_p, tail_probability


def two_models(
    rng: np.random.Generator, n_speakers: int, n_each: int, gain: float = 0.05
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Answers of two models to items of two classes; speakers differ in how hard they are, and in what is gained."""
    speaker = np.repeat(np.arange(n_speakers), n_each)
    ease = rng.beta(12, 5, n_speakers)[speaker]
    more = gain + 0.06 * rng.standard_normal(n_speakers)[speaker]
    draw = 0.5 * rng.random(len(speaker)) + 0.5 * rng.random(len(speaker))
    wrong_first, wrong_other = draw > ease, draw > ease + more
    label = rng.integers(0, 2, len(speaker))
    return label, np.where(wrong_first, 1 - label, label), np.where(wrong_other, 1 - label, label), speaker


@pytest.mark.oracle
@pytest.mark.parametrize(("only_first", "only_other"), [(0, 0), (0, 1), (3, 3), (2, 8), (0, 24), (11, 13)])
def test_mcnemars_p_of_few_items_is_the_share_of_coin_tosses_as_uneven(only_first: int, only_other: int) -> None:
    from scipy.stats import binomtest

    found = mcnemar(only_first, only_other)
    n = only_first + only_other
    assert found.exact
    assert found.p == pytest.approx(binomtest(only_first, n).pvalue if n else 1.0, rel=1e-12)
    if 0 < n <= 12:  # all tosses there could be
        tosses = [sum(toss) for toss in product((0, 1), repeat=n)]
        uneven = [abs(2 * heads - n) >= abs(only_first - only_other) for heads in tosses]
        assert found.p == pytest.approx(np.mean(uneven), rel=1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize(("only_first", "only_other"), [(12, 13), (10, 15), (5, 25), (60, 110), (20, 20), (3, 900)])
def test_mcnemars_p_of_many_items_is_chi_squareds_with_continuity_correction(only_first: int, only_other: int) -> None:
    from scipy.stats import chi2

    found = mcnemar(only_first, only_other)
    assert not found.exact
    statistic = max(abs(only_first - only_other) - 1, 0) ** 2 / (only_first + only_other)
    assert found.p == pytest.approx(chi2.sf(statistic, df=1), rel=1e-9)
    assert mcnemar(only_other, only_first).p == found.p


def test_mcnemars_counts_are_of_known_items_of_which_one_model_was_right() -> None:
    found = mcnemar_of_predictions([0, 0, 1, 1, 2, -1], [0, 0, 0, 0, 2, 1], [0, 1, 1, 2, 0, 0])
    assert (found.only_first, found.only_other) == (2, 1)
    with pytest.raises(ValueError, match=">= 0, got -1"):
        mcnemar(-1, 3)


@pytest.mark.oracle
@pytest.mark.parametrize("chances", [(0.6, 0.2, 0.1, 0.1), (0.85, 0.05, 0.05, 0.05), (0.3, 0.05, 0.3, 0.35)])
def test_newcombes_interval_covers_what_it_should_over_all_tables_there_are(chances: tuple[float, ...]) -> None:
    n, truth = 30, chances[1] - chances[2]
    right = np.array([(True, True), (False, True), (True, False), (False, False)])
    covered = 0.0
    for a in range(n + 1):
        for b in range(n + 1 - a):
            for c in range(n + 1 - a - b):
                table = (a, b, c, n - a - b - c)
                ways = math.factorial(n) / math.prod(math.factorial(k) for k in table)
                rows = np.repeat(right, table, axis=0)
                low, high = newcombe(*map(float, rows.mean(axis=0)), correlation(rows), n)
                if low <= truth <= high:
                    covered += ways * math.prod(p**k for p, k in zip(chances, table, strict=True))
    assert 0.94 <= covered <= 0.995


@pytest.mark.oracle
def test_newcombes_p_is_the_level_of_the_interval_that_ends_at_zero() -> None:
    p = newcombe_p(0.7, 0.8, 0.4, 90)
    z = math.sqrt(2) * float(np.interp(p, *np.array([(math.erfc(x), x) for x in np.linspace(5, 0, 500_001)]).T))
    assert newcombe(0.7, 0.8, 0.4, 90, z=z)[0] == pytest.approx(0.0, abs=1e-5)
    assert newcombe_p(0.5, 0.5, 0.2, 90) == 1.0
    assert newcombe_p(0.7, 0.8, 0.4, 9000) < 1e-6


def test_the_difference_is_that_of_the_figures_and_has_the_other_sign_the_other_way_round() -> None:
    label, first, other, speaker = two_models(np.random.default_rng(0), 9, 40)
    forth = difference(label, first, other, speaker, n_classes=2)
    back = difference(label, other, first, speaker, n_classes=2)
    gained = accuracy(label, other, speaker).value - accuracy(label, first, speaker).value
    assert forth.value == pytest.approx(gained, abs=1e-12)
    assert (back.value, back.low, back.high) == pytest.approx((-forth.value, -forth.high, -forth.low), abs=1e-9)
    assert back.p == pytest.approx(forth.p, rel=1e-9)
    assert forth.n == 360


def test_the_interval_is_that_of_resampled_speakers_scored_by_both_models() -> None:
    label, first, other, speaker = two_models(np.random.default_rng(3), 12, 200)
    found = difference(label, first, other, speaker, n_classes=2)
    rng = np.random.default_rng(99)  # other draws, in a plain loop over speakers
    gains = [(other == label)[speaker == s].mean() - (first == label)[speaker == s].mean() for s in range(12)]
    drawn = [np.mean(rng.choice(gains, 12)) for _ in range(20_000)]
    low, high = np.quantile(drawn, [tail_probability(12), 1 - tail_probability(12)])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)


@pytest.mark.oracle
def test_tails_lie_where_students_t_has_them() -> None:
    from scipy.stats import norm, t

    for n in (2, 5, 40):
        assert tail_probability(n) == pytest.approx(norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1)), rel=1e-9)
    assert tail_probability(100_000) == pytest.approx(0.025, abs=1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize(("n_speakers", "n_each"), [(6, 60), (40, 20)])
def test_intervals_cover_the_difference_and_p_is_below_five_per_cent_as_often_as_it_should(
    n_speakers: int, n_each: int
) -> None:
    rng = np.random.default_rng(n_speakers)
    label, first, other, speaker = two_models(rng, 20_000, 20)
    truth = accuracy(label, other, np.zeros(len(label))).value - accuracy(label, first, np.zeros(len(label))).value
    covered = [
        found.low <= truth <= found.high
        for found in (difference(*two_models(rng, n_speakers, n_each), n_classes=2) for _ in range(200))
    ]
    assert 0.91 <= np.mean(covered) <= 0.995
    rejected = []
    for _ in range(200):  # nothing to be found: which model is the first is tossed for every speaker
        label, first, other, speaker = two_models(rng, n_speakers, n_each)
        swap = rng.random(n_speakers)[speaker] < 0.5
        found = difference(label, np.where(swap, other, first), np.where(swap, first, other), speaker, n_classes=2)
        rejected.append(found.p < 0.05)
        assert (found.p < 0.045) <= (found.low * found.high > 0) <= (found.p < 0.055), "p and interval agree"
    assert np.mean(rejected) <= 0.09


def test_what_is_hard_for_both_does_not_widen_the_interval() -> None:
    rng = np.random.default_rng(5)
    speaker = np.repeat(np.arange(30), 50)
    right = rng.random(1500) < rng.uniform(0.3, 1.0, 30)[speaker]
    better = right | (rng.random(1500) < 0.1)
    label = np.zeros(1500, dtype=int)
    found = difference(label, np.where(right, 0, 1), np.where(better, 0, 1), speaker, n_classes=2)
    alone = accuracy(label, np.where(right, 0, 1), speaker)
    assert found.high - found.low < 0.4 * (alone.high - alone.low)
    assert found.low > 0
    assert found.p < 0.002


@pytest.mark.parametrize("n_speakers", [1, 3])
def test_speakers_who_are_alike_or_alone_do_not_make_an_interval_a_point(n_speakers: int) -> None:
    label, first = np.zeros(120, dtype=int), np.zeros(120, dtype=int)
    other = first.copy()
    other[[0, 40, 80]] = 1  # one error in each third
    found = difference(label, first, other, np.arange(120) // 40 % n_speakers, n_classes=2)
    assert found.value == pytest.approx(-0.025)
    assert found.low < -0.05
    assert found.p > 0.05
    same = difference(label, first, first, np.arange(120) // 40 % n_speakers, n_classes=2)
    assert same.low < 0 == same.value < same.high
    assert same.p == 1.0


def test_unknown_classes_are_left_out_and_order_does_not_matter() -> None:
    label, first, other, speaker = two_models(np.random.default_rng(1), 7, 30)
    found = difference(label, first, other, speaker, n_classes=2, metric="recall")
    more = [np.append(column, extra) for column, extra in ((label, -1), (first, 0), (other, 1), (speaker, 99))]
    order = np.random.default_rng(2).permutation(len(more[0]))
    assert difference(*(column[order] for column in more), n_classes=2, metric="recall") == found
    with pytest.raises(ValueError, match="accuracy, recall, f1, got acuracy"):
        difference(label, first, other, speaker, n_classes=2, metric="acuracy")


def test_the_difference_of_a_class_is_the_difference_on_its_items() -> None:
    label, first, other, speaker = two_models(np.random.default_rng(4), 8, 50)
    table = difference_by_class(label, first, other, speaker, n_classes=3)
    for c in range(2):
        mine = label == c
        alone = difference(label[mine], first[mine], other[mine], speaker[mine], n_classes=2)
        assert table[c].value == pytest.approx(alone.value, abs=1e-12)
        assert (table[c].low, table[c].high) == pytest.approx((alone.low, alone.high), abs=1e-9)
        assert table[c].n == mine.sum()
    assert math.isnan(table[2].value)
    assert math.isnan(table[2].p)
    assert table[2].n == 0


def test_disagreements_are_counted_by_truth_and_both_answers_the_most_frequent_first() -> None:
    label = [0, 0, 0, 1, 1, 2, -1]
    first = [0, 0, 0, 1, 2, 2, 0]
    other = [1, 1, 0, 1, 0, 1, 1]
    assert [tuple(row) for row in disagreements(label, first, other, "abc")] == [
        ("a", "a", "b", 2),
        ("b", "c", "a", 1),
        ("c", "c", "b", 1),
    ]
    assert disagreements(label, first, first, "abc") == []


@pytest.mark.oracle
def test_a_difference_of_frames_has_the_quantiles_of_all_resamples_that_there_are() -> None:
    rng = np.random.default_rng(3)
    n = rng.integers(5, 40, 12)
    first, other = (np.stack([rng.binomial(n, p), n], axis=1) for p in (0.3, 0.45))
    speaker = np.repeat(list("abcd"), 3)
    found = difference_of_frames(first, other, speaker)
    right, frames = (other - first)[:, 0], n
    assert found.value == pytest.approx(right.sum() / frames.sum(), rel=1e-12)
    assert found.n == frames.sum()
    by_speaker = [(right[speaker == s].sum(), frames[speaker == s].sum()) for s in "abcd"]
    drawn = np.sort([sum(x[0] for x in some) / sum(x[1] for x in some) for some in product(by_speaker, repeat=4)])
    for end, tail in ((found.low, tail_probability(4)), (found.high, 1 - tail_probability(4))):
        assert drawn[int(tail * 255) - 2 if tail > 0.5 else 0] <= end <= drawn[-1 if tail > 0.5 else 3]
    turned = difference_of_frames(other, first, speaker)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low), abs=5e-3)


def test_a_difference_of_frames_of_one_speaker_draws_spans_and_of_no_frames_is_refused() -> None:
    found = difference_of_frames([[1, 4], [2, 4], [0, 4]], [[3, 4], [4, 4], [1, 4]], ["a"] * 3)
    assert found.value == pytest.approx(5 / 12)
    assert 0 < found.low < found.value < found.high <= 0.5
    with pytest.raises(ValueError, match="with frames"):
        difference_of_frames([[0, 0]], [[0, 0]], ["a"])
