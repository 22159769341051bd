"""Training for few bits: phases come when they are due, a stopped run goes on in its own, evaluation is integers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import phonaut
from helpers.runs_of_tones import run_settings, write_tones
from phonaut.config.compose import ConfigurationError, compose
from phonaut.deploy.integer_program import program_of
from phonaut.deploy.interpreter import Interpreter
from phonaut.networks import TCResNet8
from phonaut.networks.quantized import QuantizedNetwork
from phonaut.runs.training import train
from phonaut.training.compression import Compression

SMALL = ["model.channels=[6,8]", "checkpoint=last", "compress=linear_8_4_8", "compress.start=0.5",
         "compress.fold_bn=0.5", "compress.sparsity=0.5", "trainer.enable_progress_bar=false"]  # fmt: skip


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of a run on tones."""
    return [*run_settings(write_tones(tmp_path_factory.mktemp("tones") / "tones", n_takes=4)), *SMALL]


@pytest.fixture(scope="module")
def run(words: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("calm") / "x" / "tc-res8"
    train(compose(words), folder, [])
    return folder


@pytest.mark.slow
def test_a_run_learns_in_few_bits_and_its_program_decides_as_it_did(run: Path) -> None:
    about = json.loads((run / "model.json").read_text())
    assert about["compress"] == "linear_8_4_8"
    network = phonaut.load(run).model.network
    layers = [network.network.first, *network.network.blocks]
    assert about["weight_bytes"] < sum(p.numel() for one in layers for p in one.parameters())
    assert json.loads((run / "metrics.json").read_text())["test"]["accuracy"]["value"] > 0.9
    loaded = phonaut.load(run)
    interpreter = Interpreter(program_of(loaded.model.network, loaded.model.front_end.n_features))
    audio = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0)) * 0.1
    with torch.inference_mode():
        frames, lengths = loaded.model.frames(audio, torch.tensor([8000, 8000]))
        expected = loaded.model.classify(frames, lengths).numpy()
    found = np.stack([interpreter.logits(one.numpy()) for one in frames])
    np.testing.assert_array_equal(found, expected)
    convolutions = [o for o in interpreter.program.operations if o.kind == "conv"]
    assert all((o.arrays["weight"] == 0).mean() >= 0.5 for o in convolutions)


@pytest.mark.slow
@pytest.mark.parametrize("step", [11, 26], ids=["before rounding", "after"])
def test_a_run_that_was_stopped_ends_with_the_same_weights(
    step: int, words: list[str], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, plain = tmp_path / "x" / "tc-res8", Compression.on_train_batch_start

    def stopping(self: Compression, trainer: object, pl_module: object, *rest: object) -> None:
        if pl_module.global_step == step:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        plain(self, trainer, pl_module, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Compression, "on_train_batch_start", stopping)
        with pytest.raises(KeyboardInterrupt):
            train(compose(words), folder, [])
    train(compose(words), folder, [])
    one, other = (phonaut.load(path).model.state_dict() for path in (run, folder))
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_phases_come_when_they_are_due() -> None:
    compression = Compression(start=0.6, fold_bn=0.4, sparsity=0.8, noise=0.2)
    network = compression.quantized(TCResNet8(n_features=4, n_classes=2, channels=(4, 4)))
    seen = []
    for step in range(20):
        compression.advance(network, step / 20)
        network(torch.randn(3, 9, 4), torch.full((3,), 9))
        phase = network.phase
        seen.append((phase.watches, phase.folded, phase.quantizes, round(phase.sparsity, 3)))
    watches, folded, quantizes, sparsity = (list(column) for column in zip(*seen, strict=True))
    assert watches == [0.5 <= step / 20 < 0.8 for step in range(20)]
    assert folded == [step >= 8 for step in range(20)]
    assert quantizes == [step >= 12 for step in range(20)]
    assert sparsity[:4] == [0.0] * 4  # to a quarter of 12 steps
    assert sparsity[12:] == [0.8] * 8
    assert sparsity == sorted(sparsity)


def test_from_the_first_step_on_it_rounds_as_soon_as_a_batch_was_heard() -> None:
    compression = Compression(start=0.0, fold_bn=None)
    network = compression.quantized(TCResNet8(n_features=4, n_classes=2, channels=(4, 4)))
    compression.advance(network, 0.0)
    assert not network.phase.quantizes
    network(torch.randn(3, 9, 4), torch.full((3,), 9))
    compression.advance(network, 0.01)
    assert network.phase.quantizes
    assert not network.phase.folded


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (["compress=linear_8_8"], "compress=linear_8_8 is not a choice"),
        (["compress=linear_0_8_8"], r"compress.bits=\[0, 8, 8\]: must be those of activations"),
        (["compress=linear_8_8_8", "compress.start=1"], "compress.start=1"),
        (["compress=linear_8_8_8", "checkpoint=best"], "may keep what was before: type checkpoint=last"),
        (["compress=linear_8_8_8", "model=lstm", "model.bidirectional=true"], "in one direction"),
        (["compress=linear_8_8_8", "model=gmmhmm"], "model=gmmhmm is none"),
        (["compress=linear_8_8_8", "module.statistics_noise=0.5"], "leave one out"),
        (["compress=linear_8_8_8", "compress.layers=[first:8_8]"], "compress.layers: first:8_8 is no pattern"),
    ],
)
def test_what_cannot_be_combined_is_said(more: list[str], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        compose(["dataset=fsdd", *more])


def test_every_triple_composes() -> None:
    config = compose(["dataset=fsdd", "compress=fp_16_3_1", "compress.layers=['blocks.*:8_2_8','first:8_8_8']"])
    assert config.compress is not None
    assert (config.compress["kind"], config.compress["bits"]) == ("fp", [16, 3, 1])
    network = Compression(bits=[16, 3, 1], kind="fp").quantized(TCResNet8(n_features=4, n_classes=2))
    assert isinstance(network, QuantizedNetwork)
    assert str(network.scheme) == "fp_16_3_1"
