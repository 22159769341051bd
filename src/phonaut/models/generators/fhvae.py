"""Factorised hierarchical variational autoencoder: a latent for each segment, and one for each sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from phonaut.checks import Rule, at_least, below, refuse, within
from phonaut.models.generators.cvae import POSITIVE, split_posterior
from phonaut.models.generators.gaussian import DecoderVariance, GaussianLikelihood, gaussian_kl, gaussian_log_prob
from phonaut.models.generators.generator import Generator, Windows
from phonaut.models.generators.principal import PrincipalComponents, start_posterior


class Posterior(NamedTuple):
    """Posteriors of both latents of windows.

    Attributes:
        segment_mean: of z1, `(B, Z1)`.
        segment_log_variance: `(B, Z1)`.
        sequence_mean: of z2, `(B, Z2)`.
        sequence_log_variance: `(B, Z2)`.
        segment: the draw of z1, `(B, Z1)`.
        sequence: the draw of z2, on which the posterior of z1 depends, `(B, Z2)`.
    """

    segment_mean: Tensor
    segment_log_variance: Tensor
    sequence_mean: Tensor
    sequence_log_variance: Tensor
    segment: Tensor
    sequence: Tensor


class FHVAE(Generator):
    """FHVAE (Hsu, Zhang and Glass 2017, "Unsupervised learning of disentangled and interpretable representations").

    A window x of sequence i has z1 ~ N(0, I), its own, and z2 ~ N(mu2_i, s2 I), near the vector mu2_i ~ N(0, s_mu I) of
    its sequence, which says who speaks and where. Of a window of training, with the table of mu2 as parameters,

        loss = -E log p(x | z1, z2) + KL(q(z1 | x, z2) || N(0, I)) + KL(q(z2 | x) || N(mu2_i, s2 I))
               - log p(mu2_i) / N_i - alpha log p(i | E z2),   p(i | z2) = N(z2; mu2_i, s2 I) / sum_j N(z2; mu2_j, s2 I)

    with N_i windows in sequence i. A window of any other sequence is one by itself: mu2 is integrated out, and z2 has
    the prior N(0, (s2 + s_mu) I); so has `elbo`, of all windows, which bounds their likelihood one by one.

    Latents `(B, Z)` are z1 and z2 side by side.

    Args:
        n_sequences: in training.
        latent_size: Z, of both together.
        sequence_latents: of z2.
        sequence_variance: s2.
        vector_variance: s_mu.
        alpha: weight of the discriminative term.
        decoder_variance: as of `CVAE`.
        **named: those of `Generator`.
    """

    terms = ("loss", "reconstruction", "kl_segment", "kl_sequence", "prior_vector", "discriminative")
    RULES: ClassVar = {
        **Generator.RULES,
        "n_sequences": at_least(1),
        "sequence_latents": within(1, 1e5),
        "decoder_variance": POSITIVE,
        **dict.fromkeys(("sequence_variance", "vector_variance"), Rule("must be above 0", lambda value: value > 0)),
        "alpha": within(0, 1e6),
    }

    def __init__(
        self,
        *,
        n_sequences: int = 1,
        latent_size: int = 64,
        sequence_latents: int = 32,
        sequence_variance: float = 0.25,
        vector_variance: float = 1.0,
        alpha: float = 10.0,
        decoder_variance: DecoderVariance = "optimal",
        **named: Any,
    ) -> None:
        super().__init__(latent_size=latent_size, **named)
        wrong = below(1, n_sequences=n_sequences, sequence_latents=sequence_latents)
        if sequence_latents >= latent_size:
            wrong.append(f"sequence_latents must be below latent_size={latent_size}, got {sequence_latents}")
        refuse(wrong)
        self.sequence_latents, self.segment_latents = sequence_latents, latent_size - sequence_latents
        self.sequence_variance, self.vector_variance, self.alpha = sequence_variance, vector_variance, alpha
        self.sequence_encoder = self.make_encoder(2 * sequence_latents)
        self.segment_encoder = self.make_encoder(2 * self.segment_latents, more_condition=sequence_latents)
        self.likelihood = GaussianLikelihood(decoder_variance)
        self.decoder = self.make_decoder(values_per_bin=self.likelihood.values_per_bin)
        self.vectors = nn.Parameter(torch.zeros(n_sequences, sequence_latents))

    def set_sequences(self, n: int) -> None:
        """A table of vectors for `n` sequences of training, at 0."""
        self.vectors = nn.Parameter(self.vectors.new_zeros(n, self.sequence_latents))

    def adopt(self, weights: Mapping[str, Tensor], prefix: str = "") -> None:
        """Make the table as long as that of a trained model, by its `state_dict`."""
        if (table := weights.get(f"{prefix}vectors")) is not None:
            self.set_sequences(len(table))

    def start(self, components: PrincipalComponents) -> None:
        """Begin with z1 as the latent of probabilistic principal components, and z2 as its prior, without effect."""
        if not self.linear_path:
            return
        n = self.segment_latents
        weight, variance = components.posterior
        start_posterior(self.segment_encoder, weight[:n], components, variance[:n])
        nothing = torch.zeros(self.sequence_latents, weight.shape[1])
        start_posterior(self.sequence_encoder, nothing, components, nothing[:, 0] + self.marginal_variance)
        loadings = components.loadings.clone()
        loadings[n:] = 0.0
        self.start_decoder(self.decoder, loadings, components)
        self.likelihood.start(components.noise)

    # --- generation

    def sequence_posterior(self, frames: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of `q(z2 | x)`, each `(B, Z2)`."""
        self.check(condition, frames=frames)
        return split_posterior(self.sequence_encoder(frames, condition).to(frames.dtype), "learned")

    def segment_posterior(self, frames: Tensor, condition: Tensor, sequence: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of `q(z1 | x, z2)`, each `(B, Z1)`."""
        given = torch.cat([condition, sequence], dim=1)
        return split_posterior(self.segment_encoder(frames, given).to(frames.dtype), "learned")

    def encode(self, frames: Tensor, condition: Tensor) -> Tensor:
        """The mean of z1, given that of z2, and the mean of z2: `(B, Z)`."""
        sequence, _ = self.sequence_posterior(frames, condition)
        segment, _ = self.segment_posterior(frames, condition, sequence)
        return torch.cat([segment, sequence], dim=1)

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        """The mean of `p(x | z1, z2)`, `(B, T, D)`."""
        self.check(condition, latents=latents)
        return self.likelihood.mean(self.decoder(latents, condition))

    def prior(self, n: int, rng: torch.Generator) -> Tensor:
        """`n` draws, each of a sequence of its own, `(n, Z)`."""
        drawn = super().prior(n, rng)
        drawn[:, self.segment_latents :] *= math.sqrt(self.marginal_variance)
        return drawn

    @property
    def marginal_variance(self) -> float:
        """Of z2, where the vector of the sequence is not known."""
        return self.sequence_variance + self.vector_variance

    def sequence_vector(self, frames: Tensor, condition: Tensor) -> Tensor:
        """The vector mu2 of a sequence that training has not seen, from its N windows `(N, T, D)`: `(Z2,)`.

        `sum_n E z2_n / (N + s2 / s_mu)`: the mode of `p(mu2 | z2_1 ... z2_N)` at the means of the posteriors.
        """
        means, _ = self.sequence_posterior(frames, condition)
        return means.sum(dim=0) / (len(means) + self.sequence_variance / self.vector_variance)

    # --- training

    def posterior(self, windows: Windows) -> Posterior:
        """Posteriors of both latents, and a draw of each."""
        frames, condition = windows.frames, self.condition_of(windows)
        mean, log_variance = self.sequence_posterior(frames, condition)
        sequence = mean + (0.5 * log_variance).exp() * windows.draw("sequence latents", self.sequence_latents)
        of_segment = self.segment_posterior(frames, condition, sequence)
        noise = windows.draw("segment latents", self.segment_latents)
        segment = of_segment[0] + (0.5 * of_segment[1]).exp() * noise
        return Posterior(*of_segment, mean, log_variance, segment, sequence)

    def bound(self, windows: Windows, posterior: Posterior) -> tuple[Tensor, Tensor, Tensor]:
        """`-log p(x | z1, z2)`, the divergence of z1, and that of z2 without a vector; nats, each `(B,)`."""
        latents = torch.cat([posterior.segment, posterior.sequence], dim=1)
        reconstruction = -self.likelihood(self.decoder(latents, self.condition_of(windows)), windows.frames)
        of_segment = gaussian_kl(posterior.segment_mean, posterior.segment_log_variance)
        alone = gaussian_kl(
            posterior.sequence_mean, posterior.sequence_log_variance, prior_variance=self.marginal_variance
        )
        return reconstruction, of_segment, alone

    def elbo(self, windows: Windows) -> Tensor:
        """A lower bound on `log p(x)` of each window by itself, nats, `(B,)`, on average over the draws."""
        return -sum(self.bound(windows, self.posterior(windows)), torch.zeros(()).to(windows.frames))

    def losses(self, windows: Windows, progress: float = 1.0) -> dict[str, Tensor]:
        """`loss` and its parts, without the weight of the discriminative one; nats."""
        posterior = self.posterior(windows)
        reconstruction, of_segment, alone = self.bound(windows, posterior)
        known = windows.sequence >= 0
        number = windows.sequence.clamp(min=0)
        vector = self.vectors[number]
        near = gaussian_kl(
            posterior.sequence_mean, posterior.sequence_log_variance, vector, prior_variance=self.sequence_variance
        )
        size = torch.ones_like(alone) if windows.sequence_size is None else windows.sequence_size.to(alone)
        prior = -gaussian_log_prob(vector, torch.zeros_like(vector), self.vector_variance) / size
        logits = posterior.sequence_mean @ self.vectors.T - 0.5 * self.vectors.square().sum(dim=1)
        logits = logits / self.sequence_variance  # of log N(z2; mu2_j, s2 I), what differs from sequence to sequence
        own = -logits.log_softmax(dim=1).gather(1, number[:, None]).squeeze(1)
        parts = {
            "reconstruction": reconstruction,
            "kl_segment": of_segment,
            "kl_sequence": torch.where(known, near, alone),
            "prior_vector": torch.where(known, prior, 0.0),
            "discriminative": torch.where(known, own, 0.0),
        }
        weights = {"discriminative": self.alpha}
        loss = sum((weights.get(name, 1.0) * part for name, part in parts.items()), torch.zeros_like(reconstruction))
        return {"loss": loss, **parts}
