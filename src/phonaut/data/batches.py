"""Collation: recordings into one padded tensor, with the spans to be classified beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Index
from phonaut.data.draws import nth_key
from phonaut.data.spans import Spans
from phonaut.data.windows import Windows

if TYPE_CHECKING:
    from phonaut.data.prepared import UtteranceTable


class KeyedBatch:
    """What dataclasses of tensors with `keys` share: they move to devices, and name what random draws derive from."""

    keys: Tensor

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """The batch on another device; keys stay on the CPU, where draws are made."""
        moved: dict[str, Any] = {
            name: value.to(device, non_blocking=non_blocking)
            for name, value in vars(self).items()
            if isinstance(value, Tensor) and name != "keys"
        }
        return replace(self, **moved)  # type: ignore[type-var]

    @property
    def draw_keys(self) -> NDArray[np.uint64]:
        """The keys as `phonaut.data.draws` takes them, `(B,)`."""
        keys: NDArray[np.uint64] = self.keys.numpy().view(np.uint64)
        return keys


@dataclass
class Batch(KeyedBatch):
    """Recordings and the spans in them; padding is zero.

    Attributes:
        audio: `(B, S)` float32; S is 0 where there are frames in its place.
        audio_lengths: valid samples, `(B,)` int64.
        keys: what random draws of a recording derive from, `(B,)` int64 (the bits of a uint64). They stay on the CPU,
            where draws are made: a GPU would have to be waited for.
        rows: the utterance of each recording in its table, `(B,)` int64.
        audio_start_s: where the recording begins within its utterance, `(B,)` float64; 0 but for parts of long ones.
        span_recording: the recording in the batch that each span lies in, `(N,)` int64.
        span_start_s: start of the span within the recording, seconds, `(N,)` float64.
        span_end_s: its end, `(N,)` float64.
        labels: its class, -1 unknown, `(N,)` int64.
        epoch: of training.
        clip_samples: the length that every recording is fitted to, or None where each has its own.
        frames: in place of audio, `(B, T, D)` float32, or None.
        frame_lengths: valid frames, `(B,)` int64, or None.
        frame_durations_s: how long what they were made from is, seconds, `(B,)` float64, or None.
        is_computed: the frames are normalised and encoded already.
        warp: factor on the frequencies of the front end's mel filters, `(B,)` float64, or None.
        hidden_s: stretches of each recording whose frames are hidden, from and to in seconds, `(B, M, 2)`, or None.
        hidden_bands: bands that are hidden, from and to as parts of all in [0, 1], `(B, M, 2)`, or None.
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
    frame_lengths: Tensor | None = None
    frame_durations_s: Tensor | None = None
    is_computed: bool = False
    warp: Tensor | None = None
    hidden_s: Tensor | None = None
    hidden_bands: Tensor | None = None

    @property
    def given(self) -> tuple[Tensor, Tensor]:
        """The input of a front end with its lengths: audio, or the frames in its place."""
        if self.frames is None:
            return self.audio, self.audio_lengths
        assert self.frame_lengths is not None
        return self.frames, self.frame_lengths

    def durations_s(self, sample_rate: float) -> Tensor:
        """Durations of the recordings, seconds, `(B,)`; `sample_rate` is that of the audio."""
        if self.frame_durations_s is not None:
            return self.frame_durations_s
        return self.audio_lengths.double() / sample_rate


class SpeechDataset:
    """Batches of a split by the numbers of their windows.

    Args:
        table: the utterances.
        spans: what is to be classified in them.
        windows: what is read in one go.
        clip_samples: the length that every utterance was fitted to, or None.
        n_features: of the frames that are there in place of audio, or None.

    Attributes:
        computed: frames of all windows one after another `(N, D)`, normalised and encoded, and where each window begins
            `(W + 1,)`; then they are given in place of what they were computed from. None: nothing was.
    """

    def __init__(
        self,
        table: UtteranceTable,
        spans: Spans,
        windows: Windows,
        *,
        clip_samples: int | None = None,
        n_features: int | None = None,
    ) -> None:
        self.table = table
        self.spans = spans
        self.windows = windows
        self.clip_samples = clip_samples
        self.n_features = n_features
        self.computed: tuple[NDArray[np.float32], NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, numbers: NDArray[np.int64]) -> Batch:
        windows, spans, table = self.windows, self.spans, self.table
        rows, start, stop = windows.row[numbers], windows.start[numbers], windows.stop[numbers]
        n_spans = windows.n_spans[numbers]
        recording = np.repeat(np.arange(len(numbers)), n_spans)
        within = np.arange(n_spans.sum()) - np.repeat(np.cumsum(n_spans) - n_spans, n_spans)
        span = windows.span[windows.offset[numbers][recording] + within]
        start_s = start / table.sample_rate
        given: dict[str, Any]
        if self.computed is not None:
            frames, offset = self.computed
            parts = [frames[offset[number] : offset[number + 1]] for number in numbers]
            given = self.in_place_of_audio(parts, frames.shape[1], numbers) | {"is_computed": True}
        elif self.n_features is not None:
            parts = [self.table.frames(*place) for place in zip(rows, start.tolist(), stop.tolist(), strict=True)]
            given = self.in_place_of_audio(parts, self.n_features, numbers)
        else:
            given = self.audio(rows, start, stop)
        return Batch(
            **given,
            keys=torch.from_numpy(nth_key(table.key[rows], windows.part[numbers]).view(np.int64)),
            rows=torch.from_numpy(rows),
            audio_start_s=torch.from_numpy(start_s),
            span_recording=torch.from_numpy(recording),
            span_start_s=torch.from_numpy(spans.start_s[span] - start_s[recording]),
            span_end_s=torch.from_numpy(spans.end_s[span] - start_s[recording]),
            labels=torch.from_numpy(spans.label[span]),
            clip_samples=self.clip_samples,
        )

    def audio(self, rows: Index, start: Index, stop: Index) -> dict[str, Tensor]:
        """Samples of utterances from `start` to `stop`, each `(B,)`, with their lengths."""
        lengths = stop - start
        audio = torch.empty(len(rows), int(lengths.max(initial=0)))
        into = audio.numpy()
        for i, (row, first, n) in enumerate(zip(rows, start.tolist(), lengths.tolist(), strict=True)):
            self.table.write_audio(row, first, into[i, :n])
            into[i, n:] = 0.0
        return {"audio": audio, "audio_lengths": torch.from_numpy(lengths)}

    def in_place_of_audio(
        self, parts: list[NDArray[np.float32]], n_features: int, numbers: NDArray[np.int64]
    ) -> dict[str, Tensor]:
        """The frames `(T, D)` of each window in one tensor, with their lengths."""
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        frames = torch.empty(len(parts), int(lengths.max(initial=0)), n_features)
        into = frames.numpy()
        for i, part in enumerate(parts):
            into[i, : len(part)] = part
            into[i, len(part) :] = 0.0
        return {
            "audio": torch.empty(len(parts), 0),
            "audio_lengths": torch.zeros(len(parts), dtype=torch.int64),
            "frames": frames,
            "frame_lengths": torch.from_numpy(lengths),
            "frame_durations_s": torch.from_numpy(self.durations_s(numbers)),
        }

    def durations_s(self, numbers: Index) -> NDArray[np.float64]:
        """Durations of windows, seconds, `(B,)`; that which reaches the end of its utterance ends with it."""
        rows, start, stop = (column[numbers] for column in (self.windows.row, self.windows.start, self.windows.stop))
        rate = self.table.sample_rate
        whole = stop == self.table.n_samples[rows]
        end_s = np.where(whole, self.table.durations_s[rows], stop / rate)
        seconds: NDArray[np.float64] = end_s - start / rate
        return seconds
