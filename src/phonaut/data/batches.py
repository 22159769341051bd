"""Collation: recordings into one padded tensor, with the spans to be classified beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data.draws import nth_key
from phonaut.data.spans import Spans
from phonaut.data.windows import Windows

if TYPE_CHECKING:
    from phonaut.data.prepared import CutTable


@dataclass
class Batch:
    """Recordings and the spans in them; padding is zero.

    Attributes:
        audio: `(B, S)` float32.
        audio_lengths: valid samples, `(B,)` int64.
        keys: what random draws of a recording derive from, `(B,)` int64 (the bits of a uint64). They stay on the CPU,
            where draws are made: a GPU would have to be waited for.
        rows: the cut of each recording in its table, `(B,)` int64.
        audio_start_s: where the recording begins within its cut, `(B,)` float64; 0 but for parts of long ones.
        span_recording: the recording in the batch that each span lies in, `(N,)` int64.
        span_start_s: start of the span within the recording, seconds, `(N,)` float64.
        span_end_s: its end, `(N,)` float64.
        labels: its class, -1 unknown, `(N,)` int64.
        epoch: of training.
        clip_samples: the length that every recording is fitted to, or None where each has its own.
        frames: in place of audio where frames are computed once.
    """

    audio: Tensor
    audio_lengths: Tensor
    keys: Tensor
    rows: Tensor
    audio_start_s: Tensor
    span_recording: Tensor
    span_start_s: Tensor
    span_end_s: Tensor
    labels: Tensor
    epoch: int = 0
    clip_samples: int | None = None
    frames: Tensor | None = None

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Batch:
        """The batch on another device."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=non_blocking)
            for name, value in vars(self).items()
            if isinstance(value, Tensor) and name != "keys"
        }
        return replace(self, **moved)

    @property
    def draw_keys(self) -> NDArray[np.uint64]:
        """The keys as `phonaut.data.draws` takes them, `(B,)`."""
        keys: NDArray[np.uint64] = self.keys.numpy().view(np.uint64)
        return keys


class SpeechDataset:
    """Batches of a split by the numbers of their windows.

    Args:
        table: the cuts.
        spans: what is to be classified in them.
        windows: what is read in one go.
        clip_samples: the length that every cut was fitted to, or None.
    """

    def __init__(self, table: CutTable, spans: Spans, windows: Windows, *, clip_samples: int | None = None) -> None:
        self.table = table
        self.spans = spans
        self.windows = windows
        self.clip_samples = clip_samples

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, numbers: NDArray[np.int64]) -> Batch:
        windows, spans, table = self.windows, self.spans, self.table
        rows, start, stop = windows.row[numbers], windows.start[numbers], windows.stop[numbers]
        lengths = stop - start
        audio = torch.empty(len(numbers), int(lengths.max(initial=0)))
        into = audio.numpy()
        for i, (row, first, n) in enumerate(zip(rows, start.tolist(), lengths.tolist(), strict=True)):
            table.write_audio(row, first, into[i, :n])
            into[i, n:] = 0.0
        n_spans = windows.n_spans[numbers]
        recording = np.repeat(np.arange(len(numbers)), n_spans)
        within = np.arange(n_spans.sum()) - np.repeat(np.cumsum(n_spans) - n_spans, n_spans)
        span = windows.span[windows.offset[numbers][recording] + within]
        start_s = start / table.sample_rate
        return Batch(
            audio=audio,
            audio_lengths=torch.from_numpy(lengths),
            keys=torch.from_numpy(nth_key(table.key[rows], windows.part[numbers]).view(np.int64)),
            rows=torch.from_numpy(rows),
            audio_start_s=torch.from_numpy(start_s),
            span_recording=torch.from_numpy(recording),
            span_start_s=torch.from_numpy(spans.start_s[span] - start_s[recording]),
            span_end_s=torch.from_numpy(spans.end_s[span] - start_s[recording]),
            labels=torch.from_numpy(spans.label[span]),
            clip_samples=self.clip_samples,
        )
