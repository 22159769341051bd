"""From the mouth to the recording: room, equaliser and roll-off, as one filter on each recording of a batch.

    Y(f) = X(f) R(f) G(f)

R is the spectrum of an impulse response whose direct sound is its first sample, so that a room moves no span. G is
real, a gain at 129 frequencies and linear in between: a short symmetric filter, which moves nothing either.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data.augmentation.timing import clear_padding
from phonaut.data.batches import Batch
from phonaut.data.draws import normal, uniform

KNOTS = 8  # of the equaliser, equally spaced in octaves
LOWEST_HZ = 62.5  # of them
GRID = 129  # frequencies of the gain, from 0 to the Nyquist frequency
ORDER = 4  # of the low-pass filter, Butterworth's: 24 dB an octave
N_ROOMS = 64  # simulated rooms that recordings are sent into
FIRST_REFLECTION_S = 0.002
AT_ONCE = 16  # recordings whose spectra stay in the cache of a processor
LONGEST_S = 1.0  # of a recorded response


def gains(
    level_db: NDArray[np.float64] | None, cutoff_hz: NDArray[np.float64] | None, sample_rate: int
) -> Tensor | None:
    r"""Gain at `GRID` frequencies for each recording, `(B, GRID)` float32; None where there is neither.

    `10^(level / 20) / sqrt(1 + (f / cutoff)^8)`.

    Args:
        level_db: of the equaliser at its knots, `(B, KNOTS)`, linear over octaves in between.
        cutoff_hz: -3 dB of the low-pass filter, `(B,)`; infinite: none.
        sample_rate: Hz.
    """
    if level_db is None and cutoff_hz is None:
        return None
    hz = np.linspace(0, sample_rate / 2, GRID)
    gain = np.ones((1, GRID))
    if level_db is not None:
        at = np.linspace(0, KNOTS - 1, KNOTS)
        octave = np.log2(np.maximum(hz, LOWEST_HZ) / LOWEST_HZ) * (KNOTS - 1) / np.log2(sample_rate / 2 / LOWEST_HZ)
        hats = np.maximum(0.0, 1 - np.abs(octave[None] - at[:, None]))
        gain = gain * 10 ** (level_db @ hats / 20)
    if cutoff_hz is not None:
        gain = gain / np.sqrt(1 + (hz[None] / cutoff_hz[:, None]) ** (2 * ORDER))
    return torch.from_numpy(gain.astype(np.float32))


def apply_channel(batch: Batch, gain: Tensor | None, rooms: Tensor | None, room: NDArray[np.int64] | None) -> Batch:
    """The recordings through their filters.

    Args:
        batch: recordings.
        gain: `(B, GRID)`, see `gains`.
        rooms: impulse responses, `(R, L)`.
        room: the response of each recording, `(B,)`; -1: none.
    """
    changed = np.zeros(len(batch.keys), bool)
    if gain is not None:
        changed |= (gain != 1).any(dim=1).numpy()
    if room is not None:
        changed |= room >= 0
    if not changed.any():
        return batch
    n_rooms = rooms.shape[1] if rooms is not None else 0
    lengths = batch.audio_lengths.cpu().numpy()
    sizes = np.array([fast_length(int(n) + n_rooms + 2 * GRID) for n in lengths])  # its own, whatever the others are
    audio = batch.audio.clone()
    for n_fft in np.unique(sizes[changed]).tolist():
        (rows,) = np.nonzero(changed & (sizes == n_fft))
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            index = torch.from_numpy(some).to(audio.device)
            heard = room[some] if room is not None else None
            filtered = through(
                audio[index], n_fft, gain[torch.from_numpy(some)] if gain is not None else None, rooms, heard
            )
            n = min(n_fft, audio.shape[1])
            audio[index, :n] = filtered[:, :n]
    return replace(batch, audio=clear_padding(audio, batch))


def through(
    audio: Tensor, n_fft: int, gain: Tensor | None, rooms: Tensor | None, room: NDArray[np.int64] | None
) -> Tensor:
    """Recordings `(B, S)` through their filters, `(B, n_fft)`; arguments as of `apply_channel`."""
    spectrum = torch.fft.rfft(audio, n_fft)
    if gain is not None:
        coarse = gain.to(audio.device)[:, None]
        size = n_fft // 2 + 1
        spectrum *= torch.nn.functional.interpolate(coarse, size=size, mode="linear", align_corners=True)[:, 0]
    if rooms is not None and room is not None and (room >= 0).any():
        at = torch.from_numpy(np.nonzero(room >= 0)[0]).to(audio.device)
        response = spectra(rooms, n_fft, audio.device)[torch.from_numpy(room[room >= 0]).to(audio.device)]
        spectrum[at] = spectrum[at] * response
    filtered: Tensor = torch.fft.irfft(spectrum, n_fft)
    return filtered


def fast_length(n: int) -> int:
    """The least 2^k or 3 * 2^k that is not below `n`: few lengths, so that spectra can be kept."""
    power = 1 << (n - 1).bit_length()
    return power * 3 // 4 if power * 3 // 4 >= n else power


_SPECTRA: dict[tuple[int, int, torch.device], tuple[Tensor, Tensor]] = {}


def spectra(rooms: Tensor, n_fft: int, device: torch.device) -> Tensor:
    """The spectra of impulse responses, `(R, n_fft // 2 + 1)`; the last few sets are kept."""
    key = (id(rooms), n_fft, device)
    if key not in _SPECTRA or _SPECTRA[key][0] is not rooms:
        if len(_SPECTRA) >= 4:
            _SPECTRA.pop(next(iter(_SPECTRA)))
        _SPECTRA[key] = rooms, torch.fft.rfft(rooms.to(device), n_fft)
    return _SPECTRA[key][1]


@lru_cache(maxsize=4)
def simulated_rooms(low_s: float, high_s: float, direct_low_db: float, direct_high_db: float, rate: int) -> Tensor:
    r"""Direct sound and noise that decays exponentially (Polack 1988), `(N_ROOMS, L)`, the same on every machine.

    `h[0] = 1`, `h[n] = g w[n] 10^(-3 n / (rt60 rate))` from 2 ms on, with w white and
    `sum_{n>0} h[n]^2 = 10^(-direct / 10)`.

    Args:
        low_s: shortest reverberation time, in which the energy decays by 60 dB.
        high_s: longest; both ends of the range are among the rooms.
        direct_low_db: least energy of the direct sound over that of the rest.
        direct_high_db: most.
        rate: samples per second.
    """
    keys = np.arange(N_ROOMS, dtype=np.uint64)
    rt60_s = np.linspace(low_s, high_s, N_ROOMS)[:, None]
    direct = uniform(keys, seed=0, epoch=0, stream="direct sound")
    direct_db = direct_low_db + direct * (direct_high_db - direct_low_db)
    n = np.arange(max(2, round(high_s * rate)))[None]
    rest = normal(keys, seed=0, epoch=0, stream="reflections", n=n.shape[1]) * 10.0 ** (-3 * n / (rt60_s * rate))
    rest[:, : max(1, round(FIRST_REFLECTION_S * rate))] = 0.0
    rest *= (n < rt60_s * rate) | (n <= FIRST_REFLECTION_S * rate)
    energy = np.square(rest).sum(axis=1, keepdims=True)
    rest *= np.sqrt(10.0 ** (-direct_db / 10) / np.maximum(energy, 1e-30))
    rest[:, 0] = 1.0
    return torch.from_numpy(rest.astype(np.float32))


@lru_cache(maxsize=4)
def recorded_rooms(folder: str, rate: int) -> Tensor:
    """The impulse responses of a folder and its sub-folders, `(R, L)`, each begun at its peak, which is made 1.

    Args:
        folder: of audio files; of several channels the first is read, of long ones the first second.
        rate: they are resampled to it.

    Raises:
        ValueError: there is none that can be read.
    """
    import soundfile
    import soxr

    from phonaut.files import expanded

    responses = []
    for root, folders, files in os.walk(expanded(folder)):
        folders.sort()
        for name in sorted(files):
            try:
                samples, own = soundfile.read(os.path.join(root, name), dtype="float64", always_2d=True)
            except soundfile.SoundFileError:
                continue  # a text beside them
            response = soxr.resample(samples[:, 0], own, rate)
            if np.abs(response).max(initial=0.0) > 0:
                response = response[np.abs(response).argmax() :][: round(LONGEST_S * rate)]
                responses.append(response / response[0])
    if not responses:
        raise ValueError(f"room_folder={folder} holds no impulse responses that can be read")
    longest = max(map(len, responses))
    return torch.from_numpy(np.stack([np.pad(h, (0, longest - len(h))) for h in responses]).astype(np.float32))
