"""Flow matching: one Gaussian is moved to another, there and back; conditions, guidance and means of weights."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from helpers.windows_of_numbers import windows_of
from phonaut.models.generators import FlowMatching
from phonaut.models.generators.flow_matching import integrate

SMALL: dict[str, Any] = {"n_features": 3, "window_frames": 4, "channels": (8, 8), "hidden_size": 16}


def gaussian_velocity(mean: float, scale: float) -> Any:
    """`E[x - e | x_t]` of straight lines from N(0, 1) to N(mean, scale^2): linear in x."""

    def velocity(x: Tensor, t: float) -> Tensor:
        variance = (1 - t) ** 2 + t**2 * scale**2
        return mean + (t * scale**2 - (1 - t)) / variance * (x - t * mean)

    return velocity


@pytest.mark.oracle
def test_the_closed_form_velocity_of_gaussians_moves_one_to_the_other_and_back() -> None:
    noise = torch.linspace(-3, 3, 13, dtype=torch.float64)
    moved = integrate(gaussian_velocity(2.0, 0.5), noise, 200)
    np.testing.assert_allclose(moved, 2.0 + 0.5 * noise, rtol=0, atol=2e-4)
    back = integrate(gaussian_velocity(2.0, 0.5), moved, 200, start=1.0, end=0.0)
    np.testing.assert_allclose(back, noise, rtol=0, atol=4e-4)
    errors = [
        float((integrate(gaussian_velocity(2.0, 0.5), noise, n) - 2.0 - 0.5 * noise).abs().max()) for n in (8, 16, 32)
    ]
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 3.5, "a rule of second order: twice the steps, at most a quarter of the error"
    assert errors[2] < errors[1] / 3.5


def trained(frames: Tensor, n_steps: int, *, condition: Tensor | None = None, **options: Any) -> FlowMatching:
    torch.manual_seed(0)
    model = FlowMatching(**{**SMALL, "averaging": 0.95, **options})
    (player,) = model.players()
    optimizer = torch.optim.Adam(player.parameters, lr=0.01)
    for step in range(n_steps):
        optimizer.zero_grad()
        player.terms(windows_of(frames, condition=condition, epoch=step), 1.0)["loss"].mean().backward()
        optimizer.step()
        model.after_step()
    return model.eval()


@pytest.fixture(scope="module")
def of_gaussians() -> FlowMatching:
    frames = 2.0 + 0.5 * torch.randn(256, 4, 3, generator=torch.Generator().manual_seed(0))
    return trained(frames, 200)


@pytest.mark.oracle
def test_what_is_learned_of_gaussian_windows_is_their_velocity(of_gaussians: FlowMatching) -> None:
    x = torch.randn(200, 4, 3, generator=torch.Generator().manual_seed(1))
    for t in (0.3, 0.6):
        at = t * 2.0 + ((1 - t) ** 2 + t**2 * 0.25) ** 0.5 * x
        with torch.no_grad():
            found = of_gaussians.guided(at, t, torch.zeros(200, 0))
        truth = gaussian_velocity(2.0, 0.5)(at, t)
        assert float((found - truth).square().mean() / truth.var()) < 0.1


def test_samples_have_mean_and_variance_of_the_data_and_a_window_comes_back_from_its_noise(
    of_gaussians: FlowMatching,
) -> None:
    with torch.no_grad():
        drawn = of_gaussians.sample(500, torch.zeros(500, 0), torch.Generator().manual_seed(2))
        assert float(drawn.mean()) == pytest.approx(2.0, abs=0.1)
        assert float(drawn.std()) == pytest.approx(0.5, abs=0.1)
        noise = of_gaussians.encode(drawn, torch.zeros(500, 0))
        assert noise.shape == (500, 12)
        assert float(noise.std()) == pytest.approx(1.0, abs=0.15)
        back = of_gaussians.decode(noise, torch.zeros(500, 0))
    assert float((back - drawn).square().mean().sqrt()) < 0.05


def test_the_loss_is_the_mean_square_to_the_difference_of_window_and_noise() -> None:
    model = FlowMatching(**SMALL).double()
    windows = windows_of(torch.randn(6, 4, 3, dtype=torch.float64))
    asked: list[tuple[Tensor, Tensor]] = []

    class Zero(nn.Module):
        def forward(self, frames: Tensor, time: Tensor, condition: Tensor) -> Tensor:
            asked.append((frames, time))
            return torch.zeros_like(frames)

    model.velocity = Zero()
    loss = model.losses(windows)["loss"]
    ((at, time),) = asked
    noise = windows.draw("noise", 12).view(6, 4, 3)
    share = time[:, None, None]
    torch.testing.assert_close(at, (1 - share) * noise + share * windows.frames)
    torch.testing.assert_close(loss, (windows.frames - noise).square().mean(dim=(1, 2)))
    many = windows_of(torch.zeros(2000, 4, 3))
    logits = torch.logit(many.draw("time", 1).sigmoid())
    assert abs(float(logits.mean())) < 0.08
    assert float(logits.std()) == pytest.approx(1.0, abs=0.05)


def test_a_condition_is_dropped_as_often_as_it_says_and_never_in_evaluation() -> None:
    model = FlowMatching(**SMALL, condition_size=2, condition_dropout=0.3)
    seen: list[Tensor] = []
    model.velocity.register_forward_hook(lambda module, given, y: seen.append(given[2]))
    model.average.module.register_forward_hook(lambda module, given, y: seen.append(given[2]))
    windows = windows_of(torch.zeros(1000, 4, 3), condition=torch.ones(1000, 2))
    model.losses(windows)
    model.eval().losses(windows)
    dropped = (seen[0] == 0).all(dim=1).float().mean()
    assert float(dropped) == pytest.approx(0.3, abs=0.05)
    assert ((seen[0] == 0).all(dim=1) | (seen[0] == 1).all(dim=1)).all(), "all of it, or nothing"
    assert (seen[1] == 1).all()


def test_a_conditional_model_goes_where_the_condition_says_and_with_guidance_further() -> None:
    label = torch.arange(200) % 2
    condition = nn.functional.one_hot(label, 2).float()
    generator = torch.Generator().manual_seed(0)
    frames = torch.where(label[:, None, None] == 1, 1.0, -1.0) + torch.randn(200, 4, 3, generator=generator)
    model = trained(frames, 150, condition=condition, condition_size=2)
    with torch.no_grad():
        drawn = model.sample(200, condition, torch.Generator().manual_seed(0))
        model.guidance = 2.0
        further = model.sample(200, condition, torch.Generator().manual_seed(0))
    apart = [float(x[label == 1].mean() - x[label == 0].mean()) for x in (drawn, further)]
    assert apart[0] == pytest.approx(2.0, abs=0.4)
    assert apart[1] > apart[0] + 0.2


@pytest.mark.oracle
def test_evaluation_uses_the_running_mean_of_the_weights() -> None:
    torch.manual_seed(0)
    model = FlowMatching(**SMALL, averaging=0.9)
    weight: Any = model.velocity.output.bias
    mean = None
    for n in range(40):
        weight.data.fill_(float(n))
        model.after_step()
        decay = min(0.9, (1 + n) / (10 + n))
        mean = float(n) if mean is None else decay * mean + (1 - decay) * n
    averaged: Any = model.average.module.output.bias
    assert mean is not None
    torch.testing.assert_close(averaged, torch.full_like(averaged, mean), rtol=1e-4, atol=0)
    frames, time = torch.randn(2, 4, 3), torch.full((2,), 0.5)
    differs = model.train().in_use(frames, time, torch.zeros(2, 0)) - model.eval().in_use(
        frames, time, torch.zeros(2, 0)
    )
    torch.testing.assert_close(differs.mean(), torch.tensor(39.0 - mean), rtol=1e-3, atol=1e-3)
    assert not any(p is averaged for player in model.players() for p in player.parameters)
