"""`phonaut list` shows every run and sweep of a folder with its figure, and what takes an unfinished one up again."""

import csv
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helpers.scored_runs import answers_of, scored, write_scored
from phonaut.cli import main
from phonaut.files import write_json
from phonaut.runs.listing import listing

TRUTH = ["yes", "no", "stop"] * 10
CHOICES = {"task": "classification", "dataset": "fsdd", "model": "gmm"}
AGAIN = "phonaut train dataset=fsdd experiment_id=half"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "trained_models"
    started = (datetime.now(UTC) - timedelta(hours=3, minutes=1)).isoformat()
    whole = write_scored(folder / "whole" / "gmm", scored(answers_of(TRUTH, 3), TRUTH), config={"choices": CHOICES})
    write_json(whole / "environment.json", {"started": started})
    half = write_scored(folder / "half" / "gmm", scored(TRUTH, TRUTH),
                        config={"choices": CHOICES, "trainer": {"max_epochs": 9}})  # fmt: skip
    (half / "metrics.json").unlink()
    write_json(half / "history.json", [{"epoch": 0}, {"epoch": 1}])
    write_json(half / "environment.json", {"resume_command": AGAIN})
    for fold, n in enumerate((2, 3, 4)):
        config = {"protocol": {"fold": fold, "n_folds": 3}, "experiment_id": "folds", "choices": CHOICES}
        predictions = scored(answers_of(TRUTH, n), TRUTH, prefix=f"fold{fold}")
        write_scored(folder / "folds" / f"{fold}_fold-{fold}" / "gmm", predictions, config=config)
    bad = write_scored(folder / "bad" / "gmm", scored(TRUTH, TRUTH))
    (bad / "metrics.json").write_text("{")
    return folder


def test_each_run_is_a_line_with_its_figure_and_an_unfinished_one_has_its_command(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    lines = {line.split()[0].removeprefix("trained_models/"): line for line in out.splitlines() if "_models/" in line}
    assert "keyword   fsdd" in lines["whole/gmm"]
    assert "accuracy 90.0 %   " in lines["whole/gmm"]
    assert lines["whole/gmm"].endswith("30 (test)   3 hours")
    assert "unfinished, epoch 2 of 9" in lines["half/gmm"]
    assert "is damaged" in lines["bad/gmm"]
    assert out.splitlines()[-2:] == ["to resume", f"  {AGAIN}"]


def test_a_cross_validation_is_one_line_with_the_figure_of_all_its_cuts(runs: Path) -> None:
    line = next(one for one in listing(runs) if one.run.name == "folds")
    assert line.figure is not None
    assert (line.figure.value, line.figure.n) == (pytest.approx(81 / 90), 90)
    assert line.model == "gmm, 3 folds"
    assert [one.run.parent.name for one in listing(runs / "folds")] == ["0_fold-0", "1_fold-1", "2_fold-2"]


def test_other_programs_read_the_same_as_csv_and_as_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(runs), "format=csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert main(["list", str(runs), "format=json"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert [{key: "" if value is None else str(value) for key, value in one.items()} for one in same] == rows
    assert {row["state"] for row in rows if not row["state"].startswith(str(runs))} == {"finished", "unfinished"}


def test_where_there_are_no_runs_yet_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["list"]) == 0
    assert "phonaut train starts one" in capsys.readouterr().out
    assert main(["list", "nowhere"]) == 2
