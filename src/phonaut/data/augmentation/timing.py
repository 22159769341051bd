"""Batches whose recordings are played at other speeds or moved in time, and their spans with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data.augmentation.resampling import STEPS, change_speed, resampled_length
from phonaut.data.batches import Batch


def retime(
    batch: Batch, steps: NDArray[np.int64], later: NDArray[np.int64], *, low: int, high: int, sample_rate: int
) -> Batch:
    """The recordings at speeds of `steps / STEPS (B,)`, then moved by `later (B,)` samples; zeros come in.

    Where all recordings are clips of one length, the result is fitted to it around the middle. Where a speed is not 1,
    its recording is moved by a whole number of samples as they were before, half a sample at most from what was asked.
    """
    if (steps == STEPS).all() and not later.any():
        return batch
    device = batch.audio.device
    if batch.clip_samples is None:
        lengths = resampled_length(batch.audio_lengths, torch.from_numpy(steps).to(device))
        n_samples, cut = int(lengths.max()), np.zeros_like(steps)
    else:
        lengths, n_samples = batch.audio_lengths, batch.clip_samples
        cut = (-(-n_samples * STEPS // steps) - n_samples) // 2  # off either end of what is longer now
    # The sample of the old recording at which the new one begins: `cut` come off its front, `later` zeros are added.
    first = np.rint((cut - later) * (steps / STEPS)).astype(np.int64)
    if (steps == STEPS).all():
        audio = stretch(batch.audio, first, n_samples)
    else:
        audio = change_speed(batch.audio, steps, first, n_samples, low=low, high=high)
    result = replace(batch, audio=audio, audio_lengths=lengths)
    clear_padding(audio, result)
    factor = STEPS / steps
    later_s = -first * factor / sample_rate
    return move_spans(
        result, batch, torch.from_numpy(factor).to(device), torch.from_numpy(later_s).to(device), sample_rate
    )


def move_spans(batch: Batch, before: Batch, factor: Tensor, later_s: Tensor, sample_rate: int) -> Batch:
    """The spans where `before` came to be `batch`: times are now `time * factor (B,) + later_s (B,)`.

    A span that was all of its recording still is. Others are clipped to it; of one that has left it, nothing is known
    any more: label -1.
    """
    recording = before.span_recording
    old_s = before.audio_lengths[recording].double() / sample_rate
    new_s = batch.audio_lengths[recording].double() / sample_rate
    whole = (before.span_start_s <= 0) & (before.span_end_s >= old_s - 0.5 / sample_rate)
    start_s, end_s = (
        torch.minimum((time * factor[recording] + later_s[recording]).clamp(min=0), new_s)
        for time in (before.span_start_s, before.span_end_s)
    )
    gone = ~whole & (end_s <= start_s)
    return replace(
        batch,
        span_start_s=torch.where(whole, 0.0, start_s),
        span_end_s=torch.where(whole, new_s, end_s),
        labels=before.labels.masked_fill(gone, -1),
    )


def stretch(audio: Tensor, begin: NDArray[np.int64], n_samples: int) -> Tensor:
    """`n_samples` of each recording from sample `begin (B,)` on, zero outside it: `(B, n_samples)`."""
    n_items, n_present = audio.shape
    before = max(-int(begin.min()), 0)
    after = max(int(begin.max()) + n_samples - n_present, 0)
    padded = torch.nn.functional.pad(audio, (before, after))
    # All windows of the flattened batch are one view of it, a sample apart: recording i's is number `rows[i]`.
    rows = np.arange(n_items) * padded.shape[1] + before + begin
    stretches = padded.as_strided((padded.numel() - n_samples + 1, n_samples), (1, 1))
    return stretches.index_select(0, torch.from_numpy(rows).to(audio.device))


def clear_padding(audio: Tensor, batch: Batch) -> Tensor:
    """`audio (B, S)`, in place zero beyond the recordings of `batch`."""
    return audio if batch.clip_samples is not None else clear_after(audio, batch.audio_lengths)


def clear_after(audio: Tensor, lengths: Tensor) -> Tensor:
    """`audio (B, S)`, in place zero beyond `lengths (B,)`."""
    first = int(lengths.min())  # most of a batch of like durations lies before
    times = torch.arange(first, audio.shape[1], device=audio.device)
    audio[:, first:].masked_fill_(times >= lengths[:, None], 0.0)
    return audio
