"""Learnable band-pass filters of the waveform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from phonaut.features.framing import Framing, Mode
from phonaut.features.front_end import FrontEnd
from phonaut.features.functional import batch_normalized, window_function
from phonaut.features.mel import hz_to_mel, mel_to_hz
from phonaut.features.options import FrontEndOptions


@dataclass(frozen=True, kw_only=True)
class SincOptions(FrontEndOptions):
    """Options of `Sinc`.

    Attributes:
        n_filters: band-passes.
        win_length: taps of each, an odd number.
        hop_length: samples from one frame to the next, a multiple of `pool`.
        pool: results of the filters, `hop_length / pool` samples apart, whose mean is a frame.
        least_hz: least lower edge of a band.
        least_band_hz: least width of a band.
    """

    n_filters: int = 40
    win_length: int = 101
    hop_length: int = 16
    framing: Mode = "snip_edges"
    pool: int = 2
    least_hz: float = 50.0
    least_band_hz: float = 50.0

    def layout(self) -> Framing:
        """Windows as long as all results that are pooled need."""
        between = self.hop_length // self.pool
        win_length = self.win_length + (self.pool - 1) * between
        return Framing(win_length, self.hop_length, win_length, self.framing, "constant")

    def _wrong_combinations(self) -> list[str]:
        problems = super()._wrong_combinations()
        if self.n_filters < 1 or self.pool < 1:
            problems.append(f"n_filters={self.n_filters} and pool={self.pool}: must be >= 1")
        elif self.hop_length % self.pool:
            problems.append(f"hop_length={self.hop_length}: must be a multiple of pool={self.pool}")
        if self.win_length % 2 == 0:
            problems.append(f"win_length={self.win_length}: filters are symmetric; use {self.win_length + 1}")
        widest = self.sample_rate / 2 - self.least_hz
        if not (self.least_hz > 0 and 0 < self.least_band_hz <= widest):
            problems.append(
                f"least_hz={self.least_hz:g} and least_band_hz={self.least_band_hz:g}: must be above 0, and together "
                f"at most half of sample_rate={self.sample_rate}"
            )
        return problems


class Sinc(FrontEnd):
    r"""Learned band-passes: `D = n_filters` log amplitudes. The keys are those of `SincOptions`.

    Filter `k` passes `[f1_k, f2_k]`, `f1 = least_hz + 1000 |a_k|`, `f2 = f1 + least_band_hz + 1000 |b_k|`:

    `h_k[n] = (2 f2 sinc(2 f2 n / r) - 2 f1 sinc(2 f1 n / r)) / (2 (f2 - f1)) * hamming[n]`,

    with `a` and `b` learned, in kHz, so that a step of an optimizer for weights moves them far enough. A frame is the
    mean of `pool` values of `log(1 + |h_k * x|)`, batch-normalised. The bands begin where those of a mel filter bank
    from 30 Hz lie. The normalisation is by the valid frames alone, so that padding changes nothing.

    Source: Ravanelli and Bengio, "Speaker recognition from raw waveform with SincNet", 2018; logarithm and stride:
    Mittermaier et al. 2020.

    >>> frames, lengths = Sinc()(torch.randn(2, 16000), torch.tensor([16000, 8000]))
    >>> frames.shape, lengths.tolist()
    (torch.Size([2, 994, 40]), [994, 494])
    """

    Options: ClassVar[type[FrontEndOptions]] = SincOptions
    options: SincOptions
    has_weights = True
    window: Tensor
    time_s: Tensor

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        o = self.options
        edges_mel = np.linspace(
            hz_to_mel(30.0), hz_to_mel(o.sample_rate / 2 - o.least_hz - o.least_band_hz), o.n_filters + 1
        )
        edges = torch.from_numpy(mel_to_hz(edges_mel)).float()
        self.low_khz = nn.Parameter((edges[:-1] - o.least_hz).clamp(min=0) / 1000)
        self.band_khz = nn.Parameter((edges[1:] - edges[:-1] - o.least_band_hz).clamp(min=0) / 1000)
        self.norm = nn.BatchNorm1d(o.n_filters)
        half = o.win_length // 2
        self.constant("time_s", torch.arange(-half, half + 1, dtype=torch.float64) / o.sample_rate)
        self.constant("window", window_function("hamming", o.win_length, periodic=False))
        self.n_features = o.n_filters * (1 + o.deltas)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """As every front end; weights are not kept in half precision."""
        super()._apply(fn, recurse)
        return self.float() if self.low_khz.dtype in (torch.float16, torch.bfloat16) else self

    def bands(self) -> tuple[Tensor, Tensor]:
        """Lower and upper edges of the filters, Hz, `(n_filters,)` each."""
        o = self.options
        low = (o.least_hz + 1000 * self.low_khz.abs()).clamp(max=o.sample_rate / 2 - o.least_band_hz)
        return low, (low + o.least_band_hz + 1000 * self.band_khz.abs()).clamp(max=o.sample_rate / 2)

    def filters(self) -> Tensor:
        """The impulse responses, `(win_length, n_filters)`."""
        low, high = self.bands()
        time = self.time_s[:, None]
        passes = 2 * high * torch.sinc(2 * high * time) - 2 * low * torch.sinc(2 * low * time)
        return passes / (2 * (high - low)) * self.window[:, None]

    def analyze(self, frames: Tensor) -> Tensor:
        """Mean log amplitudes of the filters in windows."""
        o = self.options
        places = frames.unfold(-1, o.win_length, max(1, o.hop_length // o.pool))
        return (places @ self.filters().to(frames.dtype)).abs().log1p().mean(dim=-2)

    def transform(self, analyzed: Tensor, lengths: Tensor) -> Tensor:
        """Batch-normalised, by the valid frames alone in training."""
        return batch_normalized(self.norm, analyzed, lengths)
