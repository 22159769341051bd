"""Normalisers against NumPy on each recording alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phonaut.features import (
    CMVN,
    AdaptiveFixedPoint,
    BatchNormalizer,
    FixedPoint,
    GainBatchNormalizer,
    GainNormalizer,
)

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


@pytest.mark.oracle
def test_fixed_point_is_the_published_formula_bit_for_bit() -> None:
    values = np.concatenate([np.arange(-520, 520, 0.25), np.nextafter(np.arange(-300, 300.0), 0), [1e9, -1e9, 1e-9]])
    single = values.astype(np.float32)
    expected = np.clip(np.round(single * np.float32(128) / np.float32(256)) / np.float32(128), -1, 1 - 1 / 128)
    result = FixedPoint()(torch.from_numpy(single)[None, :, None], torch.tensor([len(single)]))
    assert np.array_equal(result[0, :, 0].numpy(), expected.astype(np.float32))


def test_adaptive_fixed_point_fits_its_range_to_the_valid_frames(frames: torch.Tensor) -> None:
    normalizer = AdaptiveFixedPoint(n_features=5, scale=0.5).double()
    inside = torch.cat([values[:n] for values, n in zip(frames, LENGTHS, strict=True)])
    result = normalizer(frames, torch.tensor(LENGTHS))
    of_valid = torch.cat([values[:n] for values, n in zip(result, LENGTHS, strict=True)])
    y = 0.5 * (inside - inside.mean(dim=0)) / (inside.var(dim=0, unbiased=False) + 1e-5).sqrt()
    expected = ((y * 128).round() / 128).clamp(-1, 1 - 1 / 128)
    torch.testing.assert_close(of_valid, expected, rtol=0, atol=1e-12)
    of_valid.sum().backward()
    assert normalizer.norm.bias.grad is not None
    assert normalizer.norm.bias.grad.abs().sum() > 0
    own = normalizer.eval()(frames[1:2, :4], torch.tensor([4]))
    torch.testing.assert_close(normalizer(frames, torch.tensor(LENGTHS))[1, :4], own[0], rtol=0, atol=0)


def test_batch_normalisers_give_every_feature_mean_0_and_deviation_1_over_the_valid_frames(
    frames: torch.Tensor,
) -> None:
    lengths = torch.tensor(LENGTHS)
    levelled = GainNormalizer()(frames, lengths)
    for normalizer, given in ((BatchNormalizer(n_features=5), frames), (GainBatchNormalizer(n_features=5), levelled)):
        inside = torch.cat([values[:n] for values, n in zip(given, LENGTHS, strict=True)]).numpy()
        result = normalizer.double()(frames, lengths)
        of_valid = torch.cat([values[:n] for values, n in zip(result, LENGTHS, strict=True)])
        expected = (inside - inside.mean(axis=0)) / np.sqrt(inside.var(axis=0) + 1e-5)
        np.testing.assert_allclose(of_valid.numpy(), expected, rtol=0, atol=1e-10)
        assert all(bool((values[n:] == 0).all()) for values, n in zip(result, LENGTHS, strict=True))
        assert not list(normalizer.parameters())


def test_a_batch_normaliser_knows_nothing_of_the_recording(frames: torch.Tensor) -> None:
    normalizer = BatchNormalizer(n_features=5).double()
    normalizer(frames, torch.tensor(LENGTHS))
    whole = normalizer.eval()(frames[:1], torch.tensor([frames.shape[1]]))
    torch.testing.assert_close(normalizer(frames[:1, 3:5], torch.tensor([2])), whole[:, 3:5], rtol=0, atol=0)
