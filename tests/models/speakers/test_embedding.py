"""Verification by embeddings: scores are cosines, whoever is scored beside, and models are means of directions."""

from typing import Any

import numpy as np
import pytest
import torch

from phonaut.models.speakers import Utterances
from phonaut.models.speakers import embedding as module
from phonaut.models.speakers.embedding import EmbeddingScorer
from phonaut.networks import GRU, Ecapa


@pytest.fixture(scope="module")
def scorer() -> EmbeddingScorer:
    torch.manual_seed(0)
    return EmbeddingScorer(Ecapa(n_features=5, n_classes=3, channels=8, bottleneck=4, n_embedding=6), 5)


def recordings(lengths: list[int], seed: int = 0) -> Utterances:
    frames = np.random.default_rng(seed).standard_normal((sum(lengths), 5)).astype(np.float32)
    return Utterances(frames, np.array(lengths), {"id": np.array([f"r{i}" for i in range(len(lengths))])})


def test_an_embedding_is_that_of_the_recording_alone(scorer: EmbeddingScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    spoken = recordings([9, 3, 30, 12, 3, 1])
    together = scorer.represent(spoken)
    assert together["id"].tolist() == [f"r{i}" for i in range(6)]
    assert together.lengths.tolist() == [1] * 6
    monkeypatch.setattr(module, "BATCH_FRAMES", 25)
    few = scorer.represent(spoken)
    for i in range(6):
        alone = scorer.represent(spoken.select([i]))
        np.testing.assert_allclose(together.of(i), alone.of(0), rtol=0, atol=1e-5)
        np.testing.assert_allclose(few.of(i), alone.of(0), rtol=0, atol=1e-5)
    np.testing.assert_allclose(together["norm"], np.linalg.norm(together.frames, axis=1), rtol=1e-6)


def test_the_network_is_as_it_was_and_hears_without_dropping_its_statistics(scorer: EmbeddingScorer) -> None:
    scorer.network.train()
    before = {name: value.clone() for name, value in scorer.network.state_dict().items()}
    scorer.represent(recordings([5, 6]))
    assert scorer.network.training
    assert all(torch.equal(value, before[name]) for name, value in scorer.network.state_dict().items())


@pytest.mark.oracle
def test_a_score_is_the_cosine_with_the_mean_of_directions(scorer: EmbeddingScorer) -> None:
    takes = scorer.represent(recordings([5, 9, 7, 4]))
    tested = scorer.represent(recordings([6, 8], seed=1))
    references = scorer.enrol(takes, np.array([7, 2, 7, 7]))
    assert references["model"].tolist() == [2, 7]
    model, recording = np.array([7, 2, 7]), np.array([0, 1, 1])
    scores = scorer.score(references, tested, model, recording)["speaker"]
    rows = {2: [1], 7: [0, 2, 3]}
    for score, m, r in zip(scores, model, recording, strict=True):
        enrolled = [takes.of(i)[0].astype(float) for i in rows[m]]
        mean = sum(x / np.sqrt(x @ x) for x in enrolled) / len(enrolled)
        x = tested.of(r)[0].astype(float)
        assert score == pytest.approx(x @ mean / np.sqrt(x @ x) / np.sqrt(mean @ mean), abs=1e-6)
    np.testing.assert_allclose(
        scorer.score(references, tested, model[::-1], recording[::-1])["speaker"], scores[::-1], rtol=0, atol=0
    )


def test_silence_without_a_direction_scores_nothing(scorer: EmbeddingScorer) -> None:
    none = Utterances(np.zeros((1, 6), np.float32), np.ones(1, np.int64), {"norm": np.zeros(1)})
    references = scorer.enrol(none, np.zeros(1, np.int64))
    assert scorer.score(references, none, np.zeros(1, np.int64), np.zeros(1, np.int64))["speaker"].tolist() == [0.0]


def test_what_cannot_be_embedded_is_refused(scorer: EmbeddingScorer) -> None:
    with pytest.raises(ValueError, match="recording r1 has no frames"):
        scorer.represent(recordings([3, 0]))
    with pytest.raises(ValueError, match="got GRU"):
        EmbeddingScorer(GRU(n_features=5, n_classes=3), 5)


def test_the_size_is_that_without_the_classes(scorer: EmbeddingScorer) -> None:
    network: Any = scorer.network
    parameters, operations = scorer.size(20)
    assert parameters == sum(p.numel() for name, p in network.named_parameters() if not name.startswith("classifier"))
    assert operations > parameters / 2
