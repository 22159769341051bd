"""Collation: every recording and every span arrives, once, as it is."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from phonaut.data.batches import Batch, SpeechDataset
from phonaut.data.sampler import BatchSampler
from phonaut.data.spans import Spans, offsets, spans_of
from phonaut.data.windows import windows_of

RATE = 16000


def dataset(table: Any, spans: Spans, **arguments: Any) -> SpeechDataset:
    settings = {"sample_rate": RATE, "max_recording_s": 30.0, **arguments}
    return SpeechDataset(table, spans, windows_of(table.n_samples, spans, **settings))


def random_phones(rng: np.random.Generator, seconds: float) -> list[tuple[str, float, float]]:
    """Phones of 30 to 200 ms that cover all of a recording."""
    edges = [0.0]
    while edges[-1] < seconds:
        edges.append(min(edges[-1] + rng.uniform(0.03, 0.2), seconds))
    return [(str(rng.integers(5)), a, b) for a, b in pairwise(edges)]


@pytest.fixture
def sentences(make_table: Any) -> Any:
    rng = np.random.default_rng(0)
    lengths = rng.integers(8_000, 40_000, 12)
    return make_table([rng.standard_normal(n) for n in lengths], phones=[random_phones(rng, n / RATE) for n in lengths])


def test_a_batch_holds_its_recordings_and_zeros(sentences: Any) -> None:
    batch = dataset(sentences, spans_of(sentences, "keyword", ["a", "b"]))[np.array([7, 2, 9])]
    assert batch.audio.shape == (3, sentences.n_samples[[7, 2, 9]].max())
    assert batch.audio.dtype == torch.float32
    for i, row in enumerate([7, 2, 9]):
        n = sentences.n_samples[row]
        assert batch.audio_lengths[i] == n
        assert (batch.audio[i, :n].numpy() == sentences.recordings[row]).all()
        assert (batch.audio[i, n:] == 0).all()
    assert batch.rows.tolist() == [7, 2, 9]
    assert (batch.draw_keys == sentences.key[[7, 2, 9]]).all()
    assert batch.span_recording.tolist() == [0, 1, 2]
    assert batch.span_end_s.tolist() == (sentences.n_samples[[7, 2, 9]] / RATE).tolist()
    assert batch.labels.tolist() == sentences.word[[7, 2, 9]].tolist()
    assert batch.clip_samples is None
    assert batch.epoch == 0


def test_phones_stay_with_their_recording(sentences: Any) -> None:
    spans = spans_of(sentences, "phone", sentences.phones)
    batch = dataset(sentences, spans)[np.array([3, 0])]
    for i, row in enumerate([3, 0]):
        mine = batch.span_recording == i
        of_row = slice(sentences.phone_offset[row], sentences.phone_offset[row + 1])
        assert batch.span_start_s[mine].tolist() == sentences.phone_start_s[of_row].tolist()
        assert batch.span_end_s[mine].tolist() == sentences.phone_end_s[of_row].tolist()
        assert batch.labels[mine].tolist() == sentences.phone_label[of_row].tolist()


def test_a_cut_without_spans_gives_audio_alone(make_table: Any) -> None:
    table = make_table([np.ones(100), np.ones(50)], phones=[[], [("a", 0.0, 0.001)]])
    batch = dataset(table, spans_of(table, "phone", ["a"]))[np.array([0, 1])]
    assert batch.audio.shape == (2, 100)
    assert batch.span_recording.tolist() == [1]


def test_a_batch_moves_between_devices(sentences: Any) -> None:
    batch = dataset(sentences, spans_of(sentences, "keyword", ["a", "b"]))[np.array([1])]
    moved = batch.to("meta")
    assert moved.audio.device.type == moved.labels.device.type == "meta"
    assert moved.keys.device.type == "cpu", "draws are made there"


# --- long recordings


def test_each_span_of_a_long_recording_is_in_one_window_and_whole(sentences: Any) -> None:
    spans = spans_of(sentences, "phone", sentences.phones)
    data = dataset(sentences, spans, max_recording_s=0.5, margin_s=0.1)
    assert len(data) > 2 * len(sentences)
    found = []
    for number in range(len(data)):
        batch = data[np.array([number])]
        seconds = float(batch.audio_lengths[0]) / RATE
        assert ((batch.span_start_s >= 0) & (batch.span_end_s <= seconds + 1e-9)).all()
        assert seconds <= 0.5 + 2 * 0.2 + 2 * 0.1 + 0.8, "part, its outermost spans, margins, grid"
        row, start_s = int(batch.rows[0]), float(batch.audio_start_s[0])
        begin = round(start_s * RATE)
        expected = sentences.recordings[row][begin : begin + int(batch.audio_lengths[0])]
        assert (batch.audio[0].numpy() == expected).all()
        for a, b, label in zip(
            batch.span_start_s.tolist(), batch.span_end_s.tolist(), batch.labels.tolist(), strict=True
        ):
            found.append((row, round(a + start_s, 9), round(b + start_s, 9), label))
    table = zip(
        spans.row.tolist(),
        spans.start_s.round(9).tolist(),
        spans.end_s.round(9).tolist(),
        spans.label.tolist(),
        strict=True,
    )
    assert sorted(found) == sorted(table)


def frames_of(batch: Batch, taps: int = 9601, hop: int = 160) -> torch.Tensor:
    """A feature that sees 0.3 s to either side of its frame."""
    kernel = torch.randn(1, 1, taps, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    padded = torch.nn.functional.pad(batch.audio.double()[:, None], (taps // 2, taps // 2))
    return torch.nn.functional.conv1d(padded, kernel, stride=hop)[:, 0]


def test_spans_see_in_a_window_what_they_see_in_the_whole_recording(make_table: Any) -> None:
    rng = np.random.default_rng(0)
    table = make_table([rng.standard_normal(10 * RATE)], phones=[random_phones(rng, 10.0)])
    spans = spans_of(table, "phone", table.phones)
    whole = dataset(table, spans)[np.array([0])]
    expected = frames_of(whole)[0]
    data = dataset(table, spans, max_recording_s=1.3, margin_s=0.3)
    n_frames = 0
    for number in range(len(data)):
        window = data[np.array([number])]
        frames = frames_of(window)[0]
        first = round(float(window.audio_start_s[0]) * 100)
        for start_s, end_s in zip(window.span_start_s.tolist(), window.span_end_s.tolist(), strict=True):
            inside = range(int(np.ceil(start_s * 100)), int(np.ceil(end_s * 100)))
            n_frames += len(inside)
            torch.testing.assert_close(frames[inside], expected[[first + k for k in inside]], rtol=0, atol=1e-12)
    assert n_frames == 1000


def test_parts_of_a_recording_have_draws_of_their_own(make_table: Any) -> None:
    table = make_table([np.ones(5 * RATE), np.ones(100)], phones=[[("a", t, t + 0.1) for t in range(5)], []])
    data = dataset(table, spans_of(table, "phone", ["a"]), max_recording_s=1.0)
    keys = data[np.arange(len(data))].draw_keys
    assert len(set(keys.tolist())) == len(data) == 6
    assert keys[0] == table.key[0]
    assert keys[5] == table.key[1]


def test_windows_without_spans_can_be_left_out(make_table: Any) -> None:
    table = make_table([np.ones(4 * RATE)], phones=[[("a", 0.1, 0.2), ("b", 3.5, 3.6), ("a", 3.7, 3.8)]])
    spans = spans_of(table, "phone", ["a", "b"])
    windows = windows_of(table.n_samples, spans, sample_rate=RATE, max_recording_s=1.0)
    assert windows.n_spans.tolist() == [1, 0, 0, 2]
    assert windows.with_spans().part.tolist() == [0, 3]
    batch = SpeechDataset(table, spans, windows.with_spans())[np.array([1])]
    assert (batch.span_start_s + batch.audio_start_s).tolist() == pytest.approx([3.5, 3.7])
    assert batch.labels.tolist() == [1, 0]


def test_windows_and_batches_cover_a_large_table(make_table: Any) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 30, 500)
    n_samples = rng.integers(1, 100 * RATE, 500)
    row = np.repeat(np.arange(500), counts)
    start_s = rng.uniform(0, 0.9, len(row)) * n_samples[row] / RATE
    end_s = np.minimum(start_s + 0.2, n_samples[row] / RATE)
    spans = Spans(offsets(counts), start_s, end_s, np.zeros(len(row), np.int64))
    windows = windows_of(n_samples, spans, sample_rate=RATE, max_recording_s=5.0)
    assert sorted(windows.span.tolist()) == list(range(len(row)))
    of_window = np.repeat(np.arange(len(windows)), windows.n_spans)
    assert (windows.row[of_window] == row[windows.span]).all()
    assert (windows.start[of_window] <= start_s[windows.span] * RATE).all()
    assert (windows.stop[of_window] >= end_s[windows.span] * RATE - 1).all()
    assert (windows.stop - windows.start).max() <= (5 + 0.4 + 2 + 0.8) * RATE
    sampler = BatchSampler(windows.n_spans, windows.stop - windows.start, 100, seed=0, shuffle=True)
    assert sorted(np.concatenate(list(sampler)).tolist()) == list(range(len(windows)))
