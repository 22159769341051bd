"""Utterances in frames with columns beside them: what systems of verification take, and what they make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Index

FRAMES, LENGTHS = "frames", "lengths"


@dataclass(frozen=True, eq=False)
class Utterances:
    """B utterances, or what stands for them: embeddings, statistics, the references of enrolled models.

    Attributes:
        frames: of all utterances, one after another, `(N, D)`; without frames `(0, D)`, and all lengths are 0.
        lengths: frames of each, `(B,)`.
        columns: name -> `(B, ...)`: `id`, `speaker`, `phrase` and `text` (empty where they are not known); of
            references, `model`, the number of the model that each belongs to.

    Raises:
        ValueError: columns, lengths and frames do not agree.
    """

    frames: NDArray[Any]
    lengths: Index
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.frames.ndim != 2 or self.lengths.sum() != len(self.frames):
            raise ValueError(f"lengths must add up to the {self.frames.shape} frames; got {int(self.lengths.sum())}")
        for name, column in self.columns.items():
            if len(column) != len(self.lengths):
                raise ValueError(f"column {name} must have {len(self.lengths)} rows, got {len(column)}")

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """A column; empty names where there is none of `speaker`, `phrase`, `text` or `id`."""
        if name not in self.columns and name in ("id", "speaker", "phrase", "text"):
            return np.full(len(self), "", dtype=np.str_)
        return self.columns[name]

    @property
    def starts(self) -> Index:
        """The first frame of each utterance, `(B,)`."""
        starts: Index = np.cumsum(self.lengths) - self.lengths
        return starts

    def of(self, row: int) -> NDArray[Any]:
        """The frames of an utterance, `(T, D)`."""
        start = int(self.starts[row])
        return self.frames[start : start + int(self.lengths[row])]

    def select(self, rows: NDArray[Any] | Sequence[int]) -> Self:
        """Some of the utterances, by their numbers or a mask."""
        which = np.asarray(rows)
        which = np.flatnonzero(which) if which.dtype == bool else which.astype(np.int64)
        lengths = self.lengths[which]
        # Rows of an utterance: its first row among all frames, and the place of each frame within it.
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        frames = self.frames[np.repeat(self.starts[which], lengths) + within]
        return type(self)(frames, lengths, {name: column[which] for name, column in self.columns.items()})

    def replaced(self, frames: NDArray[Any] | None = None, **columns: NDArray[Any]) -> Self:
        """The same with other frames, as many of each utterance, and with columns beside or in place of its own."""
        return type(self)(self.frames if frames is None else frames, self.lengths, {**self.columns, **columns})

    def without_frames(self, **columns: NDArray[Any]) -> Self:
        """The columns alone, with others beside them."""
        empty = np.empty((0, self.frames.shape[1]), np.float32)
        return type(self)(empty, np.zeros_like(self.lengths), {**self.columns, **columns})

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several, one after another, with the columns that all of them have.

        Raises:
            ValueError: there is none.
        """
        if not parts:
            raise ValueError("there must be utterances to join; got none")
        names = [name for name in parts[0].columns if all(name in part.columns for part in parts)]
        return cls(
            np.concatenate([part.frames for part in parts]),
            np.concatenate([part.lengths for part in parts]),
            {name: np.concatenate([part.columns[name] for part in parts]) for name in names},
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays by name, for a file."""
        return {FRAMES: self.frames, LENGTHS: self.lengths, **self.columns}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays` gave.

        Raises:
            ValueError: frames or lengths are missing, or do not agree.
        """
        if missing := [name for name in (FRAMES, LENGTHS) if name not in arrays]:
            raise ValueError(f"utterances must have frames and lengths; missing: {', '.join(missing)}")
        columns = {name: array for name, array in arrays.items() if name not in (FRAMES, LENGTHS)}
        return cls(arrays[FRAMES], arrays[LENGTHS], columns)
