"""Batches whose recordings are played at other speeds or moved in time, and their spans with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data.batches import Batch
from phonaut.data.resampling import STEPS, change_speed, resampled_length


def play_at(batch: Batch, percent: NDArray[np.int64], *, low: int, high: int, sample_rate: int) -> Batch:
    """The recordings at speeds of `percent (B,)` hundredths, each 100 or from `low` to `high`.

    Where all recordings are clips of one length, the result is fitted to it around the middle.
    """
    (changed,) = np.nonzero(percent != STEPS)
    if not len(changed):
        return batch
    device = batch.audio.device
    where, speed = torch.from_numpy(changed).to(device), torch.from_numpy(percent).to(device)
    lengths = resampled_length(batch.audio_lengths, speed)
    played = change_speed(batch.audio[where], percent[changed], low=low, high=high)
    clear_after(played, lengths[where])
    later = torch.zeros_like(lengths)
    if batch.clip_samples is None:
        n_samples = int(lengths.max())
    else:
        n_samples, lengths = batch.clip_samples, batch.audio_lengths
        begin = (-(-n_samples * STEPS // percent) - n_samples) // 2  # of the clip, within what was played
        played, later = stretch(played, begin[changed], n_samples), -torch.from_numpy(begin).to(device)

    def fitted(audio: Tensor) -> Tensor:
        return torch.nn.functional.pad(audio, (0, n_samples - audio.shape[1]))

    audio = fitted(batch.audio).index_copy(0, where, fitted(played))
    result = replace(batch, audio=audio, audio_lengths=lengths)
    return move_spans(result, batch, STEPS / speed.double(), later / sample_rate, sample_rate)


def shift_by(batch: Batch, shift: NDArray[np.int64], *, sample_rate: int) -> Batch:
    """The recordings `shift (B,)` samples later (or earlier, where negative); zeros come in, what leaves is lost."""
    audio = clear_padding(stretch(batch.audio, -shift, batch.audio.shape[1]), batch)
    later_s = torch.from_numpy(shift / sample_rate).to(audio.device)
    return move_spans(replace(batch, audio=audio), batch, torch.ones_like(later_s), later_s, sample_rate)


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
