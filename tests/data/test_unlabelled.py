"""Recordings without anything to classify, in batches of as many frames."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonaut.data.unlabelled import UnlabelledData

RATE = 16000


@pytest.fixture
def corpus(make_table: Any, make_corpus: Any) -> Any:
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(8000, 48000, 40).tolist(), 16000 * 70]
    train = make_table([np.full(n, i / 64, dtype=np.float32) for i, n in enumerate(lengths)])
    return make_corpus(train=train, validation=make_table([np.ones(9000)] * 5))


def data(corpus: Any, **options: Any) -> UnlabelledData:
    settings = {"frame_samples": 160, "batch_frames": 1000, "seed": 0} | options
    return UnlabelledData(corpus, **settings)


def test_every_sample_is_heard_once_an_epoch_and_long_recordings_in_parts(corpus: Any) -> None:
    heard: dict[int, list[tuple[float, int]]] = {}
    for batch in data(corpus).batches("train"):
        assert len(batch.labels) == 0
        for row, start_s, n, audio in zip(
            batch.rows.tolist(), batch.audio_start_s.tolist(), batch.audio_lengths.tolist(), batch.audio, strict=True
        ):
            assert (audio[:n] == row / 64).all()
            assert not audio[n:].any()
            heard.setdefault(row, []).append((start_s, n))
    assert sorted(heard) == list(range(41))
    assert all(len(parts) == 1 and parts[0][1] == corpus.utterances("train").n_samples[row]
               for row, parts in heard.items() if row < 40)  # fmt: skip
    ends = 0.0
    parts = sorted(heard[40])
    assert len(parts) == 3
    for start_s, n in parts:
        assert start_s <= ends, "nothing is left out between parts"
        assert n <= 30 * RATE
        ends = start_s + n / RATE
    assert ends == 70.0
    assert sum(n for _, n in parts) < 72 * RATE


def test_batches_have_as_many_frames(corpus: Any) -> None:
    made = data(corpus)
    batches = list(made.batches("train"))
    for batch in batches:
        n_frames = int((batch.audio_lengths // 160).sum())
        assert n_frames <= 1000 + int(batch.audio_lengths.max()) // 160
    assert len(batches) == -(-int(made.n_frames("train").sum()) // 1000)


def test_weights_go_by_what_stands_before_the_slash_and_spare_validation(
    corpus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "validation"):
        monkeypatch.setattr(
            corpus.utterances(split), "id", lambda row: f"{'a' if row % 2 else 'b'}/{row}", raising=False
        )
    made = data(corpus, weights={"a": 3.0})
    rows = np.concatenate([batch.rows.numpy() for batch in made.batches("train")])
    times = np.bincount(rows, minlength=41)[:40]
    assert (times[1::2] == 3).all()
    assert (times[0::2] == 1).all()
    assert (made.weights_of("validation") == 1).all()


def test_what_is_heard_can_be_named(corpus: Any) -> None:
    lines = list(data(corpus).utterances())
    assert lines[0] == "train cut0"
    assert lines[-1] == "validation cut4"
    assert len(lines) == 46


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_frames": 0}, "batch_frames"),
        ({"n_workers": -1}, "n_workers"),
        ({"max_recording_s": 0.0}, "max_recording_s must be > 0, got 0"),
    ],
)
def test_numbers_out_of_range_are_refused(options: dict[str, Any], message: str, corpus: Any) -> None:
    with pytest.raises(ValueError, match=message):
        data(corpus, **options)


def test_a_split_without_recordings_is_refused(make_table: Any, make_corpus: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recordings in its validation split"):
        data(make_corpus(train=make_table([np.ones(9000)])))
