"""`phonaut.train` and `phonaut.compare` are the commands, as functions; the package is loaded as it is asked for."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import phonaut
from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.runs.load import LoadedRun


def in_python(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_loads_nothing_heavy_and_its_parts_when_they_are_asked_for() -> None:
    code = (
        "import time, sys; start = time.perf_counter(); import phonaut; took = time.perf_counter() - start\n"
        "before = {'torch', 'numpy', 'hydra'} & set(sys.modules)\n"
        "names = [name for name in phonaut.__all__ if name not in dir(phonaut)]\n"
        "parts = [getattr(phonaut, name).__name__ for name in ('hmm', 'features', 'networks')]\n"
        "import json; print(json.dumps([took, sorted(before), names, parts]))"
    )
    took, before, names, parts = json.loads(in_python(code))
    assert took < 0.2, "measured at 1 ms; a machine with much else to do takes longer"
    assert (before, names) == ([], [])
    assert parts == ["phonaut.hmm", "phonaut.features", "phonaut.networks"]


@pytest.mark.parametrize("first", ["import phonaut.train", "phonaut.train", "from phonaut.train import *"])
def test_the_module_that_is_run_does_not_shadow_the_function(first: str) -> None:
    code = f"import phonaut\n{first}\nimport phonaut.train\nprint(callable(phonaut.train), phonaut.train.__name__)"
    assert in_python(code) == "True train"


def test_the_module_still_is_the_command() -> None:
    command = [sys.executable, "-m", "phonaut.train", "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "phonaut train" in printed.stdout
    assert printed.stderr == ""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[LoadedRun]:
    """Two runs on tones, trained from words and from keywords."""
    home = tmp_path_factory.mktemp("door")
    words = typed(*run_settings(write_tones(home / "tones", n_takes=2)), "trainer.max_epochs=2")
    first = phonaut.train(*words, "model=majority", f"output_dir={home}", "experiment_id=a", progress=False)
    other = phonaut.train(
        *words, model="gmm", output_dir=home, trainer={"log_every_n_steps": 5}, classes=["low", "high"],
        **{"experiment_id": "b", "model.n_mix": 1}, progress=False,
    )  # fmt: skip
    return [first, other]


def test_training_returns_the_run_and_keywords_are_words_of_the_command(runs: list[LoadedRun]) -> None:
    first, other = runs
    assert isinstance(first, LoadedRun)
    assert first.about["model"] == "majority"
    assert other.config.trainer["max_epochs"] == 2
    assert other.config.classes == ["low", "high"]
    assert other.config.model["n_mix"] == 1
    assert (other.folder / "report.html").exists()
    resumes = other.run.environment["resume_command"]
    assert resumes.startswith("phonaut train dataset=folder")
    assert resumes.endswith("model.n_mix=1")


def test_training_prints_what_the_command_prints_unless_it_is_switched_off(
    runs: list[LoadedRun], capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(runs[0].run.environment["resume_command"])[2:]
    assert phonaut.train(*words).folder == runs[0].folder
    assert "is finished; overwrite=true trains it again" in capsys.readouterr().out
    phonaut.train(*words, progress=False)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "keys", "message"),
    [
        (["model=tc_res8"], {}, "did you mean tc-res8"),
        ([], {"trainer": {"epochs": 3}}, "unknown key trainer.epochs; did you mean trainer.max_epochs"),
        (["dataset=folder", "dataset.data_folder=/nowhere"], {}, "/nowhere does not exist"),
        (["dataset=folder"], {"dataset": "fsdd"}, "dataset is typed twice, dataset=folder and dataset=fsdd: leave one"),
        (["-m"], {}, "a sweep is phonaut train -m"),
        (["recordings"], {}, "takes key=value and YAML files; it got recordings"),
        (["trainer.devices=2", "trainer.accelerator=cpu"], {}, "one process, and this is 2"),
    ],
)
def test_mistakes_are_errors_of_value(
    words: list[str], keys: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        phonaut.train(*words, **keys)
    assert list(tmp_path.iterdir()) == []


def test_runs_side_by_side_are_a_table(runs: list[LoadedRun], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two runs or more"):
        phonaut.compare(runs[:1])
    with pytest.raises(ValueError, match="cannot be compared"):
        phonaut.compare(runs)  # of three classes and of two
    words = shlex.split(runs[0].run.environment["resume_command"])[2:]
    before = list(sys.argv)
    words = typed(*words, "model=gmm", "experiment_id=null")
    same = phonaut.train(*words, progress=False)
    assert same.folder.parent.name.startswith("folder-keyword-20")
    assert sys.argv == before  # to which the command adds the name that it gave
    table = phonaut.compare([runs[0], same.folder])
    measured = runs[0].run.metrics["test"]["accuracy"]
    assert table.index.tolist() == ["majority", "gmm"]
    first, other = table.iloc[0], table.iloc[1]
    assert {key: first[key] for key in ("value", "low", "high", "n")} == {
        key: measured[key] for key in ("value", "low", "high", "n")
    }
    assert (first["task"], first["metric"], first["split"]) == ("classification", "accuracy", "test")
    assert other["difference"] == pytest.approx(other["value"] - first["value"])
    assert other["parameters"] == same.about["parameters"]
    assert "s6" in first["protocol"] or "speaker" in first["protocol"]


def test_without_pandas_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'phonaut\[pandas\]'"):
        phonaut.compare(["a", "b"])


def test_what_is_no_word_and_no_run_is_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"a list of them is phonaut\.train\(\*words\)"):
        phonaut.train(["dataset=fsdd"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="which runs"):
        phonaut.compare([])
