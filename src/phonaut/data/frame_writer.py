"""Writes a folder of frames (`phonaut.data.frame_shards`), whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from phonaut.data.frame_shards import FORMAT, MANIFEST, REFUSED_FILES, VERSION, FrameLayout, FrameSequence, FrameShards
from phonaut.files import atomic_folder, write_line

SHARD_BYTES = 2**28
HEAD_BYTES = 256  # of a shard: 8 for the length of its header, the header, blanks

Phones = Sequence[tuple[str, float, float]] | str


class FrameWriter:
    """Writes a folder of frames; it is there once `close` was called, or the `with` block ended well.

    Args:
        folder: to write.
        n_features: of a frame.
        frame_shift_s: seconds from one frame to the next.
        frame_offset_s: centre of frame 0, seconds.
        made_from: what made the frames, for people.
        overwrite: replace a folder of frames that is there.
        shard_bytes: after how many a new shard begins; a sequence is never divided.

    Raises:
        ValueError: the folder holds something, or a number is out of range.

    >>> import tempfile
    >>> from phonaut.data.frame_shards import FrameShards
    >>> folder = Path(tempfile.mkdtemp()) / "frames"
    >>> with FrameWriter(folder, n_features=2, frame_shift_s=0.01) as writer:
    ...     writer.add(np.zeros((30, 2)), id="a", split="train", speaker="ann", word="yes")
    >>> [(line.id, line.n_frames) for line in FrameShards(folder).sequences()]
    [('a', 30)]
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        n_features: int,
        frame_shift_s: float,
        frame_offset_s: float = 0.0,
        made_from: str = "",
        overwrite: bool = False,
        shard_bytes: int = SHARD_BYTES,
    ) -> None:
        self.folder = Path(folder)
        self.layout = FrameLayout(n_features, frame_shift_s, frame_offset_s, made_from)
        there = self.folder.exists() and any(self.folder.iterdir())
        if there and not (self.folder / MANIFEST).exists():
            raise ValueError(f"{self.folder} holds other files than frames: name a new folder")
        if there and not overwrite:
            raise ValueError(f"{self.folder} holds frames already: overwrite=true replaces them")
        self.shard_bytes, self.n_sequences = shard_bytes, 0
        self._ids: set[str] = set()
        self._shard: Shard | None = None
        self._n_shards = 0
        self._stack = ExitStack()
        self._temporary = self._stack.enter_context(atomic_folder(self.folder))
        self._manifest = self._stack.enter_context((self._temporary / MANIFEST).open("w", encoding="utf-8"))
        self._refused = self._stack.enter_context((self._temporary / REFUSED_FILES).open("w", encoding="utf-8"))
        write_line(self._manifest, format=FORMAT, version=VERSION, **asdict(self.layout))

    def add(
        self,
        frames: NDArray[Any],
        *,
        id: str,
        split: str,
        recording: str = "",
        speaker: str = "",
        word: str | None = None,
        text: str = "",
        sentence: str = "",
        session: str = "",
        phones: Phones = (),
        duration_s: float | None = None,
    ) -> None:
        """Add a sequence.

        Args:
            frames: `(T, D)`, kept as float32.
            id: unique in the folder.
            split: `train`, `validation` or `test`.
            recording: path of what they were made from; the id where there is none.
            speaker: speaker id.
            word: keyword label.
            text: transcript.
            sentence: id, where speakers repeat sentences.
            session: recording session.
            phones: `(label, start_s, end_s)` by time, or one label for all of it.
            duration_s: of the recording; None: as long as the frames.

        Raises:
            ValueError: shape, numbers, id, split or phones are wrong. Nothing was added then.
        """
        frames = np.asarray(frames)
        d = self.layout.n_features
        if frames.ndim != 2 or frames.shape[1] != d or not len(frames) or frames.dtype.kind not in "fiu":
            raise ValueError(f"{id}: frames are numbers (T, {d}), T > 0; got {frames.dtype} {frames.shape}")
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(frames, dtype="<f4")
        if not np.isfinite(rows).all():
            t = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise ValueError(f"{id}: frame {t} holds NaN, infinity, or more than float32 can")
        duration_s = len(rows) * self.layout.frame_shift_s if duration_s is None else float(duration_s)
        times = ((phones, 0.0, duration_s),) if isinstance(phones, str) else tuple((p[0], p[1], p[2]) for p in phones)
        if id in self._ids:
            raise ValueError(f"the id {id} occurs twice; ids must be unique")
        shard = self._shard if self._shard is not None and self._shard.room(rows.nbytes, self.shard_bytes) else None
        name, offset = (shard.path.name, shard.n) if shard else (f"frames-{self._n_shards:05d}.safetensors", 0)
        try:
            line = FrameSequence(
                id, split, name, offset, len(rows), duration_s, recording or id, speaker, word, text, sentence, session,
                times,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(f"{id}: {error}") from error
        if shard is None:
            self._end_shard()
            self._shard = shard = Shard(self._temporary / name, d)
            self._n_shards += 1
        shard.append(rows)
        write_line(self._manifest, **{key: value for key, value in asdict(line).items() if value not in ("", None, ())})
        self._ids.add(id)
        self.n_sequences += 1

    @property
    def temporary(self) -> Path:
        """The folder that becomes `folder` in the end."""
        return self._temporary

    def take(self, frames: FrameShards) -> None:
        """Add all sequences of another folder of frames, with their labels.

        Raises:
            ValueError: it is damaged, or has an id that is here already.
        """
        for line in frames.sequences():
            labels = {key: value for key, value in asdict(line).items() if key not in ("shard", "offset", "n_frames")}
            self.add(frames.frames(line), **labels)

    def refuse(self, path: str, reason: str) -> None:
        """Write down what was left out, and why; whoever reads the folder is told."""
        write_line(self._refused, path=path, reason=reason)

    def close(self) -> None:
        """Finish the folder and put it in its place.

        Raises:
            ValueError: nothing was added; then there is no folder.
        """
        self.__exit__(None, None, None)

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_shard()
        if kind is None and not self.n_sequences:
            nothing = ValueError(f"{self.folder}: no sequence was added, so there is nothing to write")
            self._stack.__exit__(ValueError, nothing, None)
            raise nothing
        self._stack.__exit__(kind, error, trace)

    def _end_shard(self) -> None:
        if self._shard is not None:
            self._shard.close()
            self._shard = None


class Shard:
    """A safetensors file with one tensor that grows: its header has a fixed length and is written at the end."""

    def __init__(self, path: Path, n_features: int) -> None:
        self.path, self.n_features, self.n = path, n_features, 0
        self.file: BinaryIO = path.open("wb")
        self.file.write(bytes(HEAD_BYTES))

    def room(self, n_bytes: int, most: int) -> bool:
        """True where so many bytes more stay below `most`."""
        return self.n * self.n_features * 4 + n_bytes <= most

    def append(self, rows: NDArray[np.float32]) -> None:
        """Add rows `(T, D)`."""
        self.file.write(rows.data)
        self.n += len(rows)

    def close(self) -> None:
        """Write the header, and the file to disk."""
        shape = [self.n, self.n_features]
        tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, self.n * self.n_features * 4]}
        head = json.dumps({"frames": tensor}).encode().ljust(HEAD_BYTES - 8)
        self.file.seek(0)
        self.file.write(len(head).to_bytes(8, "little") + head)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
