"""The frames of a trained model for whole recordings: of long ones in parts, of many in batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data.batches import SpeechDataset
from phonaut.data.prepared import UtteranceTable
from phonaut.data.unlabelled import without_spans

POOL = 512  # recordings that are sorted by length together
AT_ONCE = 300_000  # samples in a batch, padding included


@dataclass(frozen=True)
class Frames:
    """A trained model as a source of frames.

    Attributes:
        forward: `(audio (B, S), audio_lengths (B,)) -> (frames (B, T, D), lengths (B,))`.
        module: that holds the weights.
        front_end: that states `n_features`, `sample_rate`, `frame_shift_s`, `frame_offset_s` and `n_frames`.
    """

    forward: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    module: torch.nn.Module
    front_end: Any


@torch.inference_mode()
def frames_of(
    source: Frames, table: UtteranceTable, max_recording_s: float, device: torch.device, rows: range | None = None
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Row and frames `(T, D)` of utterances, in the order of the table; those of like length go together.

    Args:
        source: makes the frames.
        table: the utterances.
        max_recording_s: longer ones are encoded in parts.
        device: of the source.
        rows: which utterances; None: all. They go together as if it were all, so the frames are the same to the bit.
    """
    dataset = without_spans(table, max_recording_s)
    windows = dataset.windows
    rows = range(len(table)) if rows is None else rows
    begin, end = np.searchsorted(windows.row, (rows.start, rows.stop)).tolist()
    row, parts = -1, list[tuple[float, NDArray[np.float32]]]()
    for first in range(begin // POOL * POOL, end, POOL):
        pool = pool_of(source.forward, dataset, np.arange(first, min(first + POOL, len(windows))), device)
        for number, frames in enumerate(pool, first):
            if not begin <= number < end:
                continue
            if int(windows.row[number]) != row:
                if parts:
                    yield row, joined(source.front_end, parts, int(table.n_samples[row]))
                row, parts = int(windows.row[number]), []
            parts.append((int(windows.start[number]) / table.sample_rate, frames))
    if parts:
        yield row, joined(source.front_end, parts, int(table.n_samples[row]))


def joined(front_end: Any, parts: Sequence[tuple[float, NDArray[np.float32]]], n_samples: int) -> NDArray[np.float32]:
    """The frames of a recording from those of its parts: each where its time is, for parts have frames at both ends."""
    if len(parts) == 1:
        return parts[0][1]
    n = int(front_end.n_frames(torch.tensor([n_samples]))[0])
    whole = np.empty((n, front_end.n_features), np.float32)
    filled = 0
    for start_s, frames in parts:
        begin = min(round(start_s / front_end.frame_shift_s), filled)
        end = min(n, begin + len(frames))
        whole[begin:end] = frames[: end - begin]
        filled = end
    return whole[:filled]


def pool_of(
    front: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    dataset: SpeechDataset,
    numbers: NDArray[np.int64],
    device: torch.device,
) -> Sequence[NDArray[np.float32]]:
    """Frames of some windows, in their order."""
    samples = (dataset.windows.stop - dataset.windows.start)[numbers]
    order = np.argsort(-samples, kind="stable")
    frames_by_number: list[NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(numbers)
    first = 0
    while first < len(order):
        n = max(1, AT_ONCE // max(1, int(samples[order[first]])))
        which = order[first : first + n]
        batch = dataset[numbers[which]].to(device)
        frames, lengths = front(batch.audio, batch.audio_lengths)
        on_cpu = frames.float().cpu().numpy()
        for place, sequence, length in zip(which.tolist(), on_cpu, lengths.tolist(), strict=True):
            frames_by_number[place] = sequence[:length]
        first += n
    return frames_by_number
