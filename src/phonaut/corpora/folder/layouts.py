"""What every way of laying out recordings comes down to: cuts with what is said of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from phonaut.corpora.disk import composed

SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
}


class Found(NamedTuple):
    """One cut, as a layout tells it; what it does not tell is None."""

    id: str
    path: str
    name: str  # what a speaker pattern reads: the path below the corpus's folder, or an utterance id
    word: str | None = None
    speaker: str | None = None
    split: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    text: str | None = None
    session: str | None = None
    recording: str | None = None  # what several cuts are parts of; None: `name`

    def unit(self) -> str:
        """What may not be torn apart where recordings are divided."""
        return self.recording or self.name


class Layout(Protocol):
    """A way in which recordings and their labels lie on disk."""

    has_speakers: bool
    has_splits: bool

    def tables(self) -> list[Path]:
        """The files beside the audio that say what it is."""
        ...

    def found(self) -> Iterator[Found]:
        """All cuts, in an order that does not depend on the file system; may be read several times."""
        ...


def split_name(name: str) -> str | None:
    """`train`, `validation` or `test` for what people call them; None: it is none of these."""
    folded = name.strip().casefold()
    return next((split for split, names in SPLIT_NAMES.items() if folded in names), None)


def before_underscore(name: str) -> str | None:
    """What stands before the first `_` of a file's name; None where there is none, or nothing before it."""
    before, mark, _ = name.rpartition("/")[2].partition("_")
    return before or None if mark else None


def read_name(pattern: re.Pattern[str], name: str) -> str | None:
    """What the group of `pattern` finds in a file's name, or in all of its path where the pattern has a slash."""
    match = pattern.search(name if "/" in pattern.pattern else name.rpartition("/")[2])
    return composed(match[1]) if match and match[1] else None
