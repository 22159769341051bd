"""The runs of a sweep over folds are one run; anything else in a folder is refused by name."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.scored_runs import CLASSES, answers_of, scored, write_scored
from phonaut.runs import Folds, Run, members, open_run
from phonaut.runs.comparison import compare
from phonaut.runs.folds import open_sweep

TRUTH = [CLASSES[i % 3] for i in range(30)]


def write_folds(folder: Path, n_wrong: tuple[int, ...] = (3, 6, 0), *, model: str = "gmm", **more: Any) -> Path:
    for fold, n in enumerate(n_wrong):
        config = {"protocol": {"fold": fold, "n_folds": len(n_wrong)}, "experiment_id": folder.name}
        predictions = scored(answers_of(TRUTH, n), TRUTH, prefix=f"fold{fold}")
        about = {"parameters": 100 + fold, "train_seconds": 1.5}
        write_scored(folder / f"{fold}_f" / model, predictions, config=config, model=about, **more)
    return folder


def test_folds_are_pooled_with_their_sizes_and_times(tmp_path: Path) -> None:
    folds = open_run(write_folds(tmp_path / "x"))
    assert isinstance(folds, Folds)
    pooled = folds.predictions("test")
    assert len(pooled) == 90
    assert (pooled.predicted != pooled.label).sum() == 9
    assert len(set(pooled.speaker.tolist())) == 12
    assert folds.model["parameters"] == 101
    assert folds.model["train_seconds"] == 4.5
    assert members(tmp_path / "x") == [tmp_path / "x" / f"{i}_f" / "gmm" for i in range(3)]


def test_a_run_in_its_experiment_is_no_fold(tmp_path: Path) -> None:
    run = write_scored(tmp_path / "x" / "gmm", scored(TRUTH, TRUTH))
    assert isinstance(open_run(tmp_path / "x"), Run)
    assert members(tmp_path / "x") == [run]
    with pytest.raises(ValueError, match=r"nowhere is not a run: there is no such folder"):
        open_run(tmp_path / "nowhere")


def test_folds_are_compared_as_one_run_with_their_experiments_names(tmp_path: Path) -> None:
    noisy = {"white_5_db": scored(answers_of(TRUTH, 20), TRUTH)}
    write_folds(tmp_path / "x")
    write_folds(tmp_path / "y", (0, 1, 0), noisy=noisy)
    comparison = compare([tmp_path / "x", tmp_path / "y"])
    assert [run.name for run in comparison.runs] == ["x", "y"]
    assert comparison.runs[1].model == "gmm, 3 folds"
    assert comparison.n == 90
    assert comparison.runs[1].difference is not None
    assert comparison.runs[1].difference.value == pytest.approx(8 / 90)


def test_curves_of_folds_are_counted_over_all_their_cuts(tmp_path: Path) -> None:
    for fold, n in enumerate((10, 20)):
        noisy = {"white_5_db": scored(answers_of(TRUTH, n), TRUTH, prefix=f"fold{fold}")}
        config = {"protocol": {"fold": fold}}
        clean = scored(TRUTH, TRUTH, prefix=f"fold{fold}")
        write_scored(tmp_path / "x" / str(fold) / "gmm", clean, config=config, noisy=noisy)
    write_folds(tmp_path / "y", (0, 1))
    curve = compare([tmp_path / "x", tmp_path / "y"]).runs[0].in_noise["white"]
    assert curve[5.0].value == pytest.approx(30 / 60)
    assert curve[5.0].n == 60


def test_folds_that_share_a_test_cut_are_refused(tmp_path: Path) -> None:
    write_folds(tmp_path / "x")
    again = scored(TRUTH, TRUTH, prefix="fold0")
    again.save(tmp_path / "x" / "2_f" / "gmm" / "predictions" / "test.npz")
    with pytest.raises(ValueError, match=r"folds 0 and 2 in .* share 30 cuts in 'test'.*fold0-0000, .* and 25 more"):
        open_run(tmp_path / "x").predictions("test")


def test_runs_that_differ_in_more_than_the_fold_are_refused_by_key(tmp_path: Path) -> None:
    write_folds(tmp_path / "x")
    config = {"protocol": {"fold": 3, "n_folds": 3}, "seed": 7, "output_dir": "elsewhere"}
    write_scored(tmp_path / "x" / "3_seed" / "gmm", scored(TRUTH, TRUTH, prefix="fold3"), config=config)
    with pytest.raises(ValueError, match=r"holds 4 runs that differ in more than protocol\.fold: seed; name the runs"):
        open_run(tmp_path / "x")


def test_one_fold_twice_is_refused(tmp_path: Path) -> None:
    write_folds(tmp_path / "x")
    config = {"protocol": {"fold": 1, "n_folds": 3}}
    write_scored(tmp_path / "x" / "3_again" / "gmm", scored(TRUTH, TRUTH, prefix="fold3"), config=config)
    with pytest.raises(ValueError, match=r"one protocol\.fold each; theirs are 0, 1, 2, 1"):
        open_run(tmp_path / "x")


def test_classes_in_another_order_are_put_in_order_and_others_are_refused(tmp_path: Path) -> None:
    for fold, classes in enumerate((CLASSES, ("stop", "yes", "no"))):
        p = scored(answers_of(TRUTH, 5), TRUTH, classes=classes, prefix=f"fold{fold}")
        p = replace(p, label=np.append(p.label[:-1], -1))  # one that is not known
        write_scored(tmp_path / "x" / str(fold) / "gmm", p, config={"protocol": {"fold": fold}})
    pooled = open_run(tmp_path / "x").predictions("test")
    assert [CLASSES[i] for i in pooled.label[30:59]] == TRUTH[:29]
    assert [CLASSES[i] for i in pooled.predicted[30:60]] == answers_of(TRUTH, 5)
    assert list(np.flatnonzero(pooled.label < 0)) == [29, 59]
    p = scored(["yes"], ["yes"], classes=("yes", "no"), prefix="fold2")
    write_scored(tmp_path / "x" / "2" / "gmm", p, config={"protocol": {"fold": 2}})
    with pytest.raises(ValueError, match="have not learned the same classes; some lack stop"):
        open_run(tmp_path / "x")


def test_a_sweep_over_folds_and_another_key_is_the_folds_of_each_value(tmp_path: Path) -> None:
    for number, (seed, fold) in enumerate(((0, 0), (0, 1), (5, 0), (5, 1))):
        config = {"protocol": {"fold": fold, "n_folds": 2}, "seed": seed}
        predictions = scored(answers_of(TRUTH, 3 * (seed == 5)), TRUTH, prefix=f"fold{fold}")
        write_scored(tmp_path / "x" / f"{number}_f" / "gmm", predictions, config=config)
    pooled = open_sweep(tmp_path / "x")
    assert [len(one.runs) for one in pooled if isinstance(one, Folds)] == [2, 2]
    comparison = compare(pooled)
    assert [run.name for run in comparison.runs] == ["seed=0", "seed=5"]
    assert comparison.n == 60
    assert comparison.runs[1].difference is not None
    assert comparison.runs[1].difference.value == pytest.approx(-0.1)


def test_a_sweep_without_folds_is_its_finished_runs_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (10, 2, 3):
        run = write_scored(tmp_path / "x" / f"{number}_seed" / "gmm", scored(TRUTH, TRUTH), config={"seed": number})
    assert [one.folder.parent.name for one in open_sweep(tmp_path / "x")] == ["2_seed", "3_seed", "10_seed"]
    (run / "metrics.json").unlink()
    assert [one.folder.parent.name for one in open_sweep(tmp_path / "x")] == ["2_seed", "10_seed"]
