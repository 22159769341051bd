"""Wasserstein autoencoders: their codes as a whole, and not each, are drawn to the prior."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from phonaut.checks import Rule, within
from phonaut.models.generators.generator import Generator, Player, Windows
from phonaut.models.generators.principal import PrincipalComponents, start_posterior
from phonaut.networks.discriminator import Discriminator

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the kernels


class WAE(Generator):
    """Wasserstein autoencoder (Tolstikhin et al. 2017): encoder and decoder without draws, and a penalty on the codes.

        loss = gamma |x - decode(encode(x))|^2 + lambda penalty

    The prior is N(0, s^2 I). `gamma` is 0.05 in the code of the paper's authors, for the same lambda.

    Args:
        latent_size: Z.
        prior_scale: s.
        gamma: weight of the squared error, which is summed over a window.
        lambda_prior: weight of the penalty.
        **named: those of `Generator`.
    """

    terms: ClassVar[tuple[str, ...]] = ("loss", "reconstruction", "penalty")
    RULES: ClassVar = {
        **Generator.RULES,
        "prior_scale": Rule("must be above 0", lambda value: value > 0),
        **dict.fromkeys(("gamma", "lambda_prior"), within(0, 1e6)),
    }

    def __init__(
        self,
        *,
        latent_size: int = 64,
        prior_scale: float = 5.0,
        gamma: float = 0.05,
        lambda_prior: float = 10.0,
        **named: Any,
    ) -> None:
        super().__init__(latent_size=latent_size, **named)
        self.prior_scale, self.gamma, self.lambda_prior = prior_scale, gamma, lambda_prior
        self.encoder = self.make_encoder(latent_size)
        self.decoder = self.make_decoder()

    def start(self, components: PrincipalComponents) -> None:
        """Begin at coordinates along principal components, of variance 1 each, and windows that these make."""
        if self.linear_path:
            start_posterior(self.encoder, components.whitening, components, None)
            self.start_decoder(self.decoder, components.spread, components)

    def encode(self, frames: Tensor, condition: Tensor) -> Tensor:
        """Codes `(B, Z)`."""
        self.check(condition, frames=frames)
        codes: Tensor = self.prior_scale * self.encoder(frames, condition)  # which begin as wide as the prior
        return codes

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        """Windows `(B, T, D)`."""
        self.check(condition, latents=latents)
        frames: Tensor = self.decoder(latents / self.prior_scale, condition)
        return frames

    def prior(self, n: int, rng: torch.Generator) -> Tensor:
        """`n` draws of N(0, s^2 I), `(n, Z)`."""
        return self.prior_scale * super().prior(n, rng)

    def prior_like(self, windows: Windows, stream: str) -> Tensor:
        """As many draws of the prior as there are windows."""
        return self.prior_scale * windows.draw(stream, self.latent_size)

    def penalty(self, codes: Tensor, windows: Windows) -> Tensor:
        """What draws the codes to the prior, by window, `(B,)`."""
        raise NotImplementedError

    def losses(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """`loss`, and its parts without their weights: squared errors summed over a window, and the penalty."""
        condition = self.condition_of(windows)
        codes = self.encode(windows.frames, condition)
        errors = (self.decode(codes, condition) - windows.frames).square().flatten(1).sum(dim=1)
        penalty = self.penalty(codes, windows)
        loss = self.gamma * errors + self.lambda_prior * penalty
        return {"loss": loss, "reconstruction": errors, "penalty": penalty}


class WAEMMD(WAE):
    """WAE whose penalty is the squared maximum mean discrepancy of codes and draws of the prior in a batch."""

    def penalty(self, codes: Tensor, windows: Windows) -> Tensor:
        """The unbiased estimate over the batch, for each window; zero for a single one."""
        drawn = self.prior_like(windows, "prior")
        return squared_mmd(codes, drawn.to(codes), 2.0 * self.latent_size * self.prior_scale**2).expand(len(codes))


class WAEGAN(WAE):
    """WAE whose penalty is `-log D(z)`, with a discriminator D of draws of the prior and codes.

    With each batch first the discriminator lowers `-log D(prior) - log(1 - D(code))`, then the autoencoder lowers its
    loss (algorithm 1 of the paper).

    Args:
        discriminator_size: units of each of its four hidden layers.
        **named: those of `WAE`.
    """

    terms = ("loss", "reconstruction", "penalty", "discriminator_loss")
    RULES: ClassVar = {**WAE.RULES, "discriminator_size": within(1, 1e6)}

    def __init__(self, *, discriminator_size: int = 512, **named: Any) -> None:
        super().__init__(**named)
        self.discriminator = Discriminator(n_latents=self.latent_size, hidden_size=discriminator_size)

    def log_odds(self, codes: Tensor) -> Tensor:
        """Log-odds that codes are draws of the prior, `(B,)`; of variance 1, they are learned at usual rates."""
        odds: Tensor = self.discriminator(codes / self.prior_scale)
        return odds

    def penalty(self, codes: Tensor, windows: Windows) -> Tensor:
        """`-log D(z)`."""
        return -F.logsigmoid(self.log_odds(codes))

    def discriminator_terms(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """What the discriminator lowers, in nats."""
        with torch.no_grad():
            codes = self.encode(windows.frames, self.condition_of(windows))
        drawn = self.log_odds(self.prior_like(windows, "prior").to(codes))
        return {"discriminator_loss": -F.logsigmoid(drawn) - F.logsigmoid(-self.log_odds(codes))}

    def losses(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """As of every WAE, and what the discriminator lowers."""
        return super().losses(windows, progress) | self.discriminator_terms(windows)

    def players(self) -> list[Player]:
        """The discriminator, then the autoencoder."""
        own = list(self.discriminator.parameters())
        others = [*self.encoder.parameters(), *self.decoder.parameters()]
        return [
            Player("discriminator", own, self.discriminator_terms, loss="discriminator_loss"),
            Player("autoencoder", others, super().losses),
        ]


def squared_mmd(x: Tensor, y: Tensor, size: float) -> Tensor:
    """Unbiased estimate of the squared maximum mean discrepancy of two samples; it may be negative.

    `mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)` with the sum of inverse
    multiquadratics `k(a, b) = sum_s s C / (s C + |a - b|^2)` (Tolstikhin et al. 2017, section 3).

    Args:
        x: `(B, Z)`.
        y: `(B, Z)`.
        size: C, the expected squared distance of two draws of the prior.

    Returns:
        A scalar; 0 where there is a single one of each.
    """
    n = len(x)
    if n < 2:
        return x.sum() * 0.0
    both = torch.cat([x, y])
    squares = both.square().sum(dim=1)
    distances = (squares[:, None] + squares[None, :] - 2.0 * both @ both.T).clamp(min=0.0)
    kernel = sum((scale * size / (scale * size + distances) for scale in SCALES), torch.zeros_like(distances))
    within = kernel[:n, :n].sum() + kernel[n:, n:].sum() - 2 * n * len(SCALES)  # without k(x, x), one for each scale
    return within / (n * (n - 1)) - 2.0 * kernel[:n, n:].mean()
