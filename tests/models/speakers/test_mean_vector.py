"""Vectors that are mean frames: the score in closed form, stages of training, resuming."""

from typing import Any

import numpy as np
import pytest
import torch

from phonaut.models.speakers.utterances import Utterances
from phonaut.models.speakers.vectors import MeanVector

D = 4


def recordings(n_speakers: int = 5, n_takes: int = 4, seed: int = 0) -> Utterances:
    rng, frames, speakers = np.random.default_rng(seed), [], []
    voices = np.random.default_rng(9).normal(size=(n_speakers, D))
    for speaker in range(n_speakers):
        for take in range(n_takes):
            frames.append(voices[speaker] + rng.normal(size=(6 + take, D)))
            speakers.append(f"s{speaker}")
    lengths = np.array([len(x) for x in frames])
    columns = {"speaker": np.array(speakers), "phrase": np.full(len(speakers), ""), "id": np.arange(len(speakers))}
    return Utterances(np.concatenate(frames).astype(np.float32), lengths, columns)


def trained(background: Utterances, **options: Any) -> MeanVector:
    system = MeanVector(n_features=D, classes="speaker", **options)
    system.begin(background, 0)
    while not system.done:
        system.step()
    return system


def test_the_score_is_the_cosine_of_whitened_means_about_the_background() -> None:
    background, heard = recordings(), recordings(seed=1)
    system = trained(background, shrinkage=0.0)
    mean = np.stack([background.of(i).mean(axis=0, dtype=np.float64) for i in range(len(background))])
    by_speaker = mean.reshape(5, 4, D)
    within = by_speaker - by_speaker.mean(axis=1, keepdims=True)
    inverse = np.linalg.inv(np.einsum("std,ste->de", within, within) / 20)  # of the whitened x' y: x W^-1 y
    kept = system.represent(heard)
    references = system.enrol(kept.select(np.array([0, 4])), np.array([0, 1]))
    found = system.score(references, kept, np.array([0, 1, 0]), np.array([3, 6, 17]))["speaker"]
    x = np.stack([heard.of(i).mean(axis=0, dtype=np.float64) for i in range(len(heard))]) - mean.mean(axis=0)
    for score, a, b in zip(found, (0, 4, 0), (3, 6, 17), strict=True):
        expected = x[a] @ inverse @ x[b] / np.sqrt((x[a] @ inverse @ x[a]) * (x[b] @ inverse @ x[b]))
        assert score == pytest.approx(expected, abs=1e-5)


def test_training_that_was_stopped_goes_on_to_the_same_model_and_comes_back_from_its_tensors() -> None:
    background = recordings()
    whole = trained(background, backend="plda", lda_dim=3, plda_steps=3)
    for n in range(1, 4):
        begun = MeanVector(n_features=D, classes="speaker", backend="plda", lda_dim=3, plda_steps=3)
        begun.begin(background, 0)
        for _ in range(n):
            begun.step()
        assert not begun.done
        again = MeanVector(n_features=D, classes="speaker", backend="plda", lda_dim=3, plda_steps=3)
        again.begin(background, 0)
        again.load_state_dict(begun.state_dict())
        again.load_training_state(begun.training_state())
        while not again.done:
            again.step()
        for name, tensor in whole.tensors().items():
            torch.testing.assert_close(again.tensors()[name], tensor, rtol=1e-6, atol=1e-8)


def test_what_has_no_mean_and_what_does_not_vary_are_refused() -> None:
    background = recordings()
    empty = Utterances(background.frames[:6], np.array([6, 0]), {"id": np.array(["a", "b"])})
    with pytest.raises(ValueError, match="recording b has no frames"):
        trained(background).represent(empty)
    with pytest.raises(ValueError, match="some speaker of the background must have two recordings or more"):
        MeanVector(n_features=D, classes="speaker").begin(background.select(np.array([0, 4])), 0)
    with pytest.raises(ValueError, match="backend must be one of cosine, plda, got svm"):
        MeanVector(n_features=D, backend="svm")  # type: ignore[arg-type]
