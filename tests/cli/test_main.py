"""What a person meets on the command line: help, mistakes, a whole run, a new folder."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.processes import Command
from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.cli import commands, main
from phonaut.names import as_typed
from phonaut.runs.run import job_name


def test_help_and_predict_are_quick_because_they_import_nothing_heavy() -> None:
    code = "import sys; from phonaut.cli import main; main(['--help']); print(*sorted(sys.modules));"
    code += "import phonaut.reports.listed; print(*sorted(sys.modules));"
    code += "import phonaut.reports.predicted, phonaut.runs.load; print(*sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    output, of_help, to_list, to_predict = shown.rsplit("\n", 4)[:4]
    assert not {"numpy", "hydra"} & set(of_help.split())
    assert not {"torch", "lightning", "scipy"} & set(to_list.split())
    assert not {"lightning", "numba", "scipy", "matplotlib", "jinja2", "sympy"} & set(to_predict.split())
    assert re.search(r"model +bc-res1, bc-res3, bc-res8, branchy-tc-res8, cvae,", output)
    assert len(commands()) >= 7
    assert all(re.search(rf"^  {name} +[A-Z]", output, flags=re.MULTILINE) for name in commands())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "phonaut has no command trian; did you mean train?"),
        (["train", "--epochs", "3"], "--epochs is not a flag of train"),
        (["train", "recordings"], "dataset.data_folder=recordings names recordings"),
        (["train", "model=tc_res8"], "did you mean tc-res8?"),
        (["train", "modle=lstm"], "unknown key modle; did you mean model=lstm?"),
        (["train", "features=lstm"], "did you mean model=lstm?"),
        (["train", "epochs=3"], "type trainer.max_epochs=3"),
        (["train", "dataset.data_folder=mine"], "type dataset=folder dataset.data_folder=mine"),
        (["train", "dataset=folder", "dataset.data_folder=start_1.wav"], "start_1.wav is a recording, and a folder"),
        (["train", "seed=[1,2]"], "phonaut train -m seed=1,2 trains a run with each"),
        (["train", "optimizer.lr=0.1,0.2"], "-m optimizer.lr=0.1,0.2 trains"),
        (["train", "trainer.max_epochs=[1,2]"], "-m trainer.max_epochs=1,2 trains"),
        (["train", "model=lstm,gru"], "-m model=lstm,gru trains"),
        (["train", "target=keyword,phone"], "-m target=keyword,phone trains"),
        (["train", "trainer.accelerator=gpu"], "leave it out, or type cpu"),
        (["predict", "start_1.wav", "demo"], "start_1.wav is a recording, and the run stands first"),
        (["align"], "usage: phonaut align dataset=NAME"),
        (["train", "dataset=fsdd", "dataset.data_folder=/nowhere"], "/nowhere does not exist"),
        (["evaluate"], "usage: phonaut evaluate RUN"),
        (["evaluate", "/nowhere"], "/nowhere is not a run: there is no such folder"),
        (["evaluate", "start_1.wav"], "start_1.wav is not a run: it is a file"),
        (["generate", "/nowhere", "strength=nan"], "strength must be a number >= 0, got nan"),
        (["generate", "/nowhere", "strength=inf"], "strength must be a number >= 0, got inf"),
        (["evaluate", "/nowhere", "batch_size=0"], "batch_size must be a whole number >= 1, got 0"),
        (["evaluate", "/nowhere", "splt=test"], "it got splt"),
        (["report", "/nowhere"], "/nowhere is not a run"),
    ],
)
def test_a_mistake_is_a_sentence_and_no_traceback(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "start_1.wav").touch()
    assert main(words) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert [path.name for path in tmp_path.iterdir()] == ["start_1.wav"]
    assert "Traceback" not in shown.err


def test_job_prints_what_composes_then_the_refusals_and_succeeds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "optimizer=adamw", "features.f_max=9000", "trainer.epochs=3", "-c", "job"]) == 0
    shown = capsys.readouterr()
    assert "_target_: torch.optim.AdamW" in shown.out
    assert "f_max: 9000" in shown.out
    assert "refused: unknown key trainer.epochs; did you mean trainer.max_epochs?" in shown.err
    assert "f_max=9000 is above half" in shown.err


def test_job_names_are_short_unique_and_hold_no_slash() -> None:
    long = [f"dataset.data_folder=/a/b/{i}" * 4 for i in range(2)]
    names = [job_name(0, [text]) for text in long]
    assert len(set(names)) == 2
    assert all(len(name) < 64 and "/" not in name for name in names)
    assert job_name(7, []) == "7"


@pytest.mark.slow
def test_a_run_from_recordings_to_report_and_the_same_figures_for_any_batch_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tones = write_tones(tmp_path / "tones")
    words = ["train", *typed(*run_settings(tones), "trainer.max_epochs=6"), "experiment_id=x"]
    printed = Command(tmp_path, words).finish()
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "trained_models" / "x" / "tc-res8"
    assert f"to resume  phonaut train {run_settings(tones)[0]}" in printed
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test"]["accuracy"]["n"] == 24
    assert metrics["test"]["accuracy"]["value"] > 0.8, "three pure tones are no hard task"
    assert metrics["test"]["accuracy"]["low"] <= metrics["test"]["accuracy"]["value"]
    made = {path.name for path in folder.iterdir()}
    files = {"config.yaml", "metrics.json", "model.json", "history.json", "environment.json", "corpus.json"}
    assert files | {"model.safetensors", "report.html", "checkpoints", "predictions"} <= made
    assert any(name.startswith("events.out.tfevents") for name in made)
    assert "accuracy" in printed

    assert main(words) == 0
    assert "is finished; overwrite=true trains it again" in capsys.readouterr().out
    assert main([*words, "seed=5"]) == 2
    assert "seed: 0 -> 5" in capsys.readouterr().err

    scores = []
    for size in ("1", "7", "100"):
        assert main(["evaluate", "trained_models/x", f"batch_size={size}"]) == 0
        assert json.loads((folder / "metrics.json").read_text())["test"] == metrics["test"]
        with np.load(folder / "predictions" / "test.npz", allow_pickle=False) as columns:
            scores.append(columns["scores"])
    for other in scores[1:]:
        np.testing.assert_allclose(other, scores[0], atol=1e-4)

    new = write_tones(tmp_path / "my new words", n_speakers=2, words={"low": 300.0, "shrill": 6000.0})
    capsys.readouterr()
    assert main(["evaluate", "trained_models/x", str(new)]) == 0
    figures = json.loads((folder / "metrics.json").read_text())["my new words"]
    assert figures["accuracy"]["n"] == 8, "the word that the model does not know is no error of its"
    assert "shrill" in capsys.readouterr().out, "it is reported apart"


def test_a_run_folder_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tones = write_tones(tmp_path / "tones", n_speakers=3, n_takes=1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trained_models").write_text("a file, where a folder is wanted")  # no permission stops root
    assert main(["train", *run_settings(tones, small=True), "experiment_id=x"]) == 2
    assert "trained_models" in capsys.readouterr().err


def test_one_class_only_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tones = write_tones(tmp_path / "tones", words={"only": 500.0})
    monkeypatch.chdir(tmp_path)
    assert main(["train", *run_settings(tones), "experiment_id=x"]) == 2
    assert re.search("one class|two classes", capsys.readouterr().err)


def test_a_file_of_ones_own_stands_for_the_words_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "defaults:\n  - override model: gru\n  - _self_\n"
    text += "trainer:\n  max_epochs: 3\nmodel:\n  hidden_size: 8\nseed: 4\n"
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "mine.yaml").write_text(text)
    for words in (
        ["conf/mine.yaml"],
        ["--config-dir", "conf", "--config-name", "mine"],
        ["hydra.searchpath=[file://conf]", "-cn", "mine"],
    ):
        assert main(["train", *words, "seed=5", "-c", "job"]) == 0
        shown = capsys.readouterr()
        assert "refused" not in shown.err
        for line in ("hidden_size: 8", "max_epochs: 3", "seed: 5", "_target_: phonaut.networks.GRU"):
            assert line in shown.out
    (tmp_path / "later.yaml").write_text("trainer:\n  max_epochs: 2\n")
    assert main(["train", "conf/mine.yaml", "later.yaml", "seed=5", "-c", "job"]) == 0, "a later file wins"
    assert capsys.readouterr().out == shown.out.replace("max_epochs: 3", "max_epochs: 2")
    stored = shown.out
    (tmp_path / "stored.yaml").write_text(stored)
    assert main(["train", "stored.yaml", "-c", "job"]) == 0
    assert capsys.readouterr().out == stored


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["train", "model=lstm", "model=gru", "-c", "job"],
            "model is typed twice, model=lstm and model=gru: leave one",
        ),
        (["train", "-m", "seed=1", "seed=2,3"], "seed is typed twice, seed=1 and seed=2,3: leave one out"),
        (["train", "model=lstm", "model.over=a", "model.scope=b"], "model.over=a and model.scope=b: leave one out"),
        (["list", "format=csv", "format=json"], "format is typed twice, format=csv and format=json: leave one out"),
    ],
)
def test_a_key_typed_twice_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_commands_are_printed_as_the_shell_finds_this_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("ours", "theirs"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "phonaut").touch(mode=0o755)
    ours = tmp_path / "ours" / "phonaut"
    monkeypatch.setattr(sys, "argv", [str(ours)])
    for path, shown in (("ours", "phonaut list"), ("theirs", f"{ours} list"), ("none", f"{ours} list")):
        monkeypatch.setenv("PATH", str(tmp_path / path))
        assert as_typed("phonaut list") == shown
