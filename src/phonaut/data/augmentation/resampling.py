"""Recordings played faster or slower, each at its own speed, as one batched matrix product.

Output sample m of a recording at speed `r = p / 40` is the band-limited input at `m r`:

    y[m] = sum_k x[k] h(m r - k),   h(t) = c sinc(c t) kaiser(t / width),   c = ROLLOFF min(1, 1 / r)

Speeds are multiples of 1/40. So every 40 outputs the phases come round again, p inputs further on: block j of 40
outputs is the stretch of input from `j p` on times a matrix that depends on p alone. Finer steps would make the blocks
longer and the matrices, which are zero but for a band, emptier. (Band-limited interpolation: Smith and Gossett 1984;
the polyphase form: Crochiere and Rabiner 1983, section 2.3.)
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STEPS = 40  # speeds are multiples of 1/STEPS
ZERO_CROSSINGS = 7  # of the kernel, on each side
ROLLOFF = 0.92  # cut-off as a part of the lower of both Nyquist frequencies
KAISER_BETA = 6.0  # 58 dB of attenuation and more


def half_width(steps: int) -> int:
    """Input samples that the kernel reaches to either side, at a speed of `steps / STEPS`."""
    return int(np.ceil(ZERO_CROSSINGS * max(1.0, steps / STEPS) / ROLLOFF))


@lru_cache(maxsize=8)
def kernels(low: int, high: int, device: torch.device) -> Tensor:
    """One matrix for each speed from `low` to `high` steps, `(high - low + 1, W, STEPS)`; that of speed 1 copies."""
    steps = np.arange(low, high + 1)[:, None, None]
    half = half_width(high)
    position = np.arange(STEPS)[None, None, :] * steps / STEPS  # of the outputs, in input samples
    inputs = np.arange(-half, high + half)[None, :, None]
    cutoff = ROLLOFF * np.minimum(1.0, STEPS / steps)
    t = cutoff * (position - inputs)
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (t / ZERO_CROSSINGS) ** 2, 0, None))) / np.i0(KAISER_BETA)
    weights = np.sinc(t) * np.where(np.abs(t) < ZERO_CROSSINGS, window, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)  # a constant stays what it is
    weights = np.where(steps == STEPS, position == inputs, weights)
    return torch.from_numpy(weights.astype(np.float32)).to(device)


def resampled_length(n_samples: Tensor, steps: Tensor) -> Tensor:
    """Samples that are left of `n_samples (B,)` at speeds of `steps / STEPS (B,)`."""
    return (n_samples * STEPS + steps - 1) // steps


def change_speed(
    audio: Tensor, steps: NDArray[np.int64], first: NDArray[np.int64], n_samples: int, *, low: int, high: int
) -> Tensor:
    """`n_samples` of each recording from input sample `first (B,)` on, at speeds of `steps / STEPS (B,)`.

    Args:
        audio: `(B, S)`; zeros are before and after it.
        steps: the speeds, each from `low` to `high`.
        first: the input sample that is output 0; may be negative.
        n_samples: outputs of each recording.
        low: slowest speed, in steps.
        high: fastest.
    """
    n_items, n_present = audio.shape
    matrices = kernels(low, high, audio.device).to(audio.dtype)
    width, half = matrices.shape[1], half_width(high)
    n_blocks = -(-n_samples // STEPS)
    before = max(half - int(first.min()), 0)
    after = max(int((first + (n_blocks - 1) * steps).max()) + width - half - n_present, 0)
    padded = torch.nn.functional.pad(audio, (before, after))
    rows = np.arange(n_items) * padded.shape[1] + before - half + first
    begin = rows[:, None] + np.arange(n_blocks)[None, :] * steps[:, None]
    stretches = padded.as_strided((padded.numel() - width + 1, width), (1, 1))
    blocks = stretches.index_select(0, torch.from_numpy(begin.ravel()).to(audio.device))
    weights = matrices.index_select(0, torch.from_numpy(steps - low).to(audio.device))
    return torch.bmm(blocks.view(n_items, n_blocks, width), weights).view(n_items, -1)[:, :n_samples]
