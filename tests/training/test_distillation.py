"""Students hear what their teachers hear, learn their answers beside the labels, and keep nothing of them."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.encoders_of_tones import trained
from helpers.processes import Command, note_steps
from helpers.runs_of_tones import run_settings, typed, write_tones
from phonaut.checkpoints.state_dict import read_weights
from phonaut.config.compose import compose
from phonaut.config.schema import Config
from phonaut.tasks.classification import Classification
from phonaut.tasks.other_runs import other_run
from phonaut.tasks.teachers import teachers_of

QUIET = ["trainer.enable_progress_bar=false", "model.channels=[4,6]"]


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones"), n_speakers=4, n_takes=2)


def settings(tones: Path, *more: str) -> list[str]:
    return typed(*run_settings(tones, small=True), *QUIET, *more)


@pytest.fixture(scope="module")
def teachers(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs, one of them with another front end."""
    folder = tmp_path_factory.mktemp("teachers")
    words = settings(tones, "trainer.max_epochs=2")
    other = [word for word in words if "n_mfcc" not in word] + ["features=melspec", "model.channels=[6,8]"]
    return [trained(folder / name, w).folder for name, w in (("mfcc", words), ("melspec", other))]


def loop_of(config: Config) -> tuple[Any, Any]:
    task = Classification()
    data = task.data(config)
    return task.loop(config, task.model(config, data.classes), data), data


@pytest.mark.oracle
def test_the_loss_is_that_of_the_labels_and_of_the_mean_answer_of_the_teachers(
    tones: Path, teachers: list[Path]
) -> None:
    given = f"teacher.run=[{teachers[0]},{teachers[1]}]"
    words = settings(tones, given, "teacher.temperature=2.5", "teacher.weight=0.7", "augmentation.vtl_low=0.9",
                     "augmentation.time_mask_ms=100", "module.label_smoothing=0.0", "model.dropout=0.0")  # fmt: skip
    loop, data = loop_of(compose(words))
    loop.train()
    batch = loop.augmented(next(data.batches("train")))
    assert batch.warp is not None
    assert batch.hidden_s is not None
    scores, loss = loop.scores_and_loss(batch, 0.0)

    def softmax(x: np.ndarray) -> np.ndarray:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    told = []
    for path in teachers:
        model = other_run(str(path)).model
        with torch.no_grad():
            told.append(softmax(model.classify(*model.segments(batch)).double().numpy() / 2.5))
    p, labels = np.mean(told, axis=0), batch.labels.numpy()
    own = scores.detach().double().numpy()
    divergence = (p * (np.log(p) - np.log(softmax(own / 2.5)))).sum(axis=1).mean()
    cross = -np.log(softmax(own))[np.arange(len(labels)), labels].mean()
    assert float(loss.detach()) == pytest.approx(0.3 * cross + 0.7 * 2.5**2 * divergence, rel=1e-4)
    scores, loss = loop.eval().scores_and_loss(batch, 0.0)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(scores, batch.labels))


def test_scores_of_a_teacher_are_matched_to_classes_by_name(teachers: list[Path], tones: Path) -> None:
    config = compose(settings(tones, f"teacher.run={teachers[0]}"))
    loop, data = loop_of(config)
    batch = next(data.batches("validation"))
    here = [data.classes[i] for i in (2, 0, 1)]
    turned = teachers_of(config, here)
    assert turned is not None
    torch.testing.assert_close(turned.answer(batch), loop.distillation.answer(batch)[:, [2, 0, 1]])


def test_spans_without_a_label_are_told_nothing(teachers: list[Path], tones: Path) -> None:
    loop, data = loop_of(compose(settings(tones, f"teacher.run={teachers[0]}")))
    batch = next(data.batches("validation"))
    scores, told = torch.randn(len(batch.labels), 3), loop.distillation.answer(batch)
    labels = batch.labels.clone()
    labels[1:] = -1
    torch.testing.assert_close(
        loop.taught(scores, labels, 0.1, told), loop.taught(scores[:1], labels[:1], 0.1, told[:1])
    )
    assert float(loop.taught(scores, torch.full_like(labels, -1), 0.1, told)) == 0.0


def test_teachers_are_no_part_of_what_is_trained_or_saved(teachers: list[Path], tones: Path) -> None:
    loop, data = loop_of(compose(settings(tones, f"teacher.run={teachers[1]}")))
    plain, _ = loop_of(compose(settings(tones)))
    assert loop.state_dict().keys() == plain.state_dict().keys()
    loop.train()
    assert not any(module.training for module in loop.distillation.models[0].modules())
    loop.scores_and_loss(next(data.batches("train")), 0.1)[1].backward()
    assert all(p.grad is None for p in loop.distillation.models[0].parameters())


@pytest.mark.slow
def test_teachers_that_cannot_teach_are_refused_in_a_sentence(
    teachers: list[Path], tones: Path, tmp_path: Path
) -> None:
    few = trained(tmp_path / "few", settings(tones, "classes=[low,high]", "trainer.max_epochs=1")).folder

    def refused(match: str, *words: str) -> None:
        with pytest.raises(ValueError, match=match) as raised:
            loop_of(compose(settings(tones, *words)))
        assert "\n" not in str(raised.value)

    refused("knows other classes than this run: it lacks middle", f"teacher.run={few}")
    refused("hears 16000 samples a second, and this run 8000", f"teacher.run={teachers[0]}",
            "features.sample_rate=8000", "features.f_max=4000")  # fmt: skip
    refused("nowhere is not a run", f"teacher.run={tmp_path / 'nowhere'}")
    hidden = ["features=melspec", "augmentation.frequency_mask=0.2", f"teacher.run={teachers[0]}"]
    with pytest.raises(ValueError, match=r"teacher.run=.*, of features=mfcc: .*hides bands"):
        loop_of(compose([word for word in settings(tones, *hidden) if "n_mfcc" not in word]))


@pytest.mark.slow
def test_killed_and_started_again_all_tricks_together_come_to_the_same(
    tones: Path, teachers: list[Path], tmp_path: Path
) -> None:
    calm, shaken = tmp_path / "calm", tmp_path / "shaken"
    tricks = ["checkpoint=average", "checkpoint.n_averaged=2", "module.reparameterized=true", "module.loss=focal"]
    more = [*tricks, f"teacher.run={teachers[1]}", "trainer.max_epochs=3", "experiment_id=x"]

    def run(folder: Path, deadly: int = 0) -> Command:
        return Command(folder, ["train", *settings(tones, *more)], note_steps, folder / "steps", deadly)

    run(calm).finish()
    assert run(shaken, int(signal.SIGKILL)).wait() == -signal.SIGKILL
    assert "resuming from" in run(shaken).finish()
    first, second = (read_weights(next(one.glob("trained_models/x/*/model.safetensors"))) for one in (calm, shaken))
    assert not any("branches" in name for name in first)
    assert all(torch.equal(value, first[name]) for name, value in second.items())
