"""Embeddings: angles and margins are those of the formula, attention hears no padding, sizes are as stated."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from phonaut.networks import Ecapa, ReDimNet
from phonaut.networks.embedding import Cosines, cosines, with_margin
from phonaut.networks.padding import length_mask
from phonaut.networks.pooling import AttentiveStatistics


def vectors(n: int, seed: int, n_embedding: int = 5) -> Tensor:
    return torch.randn(n, n_embedding, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.oracle
@pytest.mark.parametrize("margin", [0.0, 0.2, 1.0])
def test_the_own_angle_is_larger_by_the_margin_and_no_other_is(margin: float) -> None:
    x, w, labels = vectors(7, 0), vectors(4, 1), [0, 3, -1, 2, 1, 1, 0]
    expected = np.empty((7, 4))
    for i, label in enumerate(labels):
        for c in range(4):
            a, b = x[i].numpy(), w[c].numpy()
            theta = math.acos(float(a @ b) / math.sqrt(float(a @ a)) / math.sqrt(float(b @ b)))
            if c != label:
                expected[i, c] = math.cos(theta)
            elif theta + margin <= math.pi:
                expected[i, c] = math.cos(theta + margin)
            else:
                expected[i, c] = math.cos(theta) - 1 + math.cos(margin)
    found = with_margin(cosines(x, w), torch.tensor(labels), margin)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-9)


def test_the_score_with_a_margin_falls_with_the_angle_all_the_way() -> None:
    theta = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    own = with_margin(theta.cos()[:, None], torch.zeros(2001, dtype=torch.int64), 0.5)[:, 0]
    assert (own.diff() < 1e-6).all()
    assert own.diff().abs().max() < 0.01, "it has no step where the angle passes pi"


@pytest.mark.oracle
def test_gradients_through_the_margin_are_those_of_differences() -> None:
    x, w, labels = vectors(4, 2).requires_grad_(), vectors(3, 3).requires_grad_(), torch.tensor([0, 1, 2, -1])
    assert torch.autograd.gradcheck(lambda x, w: with_margin(cosines(x, w), labels, 0.2), (x, w))


def test_gradients_are_finite_at_a_vector_of_the_same_direction_and_at_none() -> None:
    classifier = Cosines(3, 2).double()
    x = torch.stack([2 * classifier.weight[0].detach(), torch.zeros(3, dtype=torch.float64)]).requires_grad_()
    loss = with_margin(cosines(x, classifier.weight), torch.tensor([0, 1]), 0.3).sum() + classifier(x).sum()
    loss.backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(classifier.weight.grad).all()


@pytest.mark.oracle
def test_pooling_gives_weighted_statistics_of_the_valid_frames_alone() -> None:
    torch.manual_seed(0)
    pooling, lengths = AttentiveStatistics(4, 3).double(), [5, 1, 9]
    x = torch.randn(3, 9, 4, dtype=torch.float64)
    mask = length_mask(torch.tensor(lengths), 9)
    found = pooling(x * mask[:, :, None], mask).detach()
    w, b = (p.detach().numpy() for p in (pooling.of_frame.weight, pooling.of_frame.bias))
    u, v = pooling.of_context.weight.detach().numpy(), pooling.energy.weight.detach().numpy()
    for i, n in enumerate(lengths):
        frames = x[i, :n].numpy()
        context = np.concatenate([frames.mean(axis=0), np.sqrt(frames.var(axis=0) + 1e-7)])
        energy = np.array([v @ np.tanh(w @ frame + b + u @ context) for frame in frames])
        weight = np.exp(energy) / np.exp(energy).sum(axis=0)
        mean = (weight * frames).sum(axis=0)
        spread = np.sqrt((weight * (frames - mean) ** 2).sum(axis=0) + 1e-7)
        np.testing.assert_allclose(found[i].numpy(), np.concatenate([mean, spread]), rtol=0, atol=1e-12)
    torch.testing.assert_close(pooling(x[2:], None), found[2:], rtol=0, atol=1e-12)


def test_redimnet_as_configured_has_at_most_1_1_million_parameters_on_60_and_80_filters() -> None:
    for n_features in (60, 80):
        network = ReDimNet(n_features=n_features, n_classes=1)
        assert sum(p.numel() for p in network.parameters()) <= 1_100_000


def test_a_signal_of_a_stage_is_its_image_in_another_shape() -> None:
    network = ReDimNet(n_features=10, n_classes=3, channels=2, strides=(2, 3), n_blocks=(1, 1))
    assert network.n_added == 2
    signal = torch.randn(2, 24, 1, 7)
    assert all(stage.eval()(signal, None).shape == signal.shape for stage in network.stages)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ecapa(n_features=6, n_classes=4, channels=20), "channels=20 must be a multiple of scale=8"),
        (lambda: Ecapa(n_features=0, n_classes=4), "n_features must be >= 1"),
        (lambda: ReDimNet(n_features=6, n_classes=4, strides=(2, 2)), "as many"),
        (lambda: ReDimNet(n_features=6, n_classes=4, kernel_size=4), "kernel_size must be odd, got 4"),
    ],
)
def test_impossible_sizes_are_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
