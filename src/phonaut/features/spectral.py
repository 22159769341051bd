"""Spectrogram, mel spectrogram and MFCC: each is the one before and a matrix."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from phonaut.features.front_end import FrontEnd
from phonaut.features.functional import (
    dct_matrix,
    log_compress,
    power_spectrum,
    window_function,
    windowed,
)
from phonaut.features.options import FrontEndOptions, MelSpectrogramOptions, MFCCOptions, SpectrogramOptions


class Spectrogram(FrontEnd):
    """Short-time spectra: `D = n_fft // 2 + 1` bins, in dB by default. The keys are those of `SpectrogramOptions`.

    >>> frames, lengths = Spectrogram(n_fft=400, win_length=400)(torch.randn(2, 16000), torch.tensor([16000, 8000]))
    >>> frames.shape, lengths.tolist()
    (torch.Size([2, 101, 201]), [101, 51])
    """

    Options: ClassVar[type[FrontEndOptions]] = SpectrogramOptions
    options: SpectrogramOptions
    window: Tensor

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        o = self.options
        window = window_function(o.window, o.win_length, periodic=o.periodic) * o.scale
        self.constant("window", pad(window, (0, o.n_fft - o.win_length)))
        self.n_bins = o.n_fft // 2 + 1
        self.n_features = self.n_bins * (1 + o.deltas)

    def analyze(self, frames: Tensor) -> Tensor:
        """The first `n_bins` bins of `|rfft(window * frame)|^power`."""
        o = self.options
        frames = windowed(
            frames,
            self.window,
            win_length=o.win_length,
            remove_dc_offset=o.remove_dc_offset,
            preemphasis=o.preemphasis,
        )
        power = power_spectrum(frames, self.n_bins)
        # The square root has no slope at 0; below the least float there is nothing to keep.
        return power if o.power == 2 else power.clamp(min=torch.finfo(power.dtype).tiny).sqrt()

    def transform(self, analyzed: Tensor, lengths: Tensor) -> Tensor:
        """The logarithm of spectra that `log` asks for."""
        o = self.options
        if o.log is None:
            return analyzed
        return log_compress(
            analyzed, lengths, log=o.log, amin=o.amin, top_db=o.top_db, offset=o.log_offset, exponent=o.power
        )


class MelSpectrogram(Spectrogram):
    """Spectra through `n_mels` triangular filters, in dB by default. The keys are those of `MelSpectrogramOptions`.

    `MelSpectrogram(**KALDI)` is Kaldi's filter bank. librosa's is `mel_scale="slaney", norm="slaney",
    pad_mode="constant"`, torchaudio's the default.
    """

    Options: ClassVar[type[FrontEndOptions]] = MelSpectrogramOptions
    options: MelSpectrogramOptions
    filters: Tensor

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        filters = torch.from_numpy(self.options.filters())
        used = (filters > 1e-9 * filters.max()).any(dim=1)  # rounding may leave a trace at f_max itself
        self.n_bins = int(used.nonzero().max()) + 1  # bins above f_max are never read
        # Matrix products are up to twice as fast with a multiple of 8 columns.
        self.constant("filters", pad(filters[: self.n_bins], (0, -self.options.n_mels % 8)))
        self._banks: dict[float, Tensor] = {}
        self.n_features = self.options.n_mels * (1 + self.options.deltas)

    def analyze(self, frames: Tensor) -> Tensor:
        """Mel spectra of windows."""
        return (super().analyze(frames) @ self.filters)[..., : self.options.n_mels]

    def analyze_warped(self, frames: Tensor, warp: Tensor) -> Tensor:
        """Mel spectra of windows, those of each recording for a vocal tract of its own."""
        return (super().analyze(frames) @ self.warped_filters(warp))[..., : self.options.n_mels]

    def warped_filters(self, warp: Tensor) -> Tensor:
        """The filter bank of each recording, `(B, bins, n_mels)` (filled up to a multiple of 8), for `warp (B,)`."""
        factors, index = torch.unique(warp, return_inverse=True)
        banks = [self._bank(factor) for factor in factors.tolist()]
        return torch.stack(banks).index_select(0, index)

    def _bank(self, factor: float) -> Tensor:
        """The filters for one factor, kept once made."""
        factor = round(factor, 4)
        bank = self._banks.get(factor)
        if bank is None or bank.device != self.filters.device or bank.dtype != self.filters.dtype:
            filters = torch.from_numpy(self.options.filters(factor))[: self.n_bins]
            self._banks[factor] = bank = pad(filters, (0, -self.options.n_mels % 8)).to(self.filters)
        return bank


class MFCC(MelSpectrogram):
    """Mel-frequency cepstral coefficients: the DCT-II of log mel spectra. The keys are those of `MFCCOptions`.

    `MFCC(**KALDI_MFCC)` are Kaldi's. By default 40 of 40 mels from 20 Hz to half the sample rate, 30 ms windows every
    10 ms.

    Source: Davis and Mermelstein, 1980.

    >>> frames, lengths = MFCC(n_mfcc=13, deltas=2)(torch.randn(1, 16000), torch.tensor([16000]))
    >>> frames.shape
    torch.Size([1, 101, 39])
    """

    Options: ClassVar[type[FrontEndOptions]] = MFCCOptions
    options: MFCCOptions
    dct: Tensor

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        o = self.options
        self.constant("dct", dct_matrix(o.n_mfcc, o.n_mels, cepstral_lifter=o.cepstral_lifter))
        self.n_features = o.n_mfcc * (1 + o.deltas)

    def transform(self, analyzed: Tensor, lengths: Tensor) -> Tensor:
        """The DCT of log mel spectra."""
        return super().transform(analyzed, lengths) @ self.dct
