"""TC-ResNet8: a residual network of temporal convolutions (Choi et al. 2019, "Temporal Convolution for Real-time
Keyword Spotting on Mobile Devices")."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.networks.masking import MaskedBatchNorm1d, mask_of, masked, masked_mean


class TemporalConv(nn.Module):
    """Convolution over time, batch normalisation, and a rectifier if wanted: `(B, D, T) -> (B, D', ceil(T / stride))`.

    Frame t of the result is centred on frame `t * stride` of the input or, where `causal`, ends there; either way the
    result's length depends on the input's alone.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        causal: bool = False,
        rectify: bool = True,
    ) -> None:
        super().__init__()
        context = dilation * (kernel_size - 1)
        before = context if causal else context // 2
        same = before if 2 * before == context else 0  # equal on both sides, the convolution pads by itself
        self.pad = (0, 0) if same else (before, context - before)
        self.conv = nn.Conv1d(n_in, n_out, kernel_size, stride, same, dilation, bias=False)
        self.norm = MaskedBatchNorm1d(n_out)
        self.rectify = rectify

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`x (B, D, T)` with zeros past each item's length; `mask (B, 1, T')` is that of the result."""
        x = self.norm(self.conv(F.pad(x, self.pad) if any(self.pad) else x), mask)
        return masked(F.relu(x) if self.rectify else x, mask)


class ResidualBlock(nn.Module):
    """Two temporal convolutions, the first with a stride, beside a 1x1 shortcut of the same stride."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int, *, stride: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.first = TemporalConv(n_in, n_out, kernel_size, stride=stride, dilation=dilation, causal=causal)
        self.second = TemporalConv(n_out, n_out, kernel_size, dilation=dilation, causal=causal, rectify=False)
        self.shortcut = TemporalConv(n_in, n_out, 1, stride=stride)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, D, T) -> (B, D', ceil(T / stride))`; `mask` is that of the result."""
        return F.relu(self.second(self.first(x, mask), mask) + self.shortcut(x, mask))


class TCResNet8(nn.Module):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    A first convolution, one residual block of stride 2 per further channel count, the mean over time, dropout, a
    linear layer. With 40 features and 12 classes it has about 65 k parameters, and 1.5 M multiply-accumulates on 101
    frames. Padding never changes a score.

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
        if min([n_features, n_classes, kernel_size, first_kernel_size, dilation, *sizes], default=0) < 1:
            raise ValueError(
                "n_features, n_classes, kernel sizes, dilation and width * channels must be at least 1; got "
                f"{n_features}, {n_classes}, {kernel_size} and {first_kernel_size}, {dilation}, {sizes}"
            )
        self.first = TemporalConv(n_features, sizes[0], first_kernel_size, causal=causal)
        self.blocks = nn.ModuleList(
            ResidualBlock(n_in, n_out, kernel_size, stride=2, dilation=dilation, causal=causal)
            for n_in, n_out in itertools.pairwise(sizes)
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(sizes[-1], n_classes)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        mask = mask_of(lengths, frames.shape[1])
        x = self.first(masked(frames.transpose(1, 2), mask), mask)
        for block in self.blocks:
            lengths = (lengths + 1) // 2  # frame t of a block is frame 2 t of what goes in
            mask = mask_of(lengths, (x.shape[2] + 1) // 2) if mask is not None else None
            x = block(x, mask)
        scores: Tensor = self.classifier(self.dropout(masked_mean(x, mask)))
        return scores
