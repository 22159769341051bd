"""Recordings of noise, divided in time: what is mixed into training, what silence is cut from, what tests."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from phonaut.corpora.base import Corpus
from phonaut.corpora.disk import Refused, entries, is_audio
from phonaut.corpora.hashing import hash_percent
from phonaut.data.utterance import SPLITS, Utterance

NOISE_FOLDER = "_background_noise_"
SILENCE = "_silence_"
AUXILIARY = {"train": "noise", "test": "noise_test"}  # the parts that are mixed into speech


class Stretch(NamedTuple):
    """The part of a noise recording that one split may hear."""

    name: str
    path: str
    start_s: float
    duration_s: float

    @property
    def label(self) -> str:
        """Stands where the speaker stands: no two splits share a stretch of noise."""
        return f"{self.name} {self.start_s:g}-{self.start_s + self.duration_s:g} s"


class Background:
    """The noise recordings of a folder: the first part of each is for training, the next validates, the last tests."""

    def __init__(self, folder: Path, shares: Mapping[str, float], refused: Refused) -> None:
        """List a folder.

        Args:
            folder: holds noise recordings of any length.
            shares: per cent of each recording for each split.
            refused: gets the recordings whose header cannot be read.
        """
        self.recordings: list[dict[str, Stretch]] = []
        for name in filter(is_audio, entries(str(folder), refused)[0]):
            path = os.path.join(folder, name)
            duration_s = _duration_s(path, refused)
            if duration_s:
                self.recordings.append(_divide(name.rpartition(".")[0], path, duration_s, shares))

    def utterances(self, n_silence: Mapping[str, int], clip_s: float, seed: int) -> Iterator[Utterance]:
        """The parts to mix, and for each split `n_silence` windows of `clip_s` as the word `_silence_`.

        The windows of a split are spread evenly over its stretches, each moved at random within its share of the time.
        Where no stretch of a split is as long as a window, the split gets none.
        """
        counts = {split: self._allot(split, n_silence.get(split, 0), clip_s) for split in SPLITS}
        for index, parts in enumerate(self.recordings):
            for split, auxiliary in AUXILIARY.items():
                if part := parts.get(split):
                    yield _utterance(
                        part, f"{NOISE_FOLDER}/{part.name}/{auxiliary}", auxiliary, part.start_s, part.duration_s
                    )
            for split in SPLITS:
                n = counts[split][index]
                for i in range(n):
                    part = parts[split]
                    draw = hash_percent(f"{seed}/{part.name}/{split}/{i}") / 100
                    start_s = part.start_s + math.floor((i + draw) / n * (part.duration_s - clip_s) * 1e4) / 1e4
                    yield _utterance(part, f"{SILENCE}/{part.name}/{split}-{i:05d}", split, start_s, clip_s, SILENCE)

    def _rooms(self, split: str, clip_s: float) -> list[float]:
        """Seconds by which a window can be moved in each recording; 0: it does not fit."""
        parts = (recording.get(split) for recording in self.recordings)
        return [max(0.0, part.duration_s - clip_s + 1e-3) if part else 0.0 for part in parts]

    def _allot(self, split: str, n: int, clip_s: float) -> list[int]:
        """`n` windows divided among the recordings by the room that they have."""
        rooms = self._rooms(split, clip_s)
        total = sum(rooms)
        if not total:
            return [0] * len(rooms)
        ends = [round(n * sum(rooms[: i + 1]) / total) for i in range(len(rooms))]
        return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


class NoiseRecordings(Corpus):
    """A folder of noise recordings as a corpus: all of them to be mixed into tests.

    Args:
        folder: holds noise recordings of any length.
        key: of the option by which it was named.

    Raises:
        ValueError: there is no such folder.
    """

    name = "noise"

    def __init__(self, folder: str | Path, key: str = "noise_folder") -> None:
        self.folder, self.key = Path(folder), key
        if not self.folder.is_dir():
            raise ValueError(f"{key}={folder} is no folder; it is to hold recordings of noise")

    def utterances(self) -> Iterator[Utterance]:
        """Every recording, whole.

        Raises:
            ValueError: there are none.
        """
        background = Background(self.folder, dict.fromkeys(SPLITS, 0.0) | {"test": 100.0}, self._refused)
        if not background.recordings:
            raise ValueError(f"{self.key}={self.folder} holds no recording that can be read")
        return background.utterances({}, 1.0, 0)

    def notes(self) -> list[str]:
        """The folder."""
        return [f"recordings of noise in {self.folder}"]


def find_noise_folder(root: Path, folders: Sequence[str]) -> Path | None:
    """`_background_noise_` under `root`, in any case."""
    return next((root / name for name in folders if name.casefold() == NOISE_FOLDER), None)


def _divide(name: str, path: str, duration_s: float, shares: Mapping[str, float]) -> dict[str, Stretch]:
    parts, start_s = {}, 0.0
    for split in SPLITS:
        length_s = math.floor(duration_s * shares[split] * 10) / 1000  # whole milliseconds
        if length_s > 0:
            parts[split] = Stretch(name, path, round(start_s, 3), length_s)
        start_s += length_s
    return parts


def _utterance(
    part: Stretch, name: str, split: str, start_s: float, duration_s: float, word: str | None = None
) -> Utterance:
    return Utterance(
        id=name,
        path=Path(part.path),
        split=split,
        speaker=part.label,
        word=word,
        start_s=round(start_s, 4),
        duration_s=duration_s,
    )


def _duration_s(path: str, refused: Refused) -> float:
    from phonaut.data.preparation.audio import BadRecordingError, duration_s

    try:
        return duration_s(Path(path))
    except BadRecordingError as error:
        refused.add(path, f"a noise recording that cannot be read: {error}")
        return 0.0
