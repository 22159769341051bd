"""Integers that stand for numbers: levels of so many bits, scales, and products with ratios of scales.

A tensor is `q * scale` with integers q; `linear` has a free scale, `fp` (fixed point) a power of two. Sums of products
of integers come back to few bits by a ratio of scales, itself an integer and a shift, rounded half up:

    y = clamp((acc * multiplier + 2^(shift - 1)) >> shift, low, high)

Nagel et al. 2021, "A White Paper on Neural Network Quantization" (arXiv:2106.08295); Jacob et al. 2018, section 2.2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

MOST_BITS = 16
MULTIPLIER_BITS = 31  # at most
PRODUCT_BITS = 62  # of a sum times a multiplier
LONGEST_SHIFT = 60
WHOLE_BYTE = 8
N_SCALES = 20  # that are tried between a twentieth of the range and all of it
SCHEME = re.compile(r"(?:(linear|fp)_)?(\d+)_(\d+)_(\d+)")


@dataclass(frozen=True)
class Scheme:
    """Bits of activations, weights and biases, from 1 to 16.

    >>> Scheme.of("linear_6_4_8")
    Scheme(kind='linear', activation=6, weight=4, bias=8)
    """

    kind: str
    activation: int
    weight: int
    bias: int

    @classmethod
    def of(cls, text: str, kind: str = "linear") -> Self:
        """The scheme of `KIND_A_W_B`, or of `A_W_B` of the given kind.

        Raises:
            ValueError: it is none.
        """
        match = SCHEME.fullmatch(str(text))
        bits = [int(n) for n in match.groups()[1:]] if match else []
        if match is None or not all(1 <= n <= MOST_BITS for n in bits):
            raise ValueError(f"{text} is no scheme: linear_8_8_8 or fp_8_8_8, the bits (1 to {MOST_BITS}) of "
                             "activations, weights and biases")  # fmt: skip
        return cls(match[1] or kind, *bits)

    @property
    def power_of_two(self) -> bool:
        """Scales are powers of two."""
        return self.kind == "fp"

    def __str__(self) -> str:
        return f"{self.kind}_{self.activation}_{self.weight}_{self.bias}"


class Levels(NamedTuple):
    """The integers `low ... high`; of the `binary` the two ends alone."""

    low: int
    high: int
    binary: bool = False

    @classmethod
    def of(cls, bits: int, *, signed: bool, kind: str = "linear") -> Self:
        """The levels of so many bits of activations.

        Of `linear` they begin at 0 where nothing is negative; else they are symmetric around 0 below 8 bits, and from
        there on those of a byte or a word, to which processors and runtimes clamp by themselves. Fixed point always has
        a sign bit. One bit with a sign is -1 or 1, without one 0 or 1.

        >>> Levels.of(8, signed=True)[:2], Levels.of(8, signed=False)[:2], Levels.of(4, signed=True)[:2]
        ((-128, 127), (0, 255), (-7, 7))
        """
        if bits == 1:
            return cls(-1, 1, binary=True) if signed else cls(0, 1)
        high = 2 ** (bits - 1) - 1
        if kind == "fp" or (signed and bits >= WHOLE_BYTE):
            return cls(-high - 1, high)
        return cls(-high, high) if signed else cls(0, 2**bits - 1)

    @classmethod
    def of_weights(cls, bits: int, kind: str = "linear") -> Self:
        """The levels of so many bits of weights and biases: of `linear` symmetric around 0."""
        low, high, binary = cls.of(bits, signed=True, kind=kind)
        return cls(low if kind == "fp" else -high, high, binary)

    def nearest(self, x: Tensor, scale: Tensor | float) -> Tensor:
        """The levels next to `x / scale`, ties to even, as floating-point whole numbers; 0, of padding, stays 0."""
        if self.binary:
            return x.sign()
        return (x / scale).round().clamp(self.low, self.high)

    def clamped(self, y: Tensor) -> Tensor:
        """Whole numbers brought to levels."""
        return torch.where(y >= 0, 1, -1) if self.binary else y.clamp(self.low, self.high)


def best_scale(rows: Tensor, levels: Levels, *, power_of_two: bool, search: bool = True) -> Tensor:
    """The scale of each row of values `(R, N)` with the least mean squared error, `(R,)`.

    Without `search` it is the one with which nothing is clamped. Of -1 and 1 it is the mean magnitude.
    """
    tiny = torch.finfo(torch.float32).tiny * 2.0**20
    if levels.binary:
        scale = rows.abs().mean(dim=1).clamp_min(tiny)
        return scale.log2().round().exp2() if power_of_two else scale
    widest = (rows.abs().amax(dim=1) / levels.high).clamp_min(tiny)
    if power_of_two:
        widest = widest.log2().ceil().exp2()
    if not search:
        return widest
    tried = 0.5 ** torch.arange(5.0) if power_of_two else torch.linspace(1.0, 1 / N_SCALES, N_SCALES)
    scales = widest * tried.to(widest)[:, None]  # (K, R)
    errors = torch.stack([
        (levels.nearest(rows, scale[:, None]) * scale[:, None] - rows).square().sum(dim=1) for scale in scales
    ])  # fmt: skip
    return scales.gather(0, errors.argmin(dim=0)[None])[0]


def bits_for(largest: float) -> int:
    """Bits of a multiplier whose product with sums up to `largest` fits 63, at most 31.

    >>> bits_for(2.0**24), bits_for(2.0**40)
    (31, 22)
    """
    return min(MULTIPLIER_BITS, PRODUCT_BITS - int(np.frexp(max(largest, 1.0))[1]) + 1)


def ratio(of: ArrayLike, bits: int = MULTIPLIER_BITS) -> tuple[Any, Any]:
    """Multipliers of so many bits and shifts, `of ~ multiplier / 2^shift`, int64; a power of two is exact.

    >>> [n.tolist() for n in ratio(np.array([0.25, 3.0, 0.1]), 16)]
    [[1, 3, 52429], [2, 0, 19]]
    """
    mantissa, exponent = np.frexp(np.asarray(of, dtype=np.float64))
    multiplier = np.rint(mantissa * 2**bits).astype(np.int64)
    shift = bits - exponent.astype(np.int64)
    multiplier = np.where(shift < 0, multiplier << np.maximum(-shift, 0), multiplier)
    shift = np.maximum(shift, 0)
    even = multiplier & -multiplier  # the greatest power of two that divides it
    spare = np.minimum(np.where(multiplier > 0, np.log2(np.maximum(even, 1)).astype(np.int64), 0), shift)
    multiplier, shift = multiplier >> spare, shift - spare
    return np.where(shift > LONGEST_SHIFT, 0, multiplier), np.where(shift > LONGEST_SHIFT, 0, shift)


def common_ratio(of: ArrayLike, bits: int = MULTIPLIER_BITS) -> tuple[NDArray[np.int64], int]:
    """Multipliers with one shift for several ratios, the greatest of them with so many bits.

    >>> multipliers, shift = common_ratio(np.array([0.5, 0.25]))
    >>> multipliers.tolist(), shift
    ([2, 1], 2)
    """
    ratios = np.asarray(of, dtype=np.float64)
    shift = max(0, bits - int(np.frexp(ratios.max())[1]))
    multipliers = np.rint(np.ldexp(ratios, shift)).astype(np.int64)
    while shift and not (multipliers & 1).any() and multipliers.any():
        multipliers, shift = multipliers >> 1, shift - 1
    return multipliers, shift


def scaled(acc: Tensor, multiplier: Tensor | int, shift: Tensor | int) -> Tensor:
    """`acc * multiplier / 2^shift`, int64, rounded half up."""
    half = (1 << shift) >> 1 if isinstance(shift, int) else torch.bitwise_left_shift(torch.ones_like(shift), shift) >> 1
    return (acc * multiplier + half) >> shift
