"""The interface of layouts, and the names that people give to splits, speakers and words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from phonaut.data.utterance import Utterance
from phonaut.files import composed

SPLIT_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": ("validation", "validate", "valid", "val", "dev", "devel", "development"),
    "test": ("test", "testing", "tst", "eval", "evaluation", "evaluate", "holdout"),
}
MORE = re.compile(r"[ _-]?(set|data|split|part|audio|wavs?|recordings|samples|clips)$")  # `test_set`, `traindata`


class Layout(Protocol):
    """A way in which recordings and their labels lie on disk."""

    has_speakers: bool
    has_splits: bool

    def utterances(self) -> Iterator[Utterance]:
        """All utterances, in an order that does not depend on the file system; may be read several times."""
        ...

    def pattern_text(self, utterance: Utterance) -> str:
        """The text that `speaker_pattern` is searched for in: the path below the corpus's folder, or an id."""
        ...


def split_name(name: str) -> str | None:
    """`train`, `validation` or `test` for what people call them; None: it is none of these.

    >>> split_name("Val"), split_name("test_set"), split_name("dataset")
    ('validation', 'test', None)
    """
    folded = name.strip().casefold()
    plain = (folded, MORE.sub("", folded))
    return next((split for split, names in SPLIT_NAMES.items() if any(one in names for one in plain)), None)


def before_underscore(name: str) -> str | None:
    """The part before the first `_` of a file's name; None where there is none, or nothing before it."""
    before, mark, _ = name.rpartition("/")[2].partition("_")
    return before or None if mark else None


def read_name(pattern: re.Pattern[str], name: str) -> str | None:
    """The match of the group of `pattern` in a file's name, or in all of its path where the pattern has a slash."""
    match = pattern.search(name if "/" in pattern.pattern else name.rpartition("/")[2])
    return composed(match[1]) if match and match[1] else None
