"""Noise on mean and deviation of hidden layers (DSU)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from phonaut.networks import TCResNet8
from phonaut.networks.statistics_noise import StatisticsNoise, perturbed


def test_statistics_scatter_as_those_of_the_batch_do_and_the_shape_stays() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 3, 1, 400) * torch.rand(6, 3, 1, 1) * 4 + torch.randn(6, 3, 1, 1) * 2
    draws = torch.stack([perturbed(x, None) for _ in range(2000)])
    mean, deviation = x.mean(dim=3), x.std(dim=3, correction=0)
    new_mean = draws.mean(dim=4)
    slope = ((draws - new_mean[..., None]) * (x - mean[..., None])).sum(dim=4) / ((x - mean[..., None]) ** 2).sum(dim=3)
    torch.testing.assert_close(new_mean.mean(dim=0), mean, atol=0.15, rtol=0)
    torch.testing.assert_close(new_mean.std(dim=0), mean.std(dim=0).expand(6, 3, 1), atol=0.1, rtol=0.1)
    new_deviation = slope * deviation  # signed
    torch.testing.assert_close(new_deviation.std(dim=0), deviation.std(dim=0).expand(6, 3, 1), atol=0.1, rtol=0.1)
    shape = (x - mean[..., None]) / deviation[..., None]
    again = (draws[0] - new_mean[0][..., None]) / new_deviation[0][..., None]
    torch.testing.assert_close(again, shape, atol=1e-3, rtol=1e-3)


def test_padding_counts_for_nothing_and_stays_zero() -> None:
    x = torch.randn(4, 2, 1, 20)
    mask = torch.arange(20) < torch.tensor([20, 12, 20, 7])[:, None]
    x = x * mask[:, None, None]
    longer = torch.nn.functional.pad(x, (0, 9))
    torch.manual_seed(1)
    short = perturbed(x, mask)
    torch.manual_seed(1)
    long = perturbed(longer, torch.nn.functional.pad(mask, (0, 9)))
    torch.testing.assert_close(long[..., :20], short)
    assert (long[..., 20:] == 0).all()
    assert (short[1, :, :, 12:] == 0).all()


def test_it_acts_in_training_alone_behind_the_first_two_blocks() -> None:
    torch.manual_seed(0)
    network = TCResNet8(n_features=13, n_classes=3, dropout=0.0)
    frames, lengths = torch.randn(5, 40, 13), torch.tensor([40, 40, 30, 40, 20])
    before = network.eval()(frames, lengths)
    StatisticsNoise.attach(network, 1.0)
    assert [len(block._forward_hooks) for block in network.blocks] == [1, 1, 0]
    torch.testing.assert_close(network(frames, lengths), before)
    network.train()
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        norm.momentum = 0.0
    assert not torch.allclose(network(frames, lengths), network(frames, lengths))


def test_a_network_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear has none: leave it out"):
        StatisticsNoise.attach(nn.Linear(2, 2), 0.5)
