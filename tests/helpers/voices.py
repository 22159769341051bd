"""A voice whose pitch and formants are known, and an estimate of pitch that shares no code with WORLD's."""

from __future__ import annotations

import numpy as np

RATE = 16000


def voice(f0: float, vibrato: float = 0.05, seconds: float = 1.0) -> np.ndarray:
    """A harmonic sound with two formants, whose logarithm of F0 goes up and down by `vibrato`."""
    t = np.arange(round(seconds * RATE)) / RATE
    pitch = f0 * np.exp(vibrato * np.sin(2 * np.pi * 3 * t))
    phase, x = 2 * np.pi * np.cumsum(pitch) / RATE, np.zeros(len(t))
    for k in range(1, int(4000 / f0)):
        weight = sum(1 / (1 + ((k * f0 - formant) / 150) ** 2) for formant in (600, 1500))
        x += weight * np.sin(k * phase)
    return 0.2 * x / np.abs(x).max()


def by_autocorrelation(x: np.ndarray) -> float:
    """Median F0 of frames of 40 ms, from the peak of their autocorrelation."""
    frames = np.lib.stride_tricks.sliding_window_view(x, 640)[::160] * np.hanning(640)
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)[:, RATE // 400 : RATE // 70]
    return float(np.median(RATE / (RATE // 400 + correlation.argmax(axis=1))))
