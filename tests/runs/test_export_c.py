"""The C of a run is written when training ends or afterwards, and computes here what the integers do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from shutil import which

import numpy as np
import pytest
import soundfile

import phonaut
from helpers.runs_of_tones import RATE, run_settings, write_tones
from phonaut.cli import main
from phonaut.config.compose import ConfigurationError, compose
from phonaut.deploy.integer_program import Program
from phonaut.deploy.interpreter import Interpreter

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was exported when its training ended, and one in floating point."""
    place = tmp_path_factory.mktemp("exporting")
    words = [*run_settings(write_tones(place / "tones", n_takes=2)), "model.channels=[6,8]", "checkpoint=last",
             "dataset.clip_s=0.5", f"output_dir={place}", "trainer.enable_progress_bar=false"]  # fmt: skip
    assert main(["train", *words, "experiment_id=bits", "compress=linear_8_8_8", "backend=c"]) == 0
    assert main(["train", *words, "experiment_id=float"]) == 0
    return place


def test_training_ends_with_the_c_of_the_run_and_how_alike_they_are(home: Path) -> None:
    folder = home / "bits" / "tc-res8" / "exported"
    figures = json.loads((folder / "export.json").read_text())
    assert (figures["backend"], figures["bits"]) == ("c", "linear_8_8_8")
    assert figures["parity"]["test"]["n_changed"] <= 1
    assert any(line.startswith("RAM ") for line in figures["plan"])
    assert "make -C model" in (folder / "model_card.md").read_text()
    run = phonaut.load(home / "bits")
    interpreter = Interpreter(Program.load(folder / "model" / "program.safetensors"))
    frames = np.random.default_rng(0).standard_normal((51, run.model.front_end.n_features)).astype(np.float32)
    import torch

    with torch.inference_mode():
        expected = run.model.classify(torch.from_numpy(frames)[None], torch.tensor([51]))[0].numpy()
    np.testing.assert_array_equal(interpreter.logits(frames), expected)


@pytest.mark.skipif(which("gcc") is None or which("make") is None, reason="there is no gcc, or no make")
def test_the_lines_of_the_card_build_a_program_that_answers(home: Path) -> None:
    folder = home / "bits" / "tc-res8" / "exported"
    subprocess.run(["make", "-s", "-C", "model"], cwd=folder, check=True)
    tone = sorted((home / "tones" / "low").glob("*.wav"))[0]
    ran = subprocess.run(["model/words", str(tone)], cwd=folder, check=True, capture_output=True, text=True)
    assert ran.stdout.split()[0] == phonaut.load(home / "bits").predict(tone).label
    assert json.loads((folder / "export.json").read_text())["sample_rate"] == RATE
    audio = soundfile.read(tone, dtype="int16")[0]
    soundfile.write(home / "short.wav", audio[: RATE // 5], RATE)
    before = (RATE // 2 - RATE // 5) // 2  # clips of half a second: between equally many zeros, as in training
    soundfile.write(home / "padded.wav", np.pad(audio[: RATE // 5], (before, RATE // 2 - RATE // 5 - before)), RATE)
    soundfile.write(home / "long.wav", np.tile(audio, 2), RATE)
    paths = [str(home / f"{name}.wav") for name in ("short", "padded", "long")]
    ran = subprocess.run(["model/words", *paths], cwd=folder, check=False, capture_output=True, text=True)
    short, padded = ran.stdout.splitlines()
    assert short == padded
    assert (ran.returncode, "long.wav is longer than a clip: use -s" in ran.stderr) == (1, True)


def test_a_run_in_floating_point_is_rounded_where_it_is_asked_for(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(home / "float"), "backend=c"]) == 2
    assert "type compress=linear_8_8_8" in capsys.readouterr().err
    words = ["export", str(home / "float"), "backend=c", "compress=linear_8_8_8", "n_parity=5"]
    assert main(words) == 0
    assert "decisions of 5 changed" in capsys.readouterr().out
    assert main(["export", str(home / "bits"), "compress=linear_4_4_4", f"output={home / 'again'}", "backend=c"]) == 2
    assert "was trained with compress=linear_8_8_8: leave compress= out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["backend=c"], "backend=c computes with integers: type compress=linear_8_8_8"),
        (["backend=torchmobile"], "ExecuTorch replaces it"),
        (["backend=tflite"], "backend=tflite is none of c, "),
        (["backend=c", "model=lstm", "compress=linear_8_8_8"], "recurrent networks in few bits"),
        (["backend=c", "model=gmm"], "model=gmm is not exported"),
        (["model=genhmm", "backend=onnxruntime"], "GenEmissions are not exported"),
        (["backend=c", "task=verification", "model=gmm_ubm", "target=speaker"], "backend=c has no effect"),
    ],
)
def test_what_cannot_be_exported_is_said_before_training(words: list[str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        compose(["dataset=fsdd", *words])
