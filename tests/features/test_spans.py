"""Which frames a span owns."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import torch

from phonaut.features import MFCC, slice_spans

TIMES: dict[str, Any] = {"frame_shift_s": 0.01, "frame_offset_s": 0.0125}


def times(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def owned(recording: list[int], start: list[float], end: list[float], **times_: Any) -> list[list[float]]:
    """The frame numbers that each span gets, in two recordings of 10 and 6 frames (0.12 s and 0.08 s)."""
    frames = torch.stack([torch.arange(10.0), torch.arange(100.0, 110.0)])[:, :, None]
    keys = {**TIMES, "durations_s": times(0.12, 0.08), **times_}
    lengths = torch.tensor([10, 6])
    segments, n = slice_spans(frames, lengths, torch.tensor(recording), times(*start), times(*end), **keys)
    assert all(not segment[length:].any() for segment, length in zip(segments, n, strict=True))
    return [segment[:length, 0].tolist() for segment, length in zip(segments, n, strict=True)]


def test_a_frame_belongs_to_the_span_in_which_its_centre_lies() -> None:
    assert owned([0, 0, 1], [0.02, 0.0425, 0.03], [0.0425, 0.07, 0.05]) == [[1, 2], [3, 4, 5], [102, 103]]


def test_spans_that_cover_a_recording_own_each_frame_once() -> None:
    borders = [0.0, 0.017, 0.0325, 0.06, 0.101, 0.12]
    spans = owned([0] * 5, borders[:-1], borders[1:])
    assert [frame for span in spans for frame in span] == list(range(10))


def test_the_ends_of_a_recording_belong_to_the_spans_that_reach_them() -> None:
    """With centred framing the last frame is centred on the end, with causal framing the first before the beginning."""
    assert owned([0], [0.05], [0.12], frame_offset_s=0.03)[0][-1] == 9
    assert owned([0], [0.0], [0.03], frame_offset_s=-0.02) == [[0, 1, 2, 3, 4]]
    assert owned([1], [0.05], [0.08]) == [[104, 105]]


def test_a_span_between_two_centres_gets_the_nearest_frame() -> None:
    assert owned([0, 0, 0], [0.031, 0.036, 0.04], [0.032, 0.037, 0.04]) == [[2], [2], [3]]
    assert owned([1, 1], [0.5, 0.0], [0.6, 0.001]) == [[105], [100]]


def test_decimal_times_are_exact_to_a_frame() -> None:
    """0.3 / 0.01 is 30.000000000000004, and yet frame 30 begins a span at 0.3 s."""
    frames = torch.arange(200.0)[None, :, None]
    keys = {"frame_shift_s": 0.01, "frame_offset_s": 0.0, "durations_s": times(2.0)}
    for i in range(1, 150):
        start, end = float(Fraction(i, 100)), float(Fraction(i + 3, 100))
        segments, _ = slice_spans(frames, torch.tensor([200]), torch.tensor([0]), times(start), times(end), **keys)
        assert segments[0, :, 0].tolist() == [i, i + 1, i + 2]


def test_whole_recordings_are_handed_on_untouched() -> None:
    front_end = MFCC(framing="snip_edges")
    n_samples = torch.tensor([16000, 7001])
    frames, lengths = front_end(torch.randn(2, 16000), n_samples)
    durations_s = n_samples.double() / 16000
    keys: dict[str, Any] = {"frame_shift_s": front_end.frame_shift_s, "frame_offset_s": front_end.frame_offset_s}
    spans = torch.tensor([0, 1]), times(0.0, 0.0), durations_s
    segments, segment_lengths = slice_spans(frames, lengths, *spans, durations_s=durations_s, **keys)
    assert segments is frames
    assert segment_lengths is lengths
    swapped = torch.tensor([1, 0]), times(0.0, 0.0), durations_s.flip(0)
    segments, segment_lengths = slice_spans(frames, lengths, *swapped, durations_s=durations_s, **keys)
    assert torch.equal(segments, frames.flip(0))
    assert torch.equal(segment_lengths, lengths.flip(0))


def test_no_span_is_no_segment() -> None:
    empty = torch.zeros(0, dtype=torch.long), times(), times()
    segments, lengths = slice_spans(torch.zeros(1, 5, 3), torch.tensor([5]), *empty, durations_s=times(0.07), **TIMES)
    assert segments.shape == (0, 0, 3)
    assert len(lengths) == 0


def test_gradients_reach_the_frames_of_the_span_alone() -> None:
    frames = torch.zeros(1, 10, 1, requires_grad=True)
    spans = torch.tensor([0]), times(0.02), times(0.0425)
    segments, _ = slice_spans(frames, torch.tensor([10]), *spans, durations_s=times(0.12), **TIMES)
    segments.sum().backward()
    assert frames.grad is not None
    assert frames.grad.flatten().nonzero().flatten().tolist() == [1, 2]


def test_durations_in_single_precision_still_reach_the_end() -> None:
    frames = torch.arange(98.0)[None, :, None]
    for n_samples in range(16001, 16050):
        durations_s = torch.tensor([n_samples]) / 16000
        assert durations_s.dtype == torch.float32
        spans = torch.tensor([0]), times(0.5), times(n_samples / 16000)
        keys: dict[str, Any] = {"frame_shift_s": 0.01, "frame_offset_s": 0.04}  # the last centre lies after the end
        segments, _ = slice_spans(frames, torch.tensor([98]), *spans, durations_s=durations_s, **keys)
        assert segments[0, -1, 0] == 97
