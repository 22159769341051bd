"""DS-TCN: a temporal convolutional network of depthwise-separable blocks.

Coucke et al. 2019, "Efficient keyword spotting using dilated convolutions and gating"; the form is that of wekws (Wang
et al. 2023, "WeKws: a production first small-footprint end-to-end keyword spotting toolkit").
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import BELOW_ONE, below, refuse, within
from phonaut.networks.convolutional import ConvolutionalNetwork
from phonaut.networks.time_conv import TemporalConv, masked


class SeparableBlock(nn.Module):
    """`x + dropout(relu(norm(pointwise(relu(norm(depthwise(x)))))))`."""

    def __init__(self, n: int, kernel_size: int, *, dilation: int, causal: bool, dropout: float) -> None:
        super().__init__()
        self.depthwise = TemporalConv(n, n, kernel_size, dilation=dilation, causal=causal, groups=n)
        self.pointwise = TemporalConv(n, n, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, D, 1, T) -> (B, D, 1, T)`, zero past each item's end."""
        hidden = F.relu(self.pointwise(F.relu(self.depthwise(x, mask)), mask))
        return masked(x + self.dropout(hidden), mask)


class DSTCN(ConvolutionalNetwork):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    A linear layer, depthwise-separable blocks whose dilation doubles from one to the next, the mean over time, a linear
    layer. Time is never thinned out. With 40 features and 12 classes: 22,860 parameters (21 k published, for one word).

    Args:
        n_features: D.
        n_classes: C.
        channels: of the blocks.
        n_blocks: how many.
        kernel_size: of the depthwise convolutions, frames.
        dropout: in the blocks.
        dilation: frames between the taps of the first block; twice as many in each after it.
        causal: look at no later frame, for streaming.

    Raises:
        ValueError: for sizes that are not positive.
    """

    RULES: ClassVar = {
        "channels": within(1, 100_000),
        "kernel_size": within(1, 1000),
        "n_blocks": within(1, 12),
        "dilation": within(1, 1000),
        "dropout": BELOW_ONE,
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        channels: int = 64,
        n_blocks: int = 4,
        kernel_size: int = 8,
        dropout: float = 0.1,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        sizes = {"channels": channels, "n_blocks": n_blocks, "kernel_size": kernel_size, "dilation": dilation}
        refuse(below(1, n_features=n_features, n_classes=n_classes, **sizes))
        super().__init__(causal=causal)
        self.first = nn.Linear(n_features, channels)
        self.blocks = nn.ModuleList(
            SeparableBlock(channels, kernel_size, dilation=dilation * 2**i, causal=causal, dropout=dropout)
            for i in range(n_blocks)
        )
        self.make_decision(channels, n_classes, dropout=0.0)

    def body(self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames before the mean over time, one for each."""
        x = masked(F.relu(self.first(frames)).transpose(1, 2).unsqueeze(2), mask)
        for block in self.blocks:
            x = block(x, mask)
        return x.squeeze(2).transpose(1, 2), mask
