"""Frames in place of audio: a folder of safetensors shards and a manifest.

`manifest.jsonl` has a header in its first line (`format`, `version`, `n_features`, `frame_shift_s`, `frame_offset_s`,
`made_from`) and a line for each sequence after it: `id`, `split`, `shard`, `offset` and `n_frames` (its rows in the
shard), `duration_s`, and the labels that there are: `recording`, `speaker`, `word`, `text`, `sentence`, `session`, and
`phones`, either `[label, start_s, end_s]` in order or one label for all of it. A shard holds one tensor `frames (N, D)`
in float32.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.data.columns import TextColumn, read_column
from phonaut.data.utterance import SPLITS
from phonaut.files import text_lines
from phonaut.names import shown

MANIFEST, REFUSED_FILES = "manifest.jsonl", "refused.jsonl"
FORMAT, VERSION = "phonaut frames", 1
LONGEST_HEAD = 2**20
LONGEST_NAME = 200  # of a shard
LARGEST = 1e300  # of whole numbers in JSON, which have no end
SHARD_COLUMNS = {"path": "text", "shard": "i4", "offset": "i8", "n_frames": "i8", "duration_s": "f8", "crc": "u8"}
LATE_S = 1e-3  # that a phone may end after its recording: rounding


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """The settings that all frames of a folder share.

    Attributes:
        n_features: of a frame.
        frame_shift_s: from one centre to the next.
        frame_offset_s: centre of frame 0.
        made_from: what made them, for people.
    """

    n_features: int
    frame_shift_s: float
    frame_offset_s: float = 0.0
    made_from: str = ""

    def __post_init__(self) -> None:
        if type(self.n_features) is not int or self.n_features < 1:
            raise ValueError(f"n_features={self.n_features}: a whole number of at least 1 is wanted")
        if not (is_number(self.frame_shift_s) and self.frame_shift_s > 0):
            raise ValueError(f"frame_shift_s={self.frame_shift_s}: seconds from one frame to the next are above 0")
        if not is_number(self.frame_offset_s):
            raise ValueError(f"frame_offset_s={self.frame_offset_s}: the centre of frame 0 in seconds is wanted")


@dataclass(frozen=True, slots=True)
class FrameSequence:
    """A line of the manifest.

    Attributes:
        id: unique in the folder.
        split: `train`, `validation` or `test`.
        shard: file that holds its frames.
        offset: row of its first frame there.
        n_frames: how many there are.
        duration_s: of what the frames were made from.
        recording: path of that.
        speaker: speaker id; empty where it is not known.
        word: the keyword label.
        text: transcript.
        sentence: id, where speakers repeat sentences.
        session: recording session.
        phones: `(label, start_s, end_s)`, by time.
    """

    id: str
    split: str
    shard: str
    offset: int
    n_frames: int
    duration_s: float
    recording: str = ""
    speaker: str = ""
    word: str | None = None
    text: str = ""
    sentence: str = ""
    session: str = ""
    phones: tuple[tuple[str, float, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("id", "split", "shard", "recording", "speaker", "text", "sentence", "session"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name}={getattr(self, name)!r} is no text")
        if not self.id:
            raise ValueError("the id is empty")
        if self.split not in SPLITS:
            raise ValueError(f"split={self.split} is none of {', '.join(SPLITS)}")
        if self.word is not None and not (isinstance(self.word, str) and self.word):
            raise ValueError(f"word={self.word!r} is no text; leave it out where there is none")
        if type(self.offset) is not int or type(self.n_frames) is not int or self.offset < 0 or self.n_frames < 1:
            raise ValueError(f"offset={self.offset} n_frames={self.n_frames}: at least one frame, from row 0 on")
        if not (is_number(self.duration_s) and self.duration_s > 0):
            raise ValueError(f"duration_s={self.duration_s}: seconds above 0 are wanted")
        before_s = 0.0
        for phone in self.phones:
            label, start_s, end_s = phone if len(phone) == 3 else ("", math.nan, math.nan)
            if not (isinstance(label, str) and label and is_number(start_s) and is_number(end_s)):
                raise ValueError(f"phone {list(phone)} is not [label, start_s, end_s]")
            if not before_s - LATE_S <= start_s < end_s <= self.duration_s + LATE_S:
                raise ValueError(
                    f"phone {label} from {start_s:g} to {end_s:g} s: phones follow one another within the "
                    f"{self.duration_s:g} s of their recording"
                )
            before_s = end_s


def hash_of_frames(frames: NDArray[np.float32]) -> int:
    """The `crc` of frames `(T, D)`."""
    return int.from_bytes(hashlib.blake2b(np.ascontiguousarray(frames).data, digest_size=8).digest(), "little")


def is_number(value: object) -> bool:
    """True for a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST


class FrameShards:
    """A folder of frames, read.

    Args:
        folder: that a `FrameWriter` wrote.

    Attributes:
        layout: what all frames share.

    Raises:
        ValueError: it is no such folder, or of another version.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.layout = read_layout(self.folder)
        self._mapped: dict[str, NDArray[np.float32]] = {}

    def sequences(self) -> Iterator[FrameSequence]:
        """The lines of the manifest.

        Raises:
            ValueError: a line is wrong, with its number; nothing of it is guessed.
        """
        path, known = self.folder / MANIFEST, {field.name for field in fields(FrameSequence)}
        lines = text_lines(path)
        next(lines)
        for number, text in enumerate(lines, 2):
            try:
                line = json.loads(text)
                unknown = sorted(line.keys() - known)
                if unknown:
                    raise ValueError(f"unknown key {unknown[0]}")
                line.setdefault("duration_s", line["n_frames"] * self.layout.frame_shift_s)
                phones = line.get("phones", ())
                whole = [[phones, 0.0, line["duration_s"]]] if isinstance(phones, str) else phones
                sequence = FrameSequence(**{**line, "phones": tuple(tuple(phone) for phone in whole)})
                rows = len(self.shard(sequence.shard))
                if sequence.offset + sequence.n_frames > rows:
                    raise ValueError(f"{sequence.shard} has {rows} frames, and this ends after them")
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
                reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise ValueError(f"{path}, line {number}: {shown(reason)}") from error
            yield sequence

    def frames(self, sequence: FrameSequence) -> NDArray[np.float32]:
        """The frames `(T, D)` of a sequence, as they lie in the file: nothing is copied, and nothing may be written."""
        return self.shard(sequence.shard)[sequence.offset : sequence.offset + sequence.n_frames]

    def shard(self, name: str) -> NDArray[np.float32]:
        """All frames `(N, D)` of a shard, mapped into memory."""
        if name not in self._mapped:
            self._mapped[name] = map_shard(self.folder, name, self.layout.n_features)
        return self._mapped[name]


class ShardTable:
    """Frames in the place of recordings; the shards stay where they are, and are mapped into memory.

    Args:
        folder: of the columns.
        source: of the shards.
        shards: their names.
        layout: of their frames.

    Attributes:
        path: what the frames were made from.
        duration_s: how long that was, seconds.
        crc: a hash of the frames.
    """

    def __init__(self, folder: Path, source: Path, shards: list[str], layout: FrameLayout) -> None:
        self.source, self.shards, self.layout = source, shards, layout
        self.path = TextColumn(folder, "path")
        self.shard, self.offset, self.n_frames, self.duration_s, self.crc = (
            read_column(folder, name, kind) for name, kind in SHARD_COLUMNS.items() if kind != "text"
        )
        self.checked = np.zeros(len(self.shard), dtype=bool)
        self.mapped: dict[int, NDArray[np.float32]] = {}

    def frames(self, number: int, start: int, stop: int) -> NDArray[np.float32]:
        """Frames `start` to `stop` of a sequence, `(stop - start, D)`, as they lie in the file; not to be written to.

        Raises:
            ValueError: the shard has gone, or is not what it was when the corpus was prepared.
        """
        shard, first = int(self.shard[number]), int(self.offset[number])
        if shard not in self.mapped:
            self.mapped[shard] = map_shard(self.source, self.shards[shard], self.layout.n_features)
        frames = self.mapped[shard][first + start : first + stop]
        if len(frames) != stop - start:
            raise ValueError(f"{self.source / self.shards[shard]} is shorter than it was; type the same command again")
        if not self.checked[number]:
            whole = self.mapped[shard][first : first + int(self.n_frames[number])]
            if hash_of_frames(whole) != int(self.crc[number]):
                raise ValueError(f"{self.source / self.shards[shard]} is damaged: the frames of {self.path[number]} "
                                 "are not what they were when they were prepared")  # fmt: skip
            self.checked[number] = True
        return frames


def read_layout(folder: Path) -> FrameLayout:
    """The header of a folder's manifest.

    Raises:
        ValueError: there is none, or it is of another kind or version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder} is no folder of frames: there is no {MANIFEST} in it")
    with path.open("rb") as file:
        first = file.readline(LONGEST_HEAD)
    try:
        head = json.loads(first)
        kind, version = head.pop("format"), head.pop("version")
        if kind != FORMAT:
            raise ValueError(f"format is {kind!r}, not {FORMAT!r}")
        if version != VERSION:
            raise ValueError(f"version is {version}, and this Phonaut reads {VERSION}")
        return FrameLayout(**head)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} does not begin with the header of a folder of frames: {shown(str(error))}") from error


def map_shard(folder: Path, name: str, n_features: int) -> NDArray[np.float32]:
    """The tensor `frames (N, D)` of a safetensors file, mapped into memory.

    Raises:
        ValueError: there is no such file in the folder, or it holds something else.
    """
    path = folder / name
    if Path(name).name != name or "\0" in name or len(name) > LONGEST_NAME or not path.is_file():
        raise ValueError(f"there is no shard {shown(name)} in {folder}")
    size = path.stat().st_size
    with path.open("rb") as file:
        n_head = int.from_bytes(file.read(8), "little")
        head = file.read(n_head) if n_head <= LONGEST_HEAD else b""
    try:
        tensor: dict[str, Any] = json.loads(head)["frames"]
        (begin, end), shape, kind = tensor["data_offsets"], tensor["shape"], tensor["dtype"]
        if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
            raise ValueError("a size is no number")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no safetensors file with a tensor named frames") from error
    if kind != "F32" or len(shape) != 2 or shape[1] != n_features:
        raise ValueError(f"{path} holds frames {kind} {shape}; the manifest says F32 [N, {n_features}]")
    if end - begin != shape[0] * n_features * 4 or begin < 0 or 8 + n_head + end > size:
        raise ValueError(f"{path} is damaged: it is shorter than its header says")
    return np.asarray(np.memmap(path, "<f4", "r", 8 + n_head + begin, (shape[0], n_features)))
