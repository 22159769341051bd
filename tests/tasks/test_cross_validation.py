"""Twelve recordings: one command gives a figure of all of them, a model of all, and says what more would tell."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import phonaut
from helpers.runs_of_tones import write_tones
from phonaut.cli import main
from phonaut.metrics import Estimate, wilson
from phonaut.runs import training
from phonaut.runs.run import Run
from phonaut.tasks.cross_validation import more

SMALL = ["trainer.max_epochs=3", "trainer.accelerator=cpu", "model=tc-res8", "recipe=none", "model.channels=[8,8]",
         "trainer.enable_progress_bar=false", "features.n_mels=20", "features.n_mfcc=10"]  # fmt: skip


def test_twelve_recordings_end_with_a_figure_of_all_and_a_model_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tones(tmp_path / "tones", n_speakers=1)
    words = ["train", "dataset=folder", f"dataset.data_folder={tmp_path}/tones", *SMALL, f"output_dir={tmp_path}"]
    trained, train_fold = list[int](), training.train_fold

    def stopped(config: Any, folder: Path) -> None:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(config.protocol["fold"])
        train_fold(config, folder)

    monkeypatch.setattr(training, "train_fold", stopped)
    main([*words, "experiment_id=x"])
    assert trained == [0, 1]
    monkeypatch.setattr(training, "train_fold", lambda config, folder: trained.append(config.protocol["fold"]) or
                        train_fold(config, folder))  # fmt: skip
    capsys.readouterr()
    assert main([*words, "experiment_id=x"]) == 0
    assert trained == [0, 1, 2, 3], "what was done before it was stopped is kept"
    shown = capsys.readouterr().out
    run = Run(tmp_path / "x")
    accuracy = run.metrics["test"]["accuracy"]
    assert accuracy["n"] == 12
    assert (accuracy["low"], accuracy["high"]) == pytest.approx(wilson(12 * accuracy["value"], 12))
    assert list(run.metrics) == ["test"]
    assert len(set(run.predictions("test").cut.tolist())) == 12
    assert run.corpus["summary"]["splits"]["train"]["cuts"] == 12
    assert "one person speaks, so the speakers of the test are in training too" in shown
    assert "2 other people or more, each word twice, show how it does with strangers; about" in shown
    assert not (run.folder / "folds").exists()
    assert "of the recordings that its folds tested" not in json.dumps(run.metrics)
    page = (run.folder / "report.html").read_text()
    assert "cannot be played" not in page
    answer = phonaut.load(tmp_path / "x").predict(tmp_path / "tones" / "low" / "s0_0.wav")
    assert set(answer.probabilities) == {"low", "middle", "high"}
    assert main([*words, "experiment_id=y", "early_stopping.patience=2"]) == 2
    assert "watches the validation, and protocol=few has none" in capsys.readouterr().err


def test_the_advice_asks_for_as_many_recordings_as_make_the_interval_narrow() -> None:
    text = more(Estimate(0.8, 0.55, 0.93, 15), n_speakers=2, n_words=3)
    assert text.startswith("1 other person or more, each word twice")
    n = 15 + 3 * int(text.split("about ")[1].split()[0])
    widths = [-np.subtract(*wilson(0.74 * one, one)) for one in (n - 3, n)]
    assert widths[0] > 0.2 >= widths[1]
    assert more(Estimate(0.99, 0.985, 0.995, 5000), n_speakers=9, n_words=3) == ""


def test_a_sweep_has_nothing_to_choose_by(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tones(tmp_path / "tones", n_speakers=1, n_takes=2)
    words = ["dataset=folder", f"dataset.data_folder={tmp_path}/tones", f"output_dir={tmp_path}", "experiment_id=s"]
    assert main(["train", "-m", *words, "seed=0,1"]) == 2
    assert "a sweep compares by validation, which protocol=few has not" in capsys.readouterr().out
