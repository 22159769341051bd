"""Generators side by side: the figures that each has, which way is better, and how all of them were trained."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from helpers.scored_runs import answers_of, scored, write_scored
from phonaut.cli import main
from phonaut.reports.histories import panels_of
from phonaut.runs import Run
from phonaut.runs.comparison import compare
from phonaut.runs.figure_comparison import compare_figures

TASK = {"_target_": "phonaut.tasks.generation.Generation", "window_frames": 20, "condition": []}


def made(folder: Path, figures: dict[str, float], *, n: int = 50, audio: str = "x", **task: Any) -> Path:
    """A finished run of a generator with these figures of test, and two epochs."""
    folder.mkdir(parents=True)
    config = {"task": TASK | task, "target": "keyword", "seed": 0, "experiment_id": folder.parent.name,
              "choices": {"model": folder.name, "task": "generation"}, "features": {"n_mels": 40}}  # fmt: skip
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(config)))
    rates = {name: {"value": x, "low": x - 0.1, "high": x + 0.1, "n": n} for name, x in figures.items()}
    history = [
        {"epoch": e, "step": 9 * e, "train/loss": 3.0 - e, "validation/loss": 3.5 - e, "lr": 0.1} for e in (0, 1)
    ]
    files = {"model": {"model": folder.name}, "corpus": {"name": "clips", "digests": {"audio": audio}},
             "metrics": {"test": rates}, "history": history}  # fmt: skip
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    first = made(tmp_path / "a" / "cvae", {"snr_db": 8.0, "mmd": 0.2, "mmd/floor": 0.0, "elbo": -3.0})
    other = made(tmp_path / "a" / "wgan_gp", {"mmd": 0.1, "mmd/floor": 0.0}, condition=["label"])
    return [first, other]


def test_all_figures_are_there_and_the_best_is_the_lowest_of_distances_and_the_highest_of_the_rest(
    runs: list[Path], tmp_path: Path
) -> None:
    third = made(tmp_path / "a" / "fhvae", {"snr_db": 9.0, "mmd": 0.3, "mmd/floor": 0.0})
    found = compare_figures([*runs, third])
    assert list(found.figures) == ["snr_db", "mmd", "mmd/floor", "elbo"], "in the order of the registry"
    assert [one and one.value for one in found.figures["snr_db"]] == [8.0, None, 9.0]
    assert found.best("snr_db") == {2}
    assert found.best("mmd") == {1}
    assert found.best("elbo") == set(), "one run has it"
    assert found.label("mmd/floor") == "MMD (floor)"
    assert list(compare_figures(runs, metric="mmd").figures) == ["mmd", "mmd/floor"]


def test_a_metric_that_no_run_has_is_refused_with_those_that_there_are(runs: list[Path]) -> None:
    with pytest.raises(ValueError, match=r"metric=coverage: no run has it; they have snr_db, mmd, elbo$"):
        compare_figures(runs, metric="coverage")


def test_runs_on_other_windows_or_recordings_are_not_compared(runs: list[Path], tmp_path: Path) -> None:
    longer = made(tmp_path / "b" / "cvae", {"mmd": 0.2}, window_frames=30)
    with pytest.raises(ValueError, match=r"not measured on the same items, and differ in task.window_frames$"):
        compare_figures([runs[0], longer])
    others = made(tmp_path / "c" / "cvae", {"mmd": 0.2}, audio="y")
    with pytest.raises(ValueError, match=r"differ in the data of clips$"):
        compare_figures([runs[0], others])
    few = made(tmp_path / "d" / "cvae", {"mmd": 0.2}, n=20)
    assert "n differs for mmd" in compare_figures([runs[0], few]).remarks[0]
    with pytest.raises(ValueError, match="named twice"):
        compare_figures([runs[0], runs[0]])
    with pytest.raises(ValueError, match="two runs or more; it got 1"):
        compare_figures(runs[:1])
    with pytest.raises(ValueError, match="has no figures of split=validation; it has: test"):
        compare_figures(runs, split="validation")


def test_the_command_prints_and_writes_them(
    runs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *map(str, runs)]) == 0
    printed = capsys.readouterr().out
    assert "MMD, lower is better" in printed
    assert "SNR, dB, higher is better" in printed
    page, table = (Path(line) for line in printed.splitlines() if line.startswith("trained_models/comparisons"))
    rows = list(csv.DictReader(table.open()))
    assert [(row["run"], row["figure"]) for row in rows][-2:] == [("wgan_gp", "mmd"), ("wgan_gp", "mmd/floor")]
    assert float(rows[-2]["high"]) == pytest.approx(0.2)
    assert page.read_text().count('alt="Training and validation curves') == 1
    assert main(["compare", *map(str, runs), "metric=elbo"]) == 0
    assert "mmd" not in capsys.readouterr().out.lower()


def test_curves_of_all_runs_are_in_one_panel_for_each_figure(runs: list[Path]) -> None:
    panels = panels_of({"one": Run(runs[0]), "two": Run(runs[1])})
    assert list(panels) == ["Loss", "Learning rate"]
    assert list(panels["Loss"]) == ["one", "two"]
    train, validation = panels["Loss"]["one"]
    assert (train.stage, list(train.epochs), list(train.values)) == ("train", [1, 2], [3.0, 2.0])
    assert (validation.stage, list(validation.values)) == ("validation", [3.5, 2.5])


def test_classifiers_are_asked_for_figures_of_classes_alone(tmp_path: Path) -> None:
    truth = ["yes", "no"] * 10
    runs = [
        write_scored(tmp_path / "x" / name, scored(answers_of(truth, n), truth)) for name, n in (("a", 4), ("b", 2))
    ]
    with pytest.raises(
        ValueError, match=r"metric=snr_db: a has no generated windows; it is one of accuracy, recall, f1$"
    ):
        compare(runs, metric="snr_db")
