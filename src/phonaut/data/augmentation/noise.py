"""Stretches of noise: synthetic, or out of recordings.

Synthetic noise is a loop of about a minute, made once; a stretch begins anywhere in it. That costs a copy, where fresh
noise for every recording would cost more than the network.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data.draws import normal

if TYPE_CHECKING:
    from phonaut.data.prepared import UtteranceTable

LOOP = 2**20  # samples: 66 s at 16 kHz
SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0, "blue": -1.0}  # power falls with frequency to the power of this
FLAT_BELOW = 2**-10  # of the sample rate (16 Hz at 16 kHz): down there, power does not rise further


@lru_cache(maxsize=8)
def loop(kind: str) -> Tensor:
    """A loop of Gaussian noise of unit power, `(LOOP,)` float32, the same on every machine."""
    white = normal(np.zeros(1, np.uint64), seed=0, epoch=0, stream=f"{kind} noise", n=LOOP)[0]
    return torch.from_numpy(shaped(white, kind))


def shaped(white: NDArray[np.float64], kind: str) -> NDArray[np.float32]:
    """White noise `(S,)` as noise of a kind, of unit power."""
    spectrum = np.fft.rfft(white) * np.maximum(np.fft.rfftfreq(len(white)), FLAT_BELOW) ** (-SLOPES[kind] / 2)
    spectrum[0] = 0.0  # no constant part
    noise = np.fft.irfft(spectrum, len(white))
    unit: NDArray[np.float32] = (noise / noise.std()).astype(np.float32)
    return unit


@lru_cache(maxsize=8)
def loops(kinds: tuple[str, ...], n_more: int, device: torch.device) -> Tensor:
    """The loops of several kinds, each continued by `n_more` samples, `(kinds, LOOP + n_more)`."""
    n_rounds = -(-n_more // LOOP) + 1
    return torch.stack([loop(kind).repeat(n_rounds)[: LOOP + n_more] for kind in kinds]).to(device)


def synthetic(
    kinds: tuple[str, ...], kind_index: NDArray[np.int64], place: NDArray[np.float64], like: Tensor
) -> Tensor:
    """A stretch of noise for each recording of `like (B, S)`.

    Args:
        kinds: of noise, from `SLOPES`.
        kind_index: index into `kinds` for each recording, `(B,)`.
        place: where in the loop its stretch begins, in [0, 1), `(B,)`.
        like: gives shape and device.
    """
    n_samples = like.shape[1]
    n_more = 2 ** int(np.ceil(np.log2(max(n_samples, 1024))))  # few sizes, so that they can be kept
    table = loops(kinds, n_more, like.device)
    begin = kind_index * table.shape[1] + (place * LOOP).astype(np.int64)
    stretches = table.as_strided((table.numel() - n_samples + 1, n_samples), (1, 1))
    return stretches.index_select(0, torch.from_numpy(begin).to(like.device))


def recorded(table: UtteranceTable, place: NDArray[np.float64], lengths: NDArray[np.int64], n_samples: int) -> Tensor:
    """A stretch out of the recordings of `table` for each of B recordings, `(B, n_samples)`, on the CPU.

    Every sample of the table is as likely a beginning as any other. A recording that is too short goes round.

    Args:
        table: recordings of noise.
        place: where in the table the stretch begins, in [0, 1), `(B,)`.
        lengths: how many samples are needed, `(B,)`; the rest is zero.
        n_samples: S.
    """
    # `place` is a sample of all recordings laid end to end: `ends` tell its row, and where the row begins is taken off.
    ends = np.cumsum(table.n_samples)
    begin = (place * ends[-1]).astype(np.int64)
    rows = np.searchsorted(ends, begin, side="right")
    begin -= ends[rows] - table.n_samples[rows]
    noise = torch.zeros(len(place), n_samples)
    into = noise.numpy()
    for i, (row, first, n) in enumerate(zip(rows, begin, lengths, strict=True)):
        filled = 0
        while filled < n:
            stretch = table.audio(row, first, min(first + n - filled, table.n_samples[row]))
            into[i, filled : filled + len(stretch)] = stretch
            filled, first = filled + len(stretch), 0
    return noise
