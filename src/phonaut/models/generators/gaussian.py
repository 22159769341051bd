"""Gaussian likelihoods of what a decoder gives, and divergences of Gaussians."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOMENTUM = 0.01  # of the running variance, once 100 batches are in it
LEAST_VARIANCE = 1e-8
LEAST_LOG_VARIANCE = -6.0  # of a predicted one: a bin that is always the same has no likelihood without bound

DecoderVariance = Literal["optimal", "predicted"] | float


def gaussian_log_prob(x: Tensor, mean: Tensor, variance: Tensor | float) -> Tensor:
    """`sum log N(x; mean, variance)` over all but the first axis, `(B,)`."""
    variance = torch.as_tensor(variance, dtype=x.dtype, device=x.device)
    return -0.5 * ((x - mean).square() / variance + variance.log() + math.log(2 * math.pi)).flatten(1).sum(dim=1)


def gaussian_kl(
    mean: Tensor, log_variance: Tensor, prior_mean: Tensor | float = 0.0, prior_variance: float = 1.0
) -> Tensor:
    """`KL(N(mean, exp(log_variance)) || N(prior_mean, prior_variance))` of diagonal Gaussians, nats, `(B,)`.

    `1/2 sum v / s + (m - p)^2 / s - 1 - log(v / s)`.

    >>> gaussian_kl(torch.tensor([[0.0, 3.0]]), torch.zeros(1, 2)).tolist()
    [4.5]
    """
    ratio = log_variance.exp() / prior_variance
    distance = (mean - prior_mean).square() / prior_variance
    return 0.5 * (ratio + distance - 1.0 - log_variance + math.log(prior_variance)).sum(dim=1)


def log_variance_input(variance: float) -> float:
    """What a decoder gives for a predicted variance; the least one has none, and gives one near it."""
    above = math.log(variance) - LEAST_LOG_VARIANCE
    return LEAST_LOG_VARIANCE + math.log(math.expm1(max(above, 1e-3)))


class GaussianLikelihood(nn.Module):
    """`log N(x; mean, variance I)` of windows, whose variance is solved for, predicted or fixed.

    `optimal`: in training, the maximum-likelihood variance of a batch, its mean squared error (Rybkin, Daniilidis and
    Levine 2020, "Simple and effective VAE training with calibrated decoders"); then
    `-log p = D/2 (log 2 pi sigma^2 + 1)` on average. In evaluation it is a constant, the running mean of those of
    training, so that likelihoods of other data are those of a density. `predicted`: of each bin of each window, given
    by the decoder. A number: that.

    Args:
        variance: `optimal`, `predicted`, or a number above 0.
    """

    variance: Tensor
    n_batches: Tensor

    def __init__(self, variance: DecoderVariance = "optimal") -> None:
        super().__init__()
        self.kind = variance if isinstance(variance, str) else "fixed"
        self.values_per_bin = 2 if self.kind == "predicted" else 1
        first = 1.0 if isinstance(variance, str) else float(variance)
        self.register_buffer("variance", torch.tensor(first), persistent=self.kind == "optimal")
        self.register_buffer("n_batches", torch.tensor(0), persistent=self.kind == "optimal")

    def start(self, variance: float) -> None:
        """Begin an optimal variance at one that is known to be near."""
        if self.kind == "optimal":
            self.variance.fill_(variance)
            self.n_batches.fill_(1)

    def mean(self, decoded: Tensor) -> Tensor:
        """The mean `(B, T, D)`, of any range, of what a decoder gives `(B, T, values D)`."""
        return decoded.chunk(self.values_per_bin, dim=2)[0]

    def forward(self, decoded: Tensor, frames: Tensor) -> Tensor:
        """Log-likelihoods of windows `(B, T, D)` in nats, `(B,)`."""
        decoded = decoded.to(frames.dtype)
        mean = self.mean(decoded)
        if self.kind == "predicted":
            log_variance = LEAST_LOG_VARIANCE + F.softplus(decoded.chunk(2, dim=2)[1] - LEAST_LOG_VARIANCE)
            return gaussian_log_prob(frames, mean, log_variance.exp())
        if self.kind == "optimal" and self.training and len(frames):
            # The gradient through the variance is zero, where it is the best one.
            variance = (frames - mean.detach()).square().mean().clamp(min=LEAST_VARIANCE)
            self.follow(variance)
            return gaussian_log_prob(frames, mean, variance)
        return gaussian_log_prob(frames, mean, self.variance.to(frames.dtype))

    @torch.no_grad()
    def follow(self, variance: Tensor) -> None:
        """Take the variance of a batch into the running mean."""
        self.n_batches += 1
        self.variance.lerp_(variance.to(self.variance), (1.0 / self.n_batches).clamp(min=MOMENTUM).to(self.variance))
