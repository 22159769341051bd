"""Velocity field over windows of frames, for flow matching."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.networks.conv_autoencoder import check_sizes, frames_by_layer

N_WAVES = 32  # sines and cosines of time, of periods from 4 to 1/64
EMBEDDING = 128


class Modulated(nn.Module):
    """A layer, normalisation over its channels, a scale and a shift that follow from an embedding, and SiLU."""

    def __init__(self, layer: nn.Module, n_channels: int) -> None:
        super().__init__()
        self.layer = layer
        self.n_channels = n_channels
        self.modulation = nn.Linear(EMBEDDING, 2 * n_channels)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, embedding: Tensor, skip: Tensor | None = None) -> Tensor:
        """`x (B, C, 1, T) -> (B, C', 1, T')`, or `(B, C) -> (B, C')`; `skip` is added to what the layer gives."""
        y: Tensor = self.layer(x)
        y = (y if skip is None else y + skip).movedim(1, -1)  # as it lies in memory
        scale, shift = self.modulation(embedding).view(len(x), *[1] * (y.ndim - 2), -1).chunk(2, dim=-1)
        y = F.silu(F.layer_norm(y, (self.n_channels,)) * (1.0 + scale) + shift)
        return y.movedim(-1, 1)


class VelocityNetwork(nn.Module):
    """Velocities of windows: `frames (B, T, D), time (B,), condition (B, K) -> (B, T, D)`.

    The encoder and the decoder of `ConvAutoencoder`'s size, with what each layer of the encoder gives added to the
    layer of the decoder across from it, and at the end the frames themselves, each feature by a factor that follows
    from time: of Gaussian frames that alone is the answer.

    Args:
        n_features: D.
        window_frames: T, at least 4.
        n_condition: K.
        channels: of the convolutions.
        hidden_size: units of the linear layer between encoder and decoder.

    Raises:
        ValueError: for sizes that are not positive, or windows of less than 4 frames.
    """

    def __init__(
        self,
        *,
        n_features: int,
        window_frames: int,
        n_condition: int = 0,
        channels: Sequence[int] = (64, 128, 256),
        hidden_size: int = 512,
    ) -> None:
        super().__init__()
        check_sizes(n_features, window_frames, channels, hidden_size=hidden_size)
        frames = frames_by_layer(window_frames, channels)
        self.last_shape = (frames[-1], channels[-1])
        n_last = frames[-1] * channels[-1]
        self.embedding = nn.Sequential(
            nn.Linear(2 * N_WAVES + n_condition, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU()
        )
        self.first = Modulated(nn.Conv2d(n_features, channels[0], (1, 3), padding=(0, 1)), channels[0])
        self.down = nn.ModuleList(
            Modulated(nn.Conv2d(n_in, n_out, (1, 3), (1, 2), (0, 1)), n_out) for n_in, n_out in pairwise(channels)
        )
        self.inner = Modulated(nn.Linear(n_last, hidden_size), hidden_size)
        self.outer = nn.Linear(hidden_size, n_last)
        self.up = nn.ModuleList(
            Modulated(nn.ConvTranspose2d(n_in, n_out, (1, 3), (1, 2), (0, 1), (0, long - (2 * short - 1))), n_out)
            for (n_in, n_out), (short, long) in zip(pairwise(channels[::-1]), pairwise(frames[::-1]), strict=True)
        )
        self.output = nn.Conv2d(channels[0], n_features, (1, 3), padding=(0, 1))
        self.factors = nn.Linear(EMBEDDING, n_features)

    def forward(self, frames: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        """Velocities `(B, T, D)`, of any range."""
        embedding = self.embedding(torch.cat([waves(time), condition], dim=1))
        hidden = [self.first(frames.transpose(1, 2).unsqueeze(2), embedding)]
        for layer in self.down:
            hidden.append(layer(hidden[-1], embedding))
        flat = hidden[-1].permute(0, 2, 3, 1).flatten(1)
        inner = self.outer(self.inner(flat, embedding)).unflatten(1, (1, *self.last_shape))
        x = hidden.pop() + inner.permute(0, 3, 1, 2)
        for layer in self.up:
            x = layer(x, embedding, skip=hidden.pop())
        velocity: Tensor = self.output(x).squeeze(2).transpose(1, 2) + self.factors(embedding)[:, None] * frames
        return velocity


def waves(time: Tensor) -> Tensor:
    """Sines and cosines of time in [0, 1], `(B,) -> (B, 2 N_WAVES)`."""
    rates = torch.logspace(-2, 6, N_WAVES, base=2.0, device=time.device, dtype=time.dtype)
    angle = 2.0 * math.pi * time[:, None] * rates
    return torch.cat([angle.sin(), angle.cos()], dim=1)
