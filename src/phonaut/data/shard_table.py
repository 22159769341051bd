"""The table of sequences of a prepared corpus: their places in the shards of a folder of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phonaut.data.columns import TextColumn, read_column
from phonaut.data.frame_shards import FrameLayout, map_shard

SHARD_COLUMNS = {"path": "text", "shard": "i4", "offset": "i8", "n_frames": "i8", "duration_s": "f8", "crc": "u8"}


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
        self.mapped: dict[int, NDArray[np.float32]] = {}

    def frames(self, number: int, start: int, stop: int) -> NDArray[np.float32]:
        """Frames `start` to `stop` of a sequence, `(stop - start, D)`, as they lie in the file; not to be written to.

        Raises:
            ValueError: the shard has gone, or is shorter than it was.
        """
        shard, first = int(self.shard[number]), int(self.offset[number])
        if shard not in self.mapped:
            self.mapped[shard] = map_shard(self.source, self.shards[shard], self.layout.n_features)
        frames = self.mapped[shard][first + start : first + stop]
        if len(frames) != stop - start:
            raise ValueError(f"{self.source / self.shards[shard]} is shorter than it was; type the same command again")
        return frames
