"""Fingerprints of recordings: is a recording one that was heard before, and not only the same words of the same voice?

A voice never says a word twice with the same harmonics at the same times. The fine structure of the spectrum, what is
left of it once its envelope over 300 Hz is taken away, survives gain, equalisation, trimming, resampling and lossy
coding, and differs between two takes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

WINDOW_S, HOP_S = 0.048, 0.010
LOW_HZ, HIGH_HZ = 150.0, 3400.0  # what a telephone keeps
ENVELOPE_HZ = 300.0  # over which the spectrum is smoothed
RANGE_DB = 35.0  # below the loudest: silence, of which nothing is kept
PHASES = 4  # of a hop, at which the start of a recording is tried against the frames of another
LEAST_OVERLAP_S = 0.2
LEAST_SHARE = 0.6  # of one of the two recordings that the other must hold
SAME = 0.935  # likeness of two recordings that are one


def fingerprint(audio: NDArray[np.floating], sample_rate: float) -> NDArray[np.float16]:
    """Fine structure of the spectrum of a recording, in dB around its envelope, `(T, D)`; 31 kB a second.

    Args:
        audio: samples `(S,)`.
        sample_rate: Hz.
    """
    window, hop = round(WINDOW_S * sample_rate), round(HOP_S * sample_rate)
    padded = np.concatenate([np.zeros(window // 2), audio, np.zeros(window)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(window), axis=1)))
    hz = np.arange(power.shape[1]) * sample_rate / window
    hz = hz[hz <= HIGH_HZ + ENVELOPE_HZ]
    power = power[:, : len(hz)]
    level = 10 * np.log10(np.maximum(power, power.max() * 10 ** (-RANGE_DB / 10) + 1e-12))
    width = round(ENVELOPE_HZ * window / sample_rate) | 1
    sums = np.cumsum(np.pad(level, ((0, 0), (width // 2 + 1, width // 2)), mode="edge"), axis=1)
    fine = level - (sums[:, width:] - sums[:, :-width]) / width
    kept: NDArray[np.float16] = fine[:, (hz >= LOW_HZ) & (hz <= HIGH_HZ)].astype(np.float16)
    return kept


def likeness(known: NDArray[np.float16], audio: NDArray[np.floating], sample_rate: float) -> float:
    """How much of a recording is one that was heard before: 1 where it is, `SAME` and above where it was re-encoded.

    The correlation of the two fingerprints where they overlap, by the larger energy of the two, at the best of all
    shifts at which one of them is mostly within the other.

    Args:
        known: fingerprint of the recording that was heard.
        audio: samples of the other one, `(S,)`.
        sample_rate: Hz, the same for both.
    """
    shift = HOP_S * sample_rate / PHASES
    shifted = (np.concatenate([np.zeros(round(n * shift)), audio]) for n in range(PHASES))
    return max(_correlation(known, fingerprint(one, sample_rate)) for one in shifted)


def _correlation(a: NDArray[np.float16], b: NDArray[np.float16]) -> float:
    one, other = a.astype(np.float64), b.astype(np.float64)
    n, m = len(one), len(other)
    lag = np.arange(1 - m, n)  # frame t + lag of the first meets frame t of the second
    size = 1 << (n + m - 1).bit_length()
    crossed = np.fft.rfft(one, size, axis=0) * np.fft.rfft(other, size, axis=0).conj()
    product = np.fft.irfft(crossed.sum(axis=1), size)[lag % size]
    first, end = np.maximum(lag, 0), np.minimum(n, m + lag)
    of_one = np.concatenate([[0.0], np.cumsum(np.square(one).sum(axis=1))])
    of_other = np.concatenate([[0.0], np.cumsum(np.square(other).sum(axis=1))])
    energy, energy_of_other = of_one[end] - of_one[first], of_other[end - lag] - of_other[first - lag]
    is_within = (energy >= LEAST_SHARE * of_one[-1]) | (energy_of_other >= LEAST_SHARE * of_other[-1])
    is_within &= end - first >= LEAST_OVERLAP_S / HOP_S
    largest = np.maximum(energy, energy_of_other)
    return float(np.where(is_within & (largest > 0), product / np.maximum(largest, 1e-9), 0.0).max())
