"""Sweeps as a person starts them: a run each, one folder, one table, and a command that takes them up again."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.processes import Command
from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.cli import main, sweeping
from phonaut.runs import Run
from phonaut.runs.sweeps import Sweep
from phonaut.runs.training import predicted_size

MISSED = "classes=[low,high],[low,lwo]"  # which only the corpus can tell


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a run of a second, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return typed(
        *run_settings(write_tones(tmp_path / "tones", n_speakers=3, n_takes=1), small=True), "trainer.max_epochs=1"
    )


@pytest.mark.slow
def test_a_grid_is_a_run_for_each_value_and_its_commands_take_it_up_again(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["train", "-m", *words, "experiment_id=g", "model.width=0.3,0.4,3", MISSED]
    limit = "hydra.sweeper.constraints=[macs<=1e6]"
    assert main([*grid, limit]) == 2
    shown = capsys.readouterr()
    assert "phonaut: 3 of 6 trials failed, 1, 3, 5; the table says why" in shown.err
    sweep = Sweep("trained_models/g")
    assert [trial.state for trial in sweep.trials()] == ["finished", "failed"] * 2 + ["infeasible", "failed"]
    assert {path.name for path in sweep.folder.iterdir() if path.is_dir()} == {
        "0_width-0.3_classes-low-high-", "2_width-0.4_classes-low-high-", "trials"
    }  # fmt: skip
    (line,) = [line for line in shown.out.splitlines() if line.split()[:2] == ["1", "0.3"]]
    assert "failed: classes names lwo, which" in line
    assert {path.name for path in tmp_path.iterdir()} == {"tones", "trained_models"}

    run = sweep.run(sweep.trial(2))
    assert predicted_size(run.config) == {key: run.model[key] for key in ("parameters", "macs", "activation_bytes")}
    resume = [line.removeprefix("to resume  phonaut ") for line in shown.out.splitlines() if "to resume" in line]
    weights = (run.folder / "model.safetensors").stat().st_mtime_ns
    assert main(shlex.split(resume[-1])) == 0
    assert f"{run.folder} is finished" in capsys.readouterr().out, "the command of a trial is true"
    assert main(shlex.split(resume[0])) == 2
    assert "\nrun  " not in capsys.readouterr().out, "and so is that of the sweep"
    assert (run.folder / "model.safetensors").stat().st_mtime_ns == weights
    assert main([*grid[:-1], "model.dropout=0,0.1"]) == 2
    assert "holds another sweep:\n    keys: ['model.width', 'classes'] -> " in capsys.readouterr().err

    assert main(["compare", "trained_models/g", "output=out"]) == 0
    shown_runs = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "_width-" in line]
    assert shown_runs[-2:] == ["0_width-0.3_classes-low-high-", "2_width-0.4_classes-low-high-"]


@pytest.mark.slow
@pytest.mark.parametrize("search", ["optuna", "nevergrad"])
def test_a_search_keeps_a_limit_and_writes_a_page_a_table_and_a_picture(
    search: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(search, reason=f"{search} is not installed")
    settings = ["model.width=interval(0.2,1.5)", "model.kernel_size=range(3,8,2)"]
    settings += [f"hydra/sweeper={search}", "hydra.sweeper.n_trials=2", "hydra.sweeper.constraints=[macs<=3e5]"]
    settings += ["hydra.sweeper.objectives=[accuracy,macs]", "experiment_id=s"]
    assert main(["train", "-m", *words, *settings]) == 0
    sweep = Sweep("trained_models/s")
    trained = [trial for trial in sweep.trials() if trial.state == "finished"]
    assert len(trained) == 2
    assert all(sweep.run(trial).model["macs"] == trial.figures["macs"] <= 3e5 for trial in trained)
    value = sweep.run(trained[0]).metrics["validation"]["accuracy"]["value"]
    assert trained[0].figures["accuracy"] == value
    assert {"sweep.html", "sweep.csv", "sweep.png"} <= {path.name for path in sweep.folder.iterdir()}
    assert "on test: accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_jobs_of_joblib_train_in_processes_of_their_own(words: list[str]) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="joblib's launcher is not installed")
    settings = ["model=majority,tc-res8", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    Command(Path.cwd(), ["train", "-m", *words, *settings, "experiment_id=j"]).finish()
    assert [trial.state for trial in Sweep("trained_models/j").trials()] == ["finished"] * 2
    assert not list(Path.cwd().rglob(".hydra"))


@pytest.mark.slow
def test_two_processes_train_one_run_of_a_sweep(words: list[str], tmp_path: Path) -> None:
    settings = ["model.width=0.3,3", "experiment_id=d", "trainer.devices=2"]
    settings.append("hydra.sweeper.constraints=[parameters<=50000]")  # which one of both breaks
    settings.append("trainer.strategy=ddp_spawn")  # which is ddp
    command = [sys.executable, "-m", "phonaut", "train", "-m", *words, *settings]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    sweep = Sweep(tmp_path / "trained_models" / "d")
    first, other = sweep.trials()  # Lightning started the trial again, not the sweep
    assert (first.state, other.state) == ("finished", "infeasible")
    run = Run(sweep.folder / first.job)
    assert run.metrics["test"]["accuracy"]["n"] == 3
    assert len(json.loads((run.folder / "history.json").read_text())) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hydra/sweeper=optunna", "seed=0,1"], "hydra/sweeper=optunna is none of grid, nevergrad, optuna; did you"),
        (["hydra.sweeper.foo=3", "seed=0,1"], "hydra.sweeper.foo is no option of the sweep that was chosen"),
        (["hydra/launcher=jobli", "seed=0,1"], "hydra/launcher=jobli is not installed: there is no such launcher"),
        (["hydra.sweeper.objectives=[test.accuracy]", "seed=0,1"], "is of the test split, which chooses nothing"),
        (["hydra.sweeper.constraints=[macs=3]", "seed=0,1"], "macs=3 is no limit such as macs<=1.5e6"),
        (["seed=0"], "no word has several values, such as seed=0,1"),
        (["optimizer.lr=interval(0,1)"], "a grid takes values one by one"),
        (["bogus=1,2"], "unknown key bogus"),
        (["model=lsmt,gru"], "model=lsmt is not a choice; did you mean lstm?"),
        (["trainer.max_epochs=1,0"], "phonaut: trainer.max_epochs=0: must be >= 1"),
        (["seed=0,1", "model=gmm,lstm", "augmentation=default"], "seed=0 model=gmm: "),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_nothing(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-m", "experiment_id=x", *words]) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert "to resume" not in shown.out
    assert not list(tmp_path.iterdir())


def test_of_a_long_grid_each_value_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "MOST_COMPOSED", 1)
    tried: list[list[str]] = []
    monkeypatch.setattr(sweeping, "draft", lambda words: (None, tried.append(words) or []))
    sweeping.check_combinations([], [[f"seed={i}", f"model={name}"] for i in range(4) for name in ("gru", "lstm")])
    assert len(tried) == 5
    assert {word for words in tried for word in words} == {*(f"seed={i}" for i in range(4)), "model=gru", "model=lstm"}


@pytest.mark.parametrize("search", ["optuna", "nevergrad"])
def test_a_search_whose_package_is_missing_says_how_it_comes(
    search: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, search, None)
    assert main(["train", "-m", f"hydra/sweeper={search}", "seed=0,1"]) == 2
    assert f"hydra/sweeper={search} needs {search}: pip install 'phonaut[sweeps]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_rank_of_another_command_starts_no_sweep(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["train", "-m", "seed=0,1"]) == 2
    assert "LOCAL_RANK is set: a sweep is started once" in capsys.readouterr().err


def test_a_sweep_leaves_the_environment_as_it_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = (dict(os.environ), list(sys.argv))
    assert main(["train", "-m", "bogus=1,2"]) == 2
    assert (dict(os.environ), sys.argv) == before
