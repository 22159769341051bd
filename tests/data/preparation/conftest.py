"""A corpus without rules of its own, to try preparation on."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from phonaut.data.utterance import Utterance

RATE = 16000


class Listed:
    """A corpus that is a list of items."""

    name = "listed"

    def __init__(self, items: Sequence[Utterance], clip_s: float | None = None, words: list[str] | None = None) -> None:
        self.list, self.clip_s, self.order = items, clip_s, words

    @classmethod
    def folder(cls, folder: Path, clip_s: float | None = None, **splits: str) -> "Listed":
        """The files of a folder, each a word of its own, in `train` but for those whose stem names another split."""
        paths = sorted(folder.iterdir())
        return cls([Utterance(p.name, p, splits.get(p.stem, "train"), "s", p.stem) for p in paths], clip_s)

    def utterances(self) -> Iterator[Utterance]:
        yield from self.list

    def words(self) -> list[str] | None:
        return self.order

    def notes(self) -> list[str]:
        return ["a list"]

    def refused(self) -> list[dict[str, str]]:
        return [{"path": "elsewhere.wav", "reason": "the adapter said so"}]


@pytest.fixture
def listed() -> type[Listed]:
    return Listed


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """Noise at -20 dB."""

    def make(seconds: float = 0.5, *, rate: int = RATE, seed: int = 0) -> np.ndarray:
        return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)

    return make
