"""The steps of a quantised network: a layer with what follows it up to the next rounding, in three guises.

While scales are watched, a step is what the layers were; while it is trained with rounding, weights, biases and results
are rounded and gradients pass; in evaluation everything is integers, exactly those of a device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.networks.padding import MaskedBatchNorm, masked_mean
from phonaut.networks.quantized.number_format import (
    Levels,
    Scheme,
    best_scale,
    bits_for,
    common_ratio,
    ratio,
    scaled,
)
from phonaut.networks.quantized.quantizer import Phase, Quantizer
from phonaut.networks.reparameterized import combined, of_norm
from phonaut.networks.time_conv import TemporalConv, TimeConv, TimeMean

EXACT_IN_SINGLE = 2.0**24  # whole numbers up to here are exact in float32, whatever the order of a sum
EXACT_IN_TF32 = 2**10  # which a GPU may take for the factors of float32
SEARCHED_BITS = 8  # weights of fewer are clamped where that lowers the error


class Step(nn.Module):
    """One step.

    Args:
        sources: the quantisers of its inputs.
        output: that of its result; None: it gives scores, sums of products that are not brought back to few bits.

    Attributes:
        relu: negative results become 0.
    """

    relu = False

    def __init__(self, sources: list[Quantizer], output: Quantizer | None) -> None:
        super().__init__()
        self.sources, self.output = tuple(sources), output

    @property
    def phase(self) -> Phase:
        """Of the network."""
        return self.sources[0].phase

    def forward(self, *inputs: Any) -> Tensor:
        """The result for inputs `(B, D, F, T)`, and a mask where the step takes one."""
        if self.phase.quantizes and not self.training:
            with torch.autocast(inputs[0].device.type, enabled=False):  # whose 8 bits hold no sums
                return self.exactly(*inputs)
        result = self.plainly(*inputs)
        result = F.relu(result) if self.relu else result
        return result if self.output is None else self.output(result)

    def plainly(self, *inputs: Any) -> Tensor:
        """Floating-point result, before the rectifier."""
        raise NotImplementedError

    def exactly(self, *inputs: Any) -> Tensor:
        """The result of integers."""
        raise NotImplementedError

    def brought_back(self, acc: Tensor, multiplier: Tensor | int, shift: Tensor | int) -> Tensor:
        """Sums, int64, as levels of the output, times its scale."""
        assert self.output is not None
        y = self.output.levels.clamped(scaled(acc, multiplier, shift))
        y = y.clamp_min(0) if self.relu else y
        return y.to(torch.float32) * self.output.step()

    def source_step(self, i: int = 0) -> float:
        """The scale of an input."""
        return float(self.sources[i].step())

    def result_step(self) -> float:
        """The scale of the output."""
        assert self.output is not None
        return float(self.output.step())


def whole_bias(sums: Tensor, levels: Levels) -> Tensor:
    """Biases as sums of products, `(D',)`, in so few bits, times the least power of two that holds them all."""
    size = sums.abs().mean() if levels.binary else sums.abs().amax() / levels.high
    power = size.clamp_min(1.0).log2().round() if levels.binary else size.clamp_min(1.0).log2().ceil()
    return levels.nearest(sums, power.exp2()) * power.exp2()


class Product(Step):
    """A convolution or linear layer, its normalisation and a rectifier.

    Args:
        layer: the layer.
        norm: its batch normalisation, or None.
        owner: the layer whose branches are added in training, or None.
        scheme: bits of weights and biases.
        relu: a rectifier follows.
        per_channel: weights have a scale for each output channel.
        sources: as of `Step`.
        output: likewise.
    """

    def __init__(
        self, layer: TimeConv | nn.Linear, norm: MaskedBatchNorm | None, owner: TemporalConv | None, scheme: Scheme,
        *, relu: bool, per_channel: bool, sources: list[Quantizer], output: Quantizer | None,
    ) -> None:  # fmt: skip
        super().__init__(sources, output)
        self.parts = (layer, norm, owner)  # the network's own: not registered twice
        self.scheme, self.relu, self.per_channel = scheme, relu, per_channel
        self.weight_levels = Levels.of_weights(scheme.weight, scheme.kind)
        self.bias_levels = Levels.of_weights(scheme.bias, scheme.kind)

    def effective(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias with normalisation and branches folded in; gradients reach all of them."""
        layer, norm, owner = self.parts
        if norm is None:
            return self.pruned(layer.weight), layer.bias
        if owner is not None:
            weight, shift = combined(owner)
        else:
            scale, shift = of_norm(norm)
            weight = layer.weight.double() * scale[:, None, None, None]
        return self.pruned(weight.to(layer.weight.dtype)), shift.to(layer.weight.dtype)

    def pruned(self, weight: Tensor) -> Tensor:
        """The weight with its smallest numbers 0; gradients pass as if they were not."""
        n = int(self.phase.sparsity * weight.numel())
        if not n:
            return weight
        sizes = weight.detach().abs()
        kept = weight.detach() * (sizes > sizes.flatten().kthvalue(n).values)
        return weight + (kept - weight.detach())

    @property
    def n_bits(self) -> int:
        """Bits of weights and biases."""
        layer = self.parts[0]
        return layer.weight.numel() * self.scheme.weight + len(layer.weight) * self.scheme.bias

    def weight_step(self, weight: Tensor) -> Tensor:
        """The scale of weights, one for each output channel or all alike, `(D',)`."""
        rows = weight.detach().flatten(1) if self.per_channel else weight.detach().reshape(1, -1)
        search = self.scheme.weight < SEARCHED_BITS
        return best_scale(rows, self.weight_levels, power_of_two=self.scheme.power_of_two, search=search).expand(
            len(weight)
        )

    def integers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights, biases at the scale of the sums, and the weights' scales `(D',)`; whole numbers in double."""
        weight, bias = (None if one is None else one.detach() for one in self.effective())
        assert weight is not None
        step = self.weight_step(weight)
        q = self.weight_levels.nearest(weight, step.view(-1, *[1] * (weight.ndim - 1))).double()
        if bias is None:
            return q, torch.zeros(len(weight), dtype=torch.float64, device=q.device), step
        return q, whole_bias(bias.double() / (step.double() * self.source_step()), self.bias_levels), step

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's product with other weights."""
        layer = self.parts[0]
        if isinstance(layer, nn.Linear):
            return F.linear(x, weight, bias)
        y: Tensor = layer.product(x, weight)
        return y if bias is None else y + bias[:, None, None]

    def plainly(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """As the layers do, with rounded weights once that has begun.

        Normalisation that is not folded goes on learning: weights are rounded as they will be with its running
        statistics, which are taken out again before it.
        """
        layer, norm, owner = self.parts
        has_branches = owner is not None and len(owner.branches) > 0
        learns = norm is not None and norm.training and not self.phase.folded
        if not self.phase.quantizes and not self.phase.folded and (not self.phase.sparsity or has_branches):
            y: Tensor = layer(x) if owner is None else owner(x, mask)
            return y if norm is None or owner is not None else norm(y, mask)
        weight, bias = self.effective()
        shape = (-1, *[1] * (weight.ndim - 1))
        if self.phase.quantizes:
            step = self.weight_step(weight).view(shape)
            rounded = self.weight_levels.nearest(weight.detach(), step) * step
            if self.phase.noise:
                rounded = torch.where(torch.rand_like(rounded) < self.phase.noise, weight.detach(), rounded)
            weight = weight + (rounded - weight.detach())
        if learns and norm is not None:  # which takes out what was folded in
            scale = of_norm(norm)[0].detach().to(weight.dtype).view(shape)
            normalised: Tensor = norm(self.product(x, weight / scale, None), mask)
            return normalised
        if bias is not None and self.phase.quantizes:
            unit = step.flatten().double() * self.source_step()
            rounded_bias = (whole_bias(bias.detach().double() / unit, self.bias_levels) * unit).to(bias.dtype)
            bias = bias + (rounded_bias - bias.detach())
        return self.product(x, weight, bias)

    def exactly(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Integer products, sums in 64 bits."""
        weight, bias, step = self.integers()
        highest = max(abs(n) for n in self.sources[0].levels[:2])
        single = float(weight.abs().flatten(1).sum(dim=1).amax()) * highest < EXACT_IN_SINGLE
        single &= not x.is_cuda or max(highest, self.weight_levels.high) < EXACT_IN_TF32
        kind = torch.float32 if single else torch.float64
        acc = self.product(self.sources[0].integers(x).to(kind), weight.to(kind), None).to(torch.int64)
        acc = acc + (bias if isinstance(self.parts[0], nn.Linear) else bias[:, None, None]).to(torch.int64)
        if self.output is None:
            return acc.to(torch.float32) * (step[0] * self.sources[0].step())
        multiplier, shift = (torch.from_numpy(one).to(acc.device) for one in self.ratios(weight, bias, step))
        if not isinstance(self.parts[0], nn.Linear):
            multiplier, shift = multiplier[:, None, None], shift[:, None, None]
        return self.brought_back(acc, multiplier, shift)

    def ratios(self, weight: Tensor, bias: Tensor, step: Tensor) -> tuple[Any, Any]:
        """From sums to the output, for each channel."""
        highest = max(abs(n) for n in self.sources[0].levels[:2])
        largest = float((weight.abs().flatten(1).sum(dim=1) * highest + bias.abs()).amax())
        return ratio(step.double().cpu().numpy() * self.source_step() / self.result_step(), bits_for(largest))


class Affine(Step):
    """Normalisation that no layer can take in, `y = a x + b` for each channel and band of frequencies.

    Its few numbers have 8 bits at least.
    """

    def __init__(self, norm: Any, scheme: Scheme, *, sources: list[Quantizer], output: Quantizer) -> None:
        super().__init__(sources, output)
        self.parts, self.scheme = (norm,), scheme
        self.weight_levels = Levels.of_weights(max(8, scheme.weight), scheme.kind)

    def plainly(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """As the layer does; its numbers are rounded in evaluation alone, by a scale for each."""
        result: Tensor = self.parts[0](x, mask)
        return result

    def integers(self, n_rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Weights and biases of each channel and row, `(D, F)`, and the scale of the weights `(D, F)`, in double."""
        norm = self.parts[0]
        scale, shift = (
            one.view(-1, norm.n_bands).repeat_interleave(n_rows // norm.n_bands, dim=1).detach()
            for one in of_norm(norm)
        )
        step = scale.abs().clamp_min(2.0**-60) / self.weight_levels.high
        step = step.log2().ceil().exp2() if self.scheme.power_of_two else step
        return self.weight_levels.nearest(scale, step), (shift / (step * self.source_step())).round(), step

    def exactly(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """One integer product for each number."""
        weight, bias, step = (one[:, :, None] for one in self.integers(x.shape[2]))
        acc = (self.sources[0].integers(x).double() * weight + bias).to(torch.int64)
        multiplier, shift = (torch.from_numpy(one).to(acc.device) for one in self.ratios(step))
        return self.brought_back(acc, multiplier, shift)

    def ratios(self, step: Tensor) -> tuple[Any, Any]:
        """From products to the output."""
        largest = 2.0 ** (2 + self.weight_levels.high.bit_length() + self.sources[0].levels.high.bit_length())
        return ratio(step.cpu().numpy() * self.source_step() / self.result_step(), bits_for(largest))


class Sum(Step):
    """`a + b`, and a rectifier; frequencies of which one has a single row are repeated."""

    def __init__(self, *, relu: bool, sources: list[Quantizer], output: Quantizer) -> None:
        super().__init__(sources, output)
        self.relu = relu

    def plainly(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum."""
        return a + b

    def exactly(self, a: Tensor, b: Tensor) -> Tensor:
        """Both brought to one scale."""
        (of_a, of_b), shift = self.ratios()
        both = [source.integers(x).to(torch.int64) for source, x in zip(self.sources, (a, b), strict=True)]
        return self.brought_back(both[0] * int(of_a) + both[1] * int(of_b), 1, shift)

    def ratios(self) -> tuple[Any, int]:
        """From each input to the output."""
        return common_ratio([self.source_step(i) / self.result_step() for i in range(2)])


class MeanOverFrequency(Step):
    """The mean of all rows, `(B, D, F, T) -> (B, D, 1, T)`."""

    def plainly(self, x: Tensor) -> Tensor:
        """The mean."""
        return x.mean(dim=2, keepdim=True)

    def exactly(self, x: Tensor) -> Tensor:
        """The sum, brought back with the number of rows in the ratio."""
        acc = self.sources[0].integers(x).to(torch.int64).sum(dim=2, keepdim=True)
        return self.brought_back(acc, *self.ratios(x.shape[2]))

    def ratios(self, n: int) -> tuple[int, int]:
        """From a sum of `n` to the output."""
        multiplier, shift = ratio(self.source_step() / (n * self.result_step()))
        return int(multiplier), int(shift)


class MeanOverSomeTime(Step):
    """The mean of every so many frames."""

    def __init__(self, layer: TimeMean, *, sources: list[Quantizer], output: Quantizer) -> None:
        super().__init__(sources, output)
        self.parts = (layer,)

    def plainly(self, x: Tensor) -> Tensor:
        """As the layer does."""
        result: Tensor = self.parts[0](x)
        return result

    def exactly(self, x: Tensor) -> Tensor:
        """The sum, brought back with the number of frames in the ratio."""
        acc = self.parts[0].sums(self.sources[0].integers(x)).to(torch.int64)
        return self.brought_back(acc, *self.ratios())

    def ratios(self) -> tuple[int, int]:
        """From a sum to the output."""
        multiplier, shift = ratio(self.source_step() / (self.parts[0].size * self.result_step()))
        return int(multiplier), int(shift)


class Table(Step):
    """A function of one number, looked up."""

    def __init__(self, function: Callable[[Tensor], Tensor], *, sources: list[Quantizer], output: Quantizer) -> None:
        super().__init__(sources, output)
        self.function = function

    def plainly(self, x: Tensor) -> Tensor:
        """The function."""
        return self.function(x)

    def entries(self) -> Tensor:
        """The result of each level of the input, from the least, int64."""
        low, high = self.sources[0].levels[:2]
        assert self.output is not None
        inputs = torch.arange(low, high + 1, dtype=torch.float64) * self.source_step()
        return self.output.levels.nearest(self.function(inputs), self.result_step()).to(torch.int64)

    def exactly(self, x: Tensor) -> Tensor:
        """Looked up."""
        assert self.output is not None
        entries = self.entries().to(x.device)
        index = self.sources[0].integers(x).to(torch.int64) - self.sources[0].levels.low
        return entries[index].to(torch.float32) * self.output.step()


class MeanOverTime(Step):
    """The mean over the valid frames of a segment, `(B, T, D) -> (B, D)`.

    Its scale is the input's times a power of two, so that the mean of n frames is `(sum << k) / n`, rounded half up.
    """

    def plainly(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The mean."""
        return masked_mean(x, mask)

    def exactly(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """An integer division."""
        assert self.output is not None
        q = self.sources[0].integers(x).to(torch.int64)
        n = torch.full((len(x), 1), x.shape[1], device=x.device)
        if mask is not None:
            q, n = q * mask[:, :, None], mask.sum(dim=1, keepdim=True)
        over, under = self.powers()
        divided = torch.div((2 * q.sum(dim=1) << over) + (n << under), 2 * n << under, rounding_mode="floor")
        return self.output.levels.clamped(divided).to(torch.float32) * self.output.step()

    def powers(self) -> tuple[int, int]:
        """Powers of two above and below: `sum 2^over / (n 2^under)`."""
        power = round(float(torch.log2(self.sources[0].step() / self.output.step())))  # type: ignore[union-attr]
        return max(power, 0), max(-power, 0)

    def of_means(self, mean: Tensor) -> Tensor:
        """Means of at most a few thousand frames, as floating-point numbers, brought to levels as `exactly` does."""
        assert self.output is not None
        if self.training or not self.phase.quantizes:
            result: Tensor = self.output(mean)
            return result
        y = (mean.double() / self.output.step().double() + 0.5 + 1e-4).floor()
        return self.output.levels.clamped(y).to(torch.float32) * self.output.step()
