"""Convolutions over time that can go on where an earlier part of the recording ended."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.features.functional import whole
from phonaut.networks.padding import MaskedBatchNorm


class OverTime:
    """What layers share that reach over time, the width of images `(B, D, F, T)`: where results lie, and streaming.

    Frame t of the result is centred on frame `t * stride` of the input or, where `causal`, ends there; beyond the ends
    are zeros. In streaming (`phonaut.networks.streaming`) the zeros before the first frame give way to the last
    `context` frames of what was heard before, and the stride keeps its phase.

    Attributes:
        context: frames beside its own that a result covers.
        causal: none of them is a later one.
        past: in streaming alone, what the layer keeps of earlier frames.
    """

    context: int
    causal: bool
    past: dict[str, Tensor] | None = None

    def place(self, context: int, stride: int, causal: bool) -> None:
        """Set what a result covers."""
        before = context if causal else context // 2
        self.context, self.thinning, self.ends, self.causal = context, stride, (before, context - before), causal

    def go_on(self, x: Tensor, past: dict[str, Tensor]) -> Tensor | None:
        """The part of the input in which the results lie that end in `x (B, D, F, T)`; None where none does.

        `past` is brought up to date, without changing its tensors.
        """
        n, skip = x.shape[3], 0
        if self.thinning > 1:  # frames of x before the first that a result ends at
            skip = int(past["skip"]) if "skip" in past else 0
            past["skip"] = whole((skip - n) % self.thinning)
        if self.context:
            before = past["frames"] if "frames" in past else x.new_zeros(*x.shape[:3], self.context)
            x = torch.cat([before, x], dim=3)
            past["frames"] = x[..., n:]
        return x[..., skip:] if skip < n else None


class TimeConv(OverTime, nn.Conv2d):
    """Convolution over time: `(B, D, F, T) -> (B, D', F', ceil(T / stride))`. `OverTime` says where results lie.

    Args:
        n_in: D.
        n_out: D'.
        kernel_size: over time, frames.
        stride: over time, frames.
        dilation: frames between the taps.
        causal: look at no later frame.
        groups: into which channels are divided.
        height: taps over frequency.
        height_stride: rows of frequency from one result to the next.
        height_padding: rows of zeros at both ends of the frequencies.
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
        groups: int = 1,
        height: int = 1,
        height_stride: int = 1,
        height_padding: int = 0,
    ) -> None:
        context = dilation * (kernel_size - 1)
        same = 0 if causal or context % 2 else context // 2  # equal on both sides, the convolution pads by itself
        nn.Conv2d.__init__(
            self, n_in, n_out, (height, kernel_size), (height_stride, stride), (height_padding, same), (1, dilation),
            groups, bias=False,
        )  # fmt: skip
        self.place(context, stride, causal)
        self.ends = (0, 0) if same else self.ends
        self.height = (height, height_stride, height_padding)

    def forward(self, x: Tensor) -> Tensor:
        """`x (B, D, F, T)`, zero past each item's end."""
        return self.product(x, self.weight)

    def product(self, x: Tensor, weight: Tensor) -> Tensor:
        """The convolution with a weight in place of the layer's own."""
        if self.past is None:
            return self.convolved(F.pad(x, self.ends) if any(self.ends) else x, weight)
        part = self.go_on(x, self.past)
        if part is not None:
            return self.convolved(part, weight)
        taps, stride, padding = self.height
        return x.new_zeros(len(x), self.out_channels, (x.shape[2] + 2 * padding - taps) // stride + 1, 0)

    def convolved(self, x: Tensor, weight: Tensor) -> Tensor:
        """As PyTorch's own layer, with another weight."""
        result: Tensor = self._conv_forward(x, weight, None)
        return result


class TimeMean(OverTime, nn.Module):
    """Mean of `size` frames, every `size` of them; `(B, D, F, T) -> (B, D, F, ceil(T / size))`."""

    def __init__(self, size: int, *, causal: bool = False) -> None:
        super().__init__()
        self.size = size
        self.place(size - 1, size, causal)

    def forward(self, x: Tensor) -> Tensor:
        """`x (B, D, F, T)`, zero past each item's end."""
        return self.pooled(x, self.size)

    def sums(self, x: Tensor) -> Tensor:
        """Sums in place of means."""
        return self.pooled(x, 1)

    def pooled(self, x: Tensor, divisor: int) -> Tensor:
        """Sums of `size` frames over a divisor."""
        part = F.pad(x, self.ends) if self.past is None else self.go_on(x, self.past)
        if part is None:
            return x[..., :0]
        return F.avg_pool2d(part, (1, self.size), divisor_override=divisor)


class TemporalConv(nn.Module):
    """Convolution over time and batch normalisation: `(B, D, 1, T) -> (B, D', 1, ceil(T / stride))`.

    Time is the width of images one pixel high: so frames `(B, T, D)` are, as they lie in memory, a batch in PyTorch's
    channels-last layout, nothing is transposed, and a training step on a CPU takes 0.7 times that with `nn.Conv1d`.
    `TimeConv` says where results lie, and what the arguments are.

    Attributes:
        branches: in training, what is added to it (`phonaut.networks.reparameterized`).
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
        groups: int = 1,
    ) -> None:
        super().__init__()
        more = {"stride": stride, "dilation": dilation, "groups": groups}
        self.conv = TimeConv(n_in, n_out, kernel_size, causal=causal, **more)
        self.norm = MaskedBatchNorm(n_out)
        self.branches = nn.ModuleList()

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`x (B, D, 1, T)`, zero past each item's end; `mask (B, T')` is that of the result."""
        y: Tensor = self.conv(x)
        y = self.norm(y, mask)
        for branch in self.branches:
            y = y + branch(x, mask)
        return y


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x (B, D, F, T)`, zero past each item's end, as a convolution over the item alone pads it."""
    return x if mask is None else x * mask[:, None, None, :].to(x.dtype)
