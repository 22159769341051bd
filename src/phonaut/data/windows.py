"""Windows: whole recordings, or stretches of long ones, so that memory is bounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phonaut.data.spans import Spans, offsets

# Windows start at multiples of this many samples, so that frames fall where they fall in the whole recording: it is a
# multiple of the usual hops (64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 640).
GRID = 12_800


@dataclass(frozen=True, slots=True)
class Windows:
    """Stretches of utterances and the spans that belong to each.

    Attributes:
        row: the utterance, `(W,)`.
        part: which part of its utterance, 0 where it is all of it, `(W,)`.
        start: first sample that is read, `(W,)`.
        stop: the sample after the last, `(W,)`.
        offset: the spans of window w are `span[offset[w] : offset[w + 1]]`, `(W + 1,)`.
        span: indices of spans, `(N,)`.
    """

    row: NDArray[np.int64]
    part: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    offset: NDArray[np.int64]
    span: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def n_spans(self) -> NDArray[np.int64]:
        """Spans of each window, `(W,)`."""
        return np.diff(self.offset)

    def with_spans(self) -> Windows:
        """The windows that hold something to classify."""
        with_some = self.n_spans > 0
        columns = (self.row[with_some], self.part[with_some], self.start[with_some], self.stop[with_some])
        return Windows(*columns, offsets(self.n_spans[with_some]), self.span)


def windows_of(
    n_samples: NDArray[np.int64],
    spans: Spans,
    *,
    sample_rate: float,
    max_recording_s: float,
    margin_s: float = 1.0,
    grid: int = GRID,
) -> Windows:
    """Divide recordings longer than `max_recording_s` into equal parts of at most that length.

    A span belongs to the part in which its centre lies. Each part is read with `margin_s` of context on either side of
    itself and of its spans (as far as the recording goes), so that what is computed from a span's surroundings is what
    the whole recording would give. Shorter recordings are read whole.

    Args:
        n_samples: durations of the utterances, `(R,)`.
        spans: of these utterances, none longer than `max_recording_s`.
        sample_rate: Hz.
        max_recording_s: longest part, seconds.
        margin_s: context, seconds.
        grid: parts start at multiples of so many samples; 1 where a sample is a frame.
    """
    n_samples = np.asarray(n_samples, dtype=np.int64)
    n_parts = np.maximum(np.ceil(n_samples / (max_recording_s * sample_rate)).astype(np.int64), 1)
    first = offsets(n_parts)
    row = np.repeat(np.arange(len(n_samples)), n_parts)
    part = np.arange(len(row)) - first[row]

    # A span's centre, in parts of its recording, is the number of its part; `first` of the recording makes it a window.
    centre = (spans.start_s + spans.end_s) / 2 * sample_rate
    nth = (centre * n_parts[spans.row] / np.maximum(n_samples[spans.row], 1)).astype(np.int64)
    window = first[spans.row] + np.clip(nth, 0, n_parts[spans.row] - 1)

    # Each part grows to hold its spans, then by the margin, and starts on the grid; recordings of one part stay whole.
    start = part * n_samples[row] / n_parts[row]
    stop = (part + 1) * n_samples[row] / n_parts[row]
    np.minimum.at(start, window, spans.start_s * sample_rate)
    np.maximum.at(stop, window, spans.end_s * sample_rate)
    margin = margin_s * sample_rate
    start = np.maximum(start - margin, 0) // grid * grid
    stop = np.minimum(np.ceil(stop + margin), n_samples[row])
    whole = n_parts[row] == 1
    return Windows(
        row,
        part,
        np.where(whole, 0, start).astype(np.int64),
        np.where(whole, n_samples[row], stop).astype(np.int64),
        offsets(np.bincount(window, minlength=len(row))),
        np.argsort(window, kind="stable"),
    )
