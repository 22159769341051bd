"""Cutting spans out of recordings that have become frames."""

from __future__ import annotations

import torch
from torch import Tensor

# Times are rounded decimal fractions (0.3 / 0.01 is 30.000000000000004): nearer than this part of a frame is equal.
_ROUNDING = 1e-4


def slice_spans(
    frames: Tensor,
    lengths: Tensor,
    span_recording: Tensor,
    span_start_s: Tensor,
    span_end_s: Tensor,
    *,
    frame_shift_s: float,
    frame_offset_s: float,
    durations_s: Tensor,
) -> tuple[Tensor, Tensor]:
    """The frames of each span: those whose centres lie in `[start, end)`.

    A span that begins with its recording also owns the frames centred before it, one that reaches the recording's end
    the frames centred at or after it. A span between two centres gets the one frame nearest to its middle.

    Args:
        frames: `(B, T, D)`.
        lengths: `(B,)` frames of each recording.
        span_recording: `(N,)` which of the B recordings.
        span_start_s: `(N,)` seconds.
        span_end_s: `(N,)` seconds.
        frame_shift_s: from one centre to the next.
        frame_offset_s: centre of frame 0.
        durations_s: `(B,)` duration of each recording.

    Returns:
        Segments `(N, T', D)`, 0 past their lengths, and lengths `(N,)`. Where every span is one whole recording, in
        order, these are `frames` and `lengths` themselves.

    >>> frames = torch.arange(10.0).reshape(1, 10, 1)
    >>> spans = torch.tensor([0, 0]), torch.tensor([0.0, 0.05]), torch.tensor([0.03, 0.1])
    >>> settings = {"frame_shift_s": 0.01, "frame_offset_s": 0.005, "durations_s": torch.tensor([0.1])}
    >>> segments, lengths = slice_spans(frames, torch.tensor([10]), *spans, **settings)
    >>> segments.squeeze(-1).tolist(), lengths.tolist()
    ([[0.0, 1.0, 2.0, 0.0, 0.0], [5.0, 6.0, 7.0, 8.0, 9.0]], [3, 5])
    """
    n_frames = lengths[span_recording]
    first, end = _span_frames(
        n_frames, span_start_s.double(), span_end_s.double(), frame_shift_s, frame_offset_s, durations_s[span_recording]
    )
    span_lengths = end - first
    if len(span_recording) == len(frames):
        in_order = span_recording == torch.arange(len(frames), device=span_recording.device)
        if bool((in_order & (span_lengths == n_frames)).all()):
            return frames, lengths
    # Row n of `rows` has the frame numbers first[n] ... first[n] + T' - 1; those past its span are clamped to frames
    # that exist, and zeroed below.
    step = torch.arange(int(span_lengths.max()) if len(span_lengths) else 0, device=frames.device)
    rows = (first[:, None] + step).clamp(max=frames.shape[1] - 1)
    segments = frames[span_recording[:, None], rows]
    return segments.masked_fill((step >= span_lengths[:, None])[:, :, None], 0.0), span_lengths


def _span_frames(
    n_frames: Tensor, start_s: Tensor, end_s: Tensor, shift_s: float, offset_s: float, duration_s: Tensor
) -> tuple[Tensor, Tensor]:
    """First frame of each span, and the frame after its last."""

    def frame_at(time_s: Tensor) -> Tensor:
        return (time_s - offset_s) / shift_s

    # Frame t is of a span where its centre, offset + t shift, lies in [start, end): from the ceiling of the start's
    # frame number to that of the end's. Frames beyond the recording's ends are of the outermost spans; a span without
    # a centre takes the frame nearest to its middle.
    tolerance_s = _ROUNDING * shift_s
    first = torch.ceil(frame_at(start_s) - _ROUNDING).long().clamp(min=0)
    end = torch.minimum(torch.ceil(frame_at(end_s) - _ROUNDING).long(), n_frames)
    first = first.masked_fill(start_s <= tolerance_s, 0)
    end = torch.where(end_s >= duration_s - tolerance_s, n_frames, end)
    middle = frame_at((start_s + end_s) / 2).round().long().clamp(min=0)
    middle = torch.minimum(middle, n_frames - 1)
    empty = end <= first
    return torch.where(empty, middle, first), torch.where(empty, middle + 1, end)
