"""ReDimNet: images of frequency and time, and signals of time alone, that are the same numbers in another shape.

Yakovlev et al. 2024, "Reshape Dimensions Network for Speaker Recognition", arXiv 2407.18223.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import below, refuse, within
from phonaut.networks.ecapa import PooledEmbedding
from phonaut.networks.embedding import Cosines, EmbeddingNetwork
from phonaut.networks.padding import MaskedBatchNorm, without_padding
from phonaut.networks.time_conv import masked


class ImageConv(nn.Module):
    """Convolution over frequency and time, and batch normalisation: `(B, C, F, T) -> (B, C', F / stride, T)`."""

    def __init__(self, n_in: int, n_out: int, kernel: tuple[int, int], stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        pad = (0 if stride > 1 else kernel[0] // 2, kernel[1] // 2)
        self.conv = nn.Conv2d(n_in, n_out, kernel, (stride, 1), padding=pad, groups=groups, bias=False)
        self.norm = MaskedBatchNorm(n_out)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`x` zero past each item's end; `mask (B, T)`."""
        y: Tensor = self.norm(self.conv(x), mask)
        return y


class ImageBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He 2016), each within groups of channels (Xie 2017, ResNeXt)."""

    def __init__(self, n_channels: int, groups: int) -> None:
        super().__init__()
        self.first, self.second = (ImageConv(n_channels, n_channels, (3, 3), groups=groups) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, C, F, T) -> (B, C, F, T)`."""
        hidden = self.second(masked(F.relu(self.first(x, mask)), mask), mask)
        return masked(F.relu(x + hidden), mask)


class SignalBlock(nn.Module):
    """Context in time: fewer channels, one convolution over time a channel, all channels again, and a shortcut."""

    def __init__(self, n_channels: int, n_hidden: int, kernel_size: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(n_channels, n_hidden, 1, bias=False)
        self.norm = MaskedBatchNorm(n_hidden)
        self.over_time = nn.Conv2d(
            n_hidden, n_hidden, (1, kernel_size), padding=(0, kernel_size // 2), groups=n_hidden, bias=False
        )
        self.norm_over_time = MaskedBatchNorm(n_hidden)
        self.up = nn.Conv2d(n_hidden, n_channels, 1)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, V, 1, T) -> (B, V, 1, T)`."""
        hidden = masked(F.relu(self.norm(self.down(x), mask)), mask)
        hidden = hidden + F.relu(self.norm_over_time(self.over_time(hidden), mask))
        return masked(x + self.up(hidden), mask)


class Stage(nn.Module):
    """Fewer frequencies and as many more channels, blocks of images, then a block of the signal of all of them."""

    def __init__(self, n_in: int, stride: int, n_blocks: int, groups: int, context: SignalBlock) -> None:
        super().__init__()
        self.n_in = n_in
        n_out = n_in * stride
        self.fold = ImageConv(n_in, n_out, (stride, 1) if stride > 1 else (1, 1), stride)
        self.blocks = nn.ModuleList(ImageBlock(n_out, groups) for _ in range(n_blocks))
        self.context = context

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, V, 1, T) -> (B, V, 1, T)`, V channels times frequencies."""
        b, volume, _, t = x.shape
        image = masked(self.fold(x.reshape(b, self.n_in, volume // self.n_in, t), mask), mask)
        for block in self.blocks:
            image = block(image, mask)
        y: Tensor = self.context(image.reshape(b, volume, 1, t), mask)
        return y


class Choice(nn.Module):
    """Weighted sum of K signals `(B, V, 1, T)`: weights are positive and add up to 1 in each of the V channels."""

    def __init__(self, n_signals: int, n_channels: int) -> None:
        super().__init__()
        self.log_weight = nn.Parameter(torch.zeros(n_signals, n_channels))

    def forward(self, signals: Sequence[Tensor]) -> Tensor:
        """`(B, V, 1, T)`."""
        weights = self.log_weight.exp()
        weights = (weights / weights.sum(dim=0))[:, None, :, None, None]
        total = weights[0] * signals[0]
        for weight, signal in zip(weights[1:], signals[1:], strict=True):
            total = torch.addcmul(total, weight, signal)
        return total


class ReDimNet(EmbeddingNetwork):
    """Embeddings of speakers and scores by their directions: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    An image of `channels` maps of D frequencies passes stages that fold `stride` neighbouring frequencies into
    channels: the product V of both stays, and so does time. After each stage it is read as a signal of V channels,
    `(B, V, T)`, with context in time. A stage takes a weighted sum of all signals before it, one softmax a channel; so
    does the pooling at the end, by attentive statistics. As in the paper but for attention over time in the blocks of
    signals, which are convolutions here, and for normalisation by batches throughout.

    Args:
        n_features: D, filled up with zeros to a multiple of all strides.
        n_classes: C.
        channels: of the first image.
        strides: of the stages, frequencies that become channels.
        n_blocks: of images in each stage.
        grouped: convolve images within groups of `channels` channels; false: over all of them.
        reduction: V over the channels of the blocks of signals.
        kernel_size: of these, frames, odd.
        bottleneck: units of attention.
        n_embedding: E.
        margin_scale: factor on the cosines that are the scores.

    Raises:
        ValueError: for sizes below 1, an even kernel, or numbers of strides and blocks that differ.

    >>> network = ReDimNet(n_features=40, n_classes=5)
    >>> network.embed(torch.zeros(2, 50, 40), torch.tensor([50, 30])).shape
    torch.Size([2, 192])
    """

    RULES: ClassVar = {
        **dict.fromkeys(("channels", "bottleneck", "n_embedding"), within(1, 100_000)),
        **dict.fromkeys(("strides", "n_blocks", "reduction", "kernel_size"), within(1, 1000)),
        "margin_scale": within(0, 1000, beyond=True),
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        channels: int = 6,
        strides: Sequence[int] = (2, 2, 2),
        n_blocks: Sequence[int] = (1, 1, 1),
        grouped: bool = True,
        reduction: int = 8,
        kernel_size: int = 15,
        bottleneck: int = 64,
        n_embedding: int = 192,
        margin_scale: float = 32.0,
    ) -> None:
        super().__init__()
        sizes = {"channels": channels, "reduction": reduction, "bottleneck": bottleneck, "n_embedding": n_embedding}
        problems = below(1, n_features=n_features, n_classes=n_classes, kernel_size=kernel_size, **sizes)
        if not strides or len(strides) != len(n_blocks):
            problems.append(f"strides and n_blocks must be as many, got {list(strides)} and {list(n_blocks)}")
        if kernel_size % 2 == 0:
            problems.append(f"kernel_size must be odd, got {kernel_size}")
        refuse(problems)
        folds = prod(strides)
        self.n_added = -n_features % folds
        volume = channels * (n_features + self.n_added)
        self.stem = ImageConv(1, channels, (3, 3))
        self.stages = nn.ModuleList()
        size = channels  # of a stage's images
        for stride, n in zip(strides, n_blocks, strict=True):
            context = SignalBlock(volume, max(1, volume // reduction), kernel_size)
            self.stages.append(Stage(size, stride, n, size * stride // channels if grouped else 1, context))
            size *= stride
        # Of the first stage there is nothing to choose from.
        self.choices = nn.ModuleList(Choice(2 + i, volume) for i in range(len(strides)))
        self.head = PooledEmbedding(volume, bottleneck, n_embedding)
        self.classifier = Cosines(n_embedding, n_classes, margin_scale)

    def embed(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings `(B, E)` of segments `(B, T, D)` with `lengths (B,)`."""
        frames, mask = without_padding(frames, lengths)
        image = F.pad(frames, (0, self.n_added)).transpose(1, 2).unsqueeze(1)
        x = masked(self.stem(image, mask), mask).flatten(1, 2).unsqueeze(2)
        signals = [x]
        for stage, choice in zip(self.stages, self.choices, strict=True):
            signals.append(stage(x, mask))
            x = choice(signals)
        embeddings: Tensor = self.head(x.squeeze(2).transpose(1, 2), mask)
        return embeddings
