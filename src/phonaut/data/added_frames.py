"""Recordings of frames that were made, beside those of a split: batches give them like any other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Index
from phonaut.data.batches import SpeechDataset
from phonaut.data.spans import Spans, offsets
from phonaut.data.windows import Windows


@dataclass(frozen=True, eq=False)
class AddedFrames:
    """Recordings that no corpus has, by their frames.

    Attributes:
        frames: of all, normalised as the model takes them, one after another, `(N, D)`.
        offset: where those of each begin, `(A + 1,)`.
        row: the utterance of the split that each counts as; its speaker is that, `(A,)`.
        part: a number of each among what counts as that utterance, which its key derives from, `(A,)`.
        start: first sample in that utterance, `(A,)`.
        stop: the sample after the last, `(A,)`; may lie beyond its end.
        span_offset: the spans of each begin here, `(A + 1,)`.
        span_start_s: within the utterance, seconds, `(S,)`.
        span_end_s: `(S,)`.
        label: `(S,)`.
    """

    frames: NDArray[np.float32]
    offset: Index
    row: Index
    part: Index
    start: Index
    stop: Index
    span_offset: Index
    span_start_s: NDArray[np.float64]
    span_end_s: NDArray[np.float64]
    label: Index

    def __len__(self) -> int:
        return len(self.row)


def extended(dataset: SpeechDataset, computed: tuple[NDArray[np.float32], Index], added: AddedFrames) -> SpeechDataset:
    """A split whose frames are computed, with recordings after its own.

    Args:
        dataset: the split.
        computed: its frames `(N, D)`, and where those of each of its windows begin, `(W + 1,)`.
        added: the others.
    """
    windows, spans = dataset.windows, dataset.spans
    n_spans = np.concatenate([windows.n_spans, np.diff(added.span_offset)])
    both = Windows(
        np.concatenate([windows.row, added.row]),
        np.concatenate([windows.part, added.part]),
        np.concatenate([windows.start, added.start]),
        np.concatenate([windows.stop, added.stop]),
        offsets(n_spans),
        np.concatenate([windows.span, len(spans.label) + np.arange(len(added.label))]),
    )
    # The rows of added spans are those of their windows: as a table by utterance, all of them are in the last.
    n_rows = len(spans.offset) - 1
    counts = np.diff(spans.offset)
    if n_rows:
        counts[-1] += len(added.label)
    every = Spans(
        offsets(counts),
        np.concatenate([spans.start_s, added.span_start_s]),
        np.concatenate([spans.end_s, added.span_end_s]),
        np.concatenate([spans.label, added.label]),
    )
    result = SpeechDataset(dataset.table, every, both, clip_samples=dataset.clip_samples, n_features=dataset.n_features)
    frames, offset = computed
    result.computed = (
        np.concatenate([frames, added.frames]),
        np.concatenate([offset, offset[-1] + added.offset[1:]]),
    )
    return result
