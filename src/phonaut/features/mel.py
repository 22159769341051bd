"""Mel scales and banks of triangular filters on them."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from phonaut.arrays import Array

MelScale = Literal["htk", "slaney", "kaldi"]

# Slaney's scale: linear below 1 kHz (15 mel), then 27 steps to each factor of 6.4.
_SLANEY_HZ_PER_MEL = 200 / 3
_SLANEY_CORNER_HZ, _SLANEY_CORNER_MEL = 1000.0, 15.0
_SLANEY_LOG_STEP = math.log(6.4) / 27

_VTL_KNEE = 0.85


def hz_to_mel(hz: npt.ArrayLike, scale: MelScale = "htk") -> Array:
    """Mel of a frequency in Hz.

    `htk` and `kaldi`: `2595 log10(1 + f / 700)` (O'Shaughnessy 1987). `slaney`: `3 f / 200` below 1 kHz, logarithmic
    above (Slaney, Auditory Toolbox, 1998).

    >>> float(hz_to_mel(1000.0, "slaney"))
    15.0
    """
    f = np.asarray(hz, dtype=np.float64)
    if scale != "slaney":
        return np.asarray(2595 * np.log10(1 + f / 700))
    above = _SLANEY_CORNER_MEL + np.log(np.maximum(f, _SLANEY_CORNER_HZ) / _SLANEY_CORNER_HZ) / _SLANEY_LOG_STEP
    return np.where(f < _SLANEY_CORNER_HZ, f / _SLANEY_HZ_PER_MEL, above)


def mel_to_hz(mel: npt.ArrayLike, scale: MelScale = "htk") -> Array:
    """Frequency in Hz of a mel value: the inverse of `hz_to_mel`."""
    m = np.asarray(mel, dtype=np.float64)
    if scale != "slaney":
        return np.asarray(700 * (10 ** (m / 2595) - 1))
    above = _SLANEY_CORNER_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(m, _SLANEY_CORNER_MEL) - _SLANEY_CORNER_MEL))
    return np.where(m < _SLANEY_CORNER_MEL, m * _SLANEY_HZ_PER_MEL, above)


def warped_hz(hz: npt.ArrayLike, warp: float, f_max: float) -> Array:
    """Frequencies as a vocal tract of another length has them: `warp * f` below a knee, then a line up to `f_max`.

    The knee is at `0.85 f_max min(1, 1 / warp)`, so that nothing passes `f_max`, which stays where it is. Formants of a
    tract that is `warp` times as short lie `warp` times as high. (Lee and Rose 1996; the piecewise line of HTK and
    Kaldi; as augmentation: Jaitly and Hinton 2013.)

    >>> [round(float(f)) for f in warped_hz([1000.0, 8000.0], 1.1, 8000.0)]
    [1100, 8000]
    """
    f = np.asarray(hz, dtype=np.float64)
    knee = _VTL_KNEE * f_max * min(1.0, 1 / warp)
    slope = (f_max - warp * knee) / (f_max - knee)
    return np.where(f <= knee, warp * f, f_max - slope * (f_max - f))


def mel_filters(
    *,
    sample_rate: int,
    n_fft: int,
    n_mels: int,
    f_min: float,
    f_max: float,
    mel_scale: MelScale = "htk",
    norm: Literal["slaney"] | None = None,
    warp: float = 1.0,
) -> Array:
    r"""Triangular filters `(n_fft // 2 + 1, n_mels)` whose corners are equally spaced in mel.

    With corners `c_0 = f_min < ... < c_{M+1} = f_max`, filter `m` rises from 0 at `c_m` to 1 at `c_{m+1}` and falls to
    0 at `c_{m+2}`: linearly in Hz (`htk`, `slaney`: torchaudio, librosa) or in mel (`kaldi`).

    Args:
        sample_rate: Hz.
        n_fft: length of the transform whose bins are weighted.
        n_mels: filters.
        f_min: lower end of the first filter, Hz.
        f_max: upper end of the last filter, Hz.
        mel_scale: `htk`, `slaney` or `kaldi`.
        norm: `slaney` divides each filter by half its width in Hz, so that all have the same area.
        warp: factor on the frequencies of the corners, see `warped_hz`.
    """
    low, high = (float(hz_to_mel(f, mel_scale)) for f in (f_min, f_max))
    bins_hz = np.arange(n_fft // 2 + 1) * (sample_rate / n_fft)
    corners_mel = np.linspace(low, high, n_mels + 2)
    corners_hz = mel_to_hz(corners_mel, mel_scale)
    if warp != 1:
        corners_hz = warped_hz(corners_hz, warp, f_max)
        corners_mel = hz_to_mel(corners_hz, mel_scale)
    bins, corners = (hz_to_mel(bins_hz, mel_scale), corners_mel) if mel_scale == "kaldi" else (bins_hz, corners_hz)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins[:, None] - left) / (centre - left)
    falling = (right - bins[:, None]) / (right - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        filters *= 2 / (corners_hz[2:] - corners_hz[:-2])
    return filters
