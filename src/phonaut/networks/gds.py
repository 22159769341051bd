"""GDS: five grouped depthwise-separable blocks.

Mittermaier et al. 2020, "Small-footprint keyword spotting on raw audio data with sinc-convolutions", 1911.02086.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import prod
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import BELOW_ONE, below, refuse, within
from phonaut.networks.convolutional import ConvolutionalNetwork, thinned
from phonaut.networks.time_conv import TemporalConv, TimeConv, TimeMean, masked


class GroupedBlock(nn.Module):
    """`dropout(mean_over_time(relu(norm(pointwise(depthwise(x))))))`; dropout is of whole channels."""

    def __init__(
        self, n_in: int, n_out: int, kernel_size: int, *, stride: int, groups: int, pool: int, dilation: int,
        causal: bool, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.depthwise = TimeConv(n_in, n_in, kernel_size, stride=stride, dilation=dilation, causal=causal, groups=n_in)
        self.pointwise = TemporalConv(n_in, n_out, 1, groups=groups)
        self.pool = TimeMean(pool, causal=causal)
        self.dropout = nn.Dropout2d(dropout)
        self.strides = (stride, pool)

    def forward(
        self, x: Tensor, lengths: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """`x (B, D, 1, T)`, zero past each item's end, with lengths and mask, and the same of the result."""
        stride, pool = self.strides
        lengths, mask = thinned(lengths, mask, stride, x.shape[3])
        x = masked(F.relu(self.pointwise(self.depthwise(x), mask)), mask)
        lengths, mask = thinned(lengths, mask, pool, x.shape[3])
        return self.dropout(masked(self.pool(x), mask)), lengths, mask


class GDS(ConvolutionalNetwork):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    Depthwise-separable blocks whose pointwise convolutions are in groups, two and three in turn so that all channels
    meet; each halves time by a mean. The mean over time and a linear layer follow. It is made for `features=sinc`, a
    frame a millisecond, and thins time out by 64.

    Args:
        n_features: D.
        n_classes: C.
        channels: of each block.
        kernel_sizes: of the depthwise convolutions, frames.
        strides: of them.
        groups: of the pointwise convolutions.
        pool: frames whose mean is one, in each block.
        block_dropout: after each block, of whole channels.
        dropout: before the linear layer.
        dilation: frames between the taps of the depthwise convolutions.
        causal: look at no later frame, for streaming.

    Raises:
        ValueError: for sizes that are not positive, lists of other lengths, channels that groups do not divide.
    """

    RULES: ClassVar = {
        "channels": within(1, 100_000),
        **dict.fromkeys(("kernel_sizes", "strides", "groups", "dilation"), within(1, 1000)),
        "pool": within(1, 100),
        **dict.fromkeys(("block_dropout", "dropout"), BELOW_ONE),
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        channels: Sequence[int] = (162, 162, 162, 162, 162),
        kernel_sizes: Sequence[int] = (25, 9, 9, 9, 9),
        strides: Sequence[int] = (2, 1, 1, 1, 1),
        groups: Sequence[int] = (1, 2, 3, 2, 3),
        pool: int = 2,
        block_dropout: float = 0.1,
        dropout: float = 0.1,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        lists = {"channels": channels, "kernel_sizes": kernel_sizes, "strides": strides, "groups": groups}
        problems = below(1, n_features=n_features, n_classes=n_classes, pool=pool, dilation=dilation)
        problems += [problem for name, values in lists.items() for n in values for problem in below(1, **{name: n})]
        if len({len(values) for values in lists.values()}) > 1 or not channels:
            problems.append(f"{', '.join(lists)} must be equally long, a value for each block")
        sizes = [n_features, *channels]
        if not problems:
            problems += [
                f"groups={g} must divide the channels before and after, {n_in} and {n_out}"
                for g, (n_in, n_out) in zip(groups, itertools.pairwise(sizes), strict=True)
                if n_in % g or n_out % g
            ]
        refuse(problems)
        super().__init__(causal=causal)
        self.time_stride = prod(strides) * pool ** len(channels)
        self.blocks = nn.ModuleList(
            GroupedBlock(
                n_in,
                n_out,
                kernel_size,
                stride=stride,
                groups=g,
                pool=pool,
                dilation=dilation,
                causal=causal,
                dropout=block_dropout,
            )
            for (n_in, n_out), kernel_size, stride, g in zip(
                itertools.pairwise(sizes), kernel_sizes, strides, groups, strict=True
            )
        )
        self.make_decision(sizes[-1], n_classes, dropout=dropout)

    def body(self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames before the mean over time, one per `time_stride`."""
        x = frames.transpose(1, 2).unsqueeze(2)
        for block in self.blocks:
            x, lengths, mask = block(x, lengths, mask)
        return x.squeeze(2).transpose(1, 2), mask
