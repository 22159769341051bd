"""Wasserstein autoencoders: discrepancies against brute force, priors, and a discriminator that tells codes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from helpers.windows_of_numbers import windows_of
from phonaut.models.generators import WAEGAN, WAEMMD
from phonaut.models.generators.wae import squared_mmd

SMALL: dict[str, Any] = {"n_features": 3, "window_frames": 4, "channels": (4, 6), "hidden_size": 8, "latent_size": 2}


def brute_force_mmd(x: Tensor, y: Tensor, size: float) -> float:
    def kernel(a: Tensor, b: Tensor) -> float:
        distance = math.dist(a.tolist(), b.tolist()) ** 2
        return sum(s * size / (s * size + distance) for s in (0.1, 0.2, 0.5, 1, 2, 5, 10))

    n = len(x)
    own = [kernel(z[i], z[j]) for z in (x, y) for i in range(n) for j in range(n) if i != j]
    across = [kernel(a, b) for a in x for b in y]
    return sum(own) / (n * (n - 1)) - 2 * sum(across) / n**2


@pytest.mark.oracle
def test_the_discrepancy_is_that_of_all_pairs_one_by_one() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    assert float(squared_mmd(x, y + 1.0, 6.0)) == pytest.approx(brute_force_mmd(x, y + 1.0, 6.0), rel=1e-9)
    assert float(squared_mmd(x[:1], y[:1], 6.0)) == 0.0


def test_of_equal_distributions_the_discrepancy_is_zero_on_average_and_of_others_it_is_not() -> None:
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(400, 2, 6, 3, generator=generator, dtype=torch.float64)
    same = torch.stack([squared_mmd(x, y, 6.0) for x, y in draws])
    assert (same < 0).any(), "an unbiased estimate of zero is negative now and then"
    assert abs(float(same.mean())) < 3 * float(same.std()) / 20
    other = torch.stack([squared_mmd(x, y + 2.0, 6.0) for x, y in draws])
    assert float(other.mean()) > 5 * float(same.std())


@pytest.mark.parametrize("cls", [WAEMMD, WAEGAN])
def test_the_loss_is_the_squared_error_and_the_penalty_by_their_weights(cls: Any) -> None:
    torch.manual_seed(0)
    model = cls(**SMALL, gamma=0.5, lambda_prior=7.0).eval()
    windows = windows_of(torch.randn(5, 4, 3))
    terms = model.losses(windows)
    assert tuple(terms) == model.terms
    back = model.decode(model.encode(windows.frames, windows.condition), windows.condition)
    torch.testing.assert_close(terms["reconstruction"], (back - windows.frames).square().sum(dim=(1, 2)))
    torch.testing.assert_close(terms["loss"], 0.5 * terms["reconstruction"] + 7.0 * terms["penalty"])
    assert model.elbo(windows) is None


@pytest.mark.parametrize("cls", [WAEMMD, WAEGAN])
def test_the_prior_is_as_wide_as_it_says(cls: Any) -> None:
    model = cls(**SMALL)
    drawn = model.prior(5000, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(drawn.std(dim=0), 5.0, rtol=0.03)
    windows = windows_of(torch.zeros(5000, 4, 3))
    np.testing.assert_allclose(model.prior_like(windows, "prior").std(dim=0), 5.0, rtol=0.03)


@pytest.mark.oracle
def test_a_discriminator_that_cannot_tell_loses_two_log_two() -> None:
    model = WAEGAN(**SMALL).double()
    last: Any = model.discriminator.layers[-1]
    last.weight.data.zero_()
    last.bias.data.fill_(0.0)
    windows = windows_of(torch.zeros(3, 4, 3, dtype=torch.float64))
    expected = torch.full((3,), 2 * math.log(2), dtype=torch.float64)
    torch.testing.assert_close(model.discriminator_terms(windows)["discriminator_loss"], expected)
    torch.testing.assert_close(model.eval().losses(windows)["penalty"], expected / 2)
    last.bias.data.fill_(1.5)  # everything is held for a draw of the prior
    sure = -math.log(1 / (1 + math.exp(-1.5)))
    found = model.losses(windows)
    torch.testing.assert_close(found["penalty"], torch.full_like(expected, sure))
    torch.testing.assert_close(found["discriminator_loss"], torch.full_like(expected, sure + sure + 1.5))


@pytest.mark.parametrize("cls", [WAEMMD, WAEGAN])
def test_training_brings_codes_to_the_prior_and_windows_back(cls: Any) -> None:
    torch.manual_seed(0)
    z = torch.randn(400, 2)
    frames = (z @ torch.randn(2, 12)).view(400, 4, 3)
    model = cls(**{**SMALL, "hidden_size": 32}, **({"discriminator_size": 32} if cls is WAEGAN else {}))
    players = model.players()
    optimizers = [torch.optim.Adam(player.parameters, lr=0.003, betas=(0.5, 0.999)) for player in players]
    order = torch.Generator().manual_seed(0)
    for step in range(300):
        windows = windows_of(frames[torch.randperm(400, generator=order)[:100]], epoch=step)
        for player, optimizer in zip(players, optimizers, strict=True):
            optimizer.zero_grad()
            player.terms(windows, 1.0)[player.loss].mean().backward(inputs=player.parameters)
            optimizer.step()
    model.eval()
    nothing = torch.zeros(400, 0)
    with torch.no_grad():
        codes = model.encode(frames, nothing)
        error = (model.decode(codes, nothing) - frames).square().mean() / frames.var()
    assert float(error) < 0.1
    assert codes.mean(dim=0).abs().max() < 1.5, "of a prior with standard deviation 5"
    assert ((codes.std(dim=0) / 5).log().abs() < (0.35 if cls is WAEMMD else 0.7)).all()
