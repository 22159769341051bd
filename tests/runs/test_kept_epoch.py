"""Which epoch becomes the model is as asked for, is said, and any epoch whose checkpoint is kept can be scored."""

from pathlib import Path

import pytest
import torch

from helpers.encoders_of_tones import trained
from helpers.runs_of_tones import run_settings, write_tones
from phonaut.checkpoints.state_dict import read_weights
from phonaut.networks import TCResNet8
from phonaut.reports.record import read
from phonaut.reports.terminal import kept_epoch
from phonaut.runs import evaluate
from phonaut.runs.run import Run
from phonaut.runs.training import best_epoch
from phonaut.tasks.base import Request

HISTORY = [{"epoch": 0, "loss": 1.0, "accuracy": 0.5}, {"epoch": 1, "loss": 2.0, "accuracy": 0.9}, {"epoch": 2}]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones"), n_speakers=4, n_takes=2)


@pytest.fixture(scope="module")
def every(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    small = ["model.channels=[4,4]", "trainer.max_epochs=3", "module.reparameterized=true"]
    words = [*run_settings(tones, small=True), *small, "checkpoint=all"]
    return trained(tmp_path_factory.mktemp("runs") / "every", words)


@pytest.mark.parametrize(("monitor", "mode", "kept"), [("loss", "min", 0), ("accuracy", "max", 1), (None, "min", 2)])
def test_the_kept_epoch_is_the_best_by_the_monitor_or_the_last(monitor: str | None, mode: str, kept: int) -> None:
    assert best_epoch(HISTORY, monitor, mode) == kept


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 3])
def test_an_epoch_is_scored_as_it_was_when_it_ended(every: Run, epoch: int) -> None:
    before = dict(every.metrics)
    run, name = evaluate(every.folder, Request(split="validation", epoch=epoch))
    assert name == f"validation_epoch_{epoch}"
    assert run.metrics[name]["accuracy"]["value"] == pytest.approx(run.history[epoch - 1]["validation/accuracy"])
    assert {split: run.metrics[split] for split in before} == before, "the figures of the model stay"


@pytest.mark.slow
def test_branches_of_training_are_folded_when_it_ends(every: Run) -> None:
    folded = TCResNet8(n_features=10, n_classes=3, channels=[4, 4])
    assert every.model["parameters"] == sum(p.numel() for p in folded.parameters())
    weights = read_weights(every.folder / "model.safetensors")
    folded.load_state_dict({name.removeprefix("network."): w for name, w in weights.items() if "network." in name})
    of_epoch = torch.load(every.folder / "checkpoints" / "epoch-002.ckpt", weights_only=True)["state_dict"]
    assert sum(".branches." in name for name in of_epoch) > 20


@pytest.mark.slow
def test_an_epoch_that_is_not_kept_is_refused_with_those_that_are(every: Run) -> None:
    with pytest.raises(ValueError, match=r"epoch=9: .* keeps epochs 1, 2, 3; checkpoint=all keeps every one"):
        evaluate(every.folder, Request(epoch=9))


@pytest.mark.slow
def test_the_last_epoch_becomes_the_model_where_it_is_asked_for_and_that_is_said(tones: Path, tmp_path: Path) -> None:
    words = [*run_settings(tones, small=True), "model.channels=[4,4]", "trainer.max_epochs=2", "checkpoint=last"]
    run = trained(tmp_path / "last", words)
    states = torch.load(run.folder / "checkpoints" / "epoch-001.ckpt", weights_only=True)["state_dict"]
    from safetensors.torch import load_file

    for name, value in load_file(run.folder / "model.safetensors").items():
        torch.testing.assert_close(value, states[f"model.{name}"], rtol=0, atol=0)
    assert kept_epoch(read(run.folder)) == ("epoch 2 of 2", ", the last")
