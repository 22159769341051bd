"""Runs side by side: only those that scored the same items, whatever the order of their rows and classes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.scored_runs import CLASSES, answers_of, scored, write_scored
from phonaut.config.plugins import add_config_dir
from phonaut.metrics import Scored, accuracy, mcnemar
from phonaut.runs import Predictions
from phonaut.runs.comparison import compare

TRUTH = [CLASSES[i % 3] for i in range(120)]


def two_runs(root: Path, **changes: object) -> list[Path]:
    """Runs with 40 and 10 mistakes; the predictions of the second are changed."""
    first = write_scored(root / "x" / "gmm", scored(answers_of(TRUTH, 40), TRUTH))
    return [first, write_scored(root / "x" / "gru", replace(scored(answers_of(TRUTH, 10), TRUTH), **changes))]


def test_figures_differences_and_costs_are_those_of_the_runs(tmp_path: Path) -> None:
    comparison = compare(two_runs(tmp_path))
    gmm, gru = comparison.runs
    assert (gmm.name, gru.name) == ("gmm", "gru")
    assert (comparison.n, comparison.n_speakers, comparison.n_unknown) == (120, 4, 0)
    assert gmm.rate.value == pytest.approx(80 / 120)
    assert gmm.difference is None is gmm.mcnemar
    assert gru.difference is not None
    assert gru.difference.value == pytest.approx(30 / 120)
    assert gru.mcnemar is not None
    p = scored(answers_of(TRUTH, 40), TRUTH), scored(answers_of(TRUTH, 10), TRUTH)
    only_first = int(((p[0].predicted == p[0].label) & (p[1].predicted != p[1].label)).sum())
    assert gru.mcnemar == mcnemar(only_first, only_first + 30)
    assert gru.cost("parameters") == 65204
    assert gru.cost("macs") is None


def test_what_two_runs_disagree_about_is_named_the_most_frequent_first(tmp_path: Path) -> None:
    truth = ["yes"] * 5 + ["no"] * 3
    a = write_scored(tmp_path / "x" / "a", scored(["no"] * 4 + ["yes"] + ["no"] * 3, truth))
    b = write_scored(tmp_path / "x" / "b", scored(["yes"] * 5 + ["stop", "no", "no"], truth))
    (_, other) = compare([a, b]).runs
    found = [(c.truth, c.first, c.other, c.n) for c in other.confusions]
    assert found == [("yes", "no", "yes", 4), ("no", "no", "stop", 1)]
    differences = [d.value for d in other.class_differences]
    assert differences[:2] == pytest.approx([4 / 5, -1 / 3])
    assert np.isnan(differences[2]), "nobody said stop"


def test_the_order_of_rows_and_classes_does_not_matter(tmp_path: Path) -> None:
    plain = compare(two_runs(tmp_path)).runs[1]
    turned = scored(answers_of(TRUTH, 10), TRUTH, classes=("stop", "yes", "no"))
    turned = turned.take(np.random.default_rng(0).permutation(120))
    other = write_scored(tmp_path / "y" / "gru", turned)
    found = compare([tmp_path / "x" / "gmm", other]).runs[1]
    assert found.difference == plain.difference
    assert found.mcnemar == plain.mcnemar
    assert found.confusions == plain.confusions


def test_frames_are_compared_where_both_runs_classify_them(tmp_path: Path) -> None:
    n = np.full(120, 10)
    right = np.arange(120) % 7
    runs = two_runs(tmp_path)
    with pytest.raises(ValueError, match="frame_accuracy: gmm has no classified frames, as model=probe gives"):
        compare(runs, metric="frame_accuracy")
    probes = [
        write_scored(tmp_path / name / "probe", scored(TRUTH, TRUTH, n_frames=n, n_correct_frames=right + more))
        for name, more in (("a", 0), ("b", 2))
    ]
    first, other = compare(probes, metric="frame_accuracy").runs
    assert first.rate.value == pytest.approx(right.sum() / 1200)
    assert first.rate.n == 1200
    assert other.difference is not None
    assert other.difference[:3] == pytest.approx((0.2, 0.2, 0.2)), "every span gains two of its ten frames"


def test_times_that_differ_by_rounding_are_the_same(tmp_path: Path) -> None:
    compare(two_runs(tmp_path, start_s=np.full(120, 1e-9)))


def test_whole_recordings_are_the_same_however_long_a_run_padded_them(tmp_path: Path) -> None:
    compare(two_runs(tmp_path, end_s=np.linspace(0.3, 1, 120)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cut": np.array([f"cut-{i + 2:04d}" for i in range(120)])},
            r"2 of 120 cuts only in gmm \(cut-0000, cut-0001\); 2 of 120 cuts only in gru \(cut-0120, cut-0121\)",
        ),
        (
            {"start_s": np.append(np.zeros(119), 0.1)},
            r"1 of 120 only in gmm \(cut-0119 0\.000-1\.000 s\); 1 of 120 only in gru \(cut-0119 0\.100-1\.000 s\)",
        ),
        (
            {"label_name": np.array(["no", *TRUTH[1:]])},
            r"the true label differs for 1 of 120 items \(cut-0000: yes and no\)",
        ),
        ({"speaker": np.array(["s"] * 120)}, "the speaker differs for 120 of 120 items .* and 115 more"),
        ({"classes": np.array(["yes", "no", "halt"])}, "other classes: it lacks stop and has also halt"),
    ],
)
def test_runs_of_other_items_are_refused_with_how_they_differ(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"gru cannot be compared with gmm: .*{message}"):
        compare(two_runs(tmp_path, **changes))


def test_what_cannot_be_compared_is_a_sentence(tmp_path: Path) -> None:
    first, second = two_runs(tmp_path)
    with pytest.raises(ValueError, match="two runs or more; it got 1"):
        compare([first])
    with pytest.raises(ValueError, match="named twice"):
        compare([first, second, tmp_path / "x" / "." / "gmm"])
    with pytest.raises(ValueError, match="metric=acc: it is one of accuracy, recall, f1"):
        compare([first, second], metric="acc")
    with pytest.raises(ValueError, match="holds no predictions for 'new words'; it has: test"):
        compare([first, second], split="new words")
    (second / "metrics.json").unlink()
    with pytest.raises(ValueError, match="gru is not finished"):
        compare([first, second])


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["a/gmm", "a/gru"], ["gmm", "gru"]),
        (["a/gmm", "b/gmm"], ["a", "b"]),
        (["a/gmm", "a/gru", "b/gmm"], ["a/gmm", "a/gru", "b/gmm"]),
        (["s/0_seed-0/gmm", "s/1_seed-1/gmm"], ["0_seed-0", "1_seed-1"]),
        (["s/0/gmm", "s/0/gru", "t/0/gmm"], ["s/0/gmm", "s/0/gru", "t/0/gmm"]),
    ],
)
def test_names_are_the_shortest_that_tell_the_runs_apart(folders: list[str], names: list[str], tmp_path: Path) -> None:
    runs = [write_scored(tmp_path / folder, scored(TRUTH, TRUTH)) for folder in folders]
    assert [run.name for run in compare(runs).runs] == names


def test_unknown_words_count_for_nothing_and_are_told(tmp_path: Path) -> None:
    truth = [*TRUTH, "maybe", "maybe"]
    runs = [
        write_scored(tmp_path / "x" / name, scored([*answers_of(TRUTH, n), "yes", other], truth))
        for name, n, other in (("a", 40, "no"), ("b", 10, "stop"))
    ]
    comparison = compare(runs)
    assert (comparison.n, comparison.n_unknown) == (120, 2)
    assert comparison.runs[0].rate == accuracy(*(np.array(x) for x in plain_columns(answers_of(TRUTH, 40))))


def plain_columns(answers: list[str]) -> tuple[list[int], list[int], list[str]]:
    truth = [CLASSES.index(word) for word in TRUTH]
    return truth, [CLASSES.index(word) for word in answers], [f"cut-s{i % 4}" for i in range(120)]


def test_curves_in_noise_are_read_by_kind_and_snr_and_unlike_noise_is_told(tmp_path: Path) -> None:
    noisy = {f"white_{snr}_db": scored(answers_of(TRUTH, 60 - snr), TRUTH) for snr in (20, 5)}
    noisy["recorded_5_db"] = scored(answers_of(TRUTH, 50), TRUTH)
    runs = []
    for name, digest in (("a", "00"), ("b", "00"), ("c", "ff")):
        noise = {"test": {"white": {"made": True}, "recorded": {"digest": digest}}}
        clean = scored(answers_of(TRUTH, 10), TRUTH)
        runs.append(write_scored(tmp_path / "x" / name, clean, noisy=noisy, noise=noise))
    comparison = compare(runs[:2])
    levels = comparison.runs[0].in_noise
    assert {kind: list(curve) for kind, curve in levels.items()} == {"white": [5.0, 20.0], "recorded": [5.0]}
    assert levels["white"][5.0].value == pytest.approx(65 / 120)
    assert comparison.noises == ["white", "recorded"]
    assert comparison.remarks == []
    assert "recorded noise was not the same" in " ".join(compare(runs).remarks)


def test_log_likelihoods_are_of_the_split_and_those_of_other_features_are_told(tmp_path: Path) -> None:
    more = {"n_frames": np.full(120, 10), "log_likelihood": np.full(120, -300.0)}
    runs = [
        write_scored(tmp_path / "x" / "a", scored(TRUTH, TRUTH, **more), config={"features": {"n_mfcc": 13}}),
        write_scored(tmp_path / "x" / "b", scored(TRUTH, TRUTH)),
        write_scored(
            tmp_path / "x" / "c",
            scored(TRUTH, TRUTH),
            model={"log_likelihood_per_frame": {"validation": -29.0, "test": -31.5}},
            config={"features": {"n_mfcc": 40}},
        ),
    ]
    found = compare(runs)
    assert [run.log_likelihood_per_frame for run in found.runs] == [-30.0, None, -31.5]
    assert "different features" in " ".join(found.remarks)
    assert compare(runs[:2]).remarks == []


def test_another_evaluation_of_the_runs_can_be_compared(tmp_path: Path) -> None:
    first, second = two_runs(tmp_path)
    for run, n in ((first, 3), (second, 0)):
        scored(answers_of(TRUTH[:30], n), TRUTH[:30], prefix="new").save(run / "predictions" / "new words.npz")
        metrics = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps(metrics | {"new words": metrics["test"]}))
    comparison = compare([first, second], split="new words")
    assert comparison.runs[1].rate.value == 1.0
    assert comparison.n == 30


def mean_score(scored: Scored) -> float | None:
    """A toy metric: the mean of the greatest scores."""
    return None if scored.scores is None else float(scored.scores.max(axis=1).mean())


@pytest.fixture
def toy_metric(tmp_path: Path) -> None:
    """The toy metric, added by a configuration file."""
    (tmp_path / "conf" / "metric").mkdir(parents=True)
    lines = (f"_target_: {__name__}.mean_score", "label: mean score", "direction: lower")
    (tmp_path / "conf" / "metric" / "mean_score.yaml").write_text("\n".join(lines))
    add_config_dir(tmp_path / "conf")


@pytest.mark.usefixtures("toy_metric")
def test_a_metric_of_ones_own_is_evaluated_compared_and_reported(tmp_path: Path) -> None:
    from phonaut.reports.comparison import as_csv, page
    from phonaut.reports.comparison_table import about, columns
    from phonaut.reports.record import read
    from phonaut.reports.sections.evaluations import columns as metrics_of
    from phonaut.reports.sections.evaluations import evaluations

    plain = scored(answers_of(TRUTH, 10), TRUTH)
    louder = replace(plain, scores=plain.scores * np.where(np.arange(120) < 40, 2, 1)[:, None].astype(np.float32))
    runs = [write_scored(tmp_path / "x" / "gmm", plain), write_scored(tmp_path / "x" / "gru", louder)]
    rows = evaluations(read(runs[1]))
    assert rows[0].rates["mean_score"].value == pytest.approx(4.0)
    assert [metric.label for metric in metrics_of(rows)] == ["accuracy", "recall", "f1", "mean score"]
    comparison = compare(runs, metric="mean_score")
    gmm, gru = comparison.runs
    assert (gmm.rate.value, gru.rate.value) == pytest.approx((3.0, 4.0))
    assert gru.difference is not None
    assert gru.difference[:3] == pytest.approx((1.0, 1.0, 1.0), abs=0.06)
    assert about(comparison).startswith("mean score on 120 clips")
    table = dict(columns(comparison))
    assert table["mean score"] == ["3", "4"]
    assert table["difference"][1].startswith("+1 (+")
    assert ",mean_score,4.0," in as_csv(comparison)
    html = page(comparison, None)
    assert "Mean score" in html
    assert "lower is better" in html
    assert "points" not in html.partition("<h2>By class")[0].partition("<body>")[2]


@pytest.mark.usefixtures("toy_metric")
def test_runs_without_classes_are_compared_by_a_metric_of_their_own(tmp_path: Path) -> None:
    from phonaut.reports.comparison import page

    n = len(TRUTH)
    bare = {"classes": np.array([], dtype=np.str_), "label": np.full(n, -1), "scores": np.zeros((n, 0), np.float32)}
    values = np.random.default_rng(0).normal(size=n)
    (tmp_path / "conf" / "metric" / "error.yaml").write_text(f"_target_: {__name__}.mean_error\n")
    runs = [
        write_scored(tmp_path / "x" / name, replace(scored(TRUTH, TRUTH), **bare, columns={"error": values + more}))
        for name, more in (("a", 0.0), ("b", 0.5))
    ]
    comparison = compare(runs, metric="error")
    other = comparison.runs[1]
    assert (comparison.n, comparison.n_unknown) == (n, 0)
    assert other.difference is not None
    assert other.difference.value == pytest.approx(0.5)
    assert other.mcnemar is None
    html = page(comparison, None)
    assert "McNemar's" not in html
    assert "By class" not in html
    with pytest.raises(ValueError, match="accuracy: a has no"):
        compare(runs)


def mean_error(scored: Scored) -> float | None:
    """A toy metric of a column."""
    return float(scored.columns["error"].mean()) if "error" in scored.columns else None


def test_predictions_written_under_earlier_names_load(tmp_path: Path) -> None:
    p = scored(TRUTH, TRUTH, n_frames=np.full(120, 9), n_correct_frames=np.arange(120) % 9)
    p.save(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz") as file:
        arrays = dict(file)
    arrays["word"], arrays["n_right"] = arrays.pop("label_name"), arrays.pop("n_correct_frames")
    np.savez(tmp_path / "old.npz", **arrays)
    old = Predictions.load(tmp_path / "old.npz")
    assert old.label_name.tolist() == TRUTH
    np.testing.assert_array_equal(old.columns["n_correct_frames"], p.columns["n_correct_frames"])
