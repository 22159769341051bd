"""Runs that earlier versions wrote are evaluated and resumed: one small run of each format, with its checkpoints.

They were made by the `phonaut train` of their day, with `WORDS` and `trainer.max_epochs=1`, and are never made anew.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from golden import trees
from golden.record import command
from phonaut.runs import Run

HERE = Path(__file__).parents[1] / "golden" / "resumable"
TONES = ["dataset=folder", "dataset.data_folder=tones"]
FEW = ["features.n_mels=10", "features.n_fft=512", "features.win_length=400"]
CLIPS = [*TONES, "dataset.validation_speakers=[s5]", "dataset.test_speakers=[s6,s7]", "batch_size=16", *FEW,
         "features.n_mfcc=4"]  # fmt: skip
SMALL = ["model.stride=3", "model.hidden_size=8", "model.n_heads=2", "model.intermediate_size=8", "model.n_layers=1"]
WORDS = {
    "tc-res8": [*CLIPS, "model.channels=[4,4]"],
    "gmmhmm": [*CLIPS, "model=gmmhmm", "model.n_mix=1", "model.n_states=2"],
    "encoder": ["model=mockingjay_small", *SMALL, *FEW, "batch_frames=800", "trainer.precision=32-true", *TONES],
}
QUIET = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
RUNS = sorted(f"{path.parent.parent.name}/{path.parent.name}" for path in HERE.glob("*/*/*/"))


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    trees.tones(folder)
    return folder


@pytest.mark.parametrize("name", RUNS)
def test_a_run_of_a_former_day_is_evaluated_and_resumed(
    name: str, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, kind = name.split("/")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tones").symlink_to(tones / "tones")
    shutil.copytree(HERE / day / kind, f"trained_models/{kind}")
    run = Run(f"trained_models/{kind}")
    before, history = run.metrics, run.history
    if kind != "encoder":  # which has no classes to score
        (run.folder / "metrics.json").write_text(json.dumps({"validation": before["validation"]}))
        status, _, told = command(["evaluate", str(run.folder)])
        assert status == 0, told
        for metric, rate in before["test"].items():
            assert run.metrics["test"][metric] == pytest.approx(rate, abs=0.1), metric
    words = [*WORDS[kind], *QUIET, f"experiment_id={kind}"]
    status, out, told = command(["train", *words, "trainer.max_epochs=2"])
    assert status == 0, told
    assert "resuming from" in out
    assert [line["epoch"] for line in run.history] == [0, 1]
    assert run.history[0] == history[0]
    assert run.finished


def test_every_format_has_a_run_of_each_loop() -> None:
    assert {name.partition("/")[2] for name in RUNS} == set(WORDS)
    assert {name.partition("/")[0] for name in RUNS} >= {"2026-11-24", "2026-11-26", "2026-11-29"}
