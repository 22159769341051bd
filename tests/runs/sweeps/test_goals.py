"""Goals and limits: of validation or of the model, never of the test split."""

from pathlib import Path

import numpy as np
import pytest

from helpers.scored_runs import CLASSES, scored, write_scored
from phonaut.runs import Run
from phonaut.runs.sweeps.goals import Goal, Limit, figures_of, front, goals, limit


@pytest.mark.parametrize("n_goals", [1, 2, 3])
def test_the_front_is_that_of_the_definition(n_goals: int) -> None:
    table = np.random.default_rng(n_goals).integers(0, 5, (60, n_goals)).tolist()
    wanted = [
        i
        for i, one in enumerate(table)
        if not any(all(a <= b for a, b in zip(o, one, strict=True)) and o != one for o in table)
        and one not in table[:i]
    ]
    assert front(table) == wanted
    assert front([]) == []


def test_goals_have_the_direction_of_their_metric_and_costs_are_small() -> None:
    assert goals(["accuracy", "eer/TW", "macs", "model.epochs"], "classification") == [
        Goal("accuracy", True), Goal("eer/TW"), Goal("macs"), Goal("model.epochs")
    ]  # fmt: skip
    assert [goals(None, task)[0].name for task in ("classification", "verification", "pretraining")] == [
        "accuracy", "eer", "loss"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["test", "test.accuracy", "test/accuracy", "accuracy/test"])
def test_a_figure_of_the_test_split_chooses_nothing(name: str) -> None:
    with pytest.raises(ValueError, match="is of the test split, which chooses nothing"):
        goals([name], "classification")
    with pytest.raises(ValueError, match="is of the test split, which chooses nothing"):
        limit(f"{name}>=0.5")


def test_a_limit_is_overstepped_by_a_share_of_it() -> None:
    assert limit("accuracy>=0.8").violation({"accuracy": 0.6}) == pytest.approx(0.25)
    assert limit("macs <= 2e6").violation({"macs": 1e6}) == pytest.approx(-0.5)
    assert limit("macs<=1.5e6") == Limit("macs", True, 1.5e6)
    assert [str(limit(f"macs<={text}")) for text in ("3364056", "1.5e6", "0.25")] == [
        "macs<=3364056", "macs<=1500000", "macs<=0.25"
    ]  # fmt: skip
    for text in ("macs", "macs=3", "macs<=many", "macs<=nan", "<=3"):
        with pytest.raises(ValueError, match=r"is no limit such as macs<=1\.5e6"):
            limit(text)
    with pytest.raises(ValueError, match=r"mcas is none of .*; did you mean macs"):
        limit("mcas<=3")


def test_figures_are_those_of_validation_and_of_the_model(tmp_path: Path) -> None:
    truth = [CLASSES[i % 3] for i in range(30)]
    run = Run(write_scored(tmp_path / "x" / "gmm", scored(truth, truth), model={"macs": 5, "epochs": 3}))
    with pytest.raises(ValueError, match="has no accuracy of validation that is a number; it has"):
        figures_of(run, ["accuracy"])
    (run.folder / "metrics.json").write_text(
        '{"validation": {"accuracy": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}},'
        ' "test": {"accuracy": {"value": 0.9, "low": 0.8, "high": 1.0, "n": 9}}}'
    )
    assert figures_of(run, ["accuracy", "macs", "model.epochs"]) == {"accuracy": 0.5, "macs": 5.0, "model.epochs": 3.0}
