"""A run that is killed and started again ends with the weights of one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.runs_of_tones import run_settings, write_tones

# Runs `phonaut` and notes each training step in a file, so that a test can count them through kills.
DRIVER = """
import os, sys, time
from phonaut.training.gradient import SpeechClassifier
step = SpeechClassifier.training_step
notes = os.open({notes!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def noted(self, batch, batch_idx):
    os.write(notes, f"{{self.current_epoch}} {{batch_idx}}\\n".encode())
    time.sleep(0.01)  # leaves room for a kill in mid-epoch
    return step(self, batch, batch_idx)
SpeechClassifier.training_step = noted
validated = SpeechClassifier.on_validation_epoch_end
def deadly(self):
    validated(self)
    if {deadly!r} and self.current_epoch == 1:
        os.kill(os.getpid(), {deadly!r})
SpeechClassifier.on_validation_epoch_end = deadly
from phonaut.cli import main
sys.argv = ["phonaut", "train", *{arguments!r}]
sys.exit(main())
"""


def start(folder: Path, arguments: list[str], deadly: int = 0) -> subprocess.Popen[str]:
    """Start a run; `deadly` is a signal that it sends itself when the second epoch is validated."""
    code = DRIVER.format(notes=str(folder / "steps"), arguments=arguments, deadly=deadly)
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def steps(folder: Path) -> list[str]:
    path = folder / "steps"
    return path.read_text().splitlines() if path.exists() else []


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


@pytest.mark.slow
@pytest.mark.parametrize(("minutes", "seed"), [(5.0, 0), (0.001, 1)], ids=["epochs", "within epochs"])
def test_killed_at_random_moments_it_ends_with_the_same_weights(minutes: float, seed: int, tmp_path: Path) -> None:
    settings = run_settings(write_tones(tmp_path / "tones"))
    arguments = [*settings, "experiment_id=x", f"checkpoint_minutes={minutes}"]
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    calm.mkdir()
    shaken.mkdir()
    finish(start(calm, arguments))
    planned = steps(calm)
    per_epoch = len(planned) // 4

    rng = random.Random(seed)
    n_kills = 2
    for kill in range(n_kills):
        process = start(shaken, arguments)
        wanted = len(steps(shaken)) + per_epoch + rng.randint(1, per_epoch // 2)  # once an epoch is complete
        while len(steps(shaken)) < wanted and process.poll() is None:
            time.sleep(0.002)
        assert process.poll() is None, f"it ended before kill {kill}: {process.communicate()[0]}"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    output = finish(start(shaken, arguments))

    assert "resuming from" in output
    assert sorted(set(steps(shaken))) == sorted(set(planned)), "every step ran, and no other"
    interval = per_epoch if minutes > 1 else 10  # 60 ms hold five steps of 10 ms and more, and the save itself
    assert len(steps(shaken)) - len(planned) <= n_kills * interval
    assert_same(calm, shaken)


def assert_same(calm: Path, shaken: Path) -> None:
    """The same weights and the same history, but for the time that it took."""
    weights = [next(folder.glob("trained_models/x/*/model.safetensors")).read_bytes() for folder in (calm, shaken)]
    assert weights[0] == weights[1]
    files = [next(folder.glob("trained_models/x/*/history.json")) for folder in (calm, shaken)]
    histories = [json.loads(file.read_text()) for file in files]
    for a, b in zip(*histories, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


@pytest.mark.slow
@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM], ids=lambda s: s.name)
def test_stopped_while_it_validates_it_ends_with_the_same_weights(deadly: signal.Signals, tmp_path: Path) -> None:
    arguments = [*run_settings(write_tones(tmp_path / "tones")), "experiment_id=x", "checkpoint_minutes=0.0001"]
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    calm.mkdir()
    shaken.mkdir()
    finish(start(calm, arguments))
    stopped = start(shaken, arguments, deadly=int(deadly))
    stopped.communicate(timeout=120)
    assert stopped.returncode != 0
    finish(start(shaken, arguments))
    assert_same(calm, shaken)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gmmhmm", "genhmm"])
def test_em_that_was_killed_ends_with_the_same_parameters(model: str, tmp_path: Path) -> None:
    small = ["model.n_mix=2", "model.tol=-1"]
    if model == "genhmm":
        small += ["model.n_couplings=2", "model.n_hidden=4", "model.n_passes=1", "model.first_fit=1"]
    settings = run_settings(write_tones(tmp_path / "tones", n_takes=2))
    arguments = [*settings, f"model={model}", *small, "experiment_id=x"]
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    calm.mkdir()
    shaken.mkdir()
    finish(start(calm, arguments))
    killed = start(shaken, arguments, deadly=int(signal.SIGKILL))
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert "resuming from" in finish(start(shaken, arguments))
    assert_same(calm, shaken)
