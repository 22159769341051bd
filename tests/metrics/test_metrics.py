"""Figures equal scikit-learn's, and intervals cover what they should."""

import numpy as np
import pytest

from phonaut.metrics import (
    Estimate,
    accuracy,
    by_class,
    by_speaker,
    confusion_matrix,
    f1,
    rates_from_confusion,
    recall,
    wilson,
)


def decisions(n: int = 400, n_classes: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, n_classes, n)
    predicted = np.where(rng.random(n) < 0.8, label, rng.integers(0, n_classes, n))
    return label, predicted, rng.integers(0, 7, n).astype(str)


@pytest.mark.peer
@pytest.mark.parametrize("n_classes", [2, 5, 9])
def test_figures_equal_scikit_learn(n_classes: int) -> None:
    from sklearn import metrics as theirs

    label, predicted, speaker = decisions(n_classes=n_classes, seed=n_classes)
    assert accuracy(label, predicted, speaker).value == pytest.approx(
        theirs.accuracy_score(label, predicted), abs=1e-12
    )
    macro = {"average": "macro", "zero_division": 0}
    ours = recall(label, predicted, speaker, n_classes=n_classes).value
    assert ours == pytest.approx(theirs.recall_score(label, predicted, **macro), abs=1e-12)
    ours = f1(label, predicted, speaker, n_classes=n_classes).value
    assert ours == pytest.approx(theirs.f1_score(label, predicted, **macro), abs=1e-12)
    np.testing.assert_array_equal(
        confusion_matrix(label, predicted, n_classes), theirs.confusion_matrix(label, predicted)
    )
    table = by_class(label, predicted, speaker, [str(c) for c in range(n_classes)])
    precision, found, score, support = theirs.precision_recall_fscore_support(label, predicted, zero_division=0)
    np.testing.assert_allclose([row.precision.value for row in table], precision, atol=1e-12)
    np.testing.assert_allclose([row.recall.value for row in table], found, atol=1e-12)
    np.testing.assert_allclose([row.f1.value for row in table], score, atol=1e-12)
    assert [row.recall.n for row in table] == list(support)


@pytest.mark.oracle
@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (298, 300)])
def test_wilsons_interval_holds_the_rates_that_a_score_test_does_not_reject(right: int, n: int) -> None:
    # The interval is the set of p with |right / n - p| <= 1.96 sqrt(p (1 - p) / n): found here by trying them all.
    p = np.linspace(0, 1, 200_001)
    kept = p[np.abs(right / n - p) <= 1.959964 * np.sqrt(p * (1 - p) / n) + 1e-12]
    low, high = wilson(right, n)
    assert (low, high) == (pytest.approx(kept.min(), abs=1e-5), pytest.approx(kept.max(), abs=1e-5))


def test_the_order_of_the_rows_changes_neither_value_nor_interval() -> None:
    label, predicted, speaker = decisions()
    order = np.random.default_rng(1).permutation(len(label))
    assert accuracy(label, predicted, speaker) == accuracy(label[order], predicted[order], speaker[order])
    shuffled = f1(label[order], predicted[order], speaker[order], n_classes=5)
    assert f1(label, predicted, speaker, n_classes=5) == shuffled


def test_an_unknown_class_is_left_out_everywhere() -> None:
    label, predicted, speaker = decisions()
    more = np.append(label, [-1, -1]), np.append(predicted, [0, 1]), np.append(speaker, ["0", "new"])
    assert accuracy(*more) == accuracy(label, predicted, speaker)
    assert f1(*more, n_classes=5) == f1(label, predicted, speaker, n_classes=5)
    assert "new" not in by_speaker(*more)


def test_speakers_that_differ_widen_the_interval() -> None:
    # 20 speakers, each all right or nearly all wrong: 1,000 clips say no more than 20.
    right = np.repeat(np.arange(20) % 4 != 0, 50)
    label = np.zeros(1000, dtype=int)
    predicted = np.where(right, 0, 1)
    by_speakers = accuracy(label, predicted, np.repeat(np.arange(20), 50))
    by_clips = accuracy(label, predicted, np.zeros(1000))
    assert by_speakers.value == by_clips.value == 0.75
    assert by_speakers.high - by_speakers.low > 4 * (by_clips.high - by_clips.low)


@pytest.mark.oracle
def test_the_interval_over_speakers_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        skill = rng.beta(8, 2, 40)  # the mean over all speakers there could be is 0.8
        speaker = np.repeat(np.arange(40), 20)
        predicted = (rng.random(800) > skill[speaker]).astype(int)
        rate = accuracy(np.zeros(800, dtype=int), predicted, speaker)
        covered += rate.low <= 0.8 <= rate.high
    assert 0.90 <= covered / 200 <= 0.99


def test_without_an_error_the_interval_is_not_a_point() -> None:
    rate = accuracy([0, 1] * 150, [0, 1] * 150, np.arange(300) % 6)
    assert (rate.value, rate.high, rate.n) == (1.0, 1.0, 300)
    assert rate.low == pytest.approx(0.98736, abs=1e-5)


def test_with_the_same_share_of_errors_by_every_speaker_the_interval_is_not_a_point() -> None:
    label = np.zeros(132, dtype=int)
    predicted, speaker = label.copy(), np.repeat(["a", "b", "c"], 44)
    predicted[[0, 44, 88]] = 1  # one error each: every resample gives 129 of 132
    rate = accuracy(label, predicted, speaker)
    assert (rate.low, rate.high) == pytest.approx(wilson(129, 132))
    assert by_class(label, predicted, speaker, ["x", "y"])[0].recall == rate


def test_a_class_without_clips_has_no_recall_and_is_not_averaged() -> None:
    table = by_class([0, 0, 1], [0, 1, 1], ["a", "a", "b"], ["x", "y", "absent"])
    assert np.isnan(table[2].recall.value)
    assert recall([0, 0, 1], [0, 1, 1], ["a", "a", "b"], n_classes=3).value == pytest.approx(0.75)
    assert rates_from_confusion(np.zeros((3, 3))) == {"accuracy": 0.0, "recall": 0.0, "f1": 0.0}


def test_nothing_to_count_is_no_figure() -> None:
    rate = accuracy([-1], [0], ["a"])
    assert np.isnan(rate.value)
    assert rate.n == 0


def test_a_rate_is_kept_as_plain_numbers() -> None:
    assert Estimate(0.5, 0.4, 0.6, 10).as_dict() == {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10}
