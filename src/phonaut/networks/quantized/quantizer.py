"""What makes integers of activations: it watches them in training until their scale is known, then rounds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from phonaut.networks.quantized.number_format import Levels, best_scale

N_WATCHED = 4096  # values of a batch
MOMENTUM = 0.05  # of the mean over batches


@dataclass
class Phase:
    """What all parts of a network are about to do.

    Attributes:
        watches: scales are taken from what is heard, in training.
        folded: batch normalisations keep their statistics, as parts of the layers before them.
        quantizes: activations, weights and biases are rounded; in evaluation with integers throughout.
        noise: part of the weights that stay as they are in a step of training.
        sparsity: part of the weights of each layer that are 0.
        calibrates: ranges are watched in evaluation too.
    """

    watches: bool = True
    folded: bool = False
    quantizes: bool = False
    noise: float = 0.0
    sparsity: float = 0.0
    calibrates: bool = False


class Quantizer(nn.Module):
    """Rounds activations to levels; in training gradients pass as if it did not, except where values are clamped.

    Args:
        bits: of the activations.
        signed: they may be negative.
        kind: `linear` or `fp`, whose scale is a power of two.
        phase: of the network.
        unit: whose scale times a power of two is this one's, or None.

    Attributes:
        scale: of the levels, a buffer; 0: nothing was heard yet.
    """

    scale: Tensor

    def __init__(self, bits: int, *, signed: bool, kind: str, phase: Phase, unit: Quantizer | None = None) -> None:
        super().__init__()
        self.levels = Levels.of(bits, signed=signed, kind=kind)
        self.power_of_two, self.phase, self.unit = kind == "fp", phase, [unit] if unit else []
        self.register_buffer("scale", torch.zeros(()))

    @torch.no_grad()
    def watch(self, x: Tensor) -> None:
        """Take the scale with the least error into the mean over batches."""
        values = x.detach().flatten()
        if not values.numel():
            return
        values = values[:: max(1, values.numel() // N_WATCHED)].float()
        best = best_scale(values[None], self.levels, power_of_two=self.power_of_two)[0]
        self.scale.copy_(torch.lerp(self.scale, best, MOMENTUM) if self.scale > 0 else best)

    def step(self) -> Tensor:
        """The scale that is used, float32 `()`."""
        if self.unit:
            unit = self.unit[0].step()
            return unit * (self.scale / unit).log2().ceil().exp2()
        return self.scale.log2().round().exp2() if self.power_of_two else self.scale

    def integers(self, x: Tensor) -> Tensor:
        """The levels next to `x`, as floating-point whole numbers."""
        return self.levels.nearest(x, self.step())

    def forward(self, x: Tensor) -> Tensor:
        """`x`, watched or rounded."""
        if (self.training and self.phase.watches) or self.phase.calibrates:
            self.watch(x)
        return self.rounded(x) if self.phase.quantizes else x

    def rounded(self, x: Tensor) -> Tensor:
        """`x` at levels."""
        step = self.step()
        if not self.training:
            return self.integers(x) * step
        low, high = self.levels[:2]
        inside = x.clamp((low - 0.5) * step, (high + 0.5) * step)  # whatever rounds to a level
        return inside + (self.levels.nearest(inside.detach(), step) * step - inside.detach())
