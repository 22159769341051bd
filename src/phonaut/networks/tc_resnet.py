"""TC-ResNet8: a residual network of temporal convolutions.

Choi et al. 2019, "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import BELOW_ONE, below, refuse, within
from phonaut.features.functional import length_mask
from phonaut.networks.padding import MaskedBatchNorm, masked_mean, without_padding


class TemporalConv(nn.Module):
    """Convolution over time and batch normalisation: `(B, D, 1, T) -> (B, D', 1, ceil(T / stride))`.

    Frame t of the result is centred on frame `t * stride` of the input or, where `causal`, ends there.

    Time is the width of images one pixel high: so frames `(B, T, D)` are, as they lie in memory, a batch in PyTorch's
    channels-last layout, nothing is transposed, and a training step on a CPU takes 0.7 times that with `nn.Conv1d`.
    """

    def __init__(
        self, n_in: int, n_out: int, kernel_size: int, *, stride: int = 1, dilation: int = 1, causal: bool = False
    ) -> None:
        super().__init__()
        context = dilation * (kernel_size - 1)
        before = context if causal else context // 2
        same = before if 2 * before == context else 0  # equal on both sides, the convolution pads by itself
        self.pad = (0, 0) if same else (before, context - before)
        self.conv = nn.Conv2d(
            n_in, n_out, (1, kernel_size), (1, stride), padding=(0, same), dilation=(1, dilation), bias=False
        )
        self.norm = MaskedBatchNorm(n_out)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`x (B, D, 1, T)`, zero past each item's end; `mask (B, T')` is that of the result."""
        x = self.conv(F.pad(x, self.pad) if any(self.pad) else x)
        y: Tensor = self.norm(x, mask)
        return y


class ResidualBlock(nn.Module):
    """Two temporal convolutions, the first with a stride, beside a 1x1 shortcut of the same stride.

    `relu(norm(conv(relu(norm(conv(x))))) + relu(norm(conv1x1(x))))`.
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int, *, stride: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.first = TemporalConv(n_in, n_out, kernel_size, stride=stride, dilation=dilation, causal=causal)
        self.second = TemporalConv(n_out, n_out, kernel_size, dilation=dilation, causal=causal)
        self.shortcut = TemporalConv(n_in, n_out, 1, stride=stride)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, D, 1, T) -> (B, D', 1, ceil(T / stride))`; `mask` is that of the result."""
        hidden = self.second(masked(F.relu(self.first(x, mask)), mask), mask)
        return masked(F.relu(hidden + F.relu(self.shortcut(x, mask))), mask)


class TCResNet8(nn.Module):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    A first convolution, one residual block of stride 2 per further channel count, the mean over time, dropout, a
    linear layer. With 40 features and 12 classes: 65,180 parameters, and 1.563 M multiply-accumulates on 101 frames.
    Padding never changes a score.

    Args:
        n_features: D.
        n_classes: C.
        channels: of the first convolution and of each block.
        kernel_size: of the blocks, frames.
        first_kernel_size: of the first convolution, frames.
        width: factor on all channels.
        dropout: before the linear layer.
        dilation: frames between the taps of the blocks.
        causal: look at no later frame, for streaming.

    Raises:
        ValueError: for sizes that are not positive.

    >>> import torch
    >>> network = TCResNet8(n_features=40, n_classes=12)
    >>> network(torch.zeros(2, 101, 40), torch.tensor([101, 30])).shape
    torch.Size([2, 12])
    """

    RULES: ClassVar = {
        **dict.fromkeys(("kernel_size", "first_kernel_size", "dilation"), within(1, 1000)),
        "channels": within(1, 100_000),
        "width": within(0, 1000, beyond=True),
        "dropout": BELOW_ONE,
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        channels: Sequence[int] = (16, 24, 32, 48),
        kernel_size: int = 9,
        first_kernel_size: int = 3,
        width: float = 1.0,
        dropout: float = 0.5,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        super().__init__()
        sizes = [round(width * n) for n in channels]
        problems = below(1, n_features=n_features, n_classes=n_classes, kernel_size=kernel_size, dilation=dilation)
        problems += below(1, first_kernel_size=first_kernel_size)
        refuse(problems + ([] if min(sizes, default=0) >= 1 else [f"width * channels must be >= 1, got {sizes}"]))
        self.first = TemporalConv(n_features, sizes[0], first_kernel_size, causal=causal)
        self.blocks = nn.ModuleList(
            ResidualBlock(n_in, n_out, kernel_size, stride=2, dilation=dilation, causal=causal)
            for n_in, n_out in itertools.pairwise(sizes)
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(sizes[-1], n_classes)

    def hidden(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """Frames before the mean over time, `(B, T', D')`, one per 2^blocks, and the mask of the valid, `(B, T')`."""
        frames, mask = without_padding(frames, lengths)
        x = masked(F.relu(self.first(frames.transpose(1, 2).unsqueeze(2), mask)), mask)
        for block in self.blocks:
            lengths = (lengths - 1) // 2 + 1  # frame t of a block is frame 2 t of its input
            mask = None if mask is None else length_mask(lengths, (x.shape[3] - 1) // 2 + 1)
            x = block(x, mask)
        return x.squeeze(2).transpose(1, 2), mask

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        scores: Tensor = self.classifier(self.dropout(masked_mean(*self.hidden(frames, lengths))))
        return scores


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x (B, D, 1, T)`, zero past each item's end, as a convolution over the item alone pads it."""
    return x if mask is None else x * mask[:, None, None, :].to(x.dtype)
