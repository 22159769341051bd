"""Equal error rate, detection cost and Cllr are those of all thresholds there are; intervals are those of speakers."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonaut.metrics.intervals import quantiles
from phonaut.metrics.paired import tail_probability
from phonaut.metrics.verification import (
    Cost,
    Sample,
    Sorted,
    Trials,
    actual_dcf,
    cllr,
    det_curve,
    detection_differences,
    detection_figures,
    eer,
    error_rates,
    min_cllr,
    min_dcf,
    parts_of,
)

INF = math.inf
Rows = tuple[list[float], list[bool]]
FEW_VALUES = st.sampled_from([-INF, -2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0, INF])  # so that many are equal
SCORES = st.one_of(FEW_VALUES, st.floats(-30, 30, allow_nan=False))


@st.composite
def trials_of_both_kinds(draw: st.DrawFn) -> Rows:
    """Scores of at least one target and one non-target, with ties and infinite ones."""
    target = [True, False, *draw(st.lists(st.booleans(), max_size=12))]
    return draw(st.lists(SCORES, min_size=len(target), max_size=len(target))), target


def points(scores: list[float], target: list[bool]) -> list[tuple[float, float]]:
    """Misses and false alarms of each rule `accept these scores and all larger ones`, counted one by one."""
    result = []
    for least in [*sorted(set(scores)), None]:
        accepted = [least is not None and score >= least for score in scores]
        kinds = [[a for a, t in zip(accepted, target, strict=True) if t == kind] for kind in (True, False)]
        result.append((1 - sum(kinds[0]) / len(kinds[0]), sum(kinds[1]) / len(kinds[1])))
    return result


def swept_eer(curve: list[tuple[float, float]]) -> float:
    """The crossing of each stretch with the diagonal, where it has one."""
    for (miss, alarm), (next_miss, next_alarm) in pairwise(curve):
        if next_miss >= next_alarm:
            t = (alarm - miss) / ((alarm - miss) + (next_miss - next_alarm))
            return miss + t * (next_miss - miss)
    raise AssertionError


def swept_hull_eer(curve: list[tuple[float, float]]) -> float:
    """The least equal error of all mixtures of two rules."""
    best = 1.0
    for a in curve:
        for b in curve:
            da, db = a[0] - a[1], b[0] - b[1]
            if da <= 0 <= db:
                t = 0.0 if da == db else -da / (db - da)
                best = min(best, a[0] + t * (b[0] - a[0]))
    return best


def swept_min_cllr(scores: list[float], target: list[bool]) -> float:
    """Of the isotonic regression by its formula: the largest, of all starts, of the least mean of all ends."""
    values = sorted(set(scores))
    t, n = ([sum(s == v and k == kind for s, k in zip(scores, target, strict=True)) for v in values]
            for kind in (True, False))  # fmt: skip
    bits = 0.0
    for i in range(len(values)):
        share = max(
            min(sum(t[j : k + 1]) / sum(t[j : k + 1] + n[j : k + 1]) for k in range(i, len(values)))
            for j in range(i + 1)
        )
        odds = share * sum(n) / ((1 - share) * sum(t)) if share < 1 else INF
        bits += t[i] / sum(t) * math.log2(1 + 1 / odds) if t[i] else 0.0
        bits += n[i] / sum(n) * math.log2(1 + odds) if n[i] else 0.0
    return bits / 2


@pytest.mark.oracle
@settings(max_examples=80, deadline=None)
@given(trials_of_both_kinds(), st.sampled_from([Cost(), Cost(0.5), Cost(0.9, 2, 3), Cost(0.01, 10, 1)]))
def test_figures_are_those_of_a_sweep_over_all_thresholds(trials: Rows, cost: Cost) -> None:
    scores, target = trials
    curve = points(scores, target)
    assert eer(scores, target) == pytest.approx(swept_eer(curve), abs=1e-12)
    assert eer(scores, target, hull=True) == pytest.approx(swept_hull_eer(curve), abs=1e-12)
    of_all = [cost.c_miss * cost.p_target * m + cost.c_false_alarm * (1 - cost.p_target) * a for m, a in curve]
    without = min(cost.c_miss * cost.p_target, cost.c_false_alarm * (1 - cost.p_target))
    assert min_dcf(scores, target, cost) == pytest.approx(min(of_all) / without, abs=1e-12)
    assert min_cllr(scores, target) == pytest.approx(swept_min_cllr(scores, target), abs=1e-12)
    found = det_curve(scores, target)
    corners = set(zip(found.miss.round(9).tolist(), found.false_alarm.round(9).tolist(), strict=True))
    assert corners <= {(round(miss, 9), round(alarm, 9)) for miss, alarm in curve}
    for threshold, miss, alarm in zip(*(column[:-1] for column in found), strict=True):
        assert error_rates(scores, target, threshold) == pytest.approx((miss, alarm), abs=1e-12)
    assert np.isnan(found.threshold[-1])
    assert (found.miss[-1], found.false_alarm[-1]) == (1.0, 0.0)


@settings(max_examples=50, deadline=None)
@given(trials_of_both_kinds(), st.randoms(use_true_random=False))
def test_monotone_maps_and_the_order_of_trials_change_nothing_but_cllr(trials: Rows, chance: object) -> None:
    scores, target = trials
    rows = list(range(len(scores)))
    chance.shuffle(rows)  # type: ignore[attr-defined]
    ranks = {score: i for i, score in enumerate(sorted(set(scores)))}
    bent = [float(ranks[scores[i]]) ** 3 - 40 for i in rows]
    shuffled = [target[i] for i in rows]
    for figure in (eer, min_dcf, min_cllr, lambda s, t: eer(s, t, hull=True)):
        assert figure(bent, shuffled) == figure(scores, target)
    assert cllr([scores[i] for i in rows], shuffled) == pytest.approx(cllr(scores, target), rel=1e-12)


@settings(max_examples=80, deadline=None)
@given(trials_of_both_kinds())
def test_minima_are_not_above_what_is_their_minimum_and_perfect_calibration_is_monotone(trials: Rows) -> None:
    assert 0 <= min_cllr(*trials) <= min(cllr(*trials), 1.0) + 1e-12
    assert 0 <= eer(*trials, hull=True) <= eer(*trials) + 1e-12
    for cost in (Cost(), Cost(0.5), Cost(0.3, 5)):
        assert 0 <= min_dcf(*trials, cost) <= min(actual_dcf(*trials, cost), 1.0) + 1e-12


@pytest.mark.oracle
def test_cllr_of_calibrated_gaussians_is_the_integral_and_so_is_its_minimum() -> None:
    from scipy.integrate import quad
    from scipy.stats import norm

    variance = 4.0  # ratios of N(m, v) against N(-m, v) are calibrated where m = v / 2
    spread = math.sqrt(variance)
    truth = quad(lambda s: norm.pdf(s, variance / 2, spread) * math.log2(1 + math.exp(-s)), -30, 40)[0]
    quantile = norm.ppf((np.arange(40_000) + 0.5) / 40_000)
    scores = np.concatenate([variance / 2 + spread * quantile, -variance / 2 + spread * quantile])
    target = np.arange(80_000) < 40_000
    assert cllr(scores, target) == pytest.approx(truth, abs=1e-5)
    assert min_cllr(scores, target) == pytest.approx(truth, abs=1e-3)
    assert eer(scores, target) == pytest.approx(norm.cdf(-spread / 2), abs=1e-4)
    cost = Cost(0.1)
    rates = norm.cdf(cost.threshold, variance / 2, spread), norm.sf(cost.threshold, -variance / 2, spread)
    assert actual_dcf(scores, target, cost) == pytest.approx((0.1 * rates[0] + 0.9 * rates[1]) / 0.1, abs=1e-3)


@pytest.mark.peer
def test_figures_are_those_of_bosaris_as_llreval_has_them() -> None:
    llreval = pytest.importorskip("llreval.quick_eval", reason="llreval is not installed")
    rng = np.random.default_rng(0)
    for n in (30, 400):
        target = np.arange(n) < n // 3
        scores = np.round(rng.normal(2.0 * target - 1, 1.5), 1 if n == 30 else 6)
        theirs = llreval.tarnon_2_eer_cllr_mincllr(scores[target], scores[~target])
        ours = eer(scores, target, hull=True), cllr(scores, target), min_cllr(scores, target)
        assert ours == pytest.approx([float(x) for x in theirs], abs=1e-6)


@pytest.mark.parametrize(
    ("scores", "target", "figures"),
    [
        ([1.0, -1.0], [True, False], (0.0, 0.0, 0.0)),
        ([-1.0, 1.0], [True, False], (1.0, 1.0, 1.0)),
        ([0.0, 0.0], [True, False], (0.5, 1.0, 1.0)),
        ([INF, INF, -INF], [True, False, False], (1 / 3, 1.0, None)),
        ([INF, 0.0, -INF], [True, False, False], (0.0, 0.0, 0.0)),
    ],
)
def test_few_trials_have_figures_too(
    scores: list[float], target: list[bool], figures: tuple[float, float, float | None]
) -> None:
    found = eer(scores, target), min_dcf(scores, target), min_cllr(scores, target)
    assert found[:2] == pytest.approx(figures[:2], abs=1e-15)
    assert figures[2] is None or found[2] == pytest.approx(figures[2], abs=1e-15)


def test_a_trial_that_is_certain_and_wrong_costs_without_end() -> None:
    assert cllr([INF, -INF], [True, False]) == 0.0
    assert cllr([INF, INF], [True, False]) == INF
    assert cllr([-INF, -INF], [True, False]) == INF


@pytest.mark.parametrize("figure", [eer, min_dcf, actual_dcf, cllr, min_cllr, det_curve])
@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        ([0.0, math.nan], [True, False], "got NaN in row 1"),
        ([0.0, 1.0], [True, True], "targets and non-targets; got 2 and 0"),
        ([0.0, 1.0], [False, False], "targets and non-targets; got 0 and 2"),
        ([], [], "targets and non-targets; got 0 and 0"),
        ([0.0, 1.0], [True], "rows of one length"),
        ([[0.0, 1.0]], [[True, False]], "rows of one length"),
        ([0.0, 1.0], [1, 2], "true or false; got 2"),
        ([0.0, 1.0], ["TC", "IC"], "true or false; got TC"),
    ],
)
def test_what_has_no_figure_is_refused_in_one_sentence(
    figure: object, scores: list[float], target: list[bool], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        figure(scores, target)  # type: ignore[operator]


@pytest.mark.parametrize("options", [{"p_target": 0.0}, {"p_target": 1.0}, {"c_miss": 0.0}, {"c_false_alarm": INF},
                                     {"p_target": math.nan}, {"c_miss": -1.0}])  # fmt: skip
def test_costs_that_are_none_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"cost of decisions: \w+ must be"):
        Cost(**options)


def simulated(rng: np.random.Generator, n_speakers: int, n_takes: int = 4) -> tuple[np.ndarray, Trials]:
    """Every speaker against every other, with effects of the enrolled and of the tested one."""
    own, as_model, as_test = rng.normal(0, 0.6, (3, n_speakers))
    enrolled, tested = (
        np.repeat(side.ravel(), 2 * n_takes) for side in np.meshgrid(*2 * [np.arange(n_speakers)], indexing="ij")
    )
    same, right = enrolled == tested, np.tile([True, False], len(enrolled) // 2)
    condition = np.where(same, np.where(right, "TC", "TW"), np.where(right, "IC", "IW"))
    scores = np.where(same, 2 + own[enrolled], 0) + 1.5 * right + as_model[enrolled] + as_test[tested]
    names = np.array([f"{'fm'[i % 2]}{i:03d}" for i in range(n_speakers)])
    gender = np.array(["fm"[i % 2] for i in range(n_speakers)])
    return scores + rng.standard_normal(len(scores)), Trials(
        condition, names[enrolled], names[tested], gender[enrolled]
    )


def test_every_condition_and_gender_has_the_figures_of_its_trials() -> None:
    scores, trials = simulated(np.random.default_rng(1), 8)
    cost = Cost(0.1)
    found = detection_figures(scores, trials, cost, n_resamples=20)
    assert len(found) == 5 * 4 * 3
    for kind in ("", "/TW", "/IC", "/IW"):
        for gender in ("", "/f", "/m"):
            rows = np.isin(trials.condition, ["TC", kind[1:]]) if kind else np.ones(len(scores), bool)
            rows &= (trials.gender == gender[1:]) | (gender == "")
            part = scores[rows], trials.condition[rows] == "TC"
            direct = {"eer": eer(*part), "min_dcf": min_dcf(*part, cost), "min_cllr": min_cllr(*part),
                      "dcf": actual_dcf(*part, cost), "cllr": cllr(*part)}  # fmt: skip
            for name, value in direct.items():
                estimate = found[name + kind + gender]
                assert estimate.value == pytest.approx(value, abs=1e-12)
                assert estimate.low <= value <= estimate.high
                assert estimate.n == rows.sum()
    assert set(detection_figures(scores, trials, n_resamples=2, ratios=False)) == {
        name for name in found if name.split("/")[0] in ("eer", "min_dcf", "min_cllr")
    }
    rows = trials.condition != "IW"
    fewer = Trials(*(column[rows] for column in (trials.condition, trials.enrolled, trials.tested)))
    assert {name for name in detection_figures(scores[rows], fewer, n_resamples=2) if name.startswith("eer")} == {
        "eer", "eer/TW", "eer/IC",
    }  # fmt: skip


@pytest.mark.parametrize("names", [("", "f"), ("10", "9"), (10, 9), ("weiblich", "männlich")])
def test_genders_have_the_figures_of_their_own_rows_and_trials_of_no_gender_are_pooled_alone(
    names: tuple[object, object],
) -> None:
    scores, trials = simulated(np.random.default_rng(9), 6)
    gender = np.where(trials.gender == "f", *np.array(names))
    found = detection_figures(scores, replace(trials, gender=gender), n_resamples=3)
    plain = detection_figures(scores, trials, n_resamples=3)
    assert found["eer"] == plain["eer"]
    for ours, theirs in zip(names, "fm", strict=True):
        assert ours == "" or found[f"eer/{ours}"] == plain[f"eer/{theirs}"]
    assert len(found) == len(plain) * (2 if "" in names else 3) // 3


def test_names_of_speakers_may_be_numbers_on_one_side() -> None:
    scores, trials = simulated(np.random.default_rng(10), 4)
    number = {name: i for i, name in enumerate(np.unique(trials.enrolled))}
    numbers = [np.array([number[name] for name in side]) for side in (trials.enrolled, trials.tested)]
    mixed = replace(trials, enrolled=numbers[0], tested=numbers[1].astype(str))
    assert detection_figures(scores, mixed, n_resamples=5) == detection_figures(scores, trials, n_resamples=5)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["/TW", "/IC", ""])
def test_resamples_are_those_of_a_loop_in_which_each_drawn_speaker_brings_his_trials(kind: str) -> None:
    scores, trials = simulated(np.random.default_rng(2), 5)
    part = dict(parts_of(trials))[kind]
    cost = Cost(0.3)
    figures, drawn = Sample(part, [Sorted.of(np.round(scores, 1))]).resampled(cost, 12, 7)
    rng, seen = np.random.default_rng(7), []
    for times in rng.multinomial(5, np.full(5, 0.2), size=12):
        rows = [
            row
            for row, e, t in zip(part.rows, part.enrolled, part.tested, strict=True)
            for _ in range(times[e] if e == t else times[e] * times[t])
        ]
        part_scores, target = np.round(scores, 1)[rows], trials.condition[rows] == "TC"
        if target.any() and not target.all():
            seen.append([
                eer(part_scores, target), min_dcf(part_scores, target, cost), min_cllr(part_scores, target),
                actual_dcf(part_scores, target, cost), cllr(part_scores, target),
            ])  # fmt: skip
    np.testing.assert_allclose(drawn[0, :, :5], seen, atol=1e-12)
    found = detection_figures(np.round(scores, 1), trials, cost, n_resamples=12, seed=7)
    low, high = quantiles(np.array(seen), tail_probability(5))
    spread = found["cllr" + kind]
    assert (spread.low, spread.high) == pytest.approx((min(low[4], spread.value), max(high[4], spread.value)))
    least = found["min_cllr" + kind]
    value = figures[0, 2]
    assert least.low == pytest.approx(max(min(2 * value - high[2], value), 0))
    assert least.high == pytest.approx(min(max(2 * value - low[2], value), 1))


@pytest.mark.oracle
def test_intervals_cover_what_all_speakers_together_would_show() -> None:
    rng = np.random.default_rng(3)
    scores, trials = simulated(rng, 700, 1)
    rows = np.isin(trials.condition, ["TC", "IC"])
    truth = eer(scores[rows], trials.condition[rows] == "TC")
    covered = []
    for seed in range(40):
        scores, trials = simulated(rng, 14, 2)
        rows = np.isin(trials.condition, ["TC", "IC"])
        trials = Trials(*(column[rows] for column in (trials.condition, trials.enrolled, trials.tested)))
        found = detection_figures(scores[rows], trials, n_resamples=80, ratios=False, seed=seed)["eer/IC"]
        covered.append(found.low <= truth <= found.high)
    assert 0.85 <= np.mean(covered) <= 0.99, "with squares of targets' multiplicities it is 1"


def test_systems_without_errors_and_single_speakers_have_intervals_too() -> None:
    scores, trials = simulated(np.random.default_rng(4), 6)
    perfect = detection_figures(np.where(trials.condition == "TC", 9.0, -9.0), trials, n_resamples=50)
    n_targets, n_others = (int((trials.condition == kind).sum()) for kind in ("TC", "IC"))
    assert perfect["eer/IC"].value == perfect["min_cllr/IC"].value == perfect["min_dcf/IC"].value == 0
    z2 = 1.959963984540054**2
    n = 4 / (1 / n_targets + 1 / n_others)
    assert perfect["eer/IC"].high == pytest.approx(z2 / (n + z2))
    assert 0 < perfect["min_cllr/IC"].high < 0.5
    assert perfect["min_dcf/IC"].high == 1.0
    rows = (trials.enrolled == trials.enrolled[0]) & (trials.tested == trials.enrolled[0])
    alone = Trials(*(column[rows] for column in (trials.condition, trials.enrolled, trials.tested)))
    found = detection_figures(scores[rows], alone, n_resamples=200)
    assert 0 < found["cllr/TW"].low < found["cllr/TW"].value < found["cllr/TW"].high < INF


@pytest.mark.filterwarnings("error")
def test_infinite_cllr_has_no_ends_and_leaves_other_figures_theirs() -> None:
    scores, trials = simulated(np.random.default_rng(8), 5)
    certain = np.where((trials.condition == "IC") & (np.arange(len(scores)) % 7 == 0), INF, scores)
    found, plain = (detection_figures(system, trials, n_resamples=30) for system in (certain, scores))
    assert found["cllr/IC"][:3] == found["cllr"][:3] == (INF, 0.0, INF)
    assert found["cllr/TW"] == plain["cllr/TW"]
    assert all(np.isfinite(estimate[:4]).all() for name, estimate in found.items() if name.split("/")[0] != "cllr")
    for first, other, value in ((scores, certain, INF), (certain, scores, -INF), (certain, certain - 1, math.nan)):
        moved = detection_differences(first, other, trials, n_resamples=5)["cllr/IC"]
        np.testing.assert_equal(moved[:4], (value, -INF, INF, math.nan))


def test_each_interval_says_how_it_was_made_and_cllr_of_two_speakers_has_none() -> None:
    scores, trials = simulated(np.random.default_rng(4), 6)
    found = detection_figures(scores, trials, n_resamples=50)
    perfect = detection_figures(np.where(trials.condition == "TC", 9.0, -9.0), trials, n_resamples=50)
    assert found["cllr"].method == "bootstrap over 6 speakers"
    for figures in (found, perfect):
        for suffix in ("", "/TW", "/IC"):
            kinds = ["TC", *((suffix[1:],) if suffix else ("TW", "IC", "IW"))]
            n_targets = int((trials.condition == "TC").sum())
            n_others = int(np.isin(trials.condition, kinds[1:]).sum())
            rate, n = figures[f"eer{suffix}"], 4 / (1 / n_targets + 1 / n_others)
            z2 = 1.959963984540054**2
            half = math.sqrt(z2 * (rate.value * (1 - rate.value) / n + z2 / (4 * n**2))) / (1 + z2 / n)
            is_wilson = rate.high - rate.low == pytest.approx(2 * half)
            assert rate.method.startswith("Wilson's over trials" if is_wilson else "bootstrap over 6 speakers")
    assert perfect["eer"].method.startswith("Wilson's")
    first_two = np.unique(trials.enrolled)[:2]
    rows = np.isin(trials.enrolled, first_two) & np.isin(trials.tested, first_two)
    pair = Trials(*(column[rows] for column in (trials.condition, trials.enrolled, trials.tested)))
    assert detection_figures(scores[rows], pair, n_resamples=50)["cllr/IC"].method == "no interval (2 speakers)"
    rows &= (trials.enrolled == first_two[0]) & (trials.tested == first_two[0])
    alone = Trials(*(column[rows] for column in (trials.condition, trials.enrolled, trials.tested)))
    assert detection_figures(scores[rows], alone)["cllr"].method == f"bootstrap over {rows.sum()} trials of one speaker"


def test_differences_are_paired_by_the_same_resamples() -> None:
    rng = np.random.default_rng(5)
    scores, trials = simulated(rng, 10)
    trials = replace(trials, gender=None)
    other = scores + 0.05 * rng.standard_normal(len(scores)) + 0.3 * (trials.condition == "TC")
    forth = detection_differences(scores, other, trials, n_resamples=150)
    back = detection_differences(other, scores, trials, n_resamples=150)
    first, second = (detection_figures(system, trials, n_resamples=150) for system in (scores, other))
    assert set(forth) == set(first)
    for name, found in forth.items():
        assert found.value == pytest.approx(second[name].value - first[name].value, abs=1e-12)
        assert (found.low, found.high) == pytest.approx((-back[name].high, -back[name].low), abs=1e-12)
        assert found.p == pytest.approx(back[name].p)
    for name in ("eer/IC", "cllr/IC"):  # what is hard for both cancels
        assert forth[name].high - forth[name].low < 0.7 * (first[name].high - first[name].low)
    assert forth["cllr/IC"].p < 0.05
    same = detection_differences(scores, scores, trials, n_resamples=5)["eer"]
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
    perfect = [np.where(trials.condition == "TC", height, -9.0) for height in (5.0, 9.0)]
    both = detection_differences(*perfect, trials, n_resamples=20)["eer/IC"]
    assert both.low < both.value == 0 < both.high


def test_the_order_of_trials_and_a_seed_decide_nothing_and_everything() -> None:
    scores, trials = simulated(np.random.default_rng(6), 7)
    rows = np.random.default_rng(0).permutation(len(scores))
    shuffled = Trials(trials.condition[rows], trials.enrolled[rows], trials.tested[rows], trials.gender[rows])
    here = detection_figures(scores, trials, n_resamples=30)
    there = detection_figures(scores[rows], shuffled, n_resamples=30)
    for name, estimate in here.items():
        assert there[name][:4] == pytest.approx(estimate[:4], rel=1e-10)
    assert detection_figures(scores, trials, n_resamples=30) == here
    assert detection_figures(scores, trials, n_resamples=30, seed=1) != here


def test_memory_is_bounded_by_parts_of_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, trials = simulated(np.random.default_rng(7), 6)
    whole = detection_figures(scores, trials, n_resamples=30)
    monkeypatch.setattr("phonaut.metrics.verification.MAX_CELLS", 1)  # one resample at a time
    for name, estimate in detection_figures(scores, trials, n_resamples=30).items():
        assert estimate[:4] == pytest.approx(whole[name][:4])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((["TC", "xx"], ["a", "b"], ["a", "b"]), "TC, TW, IC or IW; got xx in row 1"),
        ((["TC", "IC"], ["a"], ["a", "b"]), "rows of one length"),
        ((["TC", "IC"], ["a", "b"], ["a", "b"], ["f"]), "rows of one length"),
    ],
)
def test_trials_that_are_none_are_refused(columns: tuple[list[str], ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Trials(*map(np.array, columns))


@pytest.mark.parametrize(
    ("scores", "condition", "message"),
    [
        ([0.0], ["TC", "IC"], "one score for each trial"),
        ([0.0, math.nan], ["TC", "IC"], "NaN in row 1"),
        ([0.0, 1.0], ["TC", "TC"], "got 2 and 0"),
        ([0.0, 1.0], ["IW", "IC"], "got 0 and 2"),
    ],
)
def test_scores_that_do_not_fit_their_trials_are_refused(
    scores: list[float], condition: list[str], message: str
) -> None:
    trials = Trials(np.array(condition), np.array(["a", "b"]), np.array(["a", "a"]))
    with pytest.raises(ValueError, match=message):
        detection_figures(scores, trials)
