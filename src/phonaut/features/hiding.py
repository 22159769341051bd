"""Frames and bands that are hidden from a model in training (Park et al. 2019, SpecAugment, arXiv:1904.08779)."""

from __future__ import annotations

import torch
from torch import Tensor

from phonaut.features.functional import length_mask


def hide(frames: Tensor, lengths: Tensor, hidden: Tensor) -> Tensor:
    """Replace hidden values by the mean of their feature over the recording's valid frames; padding stays 0.

    Args:
        frames: `(B, T, D)`.
        lengths: `(B,)`.
        hidden: `(B, T, D)`, or a shape that broadcasts to it.
    """
    inside = length_mask(lengths, frames.shape[1])[:, :, None]
    mean = frames.masked_fill(~inside, 0.0).sum(dim=1, keepdim=True) / lengths[:, None, None].to(frames.dtype)
    return torch.where(hidden & inside, mean, frames)


def within_times(hidden_s: Tensor, n_frames: int, *, frame_shift_s: float, frame_offset_s: float) -> Tensor:
    """Tell which of `n_frames` frames have their centre in one of the stretches `(B, M, 2)`: `(B, T)`."""
    times = frame_offset_s + torch.arange(n_frames, device=hidden_s.device, dtype=hidden_s.dtype) * frame_shift_s
    return ((times >= hidden_s[:, :, :1]) & (times < hidden_s[:, :, 1:])).any(dim=1)


def within_bands(hidden: Tensor, n_features: int, n_orders: int) -> Tensor:
    """Tell which features have their middle in one of the bands `(B, M, 2)`, parts of all: `(B, D)`.

    The features are `n_orders` times the same bands: themselves, then their deltas.
    """
    n_bands = n_features // n_orders
    middle = (torch.arange(n_bands, device=hidden.device, dtype=hidden.dtype) + 0.5) / n_bands
    return ((middle >= hidden[:, :, :1]) & (middle < hidden[:, :, 1:])).any(dim=1).repeat(1, n_orders)
