"""A table of cuts in memory, with the columns of a prepared one."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from phonaut.data.batches import Batch

RATE = 16000


class Table:
    """What `UtteranceTable` offers, from arrays."""

    def __init__(
        self,
        audio: Sequence[np.ndarray],
        words: Sequence[str | None] | None = None,
        speakers: Sequence[str] | None = None,
        phones: Sequence[Sequence[tuple[str, float, float]]] | None = None,
    ) -> None:
        n = len(audio)
        self.recordings = [np.asarray(a, dtype=np.float32) for a in audio]
        self.sample_rate = RATE
        self.corpus = SimpleNamespace(genders={})
        self.n_samples = np.array([len(a) for a in audio], dtype=np.int64)
        self.durations_s = self.n_samples / RATE
        self.key = np.arange(n, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95) + np.uint64(2**63)
        words = words if words is not None else ["a", "b"] * n
        speakers = speakers if speakers is not None else [f"s{i % 3}" for i in range(n)]
        phones = phones if phones is not None else [[]] * n
        self.words = sorted({word for word in words[:n] if word is not None})
        self.speakers = sorted(set(speakers[:n]))
        self.phones = sorted({phone for row in phones for phone, _, _ in row})
        self.word = np.array([self.words.index(w) if w is not None else -1 for w in words[:n]], dtype=np.int32)
        self.speaker = np.array([self.speakers.index(s) for s in speakers[:n]], dtype=np.int32)
        self.phone_offset = np.cumsum([0, *(len(row) for row in phones)])
        flat = [phone for row in phones for phone in row]
        self.phone_label = np.array([self.phones.index(label) for label, _, _ in flat], dtype=np.int32)
        self.phone_start_s = np.array([start for _, start, _ in flat])
        self.phone_end_s = np.array([end for _, _, end in flat])

    def __len__(self) -> int:
        return len(self.recordings)

    def id(self, row: int) -> str:
        return f"cut{row}"

    def recording(self, row: int) -> str:
        return f"/corpus/cut{row}.wav"

    def audio(self, row: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        return self.recordings[row][start:stop]

    def write_audio(self, row: int, start: int, into: np.ndarray) -> None:
        into[:] = self.audio(row, start, start + len(into))


class Corpus:
    """What `PreparedCorpus` offers, from tables."""

    def __init__(self, clip_s: float | None = None, **tables: Table) -> None:
        self.name, self.sample_rate, self.clip_s, self.tables = "fake", RATE, clip_s, tables
        self.frames = None

    @classmethod
    def example(cls) -> "Corpus":
        """23 recordings of three durations to train on, 7 of one duration to validate."""
        train = Table([np.full(40 + 10 * (i % 3), i) for i in range(23)])
        return cls(train=train, validation=Table([np.ones(50)] * 7))

    def utterances(self, split: str) -> Table:
        return self.tables.get(split) or Table([])


@pytest.fixture
def make_table() -> type[Table]:
    return Table


@pytest.fixture
def make_corpus() -> type[Corpus]:
    return Corpus


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    """A batch of recordings of these lengths, each one span; `clip` says that they are clips of one length."""

    def make(lengths: Sequence[int], *, clip: bool = False, epoch: int = 0, first: int = 0) -> Batch:
        n = len(lengths)
        audio = torch.zeros(n, max(lengths))
        for i, length in enumerate(lengths):
            audio[i, :length] = torch.randn(length, generator=torch.Generator().manual_seed(first + i)) * 0.1
        numbers = torch.arange(n)
        seconds = torch.tensor(lengths, dtype=torch.float64) / RATE
        columns: dict[str, Any] = {
            "audio": audio,
            "audio_lengths": torch.tensor(lengths),
            "keys": (numbers + first + 1) * 0x1234567890ABCDE,
            "rows": numbers + first,
            "audio_start_s": torch.zeros(n, dtype=torch.float64),
            "span_recording": numbers,
            "span_start_s": torch.zeros(n, dtype=torch.float64),
            "span_end_s": seconds,
            "labels": numbers % 3,
        }
        return Batch(**columns, epoch=epoch, clip_samples=lengths[0] if clip else None)

    return make
