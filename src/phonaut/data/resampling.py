"""Recordings played faster or slower, each at its own speed, as one batched matrix product.

Output sample m of a recording at speed `r = p / 100` is the band-limited input at `m r`:

    y[m] = sum_k x[k] h(m r - k),   h(t) = c sinc(c t) kaiser(t / width),   c = ROLLOFF min(1, 1 / r)

Speeds are multiples of 1/100. So every 100 outputs the phases come round again, p inputs further on: block j of 100
outputs is the stretch of input from `j p` on times a matrix that depends on p alone. (Band-limited interpolation:
Smith and Gossett 1984; the polyphase form: Crochiere and Rabiner 1983, section 2.3.)
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

STEPS = 100  # speeds are multiples of 1/STEPS
ZERO_CROSSINGS = 16  # of the kernel, on each side
ROLLOFF = 0.92  # cut-off as a part of the lower of both Nyquist frequencies
KAISER_BETA = 7.0  # 70 dB of attenuation and more


def half_width(percent: int) -> int:
    """Input samples that the kernel reaches to either side, at a speed of `percent`/100."""
    return int(np.ceil(ZERO_CROSSINGS * max(1.0, percent / STEPS) / ROLLOFF))


@lru_cache(maxsize=8)
def kernels(low: int, high: int, device: torch.device) -> Tensor:
    """One matrix for each speed from `low` to `high` hundredths, `(high - low + 1, W, STEPS)`."""
    percent = np.arange(low, high + 1)[:, None, None]
    half = half_width(high)
    position = np.arange(STEPS)[None, None, :] * percent / STEPS  # of the outputs, in input samples
    inputs = np.arange(-half, high + half)[None, :, None]
    cutoff = ROLLOFF * np.minimum(1.0, STEPS / percent)
    t = cutoff * (position - inputs)
    window = np.i0(KAISER_BETA * np.sqrt(np.clip(1 - (t / ZERO_CROSSINGS) ** 2, 0, None))) / np.i0(KAISER_BETA)
    weights = np.sinc(t) * np.where(np.abs(t) < ZERO_CROSSINGS, window, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)  # a constant stays what it is
    return torch.from_numpy(weights.astype(np.float32)).to(device)


def resampled_length(n_samples: Tensor, percent: Tensor) -> Tensor:
    """Samples that are left of `n_samples (B,)` at speeds of `percent (B,)` hundredths."""
    return (n_samples * STEPS + percent - 1) // percent


def change_speed(audio: Tensor, percent: NDArray[np.int64], *, low: int, high: int) -> Tensor:
    """`audio (B, S)`, zero after its end, at speeds of `percent (B,)` hundredths, each from `low` to `high`.

    Returns:
        `(B, S')`; of each recording the first `resampled_length` samples count, what follows dies away.
    """
    n_items, n_samples = audio.shape
    matrices = kernels(low, high, audio.device)
    width = matrices.shape[1]
    n_blocks = -(-n_samples // int(percent.min()))
    half = half_width(high)
    padded = torch.nn.functional.pad(audio, (half, max(n_blocks * int(percent.max()) + width - n_samples, 0)))
    begin = np.arange(n_items)[:, None] * padded.shape[1] + np.arange(n_blocks)[None, :] * percent[:, None]
    stretches = padded.as_strided((padded.numel() - width + 1, width), (1, 1))
    blocks = stretches.index_select(0, torch.from_numpy(begin.ravel()).to(audio.device))
    weights = matrices.index_select(0, torch.from_numpy(percent - low).to(audio.device))
    return torch.bmm(blocks.view(n_items, n_blocks, width), weights).view(n_items, -1)
