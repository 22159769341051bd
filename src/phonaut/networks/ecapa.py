"""ECAPA-TDNN: temporal convolutions at several scales, whose channels are weighed by the whole segment.

Desplanques, Thienpondt and Demuynck 2020, "ECAPA-TDNN: Emphasized Channel Attention, Propagation and Aggregation in
TDNN Based Speaker Verification".
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import below, refuse, within
from phonaut.networks.embedding import Cosines, EmbeddingNetwork
from phonaut.networks.padding import MaskedBatchNorm, masked_mean, without_padding
from phonaut.networks.pooling import AttentiveStatistics
from phonaut.networks.time_conv import TemporalConv, masked

DILATIONS = (2, 3, 4)  # of the three blocks
KERNEL_SIZE, FIRST_KERNEL_SIZE = 3, 5  # frames


class Layer(TemporalConv):
    """Convolution, batch normalisation and ReLU, zero past each item's end; the paper has the last two exchanged."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, D, 1, T) -> (B, D', 1, T)`."""
        return masked(F.relu(super().forward(x, mask)), mask)


class Block(nn.Module):
    """SE-Res2Block: a dilated convolution at several scales between two of single frames, and a shortcut.

    Channels are cut into `scale` parts; the first stays, part i is `y_i = layer_i(x_i + y_(i-1))` (Gao 2019, Res2Net).
    At the end each channel is multiplied by a gate in (0, 1) that follows from the means over time (Hu 2018).
    """

    def __init__(self, n_channels: int, *, dilation: int, scale: int, n_gate: int) -> None:
        super().__init__()
        part = n_channels // scale
        self.first = Layer(n_channels, n_channels, 1)
        self.parts = nn.ModuleList(Layer(part, part, KERNEL_SIZE, dilation=dilation) for _ in range(scale - 1))
        self.last = Layer(n_channels, n_channels, 1)
        self.gate = nn.Sequential(nn.Linear(n_channels, n_gate), nn.ReLU(), nn.Linear(n_gate, n_channels), nn.Sigmoid())

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, D, 1, T) -> (B, D, 1, T)`."""
        y, *rest = self.first(x, mask).chunk(1 + len(self.parts), dim=1)
        done = [y]
        for i, (layer, part) in enumerate(zip(self.parts, rest, strict=True)):
            y = layer(part + y if i else part, mask)
            done.append(y)
        hidden: Tensor = self.last(torch.cat(done, dim=1), mask)
        gates: Tensor = self.gate(masked_mean(hidden.squeeze(2).transpose(1, 2), mask))
        return x + hidden * gates[:, :, None, None]


class Ecapa(EmbeddingNetwork):
    """Embeddings of speakers and scores by their directions: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    A convolution, three blocks whose outputs are joined, attentive statistics over time, a linear layer. Padding never
    changes an embedding.

    Args:
        n_features: D.
        n_classes: C.
        channels: of the convolutions; in the paper 512 or 1024.
        joined_channels: of the layer that joins the blocks; null: three times as many (1536 in the paper).
        scale: parts into which the channels of a block are cut.
        bottleneck: units of gates and of attention; 128 in the paper.
        n_embedding: E.
        margin_scale: factor on the cosines that are the scores.

    Raises:
        ValueError: for sizes below 1, or channels that `scale` does not divide.

    >>> network = Ecapa(n_features=40, n_classes=5, channels=16)
    >>> network.embed(torch.zeros(2, 50, 40), torch.tensor([50, 30])).shape
    torch.Size([2, 192])
    """

    RULES: ClassVar = {
        **dict.fromkeys(("channels", "joined_channels", "bottleneck", "n_embedding"), within(1, 100_000)),
        "scale": within(2, 64),
        "margin_scale": within(0, 1000, beyond=True),
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        channels: int = 128,
        joined_channels: int | None = None,
        scale: int = 8,
        bottleneck: int = 64,
        n_embedding: int = 192,
        margin_scale: float = 32.0,
    ) -> None:
        super().__init__()
        sizes = {"channels": channels, "scale": scale, "bottleneck": bottleneck, "n_embedding": n_embedding}
        problems = below(1, n_features=n_features, n_classes=n_classes, **sizes)
        if not problems and channels % scale:
            problems.append(f"channels={channels} must be a multiple of scale={scale}")
        refuse(problems)
        joined = joined_channels or 3 * channels
        self.first = Layer(n_features, channels, FIRST_KERNEL_SIZE)
        self.blocks = nn.ModuleList(
            Block(channels, dilation=dilation, scale=scale, n_gate=bottleneck) for dilation in DILATIONS
        )
        self.join = Layer(len(DILATIONS) * channels, joined, 1)
        self.head = PooledEmbedding(joined, bottleneck, n_embedding)
        self.classifier = Cosines(n_embedding, n_classes, margin_scale)

    def embed(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings `(B, E)` of segments `(B, T, D)` with `lengths (B,)`."""
        frames, mask = without_padding(frames, lengths)
        x = self.first(frames.transpose(1, 2).unsqueeze(2), mask)
        hidden = []
        for block in self.blocks:
            x = block(x, mask)
            hidden.append(x)
        x = self.join(torch.cat(hidden, dim=1), mask)
        embeddings: Tensor = self.head(x.squeeze(2).transpose(1, 2), mask)
        return embeddings


class PooledEmbedding(nn.Module):
    """From frames to one vector: attentive statistics, batch normalisation, a linear layer, batch normalisation."""

    def __init__(self, n_channels: int, n_hidden: int, n_embedding: int) -> None:
        super().__init__()
        self.pooling = AttentiveStatistics(n_channels, n_hidden)
        self.norm = MaskedBatchNorm(2 * n_channels)
        self.linear = nn.Linear(2 * n_channels, n_embedding, bias=False)
        self.last_norm = MaskedBatchNorm(n_embedding)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, T, C) -> (B, E)`; `mask (B, T)` of the valid frames."""
        pooled = self.norm(self.pooling(x, mask)[:, :, None, None])
        embeddings: Tensor = self.last_norm(self.linear(pooled.flatten(1))[:, :, None, None]).flatten(1)
        return embeddings
