"""Calibrated scores are log-likelihood ratios, whatever scale they had, and a threshold says what it means."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest

from phonaut.metrics.calibration import (
    PRIORS,
    Calibration,
    Fusion,
    fit_calibration,
    fit_fusion,
    of_many,
    quality_inputs,
    threshold_in_words,
)
from phonaut.metrics.verification import Cost, cllr, error_rates, min_cllr

Drawn = tuple[dict[str, np.ndarray], np.ndarray]


def drawn(rng: np.random.Generator, n: int, counts: tuple[int, int, int] = (1, 1, 1)) -> Drawn:
    """A speaker score and a phrase score of owners, impostors and owners with a wrong phrase."""
    condition = np.repeat(["TC", "IC", "TW"], np.array(counts) * n)
    speaker = np.where(condition == "IC", -1.0, 1.0) + rng.standard_normal(len(condition))
    phrase = np.where(condition == "TW", -1.5, 1.5) + rng.standard_normal(len(condition))
    return {"speaker": speaker, "phrase": phrase}, condition


@pytest.mark.oracle
def test_scores_of_known_densities_become_their_log_likelihood_ratios() -> None:
    rng = np.random.default_rng(0)
    condition = np.repeat(["TC", "IC"], [10_000, 20_000])
    ratio = np.where(condition == "TC", 2.0, -2.0) + 2.0 * rng.standard_normal(len(condition))  # N(v/2, v), N(-v/2, v)
    found = fit_calibration({"score": 7 - 0.01 * ratio}, condition)
    assert found.weights["score"] == pytest.approx(-100, rel=0.03)
    assert found.offset == pytest.approx(700, rel=0.03)
    ratios = found({"score": 7 - 0.01 * ratio})
    assert cllr(ratios, condition == "TC") == pytest.approx(min_cllr(ratios, condition == "TC"), abs=0.01)
    cost = Cost(0.2, 1, 5)
    miss, alarm = error_rates(ratios, condition == "TC", cost.threshold)
    ways = [cost.of(*error_rates(ratios, condition == "TC", t)) for t in np.linspace(-6, 6, 25)]
    assert cost.of(miss, alarm) <= min(ways) + 0.01


@pytest.mark.peer
@pytest.mark.parametrize("priors", [PRIORS, {"TC": 0.2, "IC": 0.5, "TW": 0.3}])
def test_the_fusion_is_scikit_learns_weighted_logistic_regression(priors: dict[str, float]) -> None:
    from sklearn.linear_model import LogisticRegression

    inputs, condition = drawn(np.random.default_rng(1), 4000, (1, 2, 4))
    inputs |= quality_inputs("duration", *np.random.default_rng(2).uniform(1, 3, (2, len(condition))))
    del inputs["duration greatest"], inputs["duration difference"]
    found = fit_calibration(inputs, condition, priors=priors)
    weight = sum((condition == kind) * share / (condition == kind).sum() for kind, share in priors.items())
    columns = np.stack(list(inputs.values()), axis=1)
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=500)
    theirs.fit(columns, condition == "TC", sample_weight=weight * len(weight))
    assert list(found.weights.values()) == pytest.approx(theirs.coef_[0], rel=0.01, abs=0.003)
    prior_odds = math.log(priors["TC"] / (1 - priors["TC"]))
    assert found.offset == pytest.approx(theirs.intercept_[0] - prior_odds, abs=0.01)


def test_how_many_trials_a_condition_has_does_not_weigh() -> None:
    inputs, condition = drawn(np.random.default_rng(4), 1500)
    again = np.concatenate([np.arange(len(condition)), *[np.flatnonzero(condition == "IC")] * 9])
    few = fit_calibration(inputs, condition)
    many = fit_calibration({name: column[again] for name, column in inputs.items()}, condition[again])
    assert list(many.weights.values()) == pytest.approx(list(few.weights.values()), rel=0.01)
    assert many.n_trials["IC"] == 10 * few.n_trials["IC"]
    assert min(few.weights.values()) > 0


def test_the_fusion_beats_its_members_and_is_near_its_minimum_on_other_trials() -> None:
    rng = np.random.default_rng(5)
    inputs, condition = drawn(rng, 1500)
    others, kinds = drawn(rng, 1500)
    fused = fit_calibration(inputs, condition)(others)
    loss = cllr(fused, kinds == "TC")
    for name in inputs:
        alone = fit_calibration({name: inputs[name]}, condition)({name: others[name]})
        assert loss < cllr(alone, kinds == "TC") - 0.05
    assert loss - min_cllr(fused, kinds == "TC") < 0.05


@pytest.mark.parametrize("n", [1, 5, 200])
def test_scores_that_separate_all_trials_prove_odds_of_about_their_number(n: int) -> None:
    rng = np.random.default_rng(n)
    condition = np.repeat(["TC", "IC"], n)
    scores = np.where(condition == "TC", 100.0, -100.0) + rng.uniform(-1, 1, 2 * n)
    inputs = {"score": scores, "other": rng.standard_normal(2 * n)}
    ratios = fit_calibration(inputs, condition)(inputs)
    assert np.isfinite(ratios).all()
    assert np.abs(ratios).max() < math.log(n + 1) + 2
    assert min(ratios[condition == "TC"]) > 0 > max(ratios[condition == "IC"])


def test_units_and_offsets_of_inputs_change_no_ratio() -> None:
    inputs, condition = drawn(np.random.default_rng(6), 300)
    moved = {"speaker": 1e6 + 1e3 * inputs["speaker"], "phrase": 1e-7 * inputs["phrase"] - 3}
    here, there = fit_calibration(inputs, condition), fit_calibration(moved, condition)
    np.testing.assert_allclose(there(moved), here(inputs), atol=1e-5)


def test_inputs_that_say_the_same_or_nothing_share_one_solution() -> None:
    inputs, condition = drawn(np.random.default_rng(7), 300)
    twice = {**inputs, "again": 2 * inputs["speaker"], "constant": np.full(len(condition), 0.1)}
    found, plain = fit_calibration(twice, condition), fit_calibration(inputs, condition)
    assert found.weights["constant"] == 0
    assert 2 * found.weights["again"] == pytest.approx(found.weights["speaker"], rel=1e-3)
    np.testing.assert_allclose(found(twice), plain(inputs), atol=1e-3)


def test_a_prior_without_trials_goes_to_the_other_non_targets_and_the_result_says_so() -> None:
    inputs, condition = drawn(np.random.default_rng(8), 200, (1, 1, 0))
    assert fit_calibration(inputs, condition).priors == {"TC": 0.5, "IC": 0.5}
    all_four = np.where(np.arange(len(condition)) % 3 == 1, "IW", condition)
    found = fit_calibration(inputs, all_four)
    assert set(found.n_trials) == {"TC", "IC"}, "IW has no prior"
    assert set(fit_calibration(inputs, all_four, priors={"TC": 0.4, "IC": 0.3, "IW": 0.3}).n_trials) == {
        "TC", "IC", "IW",
    }  # fmt: skip


def test_a_calibration_survives_json() -> None:
    inputs, condition = drawn(np.random.default_rng(9), 50)
    found = fit_calibration(inputs, condition)
    again = Calibration(**json.loads(json.dumps(asdict(found))))
    assert again == found
    assert (again(dict(reversed(inputs.items()))) == found(inputs)).all()


def test_infinite_scores_stay_infinite_and_do_not_cancel_unseen() -> None:
    map_ = Calibration({"a": 2.0, "b": 1.0, "c": 0.0}, 1.0, {}, {})
    assert map_({"a": [math.inf, 0.0], "b": [3.0, -math.inf], "c": [math.inf, 0.0]}).tolist() == [math.inf, -math.inf]
    with pytest.raises(ValueError, match="must not cancel; they do in row 1"):
        map_({"a": [0.0, math.inf], "b": [0.0, -math.inf], "c": [0.0, 0.0]})


@pytest.mark.parametrize(
    ("inputs", "condition", "options", "message"),
    [
        ({}, ["TC"], {}, "must have an input"),
        ({"s": [1.0, math.nan]}, ["TC", "IC"], {}, "s has NaN in row 1"),
        ({"s": [1.0, math.inf]}, ["TC", "IC"], {}, "finite; s has inf in row 1"),
        ({"s": [1.0, 2.0], "q": [1.0]}, ["TC", "IC"], {}, r"one length; q is \(1,\)"),
        ({"s": [1.0, 2.0]}, ["TC"], {}, "one condition for each trial"),
        ({"s": [1.0, 2.0]}, ["TC", "tw"], {}, "got tw in row 1"),
        ({"s": [1.0, 2.0]}, ["TC", "TC"], {}, "targets and non-targets .* got trials of TC$"),
        ({"s": [1.0, 2.0]}, ["IC", "TW"], {}, "targets and non-targets .* got trials of IC, TW$"),
        ({"s": [1.0, 2.0]}, ["TC", "IW"], {}, "targets and non-targets .* got trials of TC$"),
        ({"s": [1.0, 2.0]}, ["TC", "IC"], {"priors": {"TC": 0.5, "IC": 0.6}}, "add up to 1"),
        ({"s": [1.0, 2.0]}, ["TC", "IC"], {"priors": {"TC": 1.0, "IC": 0.0}}, "add up to 1, with TC between"),
        ({"s": [1.0, 2.0]}, ["TC", "IC"], {"priors": {"TC": 0.5, "XX": 0.5}}, "XX is no condition"),
        ({"s": [1.0, 2.0]}, ["TC", "IC"], {"priors": {"TC": 0.5, "IC": 1.0, "TW": -0.5}}, "prior of TW must be >= 0"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(
    inputs: dict[str, list[float]], condition: list[str], options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit_calibration(inputs, condition, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [({"a": [1.0]}, "missing: b"), ({"a": [1.0], "b": [math.nan]}, "b has NaN"), ({"a": [1.0], "b": []}, "b is")],
)
def test_inputs_that_do_not_fit_a_calibration_are_refused(inputs: dict[str, list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Calibration({"a": 1.0, "b": 1.0}, 0.0, {}, {})(inputs)


def test_quality_inputs_do_not_depend_on_the_side_and_refuse_ratios_of_what_is_not_positive() -> None:
    there, back = quality_inputs("norm", [1.0, 4.0], [2.0, 3.0]), quality_inputs("norm", [2.0, 3.0], [1.0, 4.0])
    assert {name: column.tolist() for name, column in there.items()} == {
        "norm least": [1, 3], "norm greatest": [2, 4], "norm difference": [1, 1], "norm ratio": [0.5, 0.75],
    }  # fmt: skip
    assert {name: column.tolist() for name, column in back.items()} == {n: c.tolist() for n, c in there.items()}
    assert list(quality_inputs("cohort mean", [-1.0], [2.0], ratio=False)) == [
        "cohort mean least", "cohort mean greatest", "cohort mean difference",
    ]  # fmt: skip
    for value in (-1.0, 0.0, math.inf):
        with pytest.raises(ValueError, match=f"norm must be finite and > 0.*{value} and 1.0 in row 1"):
            quality_inputs("norm", [1.0, value], [1.0, 1.0])
    with pytest.raises(ValueError, match="mean must be finite; got"):
        quality_inputs("mean", [math.inf], [1.0], ratio=False)


def test_a_threshold_says_how_many_are_let_in_and_turned_away() -> None:
    scores = np.concatenate([np.arange(1000) < 12, np.arange(200) >= 6, np.zeros(300)]).astype(float)
    condition = np.repeat(["IC", "TC", "TW"], [1000, 200, 300])
    assert threshold_in_words(scores, condition, 0.5) == (
        "At a threshold of 0.5, of 1000 impostors 12 are let in; none of 300 owners with a wrong phrase is let in, so "
        "that of 1000 fewer than 13 should be; of 100 owners 3 are turned away; measured on 1,000 trials of impostors, "
        "300 of owners with a wrong phrase and 200 of owners."
    )
    with pytest.raises(ValueError, match="got 2 and 0"):
        threshold_in_words([1.0, 2.0], ["TC", "TC"], 0.0)


@pytest.mark.parametrize(
    ("rate", "n", "words"),
    [
        (0.03, 5000, "of 100 X 3 are in"),
        (0.01, 5000, "of 100 X 1 is in"),
        (0.0034, 10**6, "of 10,000 X 34 are in"),
        (1 / 300, 300, "of 1000 X 3 are in"),
        (1.0, 7, "of 100 X 100 are in"),
        (2e-6, 10**6, "of 1,000,000 X 2 are in"),
    ],
)
def test_rates_are_counts_of_a_round_number_no_larger_than_the_trials_call_for(rate: float, n: int, words: str) -> None:
    assert of_many(rate, n, "X", "in") == words


@pytest.mark.oracle
def test_a_fusion_is_the_ratio_to_the_mixture_of_impostors_and_wrong_phrases_which_no_weighted_sum_is() -> None:
    inputs, condition = drawn(np.random.default_rng(12), 20_000)

    def log_density(mean: tuple[float, float]) -> np.ndarray:
        return -((inputs["speaker"] - mean[0]) ** 2 + (inputs["phrase"] - mean[1]) ** 2) / 2

    others = np.logaddexp(log_density((-1.0, 1.5)), log_density((1.0, -1.5))) - math.log(2)
    exact = log_density((1.0, 1.5)) - others
    found = fit_fusion(inputs, condition)
    assert found.priors == pytest.approx({"IC": 0.5, "TW": 0.5})
    assert found.n_trials == {"TC": 20_000, "IC": 20_000, "TW": 20_000}
    assert np.abs(found(inputs) - exact).mean() < 0.05
    assert np.abs(fit_calibration(inputs, condition)(inputs) - exact).mean() > 0.5
    assert cllr(found(inputs), condition == "TC") < cllr(fit_calibration(inputs, condition)(inputs), condition == "TC")


def test_a_fusion_against_one_kind_is_its_calibration_survives_json_and_reads_those_of_earlier_runs() -> None:
    inputs, condition = drawn(np.random.default_rng(13), 100, (1, 1, 0))
    alone, found = fit_calibration(inputs, condition), fit_fusion(inputs, condition)
    assert (found(inputs) == alone(inputs)).all()
    both = fit_fusion(*drawn(np.random.default_rng(14), 100))
    assert Fusion.from_dict(json.loads(json.dumps(asdict(both)))) == both
    earlier = Fusion.from_dict(json.loads(json.dumps(asdict(alone))))
    assert (earlier(inputs) == alone(inputs)).all()
    assert earlier.n_trials == alone.n_trials
    for damaged in ({}, {"against": 3, "priors": {}}, {"weights": {}}, {"against": {"IC": {"a": 1}}, "priors": {}}):
        with pytest.raises(ValueError, match="no calibration"):
            Fusion.from_dict(damaged)


def test_infinite_scores_of_a_fusion_are_infinite() -> None:
    one = Calibration({"a": 1.0}, 0.0, {}, {})
    two = Calibration({"b": 1.0}, 0.0, {}, {})
    inf = math.inf
    ratios = Fusion({"IC": one, "TW": two}, {"IC": 0.5, "TW": 0.5})(
        {"a": [inf, -inf, inf, 0.0], "b": [inf, 2.0, 2.0, 0.0]}
    )
    assert ratios.tolist() == pytest.approx([inf, -inf, 2.0 + math.log(2), 0.0])
