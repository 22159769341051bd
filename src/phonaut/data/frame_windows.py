"""Windows of frames, all of one length: around the middle of each segment, or one after another over recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Index
from phonaut.checks import below, refuse
from phonaut.data.batches import KeyedBatch
from phonaut.data.datamodule import CorpusData, SpeechData
from phonaut.data.draws import nth_key
from phonaut.data.sampler import BatchSampler
from phonaut.data.spans import offsets

if TYPE_CHECKING:
    from phonaut.data.prepared import UtteranceTable

AT_ONCE = 512  # windows
Kind = Literal["segments", "sliding"]
Frames = Callable[[str], tuple[NDArray[np.float32], Index]]


@dataclass
class WindowBatch(KeyedBatch):
    """Windows of frames.

    Attributes:
        frames: as the front end gives them, `(B, T, D)` float32.
        inside: which of them lie in the recording; the others are copies of its ends, `(B, T)`.
        labels: the class of each window, -1 unknown, `(B,)` int64.
        speakers: its speaker's number in the order of training, -1 unknown, `(B,)` int64.
        sequence: the number of its utterance in training, -1 where it is of another split, `(B,)` int64.
        sequence_size: windows of that utterance, `(B,)` int64.
        keys: what random draws of a window derive from, `(B,)` int64 (the bits of a uint64); they stay on the CPU.
        epoch: of training.
    """

    frames: Tensor
    inside: Tensor
    labels: Tensor
    speakers: Tensor
    sequence: Tensor
    sequence_size: Tensor
    keys: Tensor
    epoch: int = 0


@dataclass(frozen=True, eq=False)
class FrameWindows:
    """The windows of a split, by their numbers.

    Attributes:
        frames: of all recordings, `(N, D)`.
        first: row of the first frame of each window, which may lie before its recording, `(W,)`.
        begin: row where its recording begins, `(W,)`.
        end: row after its last frame, `(W,)`.
        row: its utterance in the table of the split, `(W,)`.
        labels: `(W,)`.
        speakers: `(W,)`.
        keys: `(W,)` uint64.
        window_frames: T.
        in_training: its utterances are those of training.
    """

    frames: NDArray[np.float32]
    first: Index
    begin: Index
    end: Index
    row: Index
    labels: Index
    speakers: Index
    keys: NDArray[np.uint64]
    window_frames: int
    in_training: bool

    @cached_property
    def size(self) -> Index:
        """Windows of the utterance of each window, `(W,)`."""
        return np.bincount(self.row)[self.row] if len(self.row) else self.row

    @cached_property
    def number(self) -> Index:
        """The number of that utterance in training, of those that have windows; -1 in other splits, `(W,)`."""
        return np.unique(self.row, return_inverse=True)[1] if self.in_training else np.full(len(self.row), -1)

    def __len__(self) -> int:
        return len(self.first)

    @property
    def n_sequences(self) -> int:
        """Utterances that have windows."""
        return len(np.unique(self.row))

    def __getitem__(self, numbers: Index) -> WindowBatch:
        rows = self.first[numbers][:, None] + np.arange(self.window_frames)
        begin, end = self.begin[numbers][:, None], self.end[numbers][:, None]
        return WindowBatch(
            torch.from_numpy(self.frames[np.clip(rows, begin, end - 1)]),
            torch.from_numpy((rows >= begin) & (rows < end)),
            torch.from_numpy(self.labels[numbers]),
            torch.from_numpy(self.speakers[numbers]),
            torch.from_numpy(self.number[numbers]),
            torch.from_numpy(self.size[numbers]),
            torch.from_numpy(self.keys[numbers].view(np.int64)),
        )

    def batches(self, rows: Index | None = None) -> Iterator[WindowBatch]:
        """Some windows by their numbers, or all, in the order given, a few hundred at a time."""
        rows = np.arange(len(self)) if rows is None else rows
        for first in range(0, len(rows), AT_ONCE):
            yield self[rows[first : first + AT_ONCE]]


class WindowData(CorpusData):
    """A prepared corpus as batches of windows of frames, which are computed once.

    Args:
        speech: the corpus as spans of one target, whose classes are the labels of windows.
        window_frames: T.
        kind: `segments`: a window around the middle of each span; `sliding`: windows over whole recordings, one every
            `shift_frames`; its label is the span's in which its middle lies. A recording of fewer frames is one window,
            its middle that of the recording.
        shift_frames: from a window to the next.
        left_out: labels around which there are no windows, silence for one.
        frame_shift_s: from one frame to the next.
        frame_offset_s: centre of the first.

    Attributes:
        frames_of: gives the frames of a split and where those of each of its windows for reading begin; to be set
            before batches are wanted.
        speakers: names of those in training.
        classes: names of what a model of them is conditioned on; none until a task says so.
    """

    frames_of: Frames

    def __init__(
        self,
        speech: SpeechData,
        *,
        window_frames: int,
        kind: Kind = "segments",
        shift_frames: int = 5,
        left_out: tuple[str, ...] = (),
        frame_shift_s: float,
        frame_offset_s: float,
    ) -> None:
        refuse(below(1, window_frames=window_frames, shift_frames=shift_frames))
        super().__init__(
            speech.prepared, seed=speech.seed, n_workers=speech.n_workers, max_recording_s=speech.max_recording_s
        )
        self.speech, self.window_frames, self.kind, self.shift_frames = speech, window_frames, kind, shift_frames
        self.frame_shift_s, self.frame_offset_s = frame_shift_s, frame_offset_s
        self.refused = speech.refused
        self.classes: list[str] = []
        self.labels = list(speech.classes)
        self.left_out = [self.labels.index(name) for name in left_out if name in self.labels]
        table = self.prepared.utterances("train")
        self.speakers = sorted({table.speaker_name(row) for row in range(len(table))} - {""})

    def read(self, split: str) -> FrameWindows:  # type: ignore[override]
        """The windows of a split."""
        frames, offset = self.frames_of(split)
        table = self.prepared.utterances(split)
        number = {name: i for i, name in enumerate(self.speakers)}
        speaker = np.array([number.get(table.speaker_name(row), -1) for row in range(len(table))], np.int64)
        find = self.around_segments if self.kind == "segments" else self.over_recordings
        part, first, labels, nth = find(split, offset)
        kept = ~np.isin(labels, self.left_out)
        part, first, labels, nth = part[kept], first[kept], labels[kept], nth[kept]
        row = self.speech.dataset(split).windows.row[part]
        return FrameWindows(
            frames,
            first,
            offset[part],
            offset[part + 1],
            row,
            labels,
            speaker[row],
            nth_key(table.key[row], nth),
            self.window_frames,
            split == "train",
        )

    def frame_at(self, seconds: NDArray[np.float64]) -> Index:
        """The frame whose centre is nearest to a time in its recording."""
        frame: Index = np.rint((seconds - self.frame_offset_s) / self.frame_shift_s).astype(np.int64)
        return frame

    def around_segments(self, split: str, offset: Index) -> tuple[Index, Index, Index, Index]:
        """Part of a recording, first frame, label and number in its utterance of the window around each span."""
        windows, spans = self.speech.dataset(split).windows, self.speech.spans[split]
        rate = self.prepared.utterances(split).sample_rate
        part = np.repeat(np.arange(len(windows)), windows.n_spans)
        start_s = windows.start[part] / rate
        middle_s = (spans.start_s[windows.span] + spans.end_s[windows.span]) / 2 - start_s
        middle = np.clip(self.frame_at(middle_s), 0, np.diff(offset)[part] - 1)
        first = offset[part] + middle - self.window_frames // 2
        return part, first, spans.label[windows.span], windows.span - spans.offset[windows.row[part]]

    def over_recordings(self, split: str, offset: Index) -> tuple[Index, Index, Index, Index]:
        """The same of windows over recordings; where they are read in parts, a window is in that of its middle."""
        windows, spans = self.speech.dataset(split).windows, self.speech.spans[split]
        table: UtteranceTable = self.prepared.utterances(split)
        rate, t = table.sample_rate, self.window_frames
        n_parts = np.bincount(windows.row, minlength=len(table))[windows.row]
        n_read = np.diff(offset)
        # The frames of a whole recording at which windows begin, and those of them whose middle is in this part.
        n_samples = table.n_samples[windows.row]
        is_last = windows.part == n_parts - 1  # which is read to the end of the recording
        lead = self.frame_at(windows.start / rate + self.frame_offset_s)  # of the part, in frames of its recording
        n_frames = (lead + n_read)[np.flatnonzero(is_last)][np.cumsum(windows.part == 0) - 1]
        low = self.frame_at(windows.part * n_samples / n_parts / rate + self.frame_offset_s)
        high = np.where(
            is_last, n_frames, self.frame_at((windows.part + 1) * n_samples / n_parts / rate + self.frame_offset_s)
        )
        last = np.maximum(n_frames - t, 0)
        from_ = np.maximum(-(-(low - t // 2) // self.shift_frames), 0)
        to = np.minimum((high - 1 - t // 2) // self.shift_frames, last // self.shift_frames)
        counts = np.maximum(to - from_ + 1, 0)
        short = (n_frames < t) & (n_parts == 1)
        counts = np.where(short, 1, counts)
        part = np.repeat(np.arange(len(windows)), counts)
        nth = np.arange(counts.sum()) - np.repeat(offsets(counts)[:-1], counts) + np.where(short, 0, from_)[part]
        begins = np.where(short[part], (n_frames[part] - t) // 2, nth * self.shift_frames)
        middle_s = (begins + t // 2) * self.frame_shift_s + self.frame_offset_s
        return part, offset[part] + begins - lead[part], self.labels_at(spans, windows.row[part], middle_s), nth

    def labels_at(self, spans: Any, row: Index, seconds: NDArray[np.float64]) -> Index:
        """The label of the span in which a time of an utterance lies, -1 where there is none."""
        if self.speech.target != "phone":
            return np.asarray(spans.label[spans.offset[row]], dtype=np.int64)  # one span an utterance
        if not len(spans.label):
            return np.full(len(row), -1, np.int64)
        # Spans of all utterances on one line: utterance r lies from r * long on.
        long = max(float(spans.end_s.max()), float(seconds.max(initial=0.0))) + 1.0
        at = np.searchsorted(spans.row * long + spans.start_s, row * long + seconds, side="right") - 1
        at = np.maximum(at, 0)
        there = (spans.row[at] == row) & (seconds >= spans.start_s[at]) & (seconds < spans.end_s[at])
        return np.where(there, spans.label[at], -1)

    def windows(self, split: str) -> FrameWindows:
        """The windows of a split."""
        return self.dataset(split)  # type: ignore[return-value]

    def sampler(self, split: str, *, rank: int = 0, world_size: int = 1) -> BatchSampler:
        """The windows that make up the batches of a split."""
        one = np.ones(len(self.dataset(split)), np.int64)
        return BatchSampler(one, one, self.speech.batch_size, self.seed, split == "train", rank, world_size)
