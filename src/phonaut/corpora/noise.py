"""Recordings of noise, divided: what is mixed into training, what silence is cut from, what tests.

Of `_background_noise_`, which holds few long recordings, each split gets a part of each recording. Of a library of
noise (`dataset.noise_dataset`) each recording is for one split.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from phonaut.checks import refuse
from phonaut.corpora.base import Corpus
from phonaut.corpora.disk import Refused, entries, is_audio, stems, walk
from phonaut.corpora.hashing import balanced_cuts, hash_percent
from phonaut.corpora.options import as_list
from phonaut.data.utterance import SILENCE, SPLITS, Utterance
from phonaut.files import expanded

NOISE_FOLDER = "_background_noise_"
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
    """The noise recordings of a folder: the first part of each is for training, the next validates, the last tests.

    Args:
        folder: holds noise recordings of any length; None: there is none.
        shares: per cent of each recording for each split.
        refused: gets the recordings whose header cannot be read.
        library: folders, each of whose recordings, in sub-folders too, is for one split, by a hash of its name. What
            stands before the first `_` of a name (the place, in TUT Acoustic Scenes) is in one split.

    Raises:
        ValueError: a folder of the library is not there, or has too few recordings to keep the test apart.
    """

    def __init__(
        self, folder: Path | None, shares: Mapping[str, float], refused: Refused, library: Sequence[Path] = ()
    ) -> None:
        self.recordings: list[dict[str, Stretch]] = []
        for name in filter(is_audio, entries(str(folder), refused)[0] if folder else ()):
            path = os.path.join(str(folder), name)
            duration_s = _duration_s(path, refused)
            if duration_s:
                self.recordings.append(_divide(name.rpartition(".")[0], path, duration_s, shares))
        check_folders(library)
        for root in library:
            self.recordings += _divide_library(root, shares, refused)

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


def noise_folders(paths: Sequence[str] | str | None) -> tuple[Path, ...]:
    """The folders of `dataset.noise_dataset`, one or several."""
    return tuple(map(expanded, as_list(paths)))


def check_folders(folders: Sequence[Path]) -> None:
    """Refuse those of `dataset.noise_dataset` that are not there.

    Raises:
        ValueError: one is no folder.
    """
    refuse([f"dataset.noise_dataset={path} is no folder; it is to hold recordings of noise"
            for path in folders if not path.is_dir()])  # fmt: skip


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


def _divide_library(root: Path, shares: Mapping[str, float], refused: Refused) -> list[dict[str, Stretch]]:
    """The recordings under a folder, each whole in the split that the hash of its place names."""
    found: list[tuple[str, str, float]] = []  # name, path, duration
    for folder, files in walk(root, refused):
        for file, stem in stems(files):
            path = os.path.join(root, folder, file)
            if duration_s := _duration_s(path, refused):
                found.append((f"{root.name}/{folder}/{stem}".replace("//", "/"), path, duration_s))
    place = {name: os.path.basename(name).partition("_")[0] for name, _, _ in found}
    places = set(place.values())
    if len(places) < 2:
        place, places = {name: name for name in place}, set(place)
    if len(places) < 2 and shares["train"] and shares["test"]:
        raise ValueError(
            f"dataset.noise_dataset={root} has {len(places)} recordings that can be read; it takes two or more, for "
            "training and test share none"
        )
    cuts = balanced_cuts(map(hash_percent, places), shares["validation"], shares["test"])
    return [
        {cuts.split(place[name]): Stretch(name, path, 0.0, math.floor(seconds * 1000) / 1000)}
        for name, path, seconds in found
    ]


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
