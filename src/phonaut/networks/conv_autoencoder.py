"""Convolutions over time from windows of frames to vectors, and their mirror image back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from phonaut.checks import below, refuse
from phonaut.networks.padding import MaskedBatchNorm

Activation = Literal["leaky_relu", "tanh", "gated"]
MIN_FRAMES = 4


class Gated(nn.Module):
    """`tanh(a) sigmoid(b)` of both halves of the channels (van den Oord 2016): `(B, 2 C, 1, T) -> (B, C, 1, T)`."""

    def forward(self, x: Tensor) -> Tensor:
        """The gated half."""
        a, b = x.chunk(2, dim=1)
        return torch.tanh(a) * torch.sigmoid(b)


FUNCTIONS: dict[str, Callable[[], nn.Module]] = {
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "tanh": nn.Tanh,
    "gated": Gated,
}


class Activated(nn.Module):
    """A layer, batch normalisation where it is asked for, and an activation.

    Args:
        layer: a linear layer or a convolution of width `channels(n, activation)`.
        activation: `leaky_relu`, `tanh` or `gated`.
        batch_norm: normalise channels by the statistics of the batch.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, activation: Activation, batch_norm: bool):
        super().__init__()
        n = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        self.layer = layer
        self.norm = MaskedBatchNorm(n) if batch_norm else None
        self.function = FUNCTIONS[activation]()

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C) -> (B, C')`, or `(B, C, 1, T) -> (B, C', 1, T')`."""
        y: Tensor = self.layer(x)
        y = y[:, :, None, None] if x.ndim == 2 else y
        y = self.function(y if self.norm is None else self.norm(y))
        return y.flatten(1) if x.ndim == 2 else y


def width(n: int, activation: Activation) -> int:
    """Outputs of a layer in front of an activation that leaves `n`."""
    return 2 * n if activation == "gated" else n


def frames_by_layer(window_frames: int, channels: Sequence[int]) -> list[int]:
    """Frames after each convolution: the first keeps them, the others have a stride of 2.

    >>> frames_by_layer(19, (64, 128, 256))
    [19, 10, 5]
    """
    frames = [window_frames]
    for _ in channels[1:]:
        frames.append((frames[-1] + 1) // 2)
    return frames


def check_sizes(n_features: int, window_frames: int, channels: Sequence[int], **sizes: int) -> None:
    """Refuse sizes that no network has.

    Raises:
        ValueError: there are some.
    """
    problems = below(1, n_features=n_features, **sizes) + below(MIN_FRAMES, window_frames=window_frames)
    refuse(problems + ([] if min(channels, default=0) >= 1 else [f"channels must be >= 1, got {list(channels)}"]))


class ConvEncoder(nn.Module):
    """Vectors of windows: `frames (B, T, D), condition (B, K) -> (B, n_outputs)`.

    A convolution over all features of a frame, one of 3 frames and stride 2 per further number of channels, a linear
    layer, and one more without normalisation or activation; the condition goes into the first linear layer. Frames
    `(B, T, D)` are, as they lie in memory, images one pixel high with their channels last: nothing is transposed.

    Args:
        n_features: D.
        window_frames: T, at least 4.
        n_outputs: values of the vector.
        n_condition: K.
        channels: of the convolutions.
        hidden_size: units of the first linear layer.
        activation: `leaky_relu`, `tanh` or `gated`.
        batch_norm: normalise layers by the statistics of the batch.

    Raises:
        ValueError: for sizes that are not positive, or windows of less than 4 frames.

    >>> ConvEncoder(n_features=80, window_frames=20, n_outputs=16)(torch.zeros(2, 20, 80), torch.zeros(2, 0)).shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        *,
        n_features: int,
        window_frames: int,
        n_outputs: int,
        n_condition: int = 0,
        channels: Sequence[int] = (64, 128, 256),
        hidden_size: int = 512,
        activation: Activation = "leaky_relu",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(n_features, window_frames, channels, n_outputs=n_outputs, hidden_size=hidden_size)
        bias = not batch_norm
        layers = [nn.Conv2d(n_features, width(channels[0], activation), 1, bias=bias)]
        layers += [
            nn.Conv2d(n_in, width(n_out, activation), (1, 3), (1, 2), (0, 1), bias=bias)
            for n_in, n_out in pairwise(channels)
        ]
        self.convolutions = nn.Sequential(*(Activated(layer, activation, batch_norm) for layer in layers))
        n_hidden = channels[-1] * frames_by_layer(window_frames, channels)[-1]
        dense = nn.Linear(n_hidden + n_condition, width(hidden_size, activation), bias=bias)
        self.dense = Activated(dense, activation, batch_norm)
        self.output = nn.Linear(hidden_size, n_outputs)

    def forward(self, frames: Tensor, condition: Tensor) -> Tensor:
        """Vectors `(B, n_outputs)`, of any range."""
        x = self.convolutions(frames.transpose(1, 2).unsqueeze(2))
        x = x.permute(0, 2, 3, 1).flatten(1)  # as it lies in memory
        y: Tensor = self.output(self.dense(torch.cat([x, condition], dim=1)))
        return y


class ConvDecoder(nn.Module):
    """Windows of vectors, the mirror image of `ConvEncoder`: `latents (B, Z), condition (B, K) -> (B, T, n_features)`.

    The last convolution has neither activation nor normalisation: nothing bounds the range of what comes out.

    Args:
        n_features: of the result.
        window_frames: T, at least 4.
        n_latents: Z.
        n_condition: K.
        channels: of the encoder's convolutions, in their order.
        hidden_size: units of the first linear layer.
        activation: `leaky_relu`, `tanh` or `gated`.
        batch_norm: normalise layers by the statistics of the batch.

    Raises:
        ValueError: as for `ConvEncoder`.
    """

    def __init__(
        self,
        *,
        n_features: int,
        window_frames: int,
        n_latents: int,
        n_condition: int = 0,
        channels: Sequence[int] = (64, 128, 256),
        hidden_size: int = 512,
        activation: Activation = "leaky_relu",
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(n_features, window_frames, channels, n_latents=n_latents, hidden_size=hidden_size)
        bias = not batch_norm
        frames = frames_by_layer(window_frames, channels)
        self.first_shape = (frames[-1], channels[-1])
        sizes = [n_latents + n_condition, hidden_size, frames[-1] * channels[-1]]
        dense = [nn.Linear(n_in, width(n_out, activation), bias=bias) for n_in, n_out in pairwise(sizes)]
        self.dense = nn.Sequential(*(Activated(layer, activation, batch_norm) for layer in dense))
        layers = [
            # `3 // 2` frames are cut at the left; at the right, as many as leave the encoder's number of frames.
            nn.ConvTranspose2d(
                n_in, width(n_out, activation), (1, 3), (1, 2), (0, 1), (0, long - (2 * short - 1)), bias=bias
            )
            for (n_in, n_out), (short, long) in zip(pairwise(channels[::-1]), pairwise(frames[::-1]), strict=True)
        ]
        self.convolutions = nn.Sequential(*(Activated(layer, activation, batch_norm) for layer in layers))
        self.output = nn.Conv2d(channels[0], n_features, 1)

    def forward(self, latents: Tensor, condition: Tensor) -> Tensor:
        """Windows `(B, T, n_features)`, of any range."""
        x = self.dense(torch.cat([latents, condition], dim=1)).unflatten(1, (1, *self.first_shape))
        y: Tensor = self.output(self.convolutions(x.permute(0, 3, 1, 2)))
        return y.squeeze(2).transpose(1, 2)
