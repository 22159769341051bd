"""Table, page and picture of a sweep: the best first, failures with their sentences, folds without a best."""

import csv
import json
from pathlib import Path

import pytest
from rich.console import Console

from helpers.scored_runs import CLASSES, answers_of, scored, write_scored
from phonaut.reports.sweep import show_sweep, write_sweep
from phonaut.runs.sweeps import Sweep, Trial

TRUTH = [CLASSES[i % 3] for i in range(30)]
WRONG = {"0.5": 6, "1": 3, "2": 1}


def write_sweep_of_scored(folder: Path, key: str = "model.width", goals: tuple[str, ...] = ("accuracy",)) -> Sweep:
    """Three finished trials, of which the last is the best and breaks a limit, one that failed, one not trained."""
    sweep = Sweep(folder)
    sweep.begin({"keys": [key], "search": "optuna", "limits": ["macs<=300"], "command": "phonaut train -m again",
                 "goals": [{"name": name, "higher": name == "accuracy"} for name in goals]})  # fmt: skip
    for number, (value, n_wrong) in enumerate(WRONG.items()):
        trial = sweep.new(number, [f"{key}={value}"])
        predictions = scored(answers_of(TRUTH, n_wrong), TRUTH)
        run = write_scored(folder / trial.job / "gmm", predictions, model={"macs": 100 * (number + 2)})
        rates = json.loads((run / "metrics.json").read_text())
        (run / "metrics.json").write_text(json.dumps({"validation": rates["test"], **rates}))
        trial.figures = {"accuracy": rates["test"]["accuracy"]["value"], "macs": 100.0 * (number + 2)}
        trial.state = "finished"
        sweep.save(trial)
    sweep.save(Trial(3, [f"{key}=3"], "3_x", "failed", "<script>it</script> is too wide", {}))
    sweep.save(Trial(4, [f"{key}=4"], "4_x", "infeasible", "not macs<=300", {"macs": 900.0}))
    return sweep


def shown(sweep: Sweep) -> list[str]:
    console = Console(width=200, record=True, file=None)
    with console.capture() as capture:
        show_sweep(sweep, write_sweep(sweep), console=console)
    return capture.get().splitlines()


def test_the_table_has_the_best_within_the_limits_first_and_every_reason(tmp_path: Path) -> None:
    sweep = write_sweep_of_scored(tmp_path / "s")
    lines = shown(sweep)
    rows = [line.split() for line in lines if line[:5].strip() in set("01234")]
    assert [row[0] for row in rows] == ["1", "0", "2", "4", "3"]
    assert [row[-1] for row in rows[:3]] == ["best", "200", "outside"]
    text = "\n".join(lines)
    assert "trial 1 on test: accuracy 90.0 %, 95 % interval" in text
    assert "not trained: not macs<=300" in text
    assert "failed: <script>it</script> is too wide" in text
    assert "beware: the best of 3 trials on validation is flattered by the choice" in text
    page = (tmp_path / "s" / "sweep.html").read_text()
    assert "&lt;script&gt;it&lt;/script&gt;" in page
    assert "<script>it" not in page
    assert "phonaut train -m again" in page
    assert (tmp_path / "s" / "sweep.png").read_bytes().startswith(b"\x89PNG")
    table = list(csv.DictReader((tmp_path / "s" / "sweep.csv").open()))
    assert [row["state"] for row in table] == ["finished", "best", "outside", "failed", "infeasible"]
    assert float(table[1]["accuracy"]) == pytest.approx(0.9)
    assert float(table[1]["accuracy_low"]) < 0.9 < float(table[1]["accuracy_high"])
    assert table[4]["macs"] == "900.0"


def test_with_two_goals_the_best_are_those_that_nothing_beats(tmp_path: Path) -> None:
    sweep = write_sweep_of_scored(tmp_path / "s", goals=("accuracy", "macs"))
    assert [trial.number for trial in sweep.best()] == [1, 0]


def test_of_folds_none_is_the_best_and_the_table_says_who_pools_them(tmp_path: Path) -> None:
    lines = shown(write_sweep_of_scored(tmp_path / "f", "protocol.fold"))
    text = "\n".join(lines)
    assert not any(line.endswith("best") for line in lines)
    assert "on test" not in text
    assert "beware: folds are parts of one result: phonaut compare" in text


def test_nothing_is_written_of_a_sweep_without_trials(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path / "s")
    sweep.begin({"keys": [], "search": "grid", "limits": [], "command": "", "goals": [{"name": "accuracy"}]})
    assert shown(sweep) == []
