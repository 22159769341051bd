"""BC-ResNet: broadcasted residual learning.

Kim et al. 2021, "Broadcasted Residual Learning for Efficient Keyword Spotting", 2106.04140; sub-spectral normalisation:
Chang et al. 2021, 2103.13620.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import BELOW_ONE, below, refuse, within
from phonaut.networks.convolutional import ConvolutionalNetwork
from phonaut.networks.padding import MaskedBatchNorm
from phonaut.networks.time_conv import TimeConv, masked

STAGES = ((1.0, 2, 1), (1.5, 2, 2), (2.0, 4, 2), (2.5, 4, 1))
"""Channels over those of the first stage, blocks, and stride over frequency of each stage."""


class SubSpectralNorm(MaskedBatchNorm):
    """Batch normalisation of each band of frequencies apart: `(B, D, F, T)`, the rows in bands of equal height.

    Where the rows cannot be divided into as many bands, it is the next smaller number that divides them.
    """

    def __init__(self, n_channels: int, n_rows: int, n_bands: int) -> None:
        self.n_bands = next(n for n in range(min(n_bands, n_rows), 0, -1) if n_rows % n == 0)
        super().__init__(n_channels * self.n_bands)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`x (B, D, F, T)` normalised; `mask (B, T)` of the valid frames."""
        b, d, rows, t = x.shape
        return super().forward(x.reshape(b, d * self.n_bands, rows // self.n_bands, t), mask).reshape(b, d, rows, t)


class BroadcastBlock(nn.Module):
    """`relu(x + f2(x) + broadcast(f1(mean over frequency of f2(x))))`; no `x +` where channels or rows change.

    `f2`: depthwise 3x1 over frequency and sub-spectral normalisation, after a 1x1 convolution where channels change.
    `f1`: depthwise 1x3 over time, normalisation, swish, 1x1, dropout of whole channels.
    """

    def __init__(
        self, n_in: int, n_out: int, n_rows: int, *, stride: int, n_bands: int, dilation: int, causal: bool,
        dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.change = TimeConv(n_in, n_out, 1) if n_in != n_out else None
        self.change_norm = MaskedBatchNorm(n_out) if n_in != n_out else None
        self.frequency = TimeConv(n_out, n_out, 1, groups=n_out, height=3, height_stride=stride, height_padding=1)
        self.frequency_norm = SubSpectralNorm(n_out, n_rows, n_bands)
        self.time = TimeConv(n_out, n_out, 3, dilation=dilation, causal=causal, groups=n_out)
        self.time_norm = MaskedBatchNorm(n_out)
        self.pointwise = TimeConv(n_out, n_out, 1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, D, F, T) -> (B, D', F', T)`; what lies past an item's end in `x` does not matter."""
        hidden = x
        if self.change is not None and self.change_norm is not None:
            hidden = F.relu(self.change_norm(self.change(x), mask))
        images = self.frequency_norm(self.frequency(hidden), mask)
        signals = masked(images.mean(dim=2, keepdim=True), mask)
        signals = self.dropout(self.pointwise(F.silu(self.time_norm(self.time(signals), mask))))
        result = images + signals
        return F.relu(result if self.change is not None else result + x)


class BCResNet(ConvolutionalNetwork):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    A 5x5 convolution over frequency and time, four stages of broadcasted residual blocks with dilations 1, 2, 4 and 8
    over time, a 5x5 depthwise convolution that takes all rows of frequency together, the mean over time. Time is never
    thinned out.

    Args:
        n_features: D, 40 in the paper: 20, 10 and 5 rows in the stages.
        n_classes: C.
        width: BC-ResNet-`width`: 8 `width` channels in the first stage.
        n_bands: of sub-spectral normalisation.
        block_dropout: in the blocks, of whole channels.
        dropout: before the linear layer.
        dilation: factor on the dilations.
        causal: look at no later frame, for streaming.

    Raises:
        ValueError: for sizes that are not positive.
    """

    RULES: ClassVar = {
        "width": within(0, 100, beyond=True),
        "n_bands": within(1, 1000),
        "dilation": within(1, 1000),
        **dict.fromkeys(("block_dropout", "dropout"), BELOW_ONE),
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        width: float = 1.0,
        n_bands: int = 5,
        block_dropout: float = 0.1,
        dropout: float = 0.0,
        dilation: int = 1,
        causal: bool = False,
    ) -> None:
        base = round(8 * width)
        refuse(below(1, n_features=n_features, n_classes=n_classes, n_bands=n_bands, dilation=dilation)
               + ([] if base >= 1 else [f"8 * width must be >= 1, got {8 * width:g}"]))  # fmt: skip
        super().__init__(causal=causal)
        self.first = TimeConv(1, 2 * base, 5, causal=causal, height=5, height_stride=2, height_padding=2)
        self.first_norm = MaskedBatchNorm(2 * base)
        n_in, n_rows = 2 * base, -(-n_features // 2)
        blocks = []
        more: dict[str, Any] = {"n_bands": n_bands, "causal": causal, "dropout": block_dropout}
        for i, (factor, n_blocks, stride) in enumerate(STAGES):
            n_out = int(factor * base)
            for j in range(n_blocks):
                n_rows = -(-n_rows // stride) if j == 0 else n_rows
                blocks.append(
                    BroadcastBlock(n_in, n_out, n_rows, stride=1 if j else stride, dilation=dilation * 2**i, **more)
                )
                n_in = n_out
        self.blocks = nn.ModuleList(blocks)
        self.last = TimeConv(n_in, n_in, 5, causal=causal, groups=n_in, height=min(5, n_rows))
        self.join = TimeConv(n_in, 4 * base, 1)
        self.join_norm = MaskedBatchNorm(4 * base)
        self.make_decision(4 * base, n_classes, dropout=dropout)

    def body(self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Frames before the mean over time, one for each."""
        x = F.relu(self.first_norm(self.first(frames.transpose(1, 2).unsqueeze(1)), mask))
        for block in self.blocks:
            x = block(x, mask)
        x = F.relu(self.join_norm(self.join(self.last(masked(x, mask))), mask))
        return x.mean(dim=2).transpose(1, 2), mask
