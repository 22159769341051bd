"""A run that is killed and started again ends with the weights of one that was not."""

import json
import random
import signal
import time
from pathlib import Path

import pytest

from helpers.processes import Command, note_steps
from helpers.runs_of_tones import run_settings, typed, write_tones

pytestmark = pytest.mark.slow

EM = {
    "gmmhmm": ["model.n_mix=2", "model.tol=-1"],
    "genhmm": [
        "model.n_mix=2", "model.tol=-1", "model.n_couplings=2", "model.n_hidden=4", "model.n_passes=1",
        "model.gmm_init_steps=1",
    ],
}  # fmt: skip


def start(folder: Path, arguments: list[str], deadly: int = 0) -> Command:
    """Start a run; `deadly` is a signal that it sends itself when the second epoch is validated."""
    return Command(folder, ["train", *typed(*arguments), "experiment_id=x"], note_steps, folder / "steps", deadly)


def steps(folder: Path) -> list[str]:
    path = folder / "steps"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return run_settings(write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_takes=4))


@pytest.fixture(scope="module")
def calm(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbs; how often checkpoints are written changes no weight."""
    folder = tmp_path_factory.mktemp("calm")
    start(folder, settings).finish()
    return folder


@pytest.mark.parametrize(("minutes", "seed", "n_kills"), [(5.0, 0, 1), (0.001, 1, 2)], ids=["epochs", "within epochs"])
def test_killed_at_random_moments_it_ends_with_the_same_weights(
    minutes: float, seed: int, n_kills: int, settings: list[str], calm: Path, tmp_path: Path
) -> None:
    arguments = [*settings, f"checkpoint_minutes={minutes}"]
    planned = steps(calm)
    per_epoch = len(planned) // 4

    rng = random.Random(seed)
    for kill in range(n_kills):
        run = start(tmp_path, arguments)
        wanted = len(steps(tmp_path)) + per_epoch + rng.randint(1, per_epoch // 2)  # once an epoch is complete
        while len(steps(tmp_path)) < wanted and run.is_running:
            time.sleep(0.002)
        assert run.is_running, f"it ended before kill {kill}: {run.output}"
        run.kill()
    output = start(tmp_path, arguments).finish()

    assert "resuming from" in output
    assert sorted(set(steps(tmp_path))) == sorted(set(planned)), "every step ran, and no other"
    interval = per_epoch if minutes > 1 else 10  # 60 ms hold five steps of 10 ms and more, and the save itself
    assert len(steps(tmp_path)) - len(planned) <= n_kills * interval
    assert_same(calm, tmp_path)


def assert_same(calm: Path, shaken: Path) -> None:
    """The same weights and the same history, but for the time that it took."""
    weights = [next(folder.glob("trained_models/x/*/model.safetensors")).read_bytes() for folder in (calm, shaken)]
    assert weights[0] == weights[1]
    files = [next(folder.glob("trained_models/x/*/history.json")) for folder in (calm, shaken)]
    histories = [json.loads(file.read_text()) for file in files]
    for a, b in zip(*histories, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {k: v for k, v in b.items() if k != "seconds"}


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM], ids=lambda s: s.name)
def test_stopped_while_it_validates_it_ends_with_the_same_weights(
    deadly: signal.Signals, settings: list[str], calm: Path, tmp_path: Path
) -> None:
    arguments = [*settings, "checkpoint_minutes=0.0001"]
    assert start(tmp_path, arguments, deadly=int(deadly)).wait() != 0
    start(tmp_path, arguments).finish()
    assert_same(calm, tmp_path)


@pytest.mark.parametrize("model", EM)
def test_em_that_was_killed_ends_with_the_same_parameters(model: str, settings: list[str], tmp_path: Path) -> None:
    arguments = [*settings, f"model={model}", *EM[model]]
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    # Code that was just compiled rounds otherwise than the same code from numba's cache: compile it before.
    start(tmp_path / "compiled", [*arguments, "trainer.max_epochs=1"]).finish()
    start(calm, arguments).finish()
    assert start(shaken, arguments, deadly=int(signal.SIGKILL)).wait() == -signal.SIGKILL
    assert "resuming from" in start(shaken, arguments).finish()
    assert_same(calm, shaken)
