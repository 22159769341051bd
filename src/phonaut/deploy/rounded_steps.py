"""The steps of a quantised network between roundings to int8 and back, as runtimes recognise them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.ao.quantization.fx._decomposed  # registers the operations
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.networks.quantized.quantizer import Quantizer
from phonaut.networks.quantized.steps import (
    Affine,
    MeanOverFrequency,
    MeanOverSomeTime,
    MeanOverTime,
    Product,
    Step,
    Sum,
    Table,
)
from phonaut.networks.time_conv import OverTime

LEAST, MOST = -128, 127
INT32 = (-(2**31), 2**31 - 1)
FREE = ((LEAST, MOST), (-MOST, MOST))  # levels to which int8 itself clips, or all but


class Form(NamedTuple):
    """What runtimes want to be told in different ways.

    Attributes:
        storage: of activations: int8, or uint8, in which all levels are 128 higher.
        whole_bias: biases are int32 in the graph, else floating-point, which become int32 in the runtime.
        pools: means are average pooling, which brings integers to another scale; else floating-point means.
    """

    storage: torch.dtype = torch.int8
    whole_bias: bool = False
    pools: bool = True


class Rounding(nn.Module):
    """`x` rounded to the levels of a quantiser, and back.

    Args:
        quantizer: whose scale is known.
        relu: negative results become 0.
        of_input: the sign of 0, where there are but two levels, is 0.
        form: for which runtime.

    Attributes:
        arguments: of both operations: scale, zero point, least and greatest level, type.
    """

    def __init__(self, quantizer: Quantizer, *, form: Form, relu: bool = False, of_input: bool = False) -> None:
        super().__init__()
        low, high, self.binary = quantizer.levels
        self.scale, self.form, self.of_input = float(quantizer.step()), form, of_input
        zero = LEAST if low >= 0 else 0
        low = max(low, 0) if relu else low
        self.bounds = (low * self.scale, high * self.scale)
        self.clips = (low + zero, high + zero) not in FREE
        higher = zero - LEAST if form.storage == torch.uint8 else zero
        self.arguments = (self.scale, higher, low + higher, high + higher, form.storage)

    def forward(self, x: Tensor) -> Tensor:
        """Rounded, and back."""
        return self.back(self.levels(x))

    def levels(self, x: Tensor) -> Tensor:
        """Whole numbers, as they are stored."""
        if (self.binary or self.clips) and not self.of_input:
            x = self.byte(x)
        if self.binary:
            low, high = (torch.full_like(x, bound) for bound in self.bounds)
            x = x.sign() * self.scale if self.of_input else torch.where(x >= -0.5 * self.scale, high, low)
        elif self.clips:
            x = F.hardtanh(x, *self.bounds)
        return self.kept(x)

    def byte(self, x: Tensor) -> Tensor:
        """Rounded to all levels of a byte first, as kernels do: to clip these to fewer gives the same levels."""
        least, most = (0, 255) if self.form.storage == torch.uint8 else (LEAST, MOST)
        arguments = (*self.arguments[:2], least, most, self.form.storage)
        q = torch.ops.quantized_decomposed.quantize_per_tensor(x, *arguments)
        back: Tensor = torch.ops.quantized_decomposed.dequantize_per_tensor(q, *arguments)
        return back

    def kept(self, x: Tensor) -> Tensor:
        """Whole numbers of what was rounded before, so that what moves it about lies between roundings too."""
        q: Tensor = torch.ops.quantized_decomposed.quantize_per_tensor(x, *self.arguments)
        return q

    def back(self, q: Tensor) -> Tensor:
        """Numbers of levels."""
        x: Tensor = torch.ops.quantized_decomposed.dequantize_per_tensor(q, *self.arguments)
        return x


class Weights(nn.Module):
    """Weights as int8 with a scale for each row, and biases, which are whole numbers at the scale of the sums.

    Args:
        weight: whole numbers, `(D', ...)`.
        bias: whole numbers, `(D',)`.
        scale: of the weights, `(D',)`.
        source_scale: of what they multiply.
        whole_bias: biases are int32 in the graph, else floating-point.
    """

    def __init__(self, weight: Tensor, bias: Tensor, scale: Tensor, source_scale: float, *, whole_bias: bool) -> None:
        super().__init__()
        bias_scale = scale.double() * source_scale
        self.whole_bias = whole_bias
        self.register_buffer("weight", weight.to(torch.int8))
        self.register_buffer("scale", scale.float().contiguous())
        self.register_buffer("zero", torch.zeros(len(weight), dtype=torch.int64))
        self.register_buffer("bias", bias.clamp(*INT32).to(torch.int32) if whole_bias else (bias * bias_scale).float())
        self.register_buffer("bias_scale", bias_scale.float())

    def forward(self) -> tuple[Tensor, Tensor]:
        """Weights and biases in floating point."""
        back = torch.ops.quantized_decomposed.dequantize_per_channel
        weight = back(self.weight, self.scale, self.zero, 0, -MOST, MOST, torch.int8)
        if not self.whole_bias:
            return weight, self.bias  # type: ignore[return-value]
        return weight, back(self.bias, self.bias_scale, self.zero, 0, *INT32, torch.int32)


class Rounded(OverTime, nn.Module):
    """A step between roundings.

    Args:
        step: of the network.
        source: roundings of what it reads.

    Attributes:
        output: rounding of its result, which is not done here.
    """

    def __init__(self, step: Step, source: list[Rounding]) -> None:
        super().__init__()
        assert step.output is not None
        self.source = source
        self.output = Rounding(step.output, form=source[0].form, relu=step.relu)

    def place_as(self, layer: OverTime) -> None:
        """Lie in time as a layer does."""
        self.place(layer.context, layer.thinning, layer.causal)
        self.ends = layer.ends

    def surrounded(self, x: Tensor) -> Tensor:
        """What results are made of: with zeros beyond the ends, or with what was heard before."""
        if self.past is None:
            return self.again(F.pad(x, self.ends)) if any(self.ends) else x
        part = self.go_on(x, self.past)
        if part is None:
            raise ValueError(f"parts of a stream must have as many frames as {type(self).__name__} strides over")
        return self.again(part) if self.context else part

    def mean(self, x: Tensor, n_rows: int, n_frames: int) -> Tensor:
        """Means of so many rows and frames, all of which they divide, `(B, D, F, T) -> (B, D, F / n, T / n)`."""
        if self.source[0].form.pools and isinstance(n_frames, int):
            return F.avg_pool2d(x, (n_rows, n_frames))
        n, d, rows, frames = x.shape
        return x.reshape(n, d, rows // n_rows, n_rows, frames // n_frames, n_frames).mean(dim=(3, 5))

    def again(self, x: Tensor) -> Tensor:
        """What was rounded before."""
        return self.source[0].back(self.source[0].kept(x))


class Convolution(Rounded):
    """A convolution, or a linear layer over frames."""

    def __init__(self, step: Product, source: list[Rounding]) -> None:
        super().__init__(step, source)
        weight, bias, scale = step.integers()
        layer, whole_bias = step.parts[0], source[0].form.whole_bias
        self.weights = Weights(weight, bias, scale, step.source_step(), whole_bias=whole_bias)
        self.options: tuple[Any, ...] | None = None
        if not isinstance(layer, nn.Linear):
            self.options = (layer.stride, layer.padding, layer.dilation, layer.groups)
            self.place_as(layer)
        else:
            self.place(0, 1, True)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, D, F, T) -> (B, D', F', T')`, or `(B, T, D) -> (B, T, D')`."""
        if self.options is None:
            return F.linear(x, *self.weights())
        y: Tensor = F.conv2d(self.surrounded(x), *self.weights(), *self.options)
        return y


class Scale(Rounded):
    """Normalisation by channel and band of frequencies, its numbers in floating point."""

    def __init__(self, step: Affine, source: list[Rounding]) -> None:
        super().__init__(step, source)
        self.place(0, 1, True)
        self.step = [step]

    def forward(self, x: Tensor) -> Tensor:
        """`(B, D, F, T)`."""
        weight, bias, scale = self.step[0].integers(x.shape[2])
        weight, bias = weight * scale, bias * scale * self.source[0].scale
        return x * weight.float()[:, :, None] + bias.float()[:, :, None]


class Addition(Rounded):
    """A sum."""

    def __init__(self, step: Sum, source: list[Rounding]) -> None:
        super().__init__(step, source)
        self.place(0, 1, True)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """`a + b`."""
        return a + b


class MeanOfRows(Addition):
    """The mean over frequencies."""

    def forward(self, x: Tensor, _: Tensor | None = None) -> Tensor:
        """`(B, D, F, T) -> (B, D, 1, T)`."""
        return self.mean(x, x.shape[2], 1)


class MeanOfFrames(Rounded):
    """The mean of every so many frames."""

    def __init__(self, step: MeanOverSomeTime, source: list[Rounding]) -> None:
        super().__init__(step, source)
        self.place_as(step.parts[0])
        self.size = step.parts[0].size

    def forward(self, x: Tensor) -> Tensor:
        """`(B, D, F, T) -> (B, D, F, T')`."""
        part = self.surrounded(x)
        return self.mean(part[..., : part.shape[3] // self.size * self.size], 1, self.size)


class Function(Rounded):
    """A function of single numbers."""

    def __init__(self, step: Table, source: list[Rounding]) -> None:
        super().__init__(step, source)
        self.place(0, 1, True)
        self.function = step.function

    def forward(self, x: Tensor) -> Tensor:
        """Of any shape."""
        y: Tensor = self.function(x)
        return y


class Mean(Rounded):
    """The mean over all frames, in floating point: the 16 bits that it has in integers are as good."""

    def __init__(self, step: MeanOverTime, source: Rounding) -> None:
        super().__init__(step, [source])
        self.place(0, 1, True)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, H, 1, T) -> (B, H)`."""
        n = x.shape[3]
        mean = self.mean(x, 1, n) if isinstance(n, int) else x.mean(dim=3, keepdim=True)
        return mean.flatten(1)


class Scores(nn.Linear):
    """The last layer: scores are not rounded, and no runtime has a kernel from integers to such; its weights are."""

    def __init__(self, step: Product) -> None:
        weight, bias, scale = step.integers()
        super().__init__(weight.shape[1], len(weight))
        self.weight.copy_(weight * scale[:, None])
        self.bias.copy_(bias * scale.double() * step.source_step())


KINDS: dict[type[Step], type[Rounded]] = {
    Product: Convolution,
    Affine: Scale,
    Sum: Addition,
    MeanOverFrequency: MeanOfRows,
    MeanOverSomeTime: MeanOfFrames,
    Table: Function,
}


def rounded(step: Step, source: list[Rounding]) -> Rounded:
    """A step of a network between roundings."""
    return KINDS[type(step)](step, source)
