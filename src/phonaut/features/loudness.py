"""Audio that is safe to listen to and to compare by ear, and what shows that it is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVEL_DBFS = -26.0  # of speech, after ITU-T P.56: its peaks, 15 to 20 dB higher, stay below full scale
MOST_PEAK = 0.95
FADE_S = 0.005
BLOCK_S = 0.02
SILENCE_DBFS = -70.0  # a recording below it holds nothing that is to be heard
RANGE_DB = 30.0  # below the loudest block: what is fainter is a pause
FULL_SCALE = 32767 / 32768  # the largest sample of 16 bits


class Level(NamedTuple):
    """What a recording is like.

    Attributes:
        dbfs: RMS of its active parts in dB, 0 of a full-scale square wave; -inf of silence.
        peak: its largest magnitude.
        n_clipped: samples at full scale or beyond it.
        dc: its mean.
        duration_s: seconds.
    """

    dbfs: float
    peak: float
    n_clipped: int
    dc: float
    duration_s: float


def level_of(audio: NDArray[np.floating], sample_rate: float) -> Level:
    """Level, peak, clipping, offset and duration of samples `(S,)`.

    The active parts are the blocks of 20 ms, of which the last may be shorter, whose mean square is at most 30 dB
    below that of the loudest.

    >>> level_of(0.5 * np.sin(0.1 * np.pi * np.arange(16000)), 16000).dbfs.__round__(2)
    -9.03
    """
    x = np.asarray(audio, np.float64)
    if x.ndim != 1 or not np.isfinite(x).all():
        raise ValueError(f"audio must be finite samples (S,); got shape {x.shape}, all finite: {np.isfinite(x).all()}")
    if not len(x):
        return Level(-np.inf, 0.0, 0, 0.0, 0.0)
    starts = np.arange(0, len(x), max(1, round(BLOCK_S * sample_rate)))
    energy, n = np.add.reduceat(np.square(x), starts), np.diff(np.append(starts, len(x)))
    active = energy / n >= (energy / n).max() * 10 ** (-RANGE_DB / 10)
    with np.errstate(divide="ignore"):
        dbfs = 10 * np.log10(energy[active].sum() / n[active].sum())
    magnitude = np.abs(x)
    n_clipped = int((magnitude >= FULL_SCALE).sum())
    return Level(float(dbfs), float(magnitude.max()), n_clipped, float(x.mean()), len(x) / sample_rate)


def level_for(recording: NDArray[np.floating], sample_rate: float) -> float:
    """The level in dBFS at which what is made of a recording is played: that of all, but silence stays silence."""
    found = level_of(recording, sample_rate).dbfs
    return LEVEL_DBFS if found >= SILENCE_DBFS else found


def playable(audio: NDArray[np.floating], sample_rate: float, *, level_dbfs: float = LEVEL_DBFS) -> NDArray[np.float32]:
    """Samples `(S,)` as they are played: without offset, faded in and out over 5 ms, at one level.

    The gain is one number: the active parts reach `level_dbfs`, or the peak reaches 0.95, whichever is less. Nothing
    is clipped, and silence stays silence.

    Raises:
        ValueError: samples are not finite, or not `(S,)`.
    """
    x = np.array(audio, np.float64)
    level_of(x, sample_rate)
    n_fade = min(round(FADE_S * sample_rate), len(x) // 2)
    fade = np.ones(len(x))
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(n_fade) + 0.5) / max(n_fade, 1))
    fade[:n_fade], fade[len(x) - n_fade :] = ramp, ramp[::-1]
    if len(x):
        x = fade * (x - (fade @ x) / fade.sum())  # the mean after fading is 0
    found = level_of(x, sample_rate)
    if found.peak < 1e-7:  # far below the step of 24 bits: rounding, which is not to be heard
        return np.zeros(len(x), np.float32)
    gain = min(10 ** ((level_dbfs - found.dbfs) / 20), MOST_PEAK / found.peak)
    return (gain * x).astype(np.float32)
