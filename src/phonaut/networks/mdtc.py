"""MDTC: multi-scale depthwise temporal convolution.

Hou et al. 2023 (wekws), after "The NPU system for the 2020 personalized voice trigger challenge", 2102.13552.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import BELOW_ONE, below, refuse, within
from phonaut.networks.convolutional import ConvolutionalNetwork
from phonaut.networks.time_conv import TemporalConv, masked


class ScaleBlock(nn.Module):
    """`relu(x + norm(conv1x1(relu(norm(conv1x1(norm(depthwise(x))))))))`; no `x +` where the channels change."""

    def __init__(self, n_in: int, n_out: int, kernel_size: int, *, dilation: int, causal: bool) -> None:
        super().__init__()
        self.depthwise = TemporalConv(n_in, n_in, kernel_size, dilation=dilation, causal=causal, groups=n_in)
        self.first = TemporalConv(n_in, n_out, 1)
        self.second = TemporalConv(n_out, n_out, 1)
        self.residual = n_in == n_out

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, D, 1, T) -> (B, D', 1, T)`, zero past each item's end."""
        hidden = self.second(F.relu(self.first(self.depthwise(x, mask), mask)), mask)
        return masked(F.relu(x + hidden if self.residual else hidden), mask)


class MDTC(ConvolutionalNetwork):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    A block, then stacks of blocks whose dilations double within a stack; the results of all stacks, each of which sees
    further than the one before, are added up. The mean over time and a linear layer follow.

    Args:
        n_features: D.
        n_classes: C.
        channels: of all blocks; 32 in the small form.
        n_stacks: how many; 3 in the small form.
        n_blocks: in each stack.
        kernel_size: of the depthwise convolutions, frames.
        dropout: before the linear layer.
        dilation: frames between the taps of the first block of a stack.
        causal: look at no later frame, for streaming.

    Raises:
        ValueError: for sizes that are not positive.
    """

    RULES: ClassVar = {
        "channels": within(1, 100_000),
        "kernel_size": within(1, 1000),
        **dict.fromkeys(("n_stacks", "n_blocks"), within(1, 12)),
        "dilation": within(1, 1000),
        "dropout": BELOW_ONE,
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        channels: int = 64,
        n_stacks: int = 4,
        n_blocks: int = 4,
        kernel_size: int = 5,
        dropout: float = 0.1,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        sizes = {"channels": channels, "n_stacks": n_stacks, "n_blocks": n_blocks, "kernel_size": kernel_size}
        refuse(below(1, n_features=n_features, n_classes=n_classes, dilation=dilation, **sizes))
        super().__init__(causal=causal)
        self.first = ScaleBlock(n_features, channels, kernel_size, dilation=dilation, causal=causal)
        self.stacks = nn.ModuleList(
            nn.ModuleList(
                ScaleBlock(channels, channels, kernel_size, dilation=dilation * 2**i, causal=causal)
                for i in range(n_blocks)
            )
            for _ in range(n_stacks)
        )
        self.make_decision(channels, n_classes, dropout=dropout)

    def body(self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames before the mean over time, one for each."""
        x = self.first(frames.transpose(1, 2).unsqueeze(2), mask)
        total = 0.0
        for stack in self.stacks:
            for block in stack:  # type: ignore[attr-defined]
                x = block(x, mask)
            total = total + x
        return total.squeeze(2).transpose(1, 2), mask  # type: ignore[attr-defined]
