"""The front end in fixed point: samples of 16 bits in, levels of a program's input out, integers throughout.

    window       Q30; after it samples have `sample_bits` binary places
    fft          N real as N / 2 complex numbers of 32 bits, halved at every stage, so that nothing overflows: X / N
    power        re^2 + im^2, 64 bits
    bands        sums of power times weights in Q15
    row          log2, a table of 64 parts with lines between: `row_bits` binary places; then the floors
    cepstra      rows times the DCT, or the rows themselves
    deltas       10 and 100 times the slopes, which are whole
    levels       (multiplier * c + offset) >> shift for each feature, clamped; of 8 bits, through a table

`phonaut.deploy.c` writes the same in C. Shifts to the right round down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from phonaut.arrays import Array
from phonaut.deploy.fixed_point import (
    LOG_BITS,
    WEIGHT_BITS,
    Whole,
    band_sums,
    log2_of,
    power_of,
    shifted,
    slopes,
    to_whole,
)
from phonaut.deploy.integer_program import Program
from phonaut.features.framing import Framing
from phonaut.features.functional import dct_matrix, window_function
from phonaut.features.normalizers import (
    AdaptiveFixedPoint,
    BatchNormalizer,
    FixedPoint,
    GainBatchNormalizer,
    GainNormalizer,
)
from phonaut.features.options import MelSpectrogramOptions, MFCCOptions, SpectrogramOptions

WINDOW_BITS = 30
SAMPLE_BITS = 15  # binary places of a windowed sample
PREEMPHASIS_BITS = 15
MULTIPLIER_BITS = 23
LEAST_LOG = -62.0  # of 64-bit sums, 62 at most


@dataclass(frozen=True)
class FixedFrontEnd:
    """A front end and a normaliser in integers.

    Attributes:
        sample_rate: Hz.
        layout: of the windows.
        window: `(win_length,)`, Q30.
        removes_mean: of each window.
        preemphasis: Q15.
        sample_bits: binary places of a windowed sample: 15, or 13 behind a mean or pre-emphasis.
        bands: weights `(n_fft / 2 + 1, B)`, Q15.
        log_offset: added to the sums of power.
        row_bits: binary places of logarithms.
        floor: least of them.
        top: below a recording's greatest the least that is kept; None: no such floor.
        dct: `(B, C)`, or None.
        dct_shift: after it.
        deltas: orders of slopes.
        takes_gain: the mean of the first cepstrum over the recording is taken from it.
        multiplier: `(D,)`.
        offset: `(D,)`, with the half that rounds.
        shift: `(D,)`.
        table: levels of -128 ... 127, or None.
        low: least level.
        high: greatest.
        binary: the levels are these two.
    """

    sample_rate: int
    layout: Framing
    window: Whole
    removes_mean: bool
    preemphasis: int
    sample_bits: int
    bands: Whole
    log_offset: int
    row_bits: int
    floor: int
    top: int | None
    dct: Whole | None
    dct_shift: int
    deltas: int
    takes_gain: bool
    multiplier: Whole
    offset: Whole
    shift: Whole
    table: Whole | None
    low: int
    high: int
    binary: bool

    @property
    def n_bands(self) -> int:
        """Logarithms of a row."""
        return int(self.bands.shape[1])

    @property
    def n_cepstra(self) -> int:
        """Features before slopes."""
        return self.n_bands if self.dct is None else int(self.dct.shape[1])

    @property
    def n_features(self) -> int:
        """Levels of a frame."""
        return len(self.multiplier)

    @property
    def causal(self) -> bool:
        """Frames end where their time does."""
        return self.layout.mode == "causal"

    @property
    def needs_whole_recording(self) -> bool:
        """A level depends on the whole recording: on its greatest value, or its mean."""
        return self.top is not None or self.takes_gain

    def __call__(self, samples: NDArray[np.int16]) -> Whole:
        """Levels `(T, D)` of a recording `(S,)`."""
        return self.levels(self.rows(samples))

    def rows(self, samples: NDArray[np.int16]) -> Whole:
        """Logarithms `(T, B)` of a recording's windows, laid out as the front end lays them."""
        layout, n = self.layout, len(samples)
        index = layout.first_sample + layout.hop_length * np.arange(layout.n_frames(n))[:, None]
        index = index + np.arange(layout.win_length)
        if layout.mode == "center" and layout.pad_mode != "constant":
            index = layout.source_of(torch.from_numpy(index), torch.tensor(n)).numpy()
        inside = (index >= 0) & (index < n)
        return self.analyzed(np.where(inside, samples.astype(np.int64)[index.clip(0, n - 1)], 0))

    def stream_rows(self, samples: NDArray[np.int16]) -> Whole:
        """Logarithms `(T, B)` of the windows that a stream fills; of a causal one, with zeros before the first."""
        win, hop = self.layout.win_length, self.layout.hop_length
        before = win - hop if self.causal else 0
        padded = np.concatenate([np.zeros(before, np.int64), samples.astype(np.int64)])
        if len(padded) < win:
            return np.zeros((0, self.n_bands), np.int64)
        return self.analyzed(np.lib.stride_tricks.sliding_window_view(padded, win)[::hop])

    def analyzed(self, windows: Whole) -> Whole:
        """Logarithms `(T, B)` of samples `(T, win_length)`, above the floor that all recordings have."""
        sums = band_sums(power_of(self.weighted(windows), self.layout.n_fft), self.bands) + self.log_offset
        log = (log2_of(sums) + (1 << LOG_BITS - self.row_bits >> 1)) >> (LOG_BITS - self.row_bits)
        return np.where(sums > 0, np.maximum(log, self.floor), self.floor)

    def weighted(self, x: Whole) -> Whole:
        """Windowed samples `(T, win_length)` with `sample_bits` binary places."""
        if not (self.removes_mean or self.preemphasis):
            return shifted(x * self.window, WINDOW_BITS - self.sample_bits)
        places, win = self.sample_bits, x.shape[1]
        u = x << places
        if self.removes_mean:
            u = u - ((2 * (x.sum(axis=1) << places) + win) // (2 * win))[:, None]
        before = np.concatenate([u[:, :1], u[:, :-1]], axis=1)
        u = u - shifted(before * self.preemphasis, PREEMPHASIS_BITS)
        return shifted(u * self.window, WINDOW_BITS)

    def levels(self, rows: Whole) -> Whole:
        """Levels `(T, D)` of the logarithms `(T, B)` of one recording, or of a window of a stream."""
        if self.top is not None:
            rows = np.maximum(rows, rows.max() - self.top)
        c = rows if self.dct is None else shifted(rows @ self.dct, self.dct_shift)
        orders = [c]
        for _ in range(self.deltas):
            orders.append(slopes(orders[-1], causal=self.causal))
        if self.takes_gain:
            orders[0] = c.copy()
            orders[0][:, 0] -= (2 * c[:, 0].sum() + len(c)) // (2 * len(c))
        y = np.concatenate(orders, axis=1) * self.multiplier + self.offset
        if self.table is not None:
            return np.asarray(self.table[(y >> self.shift).clip(-128, 127) + 128])
        if self.binary:
            return np.where(y >= 0, self.high, self.low)
        levels: Whole = (y >> self.shift).clip(self.low, self.high)
        return levels


# --- from a trained model


def why_no_fixed_front_end(front_end: Any, normalizer: nn.Module | None) -> str | None:
    """Why a front end and normaliser cannot be written in fixed point, in one sentence; None where they can."""
    o = getattr(front_end, "options", None)
    if not isinstance(o, SpectrogramOptions):
        return f"{type(front_end).__name__} has no fixed-point form: use features=mfcc, melspec or spectrogram"
    kinds = (GainNormalizer, FixedPoint, BatchNormalizer, AdaptiveFixedPoint)
    if normalizer is not None and not isinstance(normalizer, kinds):
        return (f"{type(normalizer).__name__} has no fixed-point form: use normalizer=null, batch, gain, gain_batch, "
                "fixedpoint or adaptivefixedpoint")  # fmt: skip
    rules = [
        (
            o.n_fft & (o.n_fft - 1) == 0 and 8 <= o.n_fft <= 8192,
            f"features.n_fft={o.n_fft}",
            "a power of two up to 8192",
        ),
        (o.power == 2, f"features.power={o.power}", "2: a power spectrum needs no root"),
        (o.log is not None, "features.log=null", "db or natural"),
        (not (o.log_offset and o.top_db), f"features.log_offset={o.log_offset:g}", "0 where top_db is not null"),
        (o.deltas == 0 or o.delta_kind == "htk", f"features.delta_kind={o.delta_kind}", "htk"),
    ]
    wrong = [f"{name}: in fixed point it must be {rule}" for holds, name, rule in rules if not holds]
    return "; ".join(wrong) or None


def fixed_front_end(front_end: Any, normalizer: nn.Module | None, program: Program) -> FixedFrontEnd:
    """The fixed point of a trained model's front end and normaliser.

    Args:
        front_end: `MFCC`, `MelSpectrogram` or `Spectrogram`.
        normalizer: `null`, `batch`, `gain`, `gain_batch`, `fixedpoint` or `adaptivefixedpoint`, with its statistics.
        program: whose input levels are wanted.

    Raises:
        ValueError: there is none, and why.
    """
    if problem := why_no_fixed_front_end(front_end, normalizer):
        raise ValueError(problem)
    o: SpectrogramOptions = front_end.options
    plain = not (o.remove_dc_offset or o.preemphasis)
    bits = SAMPLE_BITS if plain else SAMPLE_BITS - 2  # a mean and pre-emphasis may each double a sample
    filters = o.filters() if isinstance(o, MelSpectrogramOptions) else np.eye(o.n_fft // 2 + 1)
    unit = (2.0 ** (15 + bits) / o.n_fft / o.scale) ** 2 / filters.max()  # whole numbers to one of floating point
    row_bits = 9 if program.high - program.low < 256 else LOG_BITS
    in_log = 10 * math.log10(2) if o.log == "db" else math.log(2)
    floor = max(math.log2((o.amin + o.log_offset) * unit), LEAST_LOG)
    matrix = (
        dct_matrix(o.n_mfcc, o.n_mels, cepstral_lifter=o.cepstral_lifter).numpy()
        if isinstance(o, MFCCOptions)
        else None
    )
    whole_dct, dct_shift, cepstral_bits = whole_matrix(matrix, row_bits)
    n = len(filters[0]) if whole_dct is None else whole_dct.shape[1]
    gain = isinstance(normalizer, (GainNormalizer, GainBatchNormalizer))
    shared = -in_log * math.log2(unit) * (np.ones(n) if matrix is None else matrix.sum(axis=0))
    if gain:
        shared[0] = 0
    slope, constant = affine(normalizer, n * (1 + o.deltas))
    constant = constant + slope * np.concatenate([shared, np.zeros(n * o.deltas)])
    slope = slope * (in_log * 2.0**-cepstral_bits) * np.repeat(10.0 ** -np.arange(1 + o.deltas), n)
    rounds = isinstance(normalizer, (FixedPoint, AdaptiveFixedPoint))
    if not rounds:
        slope, constant = slope / program.scale, constant / program.scale
    shift = (MULTIPLIER_BITS - np.frexp(slope)[1]).clip(1, 62 - MULTIPLIER_BITS)
    half = np.zeros(len(slope)) if program.binary and not rounds else np.ldexp(0.5, shift)
    return FixedFrontEnd(
        sample_rate=round(o.sample_rate), layout=front_end.layout,
        window=to_whole(window_function(o.window, o.win_length, periodic=o.periodic).numpy() * 2**WINDOW_BITS),
        removes_mean=o.remove_dc_offset, preemphasis=round(o.preemphasis * 2**PREEMPHASIS_BITS), sample_bits=bits,
        bands=to_whole(filters / filters.max() * 2**WEIGHT_BITS), log_offset=round(o.log_offset * unit),
        row_bits=row_bits, floor=round(floor * 2**row_bits),
        top=None if o.top_db is None else round(o.top_db / (10 * math.log10(2)) * 2**row_bits),
        dct=whole_dct, dct_shift=dct_shift, deltas=o.deltas, takes_gain=gain,
        multiplier=to_whole(np.ldexp(slope, shift)), offset=to_whole(np.ldexp(constant, shift) + half),
        shift=shift.astype(np.int64),
        table=of_eight_bits(program) if rounds else None, low=program.low, high=program.high, binary=program.binary,
    )  # fmt: skip


def whole_matrix(matrix: Array | None, row_bits: int) -> tuple[Whole | None, int, int]:
    """A DCT in 16 bits, the shift after it and the binary places of its results, whose second slopes fit 32 bits."""
    if matrix is None:
        return None, 0, row_bits
    bits = 15 - math.ceil(math.log2(np.abs(matrix).max()))
    greatest = 64 * np.abs(matrix).sum(axis=0).max()
    places = min(30 - math.ceil(math.log2(36 * greatest)), row_bits + bits)
    return to_whole(matrix * 2**bits).clip(-32768, 32767), row_bits + bits - places, places


def affine(normalizer: nn.Module | None, n_features: int) -> tuple[Array, Array]:
    """What a normaliser does to each feature, `a x + b`: its levels of 8 bits, where it rounds."""
    norm = getattr(normalizer, "norm", None)
    if norm is None:
        eighth = 0.5 if isinstance(normalizer, FixedPoint) else 1.0
        return np.full(n_features, eighth), np.zeros(n_features)
    deviation = np.sqrt(norm.running_var.double().cpu().numpy() + norm.eps)
    mean = norm.running_mean.double().cpu().numpy()
    if not norm.affine:
        return 1 / deviation, -mean / deviation
    weight, bias = (one.detach().double().cpu().numpy() for one in (norm.weight, norm.bias))
    return 128 * weight / deviation, 128 * (bias - mean * weight / deviation)


def of_eight_bits(program: Program) -> Whole:
    """The input's levels of -128/128 ... 127/128."""
    values = (np.arange(-128, 128) / 128).astype(np.float32)
    levels = np.sign(values) if program.binary else np.rint(values / np.float32(program.scale))
    return to_whole(levels.clip(program.low, program.high))
