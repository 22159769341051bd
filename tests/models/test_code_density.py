"""Codes that a density draws: their distribution is that of a random place of what its chain draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from phonaut.models.code_density import CodeDensity
from phonaut.models.em_classifier import Segments
from phonaut.models.encoded import Projection
from phonaut.models.generative_classifier import GenerativeClassifier

D = 2


class Encoder:
    projection: Projection | None = None


def density(lengths: list[int] | None = None, **options: Any) -> CodeDensity:
    """Two classes, whose states follow one another from the left, each with values of its own."""
    rng, n = np.random.default_rng(0), 12
    rows = np.tile(np.repeat(np.arange(3.0), 4), 2 * n)[:, None] * 10 + rng.standard_normal((24 * n, D))
    labels = np.repeat([0, 1], n)
    rows[labels.repeat(12) == 1] += 100
    network = GenerativeClassifier(n_features=D, n_classes=2, **{"n_states": 3, "n_mix": 1, **options})
    segments = Segments(rows.astype(np.float32), np.full(2 * n, 12), labels, np.array(["s"] * 2 * n))
    network.initialize(segments, seed=0)
    for _ in range(5):
        network.em_step([segments.select(np.flatnonzero(labels == c)) for c in (0, 1)])
    return CodeDensity(Encoder(), network, lengths)  # type: ignore[arg-type]


def test_codes_by_themselves_are_those_of_a_random_place_of_a_sequence_of_median_length() -> None:
    drawn = density([9, 30])
    for c, n_frames in ((0, 9), (1, 30)):
        rng = np.random.default_rng(1)
        alone = drawn.codes(np.full(4000, c), rng).numpy()
        places = np.concatenate([drawn.network.sample(c, n_frames, rng) for _ in range(400)])
        assert alone.mean(axis=0) == pytest.approx(places.mean(axis=0), abs=0.8)
        assert alone.std(axis=0) == pytest.approx(places.std(axis=0), abs=0.8)
        nearest = [np.abs(part[:, 0] - 100 * c - 10 * np.arange(3)[:, None]).argmin(axis=0) for part in (alone, places)]
        shares = [np.bincount(states, minlength=3) / len(states) for states in nearest]
        assert shares[0] == pytest.approx(shares[1], abs=0.04)
    assert drawn.occupancy(0) != pytest.approx(drawn.occupancy(1), abs=0.1)


def test_each_code_is_of_its_class_whatever_the_order() -> None:
    classes = np.array([1, 0, 0, 1, 0])
    codes = density([12, 12]).codes(classes, np.random.default_rng(0))
    assert (codes[:, 0] > 60).numpy().tolist() == (classes == 1).tolist()


def test_a_mixture_needs_no_lengths_and_a_chain_does() -> None:
    assert density(None, n_states=1).codes(np.zeros(3, np.int64), np.random.default_rng(0)).shape == (3, D)
    with pytest.raises(ValueError, match="keeps no lengths of its classes"):
        density(None).codes(np.zeros(3, np.int64), np.random.default_rng(0))


def test_what_a_projection_left_is_expanded_about_its_mean() -> None:
    drawn = density([12, 12])
    projection = Projection(3, D)
    projection.fit(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) + 5)
    drawn.encoder.projection = projection
    points = np.random.default_rng(0).standard_normal((4, D))
    codes = drawn.expanded(points)
    torch.testing.assert_close(projection(codes), torch.from_numpy(points).float(), rtol=1e-4, atol=1e-5)
    away = codes - projection.mean
    assert torch.linalg.matrix_rank(torch.cat([away, projection.components]), atol=1e-4) == D


def test_classes_are_drawn_as_often_as_in_training() -> None:
    drawn = density()
    drawn.network.decision.set_priors(torch.tensor([1.0, 3.0]))
    assert drawn.classes(4000, np.random.default_rng(0)).mean() == pytest.approx(0.75, abs=0.03)
