"""TC-ResNet8: a residual network of temporal convolutions.

Choi et al. 2019, "Temporal Convolution for Real-time Keyword Spotting on Mobile Devices".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import BELOW_ONE, below, refuse, within
from phonaut.networks.convolutional import ConvolutionalNetwork, thinned
from phonaut.networks.time_conv import TemporalConv, masked


class ResidualBlock(nn.Module):
    """Two temporal convolutions, the first with a stride, beside a 1x1 shortcut of the same stride.

    `relu(norm(conv(relu(norm(conv(x))))) + relu(norm(conv1x1(x))))`; without a stride and with as many channels as
    before, `x` itself is the shortcut.
    """

    def __init__(self, n_in: int, n_out: int, kernel_size: int, *, stride: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.first = TemporalConv(n_in, n_out, kernel_size, stride=stride, dilation=dilation, causal=causal)
        self.second = TemporalConv(n_out, n_out, kernel_size, dilation=dilation, causal=causal)
        self.stride = stride
        self.shortcut = TemporalConv(n_in, n_out, 1, stride=stride) if stride > 1 or n_in != n_out else None

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, D, 1, T) -> (B, D', 1, ceil(T / stride))`; `mask` is that of the result."""
        hidden = self.second(masked(F.relu(self.first(x, mask)), mask), mask)
        beside = x if self.shortcut is None else F.relu(self.shortcut(x, mask))
        return masked(F.relu(hidden + beside), mask)


class TCResNet8(ConvolutionalNetwork):
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
    blocks_per_stage: ClassVar[int] = 1

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
        sizes = [round(width * n) for n in channels]
        problems = below(1, n_features=n_features, n_classes=n_classes, kernel_size=kernel_size, dilation=dilation)
        problems += below(1, first_kernel_size=first_kernel_size)
        refuse(problems + ([] if min(sizes, default=0) >= 1 else [f"width * channels must be >= 1, got {sizes}"]))
        super().__init__(causal=causal)
        self.time_stride = 2 ** (len(sizes) - 1)
        self.first = TemporalConv(n_features, sizes[0], first_kernel_size, causal=causal)
        more: dict[str, Any] = {"dilation": dilation, "causal": causal}
        self.blocks = nn.ModuleList(
            ResidualBlock(n_out if i else n_in, n_out, kernel_size, stride=1 if i else 2, **more)
            for n_in, n_out in itertools.pairwise(sizes)
            for i in range(self.blocks_per_stage)
        )
        self.make_decision(sizes[-1], n_classes, dropout=dropout)

    def begin(self, frames: Tensor, mask: Tensor | None) -> Tensor:
        """What goes into the first block, `(B, D', 1, T)`."""
        return masked(F.relu(self.first(frames.transpose(1, 2).unsqueeze(2), mask)), mask)

    def body(self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames before the mean over time, one per 2^stages."""
        return self.block_frames(frames, lengths, mask)[-1]

    def block_frames(
        self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None
    ) -> list[tuple[Tensor, Tensor | None]]:
        """What the first layer and each block give, `(B, T', D')`, and the mask of the valid; as of `body`."""
        x = self.begin(frames, mask)
        found = [(x, mask)]
        for block in self.blocks:
            lengths, mask = thinned(lengths, mask, block.stride, x.shape[3])  # type: ignore[arg-type]
            x = block(x, mask)
            found.append((x, mask))
        return [(x.squeeze(2).transpose(1, 2), mask) for x, mask in found]
