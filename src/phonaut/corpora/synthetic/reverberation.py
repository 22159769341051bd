"""From dry speech to a recording: a simulated room, noise and a level."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PEAK = 0.95  # of full scale: nothing clips
DECAY_DB = 60.0
FIRST_REFLECTION_S = 0.002
NOISE_EXPONENT = {"white": 0.0, "pink": -0.5}  # of the frequency, in the amplitude spectrum
LOWEST_HZ = 50.0  # pink noise is flat below


def impulse_response(
    rt60_s: float, direct_db: float, sample_rate: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Direct sound at sample 0, then noise that decays exponentially (Polack 1988).

    h[0] = 1;  h[n] = g w[n] 10^(-3 n / (rt60 rate)) from 2 ms on, w white, sum_{n>0} h[n]^2 = 10^(-direct/10).

    The direct sound is the strongest and comes without delay, so a room moves no phone.

    Args:
        rt60_s: reverberation time: the tail decays by 60 dB in it, and ends.
        direct_db: energy of the direct sound over that of the reverberation, dB.
        sample_rate: in Hz.
        rng: source of the reflections.
    """
    n = np.arange(max(1, int(rt60_s * sample_rate)))
    response = rng.standard_normal(len(n)) * 10.0 ** (-DECAY_DB / 20.0 * n / len(n))
    response[: int(FIRST_REFLECTION_S * sample_rate)] = 0.0
    energy = float(np.sum(response**2))
    if energy > 0:
        response *= np.sqrt(10.0 ** (-direct_db / 10.0) / energy)
    response[0] = 1.0
    return response


def noise(colour: str, n: int, sample_rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """`n` samples of noise of rms 1, `white` or `pink`; the power of pink noise falls by 3 dB an octave above 50 Hz."""
    from scipy.fft import irfft, next_fast_len, rfft

    size = next_fast_len(n, real=True)  # a prime number of samples would take ten times as long
    samples = rng.standard_normal(size)
    if NOISE_EXPONENT[colour]:
        frequencies = np.maximum(np.fft.rfftfreq(size, 1.0 / sample_rate), LOWEST_HZ)
        samples = irfft(rfft(samples) * frequencies ** NOISE_EXPONENT[colour], size)
    samples = samples[:n]
    return np.asarray(samples / max(float(np.sqrt(np.mean(samples**2))), 1e-12))


def record(
    speech: NDArray[np.float64],
    spoken: NDArray[np.bool_],
    response: NDArray[np.float64],
    background: NDArray[np.float64],
    *,
    snr_db: float,
    level_db: float,
) -> NDArray[np.int16]:
    """`speech` as a microphone in a room would have recorded it.

    Args:
        speech: `(n,)`, dry and noiseless, of any level.
        spoken: `(n,)`, where it is no pause: level and signal-to-noise ratio are measured there.
        response: impulse response of the room.
        background: `(n,)` noise of rms 1.
        snr_db: speech over noise, dB.
        level_db: rms of the speech, dB relative to full scale.

    Returns:
        `(n,)`. The tail of the room beyond `n` is cut. Where the level would clip, all is made quieter.
    """
    from scipy.signal import fftconvolve

    recorded = fftconvolve(speech, response)[: len(speech)]
    level = np.sqrt(np.mean(recorded[spoken] ** 2)) if spoken.any() else 0.0
    if level > 0:
        recorded /= level
    recorded += background * 10.0 ** (-snr_db / 20.0)
    recorded *= 10.0 ** (level_db / 20.0)
    recorded *= min(1.0, PEAK / max(float(np.abs(recorded).max(initial=0.0)), 1e-12))
    return np.asarray(np.round(recorded * 32767.0), dtype=np.int16)
