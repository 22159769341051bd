"""Focal loss, the loss of words in a stream, and the rising weight of what is no word."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.runs_of_tones import TONES_HZ, run_settings, write_tones
from phonaut.config.compose import compose
from phonaut.deploy import StreamingModel
from phonaut.runs.training import fit
from phonaut.tasks.classification import Classification
from phonaut.training.losses import cross_entropy, max_pooling


def probabilities(scores: Tensor) -> np.ndarray:
    e = np.exp(scores.double().numpy())
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.oracle
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_is_that_of_the_paper_with_smoothed_labels_and_weights(gamma: float) -> None:
    torch.manual_seed(0)
    scores, labels, weights = torch.randn(7, 4), torch.tensor([0, 1, 2, 3, 0, 0, 2]), torch.tensor([1.0, 3.0, 1.0, 0.5])
    p, total, of = probabilities(scores), 0.0, 0.0
    for i, y in enumerate(labels.tolist()):
        for c in range(4):
            q = 0.8 * (c == y) + 0.2 / 4
            total -= float(weights[y]) * q * (1 - p[i, c]) ** gamma * np.log(p[i, c])
        of += float(weights[y])
    assert float(cross_entropy(scores, labels, 0.2, gamma=gamma, weights=weights)) == pytest.approx(
        total / of, rel=1e-5
    )
    onehot = torch.nn.functional.one_hot(labels, 4).float()
    torch.testing.assert_close(
        cross_entropy(scores, onehot, 0.2, gamma=gamma), cross_entropy(scores, labels, 0.2, gamma=gamma)
    )


@pytest.mark.oracle
def test_without_gamma_and_weights_it_is_pytorchs_cross_entropy() -> None:
    torch.manual_seed(0)
    scores, labels = torch.randn(7, 4), torch.tensor([0, 1, 2, 3, 0, 0, 2])
    expected = torch.nn.functional.cross_entropy(scores, labels, label_smoothing=0.1)
    torch.testing.assert_close(cross_entropy(scores, labels, 0.1), expected)
    torch.testing.assert_close(cross_entropy(scores, labels, 0.1, gamma=1e-9), expected)


def test_the_focal_loss_of_what_is_sure_has_a_finite_slope() -> None:
    scores = torch.tensor([[200.0, 0.0]], requires_grad=True)
    cross_entropy(scores, torch.tensor([0]), 0.0, gamma=0.5).backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


@pytest.mark.oracle
def test_a_word_counts_at_its_surest_frame_and_what_is_none_at_its_hardest() -> None:
    torch.manual_seed(0)
    scores, lengths, labels = torch.randn(4, 6, 4), [6, 3, 5, 6], [0, 2, 3, 2]  # 0 and 2 are words
    mask = torch.arange(6) < torch.tensor(lengths)[:, None]
    scores[~mask] = 50 * torch.randn(int((~mask).sum()), 4)
    p, losses = probabilities(scores), []
    for i, (n, y) in enumerate(zip(lengths, labels, strict=True)):
        loss = 0.0
        for word in (0, 2):
            heard = max(p[i, t, word] for t in range(n))
            loss -= np.log(heard) if word == y else np.log(1 - heard)
        losses.append(loss)
    words, weights = torch.tensor([0, 2]), torch.tensor([1.0, 1.0, 1.0, 4.0])
    got = max_pooling(scores, mask, torch.tensor(labels), words, None)
    assert float(got) == pytest.approx(np.mean(losses), rel=1e-5)
    weighted = max_pooling(scores, mask, torch.tensor(labels), words, weights)
    assert float(weighted) == pytest.approx(np.average(losses, weights=[1, 1, 4, 1]), rel=1e-5)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {"low": TONES_HZ["low"], "high": TONES_HZ["high"], "_unknown_": TONES_HZ["middle"]}
    return write_tones(tmp_path_factory.mktemp("tones"), n_speakers=4, n_takes=2, words=words)


def loop_of(tones: Path, *more: str) -> tuple[Any, Any]:
    config = compose([*run_settings(tones, small=True), "model.channels=[4,6]", *more])
    task = Classification()
    data = task.data(config)
    return task.loop(config, task.model(config, data.classes), data), data


@pytest.mark.oracle
@pytest.mark.parametrize("model", ["tc-res8", "gru"])
def test_the_frames_of_a_span_are_those_of_its_stream(model: str, tones: Path) -> None:
    of = ["model.channels=[4,6]"] if model == "tc-res8" else []
    config = compose([*run_settings(tones, small=True), f"model={model}", *of, "model.dropout=0.0", "streaming=true",
                      "window_ms=200", "module.loss=max_pooling"])  # fmt: skip
    task = Classification()
    data = task.data(config)
    loop: Any = task.loop(config, task.model(config, data.classes), data)
    batch = next(data.batches("train"))
    loop.eval()  # statistics of batch normalisation as in a stream
    scores, loss = loop.pooled_loss(*loop.model.segments(batch), batch.labels)
    stream = StreamingModel(loop.model, window_ms=200).offline(batch.audio)
    words = torch.tensor([data.classes.index(name) for name in ("low", "high")])
    torch.testing.assert_close(loss, max_pooling(stream, None, batch.labels, words.sort()[0], None))
    torch.testing.assert_close(scores, loop.model.classify(*loop.model.segments(batch)))
    loop.train()
    loop.scores_and_loss(batch, 0.0)[1].backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loop.model.parameters())


def test_the_weight_of_negatives_rises_from_1_and_validation_knows_none(tones: Path) -> None:
    loop, data = loop_of(tones, "module.negative_weight=5")
    batch, place = next(data.batches("train")), data.classes.index("_unknown_")
    loop._trainer = SimpleNamespace(global_step=0, estimated_stepping_batches=8)
    seen = []
    for step in (0, 2, 8):
        loop._trainer.global_step = step
        weights = type(loop).weights(loop)
        seen.append(float(weights[place]))
        assert sum(weights.tolist()) - seen[-1] == len(data.classes) - 1
    assert seen == [1.0, 2.0, 5.0]
    scores, known = torch.randn(len(batch.labels), 3), batch.labels
    loop.eval()
    torch.testing.assert_close(loop.loss(scores, known, 0.0), torch.nn.functional.cross_entropy(scores, known))
    loop.train()
    torch.testing.assert_close(
        loop.loss(scores, known, 0.0), torch.nn.functional.cross_entropy(scores, known, weight=weights)
    )


@pytest.mark.parametrize("words", ["module.negative_weight=2", "module.loss=max_pooling streaming=true"])
def test_where_all_classes_are_words_there_are_no_negatives(words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs a class that is no word, _unknown_ or _silence_"):
        loop_of(write_tones(tmp_path / "tones", n_speakers=3, n_takes=1), *words.split())


@pytest.mark.slow
def test_a_spotter_of_streams_trains(tones: Path, tmp_path: Path) -> None:
    words = [*run_settings(tones, small=True), "model.channels=[4,6]", "trainer.enable_progress_bar=false",
             "streaming=true", "module.loss=max_pooling", "module.negative_weight=3",
             "trainer.max_epochs=3"]  # fmt: skip
    _, loop, _ = fit(compose(words), tmp_path)
    losses = [line["train/loss"] for line in loop.history]
    assert losses[-1] < losses[0]
