"""The mean of several epochs' weights, with the statistics of batch normalisation that belong to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.encoders_of_tones import trained
from helpers.runs_of_tones import run_settings, write_tones
from phonaut.checkpoints.state_dict import read_checkpoint
from phonaut.config.compose import compose
from phonaut.reports.record import read
from phonaut.reports.sections.training import render
from phonaut.reports.terminal import kept_epoch
from phonaut.runs.training import average, fit

SMALL = ["model.channels=[4,6]", "checkpoint=average", "checkpoint.n_averaged=2", "trainer.enable_progress_bar=false"]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones"), n_speakers=4, n_takes=2)


def settings(tones: Path, *more: str) -> list[str]:
    return [*run_settings(tones, small=True), *SMALL, *more]


@pytest.fixture(scope="module")
def fitted(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    folder = tmp_path_factory.mktemp("run")
    _, loop, data = fit(compose(settings(tones)), folder)
    return folder, loop, data


@pytest.mark.oracle
def test_the_model_is_the_mean_of_the_last_epochs_with_statistics_of_its_own(fitted: tuple[Path, Any, Any]) -> None:
    folder, loop, data = fitted
    files = sorted((folder / "checkpoints").glob("epoch-*"))
    assert [file.name for file in files] == ["epoch-002.ckpt", "epoch-003.ckpt"]
    assert loop.averaged_epochs == [3, 4]
    first, second = (read_checkpoint(file)["state_dict"] for file in files)
    state = loop.state_dict()
    for name, _ in loop.named_parameters():
        mean = (first[name].double().numpy() + second[name].double().numpy()) / 2
        np.testing.assert_allclose(state[name].numpy(), mean, rtol=0, atol=1e-7)

    # The first layer hears augmented frames alone: its statistics are means over the batches of what it gives.
    means, variances = [], []
    loop.model.eval()
    with torch.no_grad():
        for batch in data.batches("train"):
            frames, lengths = loop.model.segments(loop.augmented(batch))
            for i, n in enumerate(lengths.tolist()):
                frames[i, n:] = 0
            x = loop.model.network.first.conv(frames.transpose(1, 2).unsqueeze(2))[:, :, 0].double().numpy()
            valid = np.concatenate([x[i, :, :n] for i, n in enumerate(lengths.tolist())], axis=1)
            means.append(valid.mean(axis=1))
            variances.append(valid.var(axis=1, ddof=1))
    norm = loop.model.network.first.norm
    np.testing.assert_allclose(norm.running_mean.numpy(), np.mean(means, axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(norm.running_var.numpy(), np.mean(variances, axis=0), rtol=1e-4)
    assert norm.momentum == 0.1


def test_an_epoch_that_cannot_be_read_is_named_and_the_mean_is_of_the_others(tmp_path: Path) -> None:
    from phonaut.training.averaging import AveragedCheckpoint

    callback = AveragedCheckpoint(3, dirpath=tmp_path)
    for epoch, w in enumerate((1.0, 2.0, 5.0)):
        path = tmp_path / f"epoch-{epoch:03d}.ckpt"
        torch.save({"state_dict": {"w": torch.tensor(w)}}, path)
        callback.best_k_models[str(path)] = torch.tensor(epoch)
    (tmp_path / "epoch-001.ckpt").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"epoch-001\.ckpt.*taking the mean of the other epochs"):
        weights, epochs = callback.mean()
    assert (float(weights["w"]), epochs) == (3.0, [1, 3])


def test_of_one_epoch_there_is_no_mean_and_the_weights_stay(fitted: tuple[Path, Any, Any]) -> None:
    from phonaut.training.averaging import AveragedCheckpoint

    folder, loop, data = fitted
    before = {name: value.clone() for name, value in loop.state_dict().items()}
    callback = AveragedCheckpoint(2)
    average(loop, callback, data)
    callback.best_k_models = {str(folder / "checkpoints" / "epoch-002.ckpt"): torch.tensor(2)}
    average(loop, callback, data)
    assert all(torch.equal(value, before[name]) for name, value in loop.state_dict().items())


@pytest.mark.slow
def test_the_best_epochs_are_averaged_where_they_are_asked_for_and_that_is_said(tones: Path, tmp_path: Path) -> None:
    run = trained(tmp_path / "best", settings(tones, "checkpoint.monitor=validation/loss"))
    losses = [line["validation/loss"] for line in run.history]
    best = sorted(int(i) + 1 for i in np.argsort(losses, kind="stable")[:2])
    assert run.model["averaged_epochs"] == best
    said = f"{best[0]} to {best[1]}" if best[1] == best[0] + 1 else f"{best[0]}, {best[1]}"
    assert kept_epoch(read(run.folder)) == (f"mean of epochs {said}", "")
    section = render(read(run.folder))
    assert section is not None
    assert f"the mean of epochs {said}." in section.html
