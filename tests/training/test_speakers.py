"""Training of embeddings: crops and copies are functions of their seeds, and the mean is that of the weights."""

import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from helpers.processes import Command, note_steps
from helpers.runs_of_tones import run_settings, write_tones
from phonaut.checkpoints.state_dict import read_weights
from phonaut.config.compose import ConfigurationError, compose
from phonaut.data.batches import Batch
from phonaut.networks.padding import MaskedBatchNorm
from phonaut.runs.training import fit
from phonaut.tasks.classification import Classification
from phonaut.training.averaging import mean_of
from phonaut.training.speakers import SpeakerEmbedding, margin_at, weights_file
from phonaut.training.warmup import ExponentialWarmup

SMALL = ["model=ecapa", "model.channels=8", "model.bottleneck=4", "model.n_embedding=8", "target=speaker"]
ROUND = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("corpus") / "tones", n_speakers=3, n_takes=4)


def settings(tones: Path, *more: str) -> list[str]:
    few = [word for word in run_settings(tones) if "speakers=" not in word and "max_epochs" not in word]
    return [*few, *SMALL, "augmentation=none", "trainer.max_epochs=3", "trainer.enable_progress_bar=false", *more]


def parts(tones: Path, *more: str) -> tuple[SpeakerEmbedding, Any]:
    config = compose(settings(tones, *more))
    task = Classification()
    data = task.data(config)
    loop: Any = task.loop(config, task.model(config, data.classes), data)
    return loop, data


def test_the_margin_is_none_at_first_and_whole_at_the_end() -> None:
    assert margin_at(0.0, 0.2, 0.1, 0.3) == margin_at(0.1, 0.2, 0.1, 0.3) == 0.0
    assert margin_at(0.3, 0.2, 0.1, 0.3) == margin_at(1.0, 0.2, 0.1, 0.3) == 0.2
    assert margin_at(0.0, 0.2, 0.0, 0.0) == 0.2, "without a way to go it is there from the beginning"
    way = [margin_at(p, 0.2, 0.1, 0.3) for p in np.linspace(0.1, 0.3, 101)]
    left = 0.2 - np.array(way)
    assert np.all(np.diff(way) > 0)
    ratios = (left[1:-1] + 0.2e-3 / 0.999) / (left[:-2] + 0.2e-3 / 0.999)
    np.testing.assert_allclose(ratios, 1e-3 ** (1 / 100), rtol=1e-9, atol=0)


@pytest.mark.oracle
def test_the_rate_rises_straight_and_falls_exponentially() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = ExponentialWarmup(optimizer, total_steps=100, share=0.1, final=1e-3)
    rates = []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    expected = [0.1 * min(1.0, (k + 1) / 10) * 10.0 ** (-3 * k / 100) for k in range(101)]
    np.testing.assert_allclose(rates, expected, rtol=1e-9, atol=0)


def heard(loop: SpeakerEmbedding, batch: Batch) -> dict[int, tuple[int, torch.Tensor]]:
    """Label and cropped frames of each recording, by its row."""
    sped = loop.sped(batch)
    segments, lengths = loop.cropped(sped, *loop.model.segments(sped))
    rows = zip(batch.rows.tolist(), sped.labels.tolist(), segments, lengths.tolist(), strict=True)
    return {row: (label, frames[:n]) for row, label, frames, n in rows}


def together(loop: SpeakerEmbedding, data: Any, parts: Sequence[np.ndarray], epoch: int = 3) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for numbers in parts:
        found |= heard(loop, replace(data.dataset("train")[numbers], epoch=epoch))
    return found


def test_crops_and_copies_are_the_same_in_any_batch_and_others_in_other_epochs(tones: Path) -> None:
    loop, data = parts(tones, "module.crop_s=0.2")
    every = np.arange(len(data.dataset("train")))
    whole, single = together(loop, data, [every]), together(loop, data, [every[i : i + 1] for i in every[::-1]])
    assert whole.keys() == single.keys()
    for row, (label, frames) in whole.items():
        assert label == single[row][0]
        assert frames.shape == single[row][1].shape == (20, 10)
        torch.testing.assert_close(frames, single[row][1], rtol=1e-4, atol=1e-3)
    later = together(loop, data, [every], epoch=4)
    assert [later[row][0] for row in whole] != [whole[row][0] for row in whole]
    loop.copies = None  # of what is heard at one speed, another stretch
    first, second = (together(loop, data, [every], epoch=epoch) for epoch in (3, 4))
    assert any(not torch.equal(first[row][1], second[row][1]) for row in first)


def test_a_crop_is_a_stretch_of_the_recording_and_a_short_one_stays(tones: Path) -> None:
    loop, data = parts(tones, "module.crop_s=0.2", "module.speeds=[]")
    batch = data.dataset("train")[np.arange(6)]
    segments, lengths = loop.model.segments(batch)
    lengths[0] = 7
    cropped, n = loop.cropped(batch, segments, lengths)
    assert n.tolist() == [7, 20, 20, 20, 20, 20]
    assert torch.equal(cropped[0, :7], segments[0, :7])
    for i in range(1, 6):
        starts = [k for k in range(int(lengths[i]) - 19) if torch.equal(segments[i, k : k + 20], cropped[i])]
        assert len(starts) == 1
    assert loop.copies is None


def test_copies_are_speakers_of_their_own_and_their_pitch_is_changed(tones: Path) -> None:
    loop, data = parts(tones, "module.speeds=[0.5,2.0]")
    batch = data.dataset("train")[np.arange(len(data.dataset("train")))]
    sped, n = loop.sped(batch), len(data.classes)
    assert (n, loop.copies.weight.shape[0]) == (3, 6)
    assert torch.equal(sped.labels % n, batch.labels)
    assert set((sped.labels // n).tolist()) == {0, 1, 2}

    def hertz(audio: torch.Tensor, n: int) -> float:
        return float(np.abs(np.fft.rfft(audio[:n].numpy())).argmax() * 16000 / n)

    for i, copy in enumerate((sped.labels // n).tolist()):
        before = hertz(batch.audio[i], int(batch.audio_lengths[i]))
        after = hertz(sped.audio[i], int(sped.audio_lengths[i]))
        assert after / before == pytest.approx((1.0, 0.5, 2.0)[copy], rel=0.01)


@pytest.mark.oracle
def test_the_loss_is_the_cross_entropy_over_speakers_and_their_copies(tones: Path) -> None:
    loop, data = parts(tones, "module.margin_begin=0.0", "module.margin_end=0.0")
    plan = SimpleNamespace(estimated_stepping_batches=10, current_epoch=0, global_step=0, global_rank=0, world_size=1)
    loop._trainer, loop._fabric, loop.log = plan, None, lambda *_, **__: None
    batch = next(data.batches("train"))
    loop.eval()  # statistics that do not depend on the batch
    loss = float(loop.training_step(batch, 0).detach())
    sped = loop.sped(batch)
    x = loop.model.network.embed(*loop.model.segments(sped)).detach().double().numpy()
    w = torch.cat([loop.model.network.classifier.weight, loop.copies.weight]).detach().double().numpy()
    theta = np.arccos((x @ w.T) / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(w, axis=1))
    assert theta.shape[1] == 9
    logits = 32 * np.cos(theta + 0.2 * (np.arange(9) == sped.labels.numpy()[:, None]))
    own = np.take_along_axis(logits, sped.labels.numpy()[:, None], axis=1)[:, 0]
    assert loss == pytest.approx(float((np.log(np.exp(logits).sum(axis=1)) - own).mean()), rel=1e-4)
    assert int(loop.training_statistics.confusion.sum()) == len(batch.labels)
    assert loop.training_statistics.confusion.shape == (3, 3)


@pytest.fixture(scope="module")
def trained(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    folder = tmp_path_factory.mktemp("run")
    _, loop, data = fit(compose(settings(tones, "module.n_averaged=2")), folder)
    return folder, loop, data


@pytest.mark.oracle
def test_the_mean_is_that_of_the_last_weights_with_statistics_of_the_training_batches(
    trained: tuple[Path, Any, Any],
) -> None:
    folder, loop, data = trained
    files = sorted((folder / "checkpoints").glob("weights-*"))
    assert [file.name for file in files] == ["weights-001.safetensors", "weights-002.safetensors"]
    first, second = map(read_weights, files)
    loop.model.cpu().eval()
    loop.conclude(data)
    assert loop.averaged_epochs == [2, 3]
    state = loop.model.state_dict()
    learned = {name for name, _ in loop.model.named_parameters()}
    for name in learned:
        torch.testing.assert_close(state[name], ((first[name] + second[name]) / 2), **ROUND)
    assert not torch.equal(state["network.first.norm.running_mean"], second["network.first.norm.running_mean"])

    # The first layer sees no other statistics: the mean over batches of the means of what it gives.
    means = []
    with torch.no_grad():
        for batch in data.batches("train"):
            sped = loop.augmented(batch)
            frames, lengths = loop.cropped(sped, *loop.model.segments(sped))
            x = loop.model.network.first.conv(frames.transpose(1, 2).unsqueeze(2))[:, :, 0]
            means.append(torch.cat([x[i, :, :n] for i, n in enumerate(lengths.tolist())], dim=1).mean(dim=1))
    torch.testing.assert_close(
        state["network.first.norm.running_mean"], torch.stack(means).mean(dim=0), rtol=1e-3, atol=1e-3
    )
    assert {module.momentum for module in loop.model.modules() if isinstance(module, MaskedBatchNorm)} == {0.1}
    assert not any(module.training for module in loop.model.modules())


def test_evaluation_scores_the_speakers_and_no_copies(trained: tuple[Path, Any, Any]) -> None:
    _, loop, data = trained
    batch = next(data.batches("test"))
    assert loop.model.classify(*loop.model.segments(batch)).shape[1] == len(data.classes) == 3
    assert not any("copies" in name for name in loop.model.state_dict())
    assert any("copies" in name for name in loop.state_dict()), "a run that was killed goes on with theirs"


def test_the_mean_of_files_is_summed_in_double_precision(tmp_path: Path) -> None:
    from phonaut.checkpoints.state_dict import write_weights

    values = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    for epoch, value in enumerate(values):
        write_weights(weights_file(tmp_path, epoch), {"w": torch.from_numpy(value), "n": torch.tensor(epoch)})
    mean = mean_of(read_weights(weights_file(tmp_path, epoch)) for epoch in range(5))
    np.testing.assert_array_equal(mean["w"].numpy(), values.astype(np.float64).mean(axis=0).astype(np.float32))
    assert int(mean["n"]) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["module.speeds=[1.0]"], "module.speeds=.*without 1"),
        (["module.speeds=[0.91]"], "multiples of 0.025"),
        (["module.margin_begin=0.5"], "margin_end=0.27 must be at least module.margin_begin=0.5"),
        (["module.crop_s=0"], "module.crop_s=0"),
        (["model=gru", "module=speaker_embedding"], "cannot train model=gru"),
    ],
)
def test_options_that_cannot_be_are_refused(tones: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        compose([*settings(tones), *words])


@pytest.mark.slow
def test_killed_and_started_again_it_ends_with_the_same_mean(tones: Path, tmp_path: Path) -> None:
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    words = ["train", *settings(tones, "module.n_averaged=2"), "experiment_id=x"]

    def run(folder: Path, deadly: int = 0) -> Command:
        return Command(folder, words, note_steps, folder / "steps", deadly)

    run(calm).finish()
    assert run(shaken, int(signal.SIGKILL)).wait() == -signal.SIGKILL
    assert "resuming from" in run(shaken).finish()
    first, second = (next(folder.glob("trained_models/x/*/model.safetensors")) for folder in (calm, shaken))
    assert first.read_bytes() == second.read_bytes()
