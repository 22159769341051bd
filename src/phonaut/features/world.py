"""Voices changed by the WORLD vocoder: pitch, spectral envelope and aperiodicity are taken apart and put together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array

INSTALL = "vocoder=world needs the optional extra: pip install 'phonaut[world]'"
PERIOD_MS = 5.0  # from one analysis to the next
QUEFRENCY_S = 0.002  # of an envelope's finest detail: half the period of a voice of 250 Hz
MOST = 3.0  # nepers by which an envelope changes: 26 dB
LEAST_RATE = 8000  # Hz, below which WORLD finds no aperiodicity


class Pitch(NamedTuple):
    """Mean and standard deviation of the natural logarithm of F0 in Hz, over voiced frames."""

    mean: float
    deviation: float


def missing() -> str | None:
    """Say what to install where WORLD is missing."""
    try:
        import pyworld  # noqa: F401
    except ImportError:
        return INSTALL
    return None


def fundamental(audio: NDArray[np.floating], sample_rate: int) -> tuple[Array, Array]:
    """F0 in Hz, 0 where there is no voice, and the times of its frames in seconds: DIO and StoneMask (Morise 2016)."""
    import pyworld

    x = np.ascontiguousarray(audio, np.float64)
    f0, times = pyworld.dio(x, sample_rate, frame_period=PERIOD_MS)
    return pyworld.stonemask(x, f0, times, sample_rate), times


def pitch_of(f0: Array) -> Pitch | None:
    """Mean and deviation of the logarithm of an F0; None where there are fewer than two voiced frames."""
    voiced = np.log(f0[f0 > 0])
    return Pitch(float(voiced.mean()), float(voiced.std())) if len(voiced) > 1 else None


def changed(
    audio: NDArray[np.floating],
    sample_rate: int,
    *,
    ratio: Array,
    ratio_times: NDArray[np.floating],
    source: Pitch | None = None,
    target: Pitch | None = None,
) -> NDArray[np.float32]:
    r"""A recording `(S,)` with another pitch and another envelope.

    `log f0 <- (log f0 - m_s) / s_s * s_t + m_t` where there is voice; the envelope `E <- E exp(2 r)`, with the ratio
    `r` smoothed over frequency (quefrencies above 2 ms are left out: those of harmonics), and at most 26 dB. The
    aperiodicity stays (Morise, Yokomori and Ozawa 2016, "WORLD: a vocoder-based high-quality speech synthesis system").

    Args:
        audio: `(S,)`.
        sample_rate: Hz.
        ratio: natural logarithm of the ratio of magnitudes, `(T, K)`, at frequencies evenly from 0 to the highest.
        ratio_times: of its rows, seconds, `(T,)`.
        source: pitch that the recording has; None: its own.
        target: pitch that it gets; None: it keeps its pitch.

    Raises:
        ValueError: WORLD is not installed, or the recording has too low a rate.
    """
    if why_not := missing():
        raise ValueError(why_not)
    if sample_rate < LEAST_RATE:
        raise ValueError(
            f"vocoder=world takes recordings of at least {LEAST_RATE} Hz; this front end has {sample_rate}"
        )
    import pyworld

    x = np.ascontiguousarray(audio, np.float64)
    f0, times = fundamental(x, sample_rate)
    envelope = pyworld.cheaptrick(x, f0, times, sample_rate)
    aperiodicity = pyworld.d4c(x, f0, times, sample_rate)
    change = resampled(smooth(ratio, sample_rate), ratio_times, times, envelope.shape[1])
    envelope = envelope * np.exp(2 * np.clip(change, -MOST, MOST))
    source = source or pitch_of(f0)
    if target is not None and source is not None:
        scale = target.deviation / source.deviation if source.deviation > 0 else 1.0
        voiced = f0 > 0
        f0[voiced] = np.exp((np.log(f0[voiced]) - source.mean) * scale + target.mean)
    f0 = np.where(f0 > 0, np.clip(f0, 40.0, sample_rate / 12), 0.0)
    made = pyworld.synthesize(f0, np.ascontiguousarray(envelope), aperiodicity, sample_rate, PERIOD_MS)
    fitted = np.zeros(len(x), np.float32)
    fitted[: len(made)] = made[: len(x)]
    return fitted


def smooth(ratio: Array, sample_rate: int) -> Array:
    """Logarithms of spectra `(T, K)` without what varies over less than 500 Hz: their cepstra below 2 ms."""
    cepstra = np.fft.irfft(ratio, axis=1)
    n = max(1, round(QUEFRENCY_S * sample_rate))
    quefrency = np.minimum(np.arange(cepstra.shape[1]), cepstra.shape[1] - np.arange(cepstra.shape[1]))
    return np.fft.rfft(np.where(quefrency < n, cepstra, 0.0), axis=1).real


def resampled(values: Array, times: NDArray[np.floating], at: Array, n: int) -> Array:
    """Rows `(T, K)` at other times and `n` columns, on straight lines; the ends go on."""
    place = np.interp(at, times, np.arange(len(times)))
    low = np.minimum(place.astype(np.int64), max(0, len(times) - 2))
    high = np.minimum(low + 1, len(times) - 1)
    share = (place - low)[:, None]
    rows = (1 - share) * values[low] + share * values[high]
    column = np.linspace(0, values.shape[1] - 1, n)
    left = np.minimum(column.astype(np.int64), max(0, values.shape[1] - 2))
    right = np.minimum(left + 1, values.shape[1] - 1)
    part = column - left
    found: Array = (1 - part) * rows[:, left] + part * rows[:, right]
    return found
