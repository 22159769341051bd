"""Normalisers against NumPy on each recording alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phonaut.features import CMVN, FixedPoint, GainNormalizer

LENGTHS = [7, 4, 1]


@pytest.fixture
def frames() -> torch.Tensor:
    """Three recordings of 7, 4 and 1 frames, with rubbish after them."""
    values = 3 * torch.randn(3, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 20
    values[1, 4:], values[2, 1:] = float("nan"), 1e9
    return values


@pytest.mark.parametrize(("mean", "variance"), [(True, True), (True, False), (False, True)])
def test_cmvn_is_that_of_each_recording_alone(frames: torch.Tensor, mean: bool, variance: bool) -> None:
    result = CMVN(mean=mean, variance=variance)(frames, torch.tensor(LENGTHS))
    for ours, values, n in zip(result, frames.numpy(), LENGTHS, strict=True):
        own = values[:n]
        expected = own - own.mean(axis=0) * mean
        if variance:
            expected = expected / np.maximum(own.std(axis=0), 1e-5)
        np.testing.assert_allclose(ours[:n], expected, rtol=1e-9, atol=1e-9)
        assert not ours[n:].any()


def test_a_feature_that_does_not_vary_becomes_zero() -> None:
    assert not CMVN()(torch.full((1, 4, 2), 3.5), torch.tensor([4])).any()


def test_level_moves_the_first_feature_alone(frames: torch.Tensor) -> None:
    result = GainNormalizer()(frames, torch.tensor(LENGTHS))
    for ours, values, n in zip(result, frames.numpy(), LENGTHS, strict=True):
        np.testing.assert_allclose(ours[:n, 0], values[:n, 0] - values[:n, 0].mean(), atol=1e-9)
        np.testing.assert_array_equal(ours[:n, 1:], values[:n, 1:])
        assert not ours[n:].any()


def test_fixed_point_values_are_exact_multiples_of_a_128th(frames: torch.Tensor) -> None:
    steps = FixedPoint()(frames[0].float()[None], torch.tensor([7])) * 128
    assert torch.equal(steps, steps.round())
    assert float(steps.min()) >= -128
    assert float(steps.max()) <= 127
