"""Prototypes: their scores from the definition, written once more with loops; rejection; leaving a take out."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from phonaut.models.em_classifier import Segments
from phonaut.models.prototypes import Prototypes, threshold_of, whitening

RNG = np.random.default_rng(0)
N_WORDS, WIDTH, UNKNOWN = 3, 4, 3


def segments(n: int, labels: list[int], seed: int, shift: float = 0.0) -> Segments:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((20, WIDTH))
    lengths = rng.integers(1, 7, n)
    frames = np.concatenate(
        [centres[c] + shift + 0.3 * rng.standard_normal((t, WIDTH)) for c, t in zip(labels, lengths, strict=False)]
    )
    return Segments(frames.astype(np.float32), lengths, np.array(labels), np.full(n, "s"))


TAKES = segments(12, [0, 1, 2] * 4, 1)
BACKGROUND = segments(80, [c % 8 + 4 for c in range(80)], 2)
OTHERS = segments(200, [c % 8 + 4 for c in range(200)], 3)


def fitted(takes: Segments = TAKES, **options: float) -> Prototypes:
    network = Prototypes(n_features=WIDTH, n_classes=N_WORDS + 1, **options)
    network.background, network.others = BACKGROUND, OTHERS
    network.initialize(takes, seed=0)
    return network


def by_hand(network: Prototypes, segments: Segments) -> np.ndarray:
    """Whitened directions, a segment at a time."""
    ends = np.cumsum(segments.lengths)
    rows = []
    for end, length in zip(ends, segments.lengths, strict=True):
        frames = segments.frames[end - length : end].astype(np.float64)
        parts = [
            frames[int(np.floor(i * length / network.n_parts)) : int(np.ceil((i + 1) * length / network.n_parts))]
            for i in range(network.n_parts)
        ]
        vector = np.concatenate([part.mean(axis=0) for part in parts]) - network.centre
        whitened = vector @ network.whitening
        rows.append(whitened / np.linalg.norm(whitened))
    return np.array(rows)


def scored(network: Prototypes, segments: Segments) -> np.ndarray:
    padded = np.full((len(segments), int(segments.lengths.max()), WIDTH), np.nan, np.float32)
    ends = np.cumsum(segments.lengths)
    for row, (end, length) in enumerate(zip(ends, segments.lengths, strict=True)):
        padded[row, :length] = segments.frames[end - length : end]
    found: np.ndarray = network(torch.from_numpy(padded), torch.from_numpy(segments.lengths)).numpy()
    return found


def test_scores_are_scaled_cosines_with_the_means_of_takes_and_the_threshold_whatever_the_padding() -> None:
    network = fitted(n_parts=3, scale=7.0)
    x = by_hand(network, TAKES)
    prototypes = np.stack([x[TAKES.labels == c].mean(axis=0) for c in range(N_WORDS)])
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    cosines = by_hand(network, OTHERS) @ prototypes.T
    scores = scored(network, OTHERS)
    scores = scores - network.decision.log_prior.numpy()
    np.testing.assert_allclose(scores[:, :UNKNOWN], 7.0 * cosines, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scores[:, UNKNOWN], 7.0 * network.threshold, rtol=0, atol=1e-6)


def test_the_centre_is_the_mean_of_words_and_of_the_background_as_three_or_that_of_enough_other_words() -> None:
    network = fitted(n_parts=1)
    vectors = network.vectors(TAKES.frames, TAKES.lengths)
    of_words = [vectors[TAKES.labels == c].mean(axis=0) for c in range(N_WORDS)]
    background = network.vectors(BACKGROUND.frames, BACKGROUND.lengths).mean(axis=0)
    np.testing.assert_allclose(network.centre, (sum(of_words) + 3 * background) / 6, rtol=1e-9)
    for n_own in (19, 20):
        takes = segments(12 + n_own, [0, 1, 2] * 4 + [UNKNOWN] * n_own, 4, shift=2.0)
        centre = fitted(takes, n_parts=1).centre
        own = network.vectors(takes.frames, takes.lengths)[takes.labels == UNKNOWN].mean(axis=0)
        assert np.allclose(centre, own) == (n_own == 20)


def test_what_varies_within_words_is_white_afterwards() -> None:
    vectors, labels = RNG.standard_normal((500, 3)) @ np.diag([1.0, 5.0, 0.2]), RNG.integers(0, 5, 500)
    w = whitening(vectors, labels, 0.0)
    away = np.concatenate([vectors[labels == c] - vectors[labels == c].mean(axis=0) for c in range(5)])
    covariance = away.T @ away / (500 - 5)
    np.testing.assert_allclose(w.T @ covariance @ w, np.eye(3), atol=1e-6)
    flat = whitening(vectors, labels, 1.0)  # all shrunk: a multiple of the identity
    np.testing.assert_allclose(np.real(sqrtm(flat @ flat.T)), np.sqrt(3 / np.trace(covariance)) * np.eye(3), rtol=1e-6)


@pytest.mark.parametrize("share", [0.01, 0.05, 0.003])
def test_no_more_than_the_share_of_other_words_is_accepted(share: float) -> None:
    accepted = scored(fitted(false_accepts=share), OTHERS).argmax(axis=1) != UNKNOWN
    assert accepted.sum() == int(share * len(OTHERS))
    scores = RNG.standard_normal(1000)
    assert (scores > threshold_of(scores, share)).sum() == int(share * 1000)


def test_recordings_of_other_words_by_the_user_count_for_the_threshold_too() -> None:
    near = segments(22, [0, 1, 2] * 4 + [0] * 10, 5)  # like a word, and said to be none
    labels = near.labels.copy()
    labels[12:] = UNKNOWN
    strict = fitted(Segments(near.frames, near.lengths, labels, near.speakers), false_accepts=0.001)
    assert (scored(strict, near)[12:].argmax(axis=1) == UNKNOWN).all()


def test_leaving_a_take_out_is_training_without_it() -> None:
    network = fitted()
    found = network.leave_one_out(TAKES).numpy()
    x = by_hand(network, TAKES)
    for i, label in enumerate(TAKES.labels):
        others = np.flatnonzero((TAKES.labels == label) & (np.arange(len(x)) != i))
        mean = x[others].mean(axis=0)
        cosine = x[i] @ mean / np.linalg.norm(mean)
        assert found[i, label] == pytest.approx(network.scale * cosine + float(network.decision.log_prior[0]), abs=1e-5)
    alone = segments(3, [0, 1, 2], 1)
    np.testing.assert_allclose(
        fitted(alone).leave_one_out(alone).numpy()[range(3), range(3)] - np.log(1 / 4), -network.scale, rtol=1e-6
    )


def test_one_word_is_enough_and_a_saved_model_scores_the_same() -> None:
    takes = segments(5, [0] * 5, 6)
    network = Prototypes(n_features=WIDTH, n_classes=2)
    network.background, network.others = BACKGROUND, OTHERS
    network.initialize(takes, seed=0)
    again = Prototypes(n_features=WIDTH, n_classes=2)
    again.adopt(network.state_dict())
    again.load_state_dict(network.state_dict())
    assert np.array_equal(scored(network, takes), scored(again, takes))
    with pytest.raises(ValueError, match=r"words:centre must be \(12,\)"):
        Prototypes(n_features=WIDTH, n_classes=2, n_parts=3).adopt(network.state_dict())


def test_what_cannot_be_compared_is_refused() -> None:
    network = Prototypes(n_features=WIDTH, n_classes=N_WORDS + 1)
    with pytest.raises(ValueError, match=r"type encoder\.run=RUN"):
        network.initialize(TAKES, seed=0)
    with pytest.raises(ValueError, match="class 2 has no segment"):
        fitted(segments(4, [0, 1, 0, 1], 1))
    with pytest.raises(ValueError, match="no word twice"):
        whitening(RNG.standard_normal((3, 2)), np.arange(3), 0.1)
    with pytest.raises(ValueError, match="n_parts must be from 1 to 100, got 0"):
        Prototypes(n_features=2, n_classes=2, n_parts=0)
