"""Options of each front end, and their validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from phonaut.arrays import Array
from phonaut.checks import broken, within
from phonaut.features.checking import count_problems, type_problems
from phonaut.features.framing import Framing, Mode, PadMode
from phonaut.features.functional import DeltaKind, Log, Window
from phonaut.features.mel import MelScale, mel_filters

COUNTS = ("sample_rate", "win_length", "hop_length", "n_fft", "n_mels", "n_mfcc")
"""Keys whose values must be >= 1."""

MOST = {
    **dict.fromkeys(("win_length", "hop_length", "n_fft"), within(1, 2**20)),
    "sample_rate": within(1, 10**6),
    **dict.fromkeys(("scale", "log_offset", "amin"), within(0, 1e6)),
    **dict.fromkeys(("top_db", "cepstral_lifter"), within(-1e4, 1e4)),
}
"""Ranges beyond which a front end would take all memory, or hear nothing."""

KALDI: dict[str, Any] = {
    "n_fft": 512,
    "win_length": 400,
    "framing": "snip_edges",
    "window": "povey",
    "periodic": False,
    "scale": 32768.0,
    "remove_dc_offset": True,
    "preemphasis": 0.97,
    "log": "natural",
    "amin": 1.1920928955078125e-07,
    "top_db": None,
    "mel_scale": "kaldi",
    "n_mels": 23,
    "f_max": None,
}
"""Kaldi's filter banks at 16 kHz: `MelSpectrogram(**KALDI)` gives what `compute-fbank-feats` gives."""

KALDI_MFCC: dict[str, Any] = {**KALDI, "n_mfcc": 13, "cepstral_lifter": 22.0}
"""Kaldi's cepstra: `MFCC(**KALDI_MFCC)` gives what `compute-mfcc-feats --use-energy=false` gives."""


@dataclass(frozen=True, kw_only=True)
class FrontEndOptions:
    """Options of every front end.

    Attributes:
        sample_rate: Hz.
        win_length: samples of a window.
        hop_length: samples from one frame to the next.
        framing: layout of the windows, see `Framing`.
        deltas: orders of deltas that are appended to the features.
        delta_kind: `htk`: slopes over five frames, the ends repeated (Kaldi, torchaudio); `librosa`: of a fit to nine.
    """

    sample_rate: int = 16000
    win_length: int = 480
    hop_length: int = 160
    framing: Mode = "center"
    deltas: Literal[0, 1, 2] = 0
    delta_kind: DeltaKind = "htk"

    def layout(self) -> Framing:
        """Layout of the frames."""
        return Framing(self.win_length, self.hop_length, self.win_length, self.framing, "constant")

    def problems(self) -> list[str]:
        """All problems of the values, each with its remedy; empty if there are none."""
        wrong = type_problems(self) or count_problems(self, COUNTS) or broken(MOST, vars(self))
        return wrong or self._wrong_combinations()

    def _wrong_combinations(self) -> list[str]:
        problems = []
        if self.framing == "causal" and self.win_length < self.hop_length:
            problems.append(
                f"win_length={self.win_length} is shorter than hop_length={self.hop_length}: with framing=causal "
                f"samples would be skipped; use hop_length={self.win_length} or less"
            )
        return problems


@dataclass(frozen=True, kw_only=True)
class RawOptions(FrontEndOptions):
    """Options of `Raw`: by default each sample is a frame."""

    win_length: int = 1
    hop_length: int = 1
    framing: Mode = "snip_edges"


@dataclass(frozen=True, kw_only=True)
class SpectrogramOptions(FrontEndOptions):
    """Options of `Spectrogram`.

    Attributes:
        n_fft: length of the Fourier transform, in samples; windows are padded with zeros to it.
        pad_mode: what lies beyond the ends with framing=center: `reflect`, `replicate` or `constant` (zeros).
        window: `hann`, `hamming`, `blackman`, `povey` or `rectangular`.
        periodic: the window's period is `win_length` (torch, librosa), not one less (Kaldi).
        scale: factor on the audio; 32768 gives Kaldi's range.
        remove_dc_offset: subtract each window's mean.
        preemphasis: coefficient of `x[n] - a x[n-1]` within each window; 0: none.
        power: 2 for power spectra, 1 for magnitudes.
        log: `db`, `natural`, or None for no logarithm.
        amin: floor before the logarithm.
        top_db: floor below each recording's loudest value, in dB; None: `amin` alone.
        log_offset: what is added to spectra before the logarithm.
    """

    n_fft: int = 512
    pad_mode: PadMode = "reflect"
    window: Window = "hann"
    periodic: bool = True
    scale: float = 1.0
    remove_dc_offset: bool = False
    preemphasis: float = 0.0
    power: Literal[1, 2] = 2
    log: Log | None = "db"
    amin: float = 1e-10
    top_db: float | None = 80.0
    log_offset: float = 0.0

    def layout(self) -> Framing:
        """Layout of the frames, of `n_fft` samples each, the first `win_length` of them within the window."""
        return Framing(self.win_length, self.hop_length, self.n_fft, self.framing, self.pad_mode)

    def _wrong_combinations(self) -> list[str]:
        problems = super()._wrong_combinations()
        if self.win_length > self.n_fft:
            n_fft = 1 << (self.win_length - 1).bit_length()
            problems.append(f"win_length={self.win_length} is longer than n_fft={self.n_fft}: use n_fft={n_fft}")
        if self.framing == "causal" and self.log is not None and self.top_db is not None:
            problems.append(
                f"top_db={self.top_db:g} with framing=causal: the floor would depend on the loudest frame, which may "
                "be yet to come; use top_db=null"
            )
        if self.amin <= 0:
            problems.append(f"amin={self.amin:g}: must be > 0, as its logarithm is taken")
        if self.log_offset < 0:
            problems.append(f"log_offset={self.log_offset:g}: must be >= 0")
        if self.top_db is not None and self.top_db <= 0:
            problems.append(f"top_db={self.top_db:g}: must be > 0, or null for no such floor")
        if self.scale <= 0:
            problems.append(f"scale={self.scale:g}: must be > 0")
        if not 0 <= self.preemphasis <= 1:
            problems.append(f"preemphasis={self.preemphasis:g}: must be in [0, 1]; 0: none")
        return problems


@dataclass(frozen=True, kw_only=True)
class MelSpectrogramOptions(SpectrogramOptions):
    """Options of `MelSpectrogram`.

    Attributes:
        n_mels: filters.
        f_min: lower end of the lowest filter, Hz.
        f_max: upper end of the highest filter, Hz; None: half the sample rate.
        mel_scale: `htk`, `slaney` or `kaldi`.
        norm: `slaney` for filters of equal area, None for filters of equal height.
    """

    n_mels: int = 40
    f_min: float = 20.0
    f_max: float | None = None
    mel_scale: MelScale = "htk"
    norm: Literal["slaney"] | None = None

    def filters(self, warp: float = 1.0) -> Array:
        """The filter bank `(n_fft // 2 + 1, n_mels)`; for a vocal tract whose formants lie `warp` times as high."""
        return mel_filters(
            sample_rate=self.sample_rate,
            n_fft=self.n_fft,
            n_mels=self.n_mels,
            f_min=self.f_min,
            f_max=self.sample_rate / 2 if self.f_max is None else self.f_max,
            mel_scale=self.mel_scale,
            norm=self.norm,
            warp=warp,
        )

    def _wrong_combinations(self) -> list[str]:
        problems = super()._wrong_combinations()
        nyquist, n_bins = self.sample_rate / 2, self.n_fft // 2 + 1
        f_max = nyquist if self.f_max is None else self.f_max
        if f_max > nyquist:
            problems.append(
                f"f_max={f_max:g} is above half of sample_rate={self.sample_rate}: use f_max={nyquist:g} or less"
            )
        elif not 0 <= self.f_min < f_max:
            problems.append(f"f_min={self.f_min:g}: must be >= 0 and < f_max={f_max:g}")
        elif self.n_mels > n_bins:
            problems.append(
                f"n_mels={self.n_mels} is more than the {n_bins} bins of n_fft={self.n_fft}; "
                "use fewer mels or a longer n_fft"
            )
        elif empty := int((self.filters() == 0).all(axis=0).sum()):
            problems.append(
                f"n_mels={self.n_mels} from {self.f_min:g} to {f_max:g} Hz: {empty} of the filters lie between two of "
                f"the bins of n_fft={self.n_fft}, which are {self.sample_rate / self.n_fft:g} Hz apart; use fewer mels "
                "or a longer n_fft"
            )
        return problems


@dataclass(frozen=True, kw_only=True)
class MFCCOptions(MelSpectrogramOptions):
    """Options of `MFCC`.

    Attributes:
        n_mfcc: coefficients, C0 first.
        cepstral_lifter: Kaldi's and HTK's weighting of the coefficients (22 by custom); 0: none.
    """

    n_mfcc: int = 40
    cepstral_lifter: float = 0.0

    def _wrong_combinations(self) -> list[str]:
        problems = super()._wrong_combinations()
        if self.n_mfcc > self.n_mels:
            problems.append(f"n_mfcc={self.n_mfcc} is more than n_mels={self.n_mels}: use n_mfcc={self.n_mels} or less")
        if self.log is None:
            problems.append("log=null: a cepstrum is made of logarithms; use log=db or log=natural")
        if self.cepstral_lifter < 0:
            problems.append(f"cepstral_lifter={self.cepstral_lifter:g}: must be >= 0")
        return problems
