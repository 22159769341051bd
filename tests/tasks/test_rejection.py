"""None of these: the threshold is the best there is on validation, its rates are counts, and the CSV says the same."""

import csv
from pathlib import Path

import numpy as np
import pytest

from helpers.scored_runs import scored
from phonaut.runs import Predictions
from phonaut.tasks.rejection import choose, is_none, least_sum, rates, sides

CLASSES = ("yes", "no", "_silence_", "_unknown_")


def drawn(n_unknown: int, n: int = 60) -> Predictions:
    """Random scores, in which the true class is likelier; some recordings are of other words."""
    rng = np.random.default_rng(0)
    truth = [*(CLASSES[i % 3] for i in range(n)), *(["_unknown_"] * n_unknown)]
    p = scored(truth, truth, classes=CLASSES)
    p.scores[:] = rng.normal(size=p.scores.shape) + 2.0 * np.eye(len(CLASSES))[p.label]
    return p


def test_the_threshold_has_the_least_sum_of_both_errors_of_all_that_could_be_taken() -> None:
    p = drawn(n_unknown=30)
    found = choose(p, "validation")
    assert found is not None
    assert found["rule"] == "others"
    posterior = np.exp(p.scores) / np.exp(p.scores).sum(axis=1, keepdims=True)
    best = posterior.argmax(axis=1)
    score = np.where(best < 2, posterior.max(axis=1), 0.0)
    word, other = p.label < 2, p.label == 3

    def cost(threshold: float) -> float:
        return float((score[word] < threshold).mean() + (score[other] >= threshold).mean())

    every = [cost(threshold) for threshold in np.unique(score[score > 0])]
    assert cost(found["threshold"]) == pytest.approx(min(every), abs=1e-12)
    assert found["words"] == {"n": 40, "rejected": int((score[word] < found["threshold"]).sum())}
    assert found["others"] == {"n": 30, "rejected": int((score[other] < found["threshold"]).sum())}
    estimates = rates(p, found)
    assert estimates["words_rejected"].value + estimates["others_accepted"].value == pytest.approx(min(every))
    assert estimates["others_accepted"].n == 30, "silence is neither"


def test_without_other_words_one_in_twenty_right_answers_is_below_the_threshold() -> None:
    p = drawn(n_unknown=3, n=150)
    found = choose(p, "validation")
    assert found is not None
    assert found["rule"] == "right"
    right = np.sort(sides(p).score[sides(p).right])
    n_below = int((right < found["threshold"]).sum())
    assert n_below == int(0.05 * len(right)) == found["right"]["rejected"]
    assert choose(drawn(n_unknown=3, n=9), "validation") is None, "on too few nothing is chosen"


def test_all_words_alike_are_accepted_and_nothing_is_where_others_are_always_surer() -> None:
    assert least_sum(np.full(3, 0.5), np.full(2, 0.5)) == 0.5
    assert least_sum(np.array([0.1]), np.array([0.9])) <= 0.1
    assert is_none("_silence_", 0.1, 0.5) is False


def test_a_csv_beside_the_scores_has_the_decisions(tmp_path: Path) -> None:
    p = drawn(n_unknown=2)
    p.save(tmp_path / "test.npz")
    with (tmp_path / "test.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(p)
    posterior = np.exp(p.scores) / np.exp(p.scores).sum(axis=1, keepdims=True)
    for row, truth, name, of in zip(rows, p.label_name, p.recording, posterior, strict=True):
        second, first = np.argsort(of)[-2:]
        assert (row["recording"], row["label"], row["start_s"], row["end_s"]) == (name, truth, "0.0", "1.0")
        assert (row["predicted"], row["second"]) == (CLASSES[first], CLASSES[second])
        assert [float(row["probability"]), float(row["second_probability"])] == pytest.approx(
            [of[first], of[second]], abs=5.1e-5
        )
