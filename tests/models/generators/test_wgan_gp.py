"""WGAN-GP: the penalty of a linear critic, sign and size of the distance, points between drawn for whole windows."""

from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.windows_of_numbers import windows_of
from phonaut.models.generators import WGANGP, Windows
from phonaut.models.generators.wgan_gp import gradient_penalty
from phonaut.networks.padding import MaskedBatchNorm

SMALL: dict[str, Any] = {"n_features": 3, "window_frames": 4, "channels": (8, 8), "hidden_size": 16, "latent_size": 2}


@pytest.mark.oracle
def test_the_penalty_of_a_linear_critic_is_the_square_of_its_slope_less_one() -> None:
    generator = torch.Generator().manual_seed(0)
    w, b = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_(), 0.7
    real, fake = torch.randn(2, 5, 4, 3, generator=generator, dtype=torch.float64)
    share = torch.rand(5, 1, generator=generator, dtype=torch.float64)
    penalty = gradient_penalty(lambda x: (x * w).sum(dim=(1, 2)) + b, real, fake, share)
    expected = (w.norm() - 1) ** 2
    torch.testing.assert_close(penalty, expected.expand(5), rtol=1e-12, atol=0)
    slope = torch.autograd.grad(penalty.mean(), w)[0]
    torch.testing.assert_close(slope, torch.autograd.grad(expected, w)[0], rtol=1e-10, atol=1e-12)


def test_points_between_lie_on_the_straight_line_of_a_window_by_one_share() -> None:
    seen: list[Tensor] = []

    def critic(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.sum(dim=(1, 2))

    real, fake = torch.randn(2, 5, 4, 3, generator=torch.Generator().manual_seed(0))
    share = torch.tensor([[0.0], [0.25], [0.5], [0.75], [1.0]])
    gradient_penalty(critic, real, fake, share)
    found = (seen[0] - fake) / (real - fake)
    torch.testing.assert_close(found, share[:, :, None].expand(5, 4, 3), rtol=1e-3, atol=1e-3)


def test_the_critics_shares_are_one_for_each_window_and_uniform() -> None:
    torch.manual_seed(0)
    model = WGANGP(**SMALL)
    windows = windows_of(torch.randn(2000, 4, 3))
    seen: list[Tensor] = []
    value = model.value

    def noted(frames: Tensor, condition: Tensor) -> Tensor:
        seen.append(frames.detach())
        return value(frames, condition)

    model.value = noted  # type: ignore[method-assign]
    model.critic_terms(windows)
    real, fake, between = seen
    share = ((between - fake) / (real - fake)).flatten(1).median(dim=1).values
    torch.testing.assert_close(between, share[:, None, None] * (real - fake) + fake, rtol=0, atol=1e-3)
    counts = torch.histc(share, 10, 0.0, 1.0)
    assert ((counts - 200).abs() < 60).all()


def trained_critic(real: Tensor, fake: Tensor, n_steps: int, **options: Any) -> WGANGP:
    """A critic of two samples that are given."""
    torch.manual_seed(0)
    model = WGANGP(**SMALL, **options)
    model.generated = lambda windows, stream: fake[: len(windows)]  # type: ignore[method-assign]
    critic, _ = model.players()
    optimizer = torch.optim.Adam(critic.parameters, lr=0.003, betas=(0.0, 0.9))
    for step in range(n_steps):
        optimizer.zero_grad()
        critic.terms(windows_of(real, epoch=step), 1.0)[critic.loss].mean().backward()
        optimizer.step()
    return model


@pytest.mark.oracle
def test_the_critic_holds_data_for_more_real_and_measures_the_wasserstein_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(300, 4, 3, generator=generator)
    for shift in (0.5, 1.0):
        real, fake = noise + shift, torch.randn(300, 4, 3, generator=generator) - shift
        model = trained_critic(real, fake, 150)
        distance = 2 * shift * 12**0.5  # of two Gaussians that differ by a shift: its length
        slope = 1 + distance / (2 * 10)  # at which `slope * distance - 10 (slope - 1)^2` is greatest
        found = model.eval().losses(windows_of(real))["loss"]
        assert found.shape == (300,)
        assert 0.95 * distance < float(found.mean()) < 1.05 * slope * distance
        no_condition = torch.zeros(300, 0)
        assert float((model.value(real, no_condition) > model.value(fake, no_condition)).float().mean()) > 0.9


def test_the_generator_climbs_where_the_critic_is_high_and_changes_the_critic_not_at_all() -> None:
    torch.manual_seed(0)
    model = WGANGP(**SMALL)
    critic, generator = model.players()
    assert (critic.every, generator.every) == (1, 5)
    assert {id(p) for p in critic.parameters}.isdisjoint(id(p) for p in generator.parameters)
    assert len(critic.parameters) + len(generator.parameters) == len(list(model.parameters()))
    model.value = lambda frames, condition: frames.mean(dim=(1, 2))  # type: ignore[method-assign]
    windows = windows_of(torch.zeros(64, 4, 3))
    optimizer = torch.optim.Adam(generator.parameters, lr=0.02)
    before = float(model.generated(windows, "latents").detach().mean())
    for _ in range(30):
        optimizer.zero_grad()
        generator.terms(windows, 1.0)[generator.loss].mean().backward()
        optimizer.step()
    assert float(model.generated(windows, "latents").detach().mean()) > before + 1.0


def test_a_step_of_the_critic_leaves_the_generator_without_gradient() -> None:
    model = WGANGP(**SMALL)
    critic, generator = model.players()
    critic.terms(windows_of(torch.randn(4, 4, 3)), 1.0)[critic.loss].mean().backward()
    assert all(p.grad is None for p in generator.parameters)
    assert all(p.grad is not None for p in critic.parameters if p is not critic.parameters[-1])


def test_the_critic_has_no_batch_normalisation_so_that_a_window_has_a_value_of_its_own() -> None:
    model = WGANGP(**SMALL)
    assert not any(isinstance(layer, MaskedBatchNorm) for layer in model.critic.modules())
    frames, none = torch.randn(5, 4, 3), torch.zeros(5, 0)
    torch.testing.assert_close(model.value(frames[:1], none[:1]), model.value(frames, none)[:1])


def test_a_conditional_critic_and_generator_are_given_the_condition() -> None:
    torch.manual_seed(0)
    model = WGANGP(**SMALL, condition_size=2).eval()
    frames, one, other = torch.randn(1, 4, 3), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert not torch.allclose(model.value(frames, one), model.value(frames, other))
    latents = torch.randn(1, 2)
    assert not torch.allclose(model.decode(latents, one), model.decode(latents, other))


def test_there_is_no_encoder() -> None:
    with pytest.raises(ValueError, match="a WGAN has no encoder"):
        WGANGP(**SMALL).encode(torch.zeros(1, 4, 3), torch.zeros(1, 0))


def test_terms_are_by_window_and_a_window_alone_has_the_same() -> None:
    torch.manual_seed(0)
    model = WGANGP(**SMALL).eval()
    frames = torch.randn(6, 4, 3)
    all_six, one = (model.critic_terms(windows_of(x)) for x in (frames, frames[:1]))
    for name, value in all_six.items():
        assert value.shape == (6,)
        torch.testing.assert_close(value[:1], one[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(all_six["critic_loss"], 10.0 * all_six["gradient_penalty"] - all_six["loss"])


def test_windows_alone_decide_what_is_drawn_for_them() -> None:
    windows = windows_of(torch.zeros(6, 4, 3))
    part = Windows(
        windows.frames[:2], windows.condition[:2], windows.sequence[:2], windows_of(torch.zeros(2, 4, 3)).draw
    )
    assert torch.equal(windows.draw("latents", 5)[:2], part.draw("latents", 5))
    assert not torch.equal(windows.draw("latents", 5), windows.draw("prior", 5))
