"""Variational autoencoders: divergences and bounds against closed forms, conditions that are used."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from helpers.windows_of_numbers import windows_of
from phonaut.models.generators import CVAE, Windows
from phonaut.models.generators.gaussian import GaussianLikelihood, gaussian_kl, gaussian_log_prob

SMALL: dict[str, Any] = {"n_features": 3, "window_frames": 4, "channels": (4, 6, 8), "hidden_size": 8}


class Affine(nn.Module):
    """`x -> x W^T + b`, of windows laid out flat, in place of a network."""

    def __init__(self, weight: Tensor, bias: Tensor, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.linear = nn.Linear(weight.shape[1], weight.shape[0]).double()
        self.linear.weight.data, self.linear.bias.data = weight, bias
        self.shape = shape

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y: Tensor = self.linear(x.flatten(1))
        return y.view(len(x), *self.shape)


def linear_gaussian() -> tuple[CVAE, MultivariateNormal, Tensor, Tensor]:
    """`x = W z + m + noise` with its posterior as encoder: the model, its evidence, its posterior's mean and variance.

    The columns of W are orthogonal, so that the posterior is diagonal, as the encoder's is.
    """
    torch.manual_seed(0)
    n_latents, n_values, variance = 2, 12, 0.3
    axes, _ = torch.linalg.qr(torch.randn(n_values, n_latents, dtype=torch.float64))
    weight = axes * torch.tensor([2.0, 0.7], dtype=torch.float64)
    offset = torch.randn(n_values, dtype=torch.float64)
    model = CVAE(**SMALL, latent_size=n_latents, decoder_variance=variance).double()
    model.decoder = Affine(weight, offset, (4, 3))
    posterior = 1.0 / (1.0 + weight.square().sum(dim=0) / variance)
    to_mean = posterior[:, None] * weight.T / variance
    model.encoder = Affine(
        torch.cat([to_mean, torch.zeros(n_latents, n_values, dtype=torch.float64)]),
        torch.cat([-to_mean @ offset, posterior.log()]),
        (2 * n_latents,),
    )
    covariance = weight @ weight.T + variance * torch.eye(n_values, dtype=torch.float64)
    return model.eval(), MultivariateNormal(offset, covariance), to_mean, posterior


def expected_elbo(model: CVAE, frames: Tensor, n: int = 20_000) -> Tensor:
    """The mean of the bound over draws, `(B,)`, and its standard error; draws come in pairs of opposite sign."""
    repeated = frames.repeat_interleave(2 * n, dim=0)
    generator = torch.Generator().manual_seed(1)
    half = torch.randn(len(frames) * n, 1, model.latent_size, generator=generator, dtype=torch.float64)
    normal = torch.cat([half, -half], dim=1).view(-1, model.latent_size)
    nothing = frames.new_zeros(len(repeated), 0)
    windows = Windows(repeated, nothing, torch.zeros(len(repeated)), lambda stream, size: normal)
    with torch.no_grad():
        return model.elbo(windows).view(len(frames), -1)


@pytest.mark.oracle
def test_the_bound_of_a_linear_gaussian_model_is_its_evidence_at_the_true_posterior() -> None:
    model, evidence, _, _ = linear_gaussian()
    frames = evidence.sample((3,)).view(3, 4, 3)
    bounds = expected_elbo(model, frames)
    exact = evidence.log_prob(frames.flatten(1))
    error = bounds.std(dim=1) / math.sqrt(bounds.shape[1])
    np.testing.assert_array_less((bounds.mean(dim=1) - exact).abs(), 4 * error + 1e-9)
    assert (error < 0.02).all()


@pytest.mark.oracle
def test_elsewhere_the_bound_is_below_by_the_divergence_of_the_posteriors() -> None:
    model, evidence, to_mean, variance = linear_gaussian()
    frames = evidence.sample((2,)).view(2, 4, 3)
    encoder: Any = model.encoder
    encoder.linear.bias.data += torch.tensor([0.4, -0.2, 0.5, -0.3])  # of means and log-variances
    bounds = expected_elbo(model, frames)
    mean, log_variance = (x.detach() for x in model.posterior(frames, frames.new_zeros(2, 0)))
    true_mean = (frames.flatten(1) - evidence.loc) @ to_mean.T
    gap = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(true_mean, variance.sqrt())).sum(dim=1)
    exact = evidence.log_prob(frames.flatten(1))
    error = bounds.std(dim=1) / math.sqrt(bounds.shape[1])
    assert (gap > 0.1).all()
    np.testing.assert_array_less((bounds.mean(dim=1) - (exact - gap)).abs(), 4 * error)


@pytest.mark.peer
def test_divergences_and_likelihoods_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_variance, prior = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    ours = gaussian_kl(mean, log_variance, prior, 0.25)
    theirs = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(prior, 0.5)).sum(dim=1)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    frames, at = torch.randn(2, 5, 4, 3, generator=generator, dtype=torch.float64)
    log_prob = Normal(at, 0.7**0.5).log_prob(frames).flatten(1).sum(dim=1)
    torch.testing.assert_close(gaussian_log_prob(frames, at, 0.7), log_prob, rtol=1e-12, atol=1e-12)


@pytest.mark.oracle
def test_the_optimal_variance_gives_half_d_times_its_log_and_the_gradient_of_that() -> None:
    generator = torch.Generator().manual_seed(0)
    frames, decoded = torch.randn(2, 6, 4, 3, generator=generator, dtype=torch.float64)
    decoded.requires_grad_()
    loss = -GaussianLikelihood("optimal").double()(decoded, frames).mean()
    variance = (frames - decoded).square().mean()
    closed = 12 / 2 * ((2 * math.pi * variance).log() + 1)  # with its gradient through the variance
    torch.testing.assert_close(loss, closed, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad(loss, decoded)[0], torch.autograd.grad(closed, decoded)[0], rtol=1e-10, atol=0
    )


def test_in_evaluation_the_variance_is_that_of_training_and_the_likelihood_a_density() -> None:
    likelihood = GaussianLikelihood("optimal").double()
    zeros = torch.zeros(50, 4, 3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        likelihood(zeros, 0.5 * torch.randn(50, 4, 3, generator=generator, dtype=torch.float64))
    likelihood.eval()
    assert float(likelihood.variance) == pytest.approx(0.25, rel=0.03), "the first value, 1, is forgotten"
    kept = likelihood.variance.clone()
    far = torch.full((2, 4, 3), 3.0, dtype=torch.float64)
    expected = Normal(0.0, kept.sqrt()).log_prob(far).flatten(1).sum(dim=1)
    torch.testing.assert_close(likelihood(zeros[:2], far), expected, rtol=1e-9, atol=0)
    assert torch.equal(likelihood.variance, kept), "what is evaluated does not change it"


def test_a_predicted_variance_has_a_least_value_and_learns_that_of_the_data() -> None:
    torch.manual_seed(0)
    decoded = torch.zeros(1, 4, 6, requires_grad=True)
    frames = torch.randn(400, 4, 3) * torch.tensor([0.5, 1.0, 2.0])
    likelihood = GaussianLikelihood("predicted")
    optimizer = torch.optim.Adam([decoded], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        loss = -likelihood(decoded.expand(400, -1, -1), frames).mean()
        loss.backward()
        optimizer.step()
    best = -Normal(frames.mean(dim=0), frames.std(dim=0, correction=0)).log_prob(frames).sum(dim=(1, 2)).mean()
    assert float(loss.detach()) == pytest.approx(float(best), abs=0.02)
    certain = torch.cat([torch.zeros(1, 4, 3), torch.full((1, 4, 3), -1e4)], dim=2)
    assert float(likelihood(certain, torch.zeros(1, 4, 3))) == pytest.approx(-6 * (math.log(2 * math.pi) - 6), rel=1e-5)


def small(**options: Any) -> CVAE:
    torch.manual_seed(0)
    return CVAE(**{**SMALL, "latent_size": 2, **options})


@pytest.mark.parametrize("decoder_variance", ["optimal", "predicted", 0.5])
@pytest.mark.parametrize("posterior_variance", ["learned", 0.3])
@pytest.mark.parametrize("network", ["conv", "lstm"])
def test_terms_are_of_each_window_and_the_loss_is_their_weighted_sum(
    network: str, posterior_variance: Any, decoder_variance: Any
) -> None:
    model = small(network=network, posterior_variance=posterior_variance, decoder_variance=decoder_variance,
                  gamma=0.5, lambda_kl=3.0, beta_warmup=0.4).eval()  # fmt: skip
    windows = windows_of(torch.randn(5, 4, 3))
    for progress, beta in ((0.0, 0.0), (0.1, 0.25), (0.4, 1.0), (1.0, 1.0)):
        terms = model.losses(windows, progress)
        assert list(terms) == list(model.terms)
        assert all(value.shape == (5,) for value in terms.values())
        torch.testing.assert_close(terms["loss"], 0.5 * terms["reconstruction"] + 3.0 * beta * terms["kl"])
    torch.testing.assert_close(model.elbo(windows), -terms["reconstruction"] - terms["kl"])
    one = model.losses(windows_of(windows.frames[:1]))
    torch.testing.assert_close(one["loss"], terms["loss"][:1], rtol=1e-4, atol=1e-4)


def test_a_fixed_posterior_variance_is_that_of_the_divergence() -> None:
    model = small(posterior_variance=0.3)
    frames = torch.randn(4, 4, 3)
    mean, log_variance = model.posterior(frames, torch.zeros(4, 0))
    assert mean.shape == (4, 2)
    torch.testing.assert_close(log_variance.exp(), torch.full((4, 2), 0.3))


def test_draws_of_the_prior_are_standard_normal_and_follow_the_seed() -> None:
    model = small()
    first, again = (model.prior(4000, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert first.mean(dim=0).abs().max() < 0.08
    assert (first.std(dim=0) - 1).abs().max() < 0.05
    windows = model.eval().sample(4000, torch.zeros(4000, 0), torch.Generator().manual_seed(3))
    torch.testing.assert_close(windows, model.decode(first, torch.zeros(4000, 0)))


def test_a_conditional_model_puts_into_the_condition_what_the_condition_says() -> None:
    torch.manual_seed(0)
    label = torch.arange(200) % 2
    condition = nn.functional.one_hot(label, 2).float()
    frames = torch.where(label[:, None, None] == 1, 3.0, -3.0) + 0.5 * torch.randn(200, 4, 3)
    model = small(condition_size=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(60):
        optimizer.zero_grad()
        model.losses(windows_of(frames, condition=condition, epoch=epoch))["loss"].mean().backward()
        optimizer.step()
    model.eval()
    drawn = model.sample(200, condition, torch.Generator().manual_seed(0))
    assert abs(float(drawn[label == 1].mean()) - 3) < 0.5
    assert abs(float(drawn[label == 0].mean()) + 3) < 0.5
    latents = model.encode(frames, condition)
    other = model.decode(latents, condition.flip(1))
    assert float(other[label == 1].mean()) < -2 < 2 < float(other[label == 0].mean()), (
        "another condition, another sound"
    )


def test_shapes_that_are_not_the_models_are_refused() -> None:
    model = small(condition_size=2)
    with pytest.raises(ValueError, match=r"frames \(B, T, D\) must be \(2, 4, 3\), got \(2, 5, 3\)"):
        model.encode(torch.zeros(2, 5, 3), torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"condition \(B, K\) must be \(2, 2\), got \(2, 1\)"):
        model.decode(torch.zeros(2, 2), torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r"latents \(B, Z\) must be \(2, 2\), got \(2, 3\)"):
        model.decode(torch.zeros(2, 3), torch.zeros(2, 2))
