"""Variational autoencoder of windows, conditional where there is a condition."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from phonaut.checks import Rule, within
from phonaut.models.generators.gaussian import DecoderVariance, GaussianLikelihood, gaussian_kl
from phonaut.models.generators.generator import Generator, Windows
from phonaut.models.generators.principal import PrincipalComponents, start_posterior

POSITIVE = Rule("must be above 0", lambda value: isinstance(value, str) or value > 0)


class CVAE(Generator):
    """Conditional variational autoencoder (Kingma and Welling 2013; Sohn 2015; of speech: Hsu, Zhang and Glass 2017).

    With `q(z | x, c) = N(mu, diag v)` of the encoder and `p(x | z, c) = N(m, sigma^2 I)` of the decoder, of a window

        loss = gamma (-log p(x | z, c)) + lambda beta KL(q(z | x, c) || N(0, I)),   z ~ q

    both in nats. With gamma = lambda = beta = 1 it is the negative of a lower bound on `log p(x | c)`, which `elbo`
    gives whatever the weights of training are. Where `elbo` is to be compared, it is that of evaluation mode.

    Args:
        posterior_variance: v: `learned`, of each window and dimension, or a number.
        decoder_variance: sigma^2: `optimal`, `predicted` or a number; see `GaussianLikelihood`.
        gamma: weight of the reconstruction.
        lambda_kl: weight of the divergence.
        beta_warmup: share of training in which beta rises from 0 to 1.
        **named: those of `Generator`.
    """

    terms = ("loss", "reconstruction", "kl")
    RULES: ClassVar = {
        **Generator.RULES,
        **dict.fromkeys(("posterior_variance", "decoder_variance"), POSITIVE),
        **dict.fromkeys(("gamma", "lambda_kl"), within(0, 1e6)),
        "beta_warmup": within(0, 1),
    }

    def __init__(
        self,
        *,
        posterior_variance: Literal["learned"] | float = "learned",
        decoder_variance: DecoderVariance = "optimal",
        gamma: float = 1.0,
        lambda_kl: float = 1.0,
        beta_warmup: float = 0.1,
        **named: Any,
    ) -> None:
        super().__init__(**named)
        self.posterior_variance = posterior_variance
        self.gamma, self.lambda_kl, self.beta_warmup = gamma, lambda_kl, beta_warmup
        self.encoder = self.make_encoder(self.latent_size * (2 if posterior_variance == "learned" else 1))
        self.likelihood = GaussianLikelihood(decoder_variance)
        self.decoder = self.make_decoder(values_per_bin=self.likelihood.values_per_bin)

    def start(self, components: PrincipalComponents) -> None:
        """Begin as probabilistic principal components, with their exact posterior: the bound is then the likelihood."""
        if not self.linear_path:
            return
        weight, variance = components.posterior
        start_posterior(self.encoder, weight, components, variance if self.posterior_variance == "learned" else None)
        self.start_decoder(self.decoder, components.loadings, components)
        self.likelihood.start(components.noise)

    def posterior(self, frames: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of `q(z | x, c)`, each `(B, Z)`."""
        self.check(condition, frames=frames)
        return split_posterior(self.encoder(frames, condition).to(frames.dtype), self.posterior_variance)

    def encode(self, frames: Tensor, condition: Tensor) -> Tensor:
        """The mean of `q(z | x, c)`, `(B, Z)`."""
        return self.posterior(frames, condition)[0]

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        """The mean of `p(x | z, c)`, `(B, T, D)`."""
        self.check(condition, latents=latents)
        return self.likelihood.mean(self.decoder(latents, condition))

    def bound(self, windows: Windows) -> tuple[Tensor, Tensor]:
        """`-log p(x | z, c)` for a draw of z, and the divergence of its posterior; nats, each `(B,)`."""
        frames, condition = windows.frames, self.condition_of(windows)
        mean, log_variance = self.posterior(frames, condition)
        latents = mean + (0.5 * log_variance).exp() * windows.draw("latents", self.latent_size)
        return -self.likelihood(self.decoder(latents, condition), frames), gaussian_kl(mean, log_variance)

    def losses(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """`loss`, and `reconstruction` and `kl` without their weights; nats."""
        reconstruction, kl = self.bound(windows)
        beta = warmed_up(progress, self.beta_warmup)
        return {
            "loss": self.gamma * reconstruction + self.lambda_kl * beta * kl,
            "reconstruction": reconstruction,
            "kl": kl,
        }

    def elbo(self, windows: Windows) -> Tensor:
        """`log p(x | z, c) - KL`, nats, `(B,)`, a lower bound on `log p(x | c)` on average over the draw of z."""
        reconstruction, kl = self.bound(windows)
        return -reconstruction - kl


def split_posterior(encoded: Tensor, variance: Literal["learned"] | float) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of a posterior from what an encoder gives.

    >>> mean, log_variance = split_posterior(torch.tensor([[1.0, 2.0]]), 1.0)
    >>> mean.tolist(), log_variance.tolist()
    ([[1.0, 2.0]], [[0.0, 0.0]])
    """
    if not isinstance(variance, str):
        return encoded, torch.full_like(encoded, math.log(variance))
    mean, log_variance = encoded.chunk(2, dim=1)
    return mean, log_variance.clamp(-20.0, 20.0)  # whose exponentials are numbers


def warmed_up(progress: float, share: float) -> float:
    """A weight that rises in a straight line from 0 to 1 over a share of training.

    >>> warmed_up(0.05, 0.1), warmed_up(0.5, 0.1), warmed_up(0.0, 0.0)
    (0.5, 1.0, 1.0)
    """
    return min(1.0, progress / share) if share else 1.0
