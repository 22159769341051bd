"""Spans: stretches of utterances with a class each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phonaut.checks import refuse
from phonaut.data.utterance import TARGETS
from phonaut.names import did_you_mean

if TYPE_CHECKING:
    from phonaut.data.prepared import UtteranceTable

GENDERS = ("f", "m")


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of all utterances of a split, row after row, by time within a row.

    Attributes:
        offset: the spans of row r are `offset[r]` to `offset[r + 1]`, `(R + 1,)`.
        start_s: start within the utterance, seconds, `(N,)`.
        end_s: end within the utterance, seconds, `(N,)`.
        label: class, or -1 where it is not among the classes, `(N,)`.
    """

    offset: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    label: NDArray[np.int64]

    @property
    def row(self) -> NDArray[np.int64]:
        """The row that each span belongs to, `(N,)`."""
        return np.repeat(np.arange(len(self.offset) - 1), np.diff(self.offset))

    def select(self, mask: NDArray[np.bool_]) -> Spans:
        """The spans where `mask (N,)`; their rows stay."""
        n_selected = np.bincount(self.row[mask], minlength=len(self.offset) - 1)
        return Spans(offsets(n_selected), self.start_s[mask], self.end_s[mask], self.label[mask])

    def widened(self, by_s: float, durations_s: NDArray[np.float64]) -> Spans:
        """Spans that begin `by_s` earlier and end so much later, as far as their utterances `(R,)` last."""
        start_s = np.maximum(self.start_s - by_s, 0.0)
        return Spans(self.offset, start_s, np.minimum(self.end_s + by_s, durations_s[self.row]), self.label)


def offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`(R,)` counts to the `(R + 1,)` offsets of a table in which the rows follow one another."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def target_problems(target: str) -> list[str]:
    """The problem of a target that does not exist."""
    if target in TARGETS:
        return []
    return [f"target is one of {', '.join(TARGETS)}, got {target}{did_you_mean(target, TARGETS)}"]


def codes_of(table: UtteranceTable, target: str) -> tuple[NDArray[np.int64], Sequence[str]]:
    """The label of every span of `table` as a code, and the names of the codes; -1 is no label."""
    refuse(target_problems(target))
    if target == "phone":
        return table.phone_label.astype(np.int64), table.phones
    if target == "keyword":
        return table.word.astype(np.int64), table.words
    if target == "gender":
        genders = [table.corpus.genders.get(name, "") for name in table.speakers]
        of_speaker = [GENDERS.index(gender) if gender in GENDERS else -1 for gender in genders]
        return np.array([*of_speaker, -1], dtype=np.int64)[table.speaker], GENDERS  # speaker -1 is the last
    return table.speaker.astype(np.int64), table.speakers


def spans_of(table: UtteranceTable, target: str, classes: Sequence[str]) -> Spans:
    """The spans of a split.

    Args:
        table: the utterances of the split.
        target: `keyword`, `speaker` or `gender`: one span an utterance, all of it; `phone`: one span a phone.
        classes: what the labels count; names that are not among them get label -1.

    Raises:
        ValueError: the target does not exist.
    """
    codes, names = codes_of(table, target)
    index = {name: label for label, name in enumerate(classes)}
    label_of_code = np.array([index.get(name, -1) for name in names] + [-1], dtype=np.int64)  # code -1 is the last
    labels = label_of_code[codes]
    if target != "phone":
        return Spans(np.arange(len(table) + 1), np.zeros(len(table)), table.durations_s, labels)
    start_s = np.asarray(table.phone_start_s, dtype=np.float64)
    end_s = np.asarray(table.phone_end_s, dtype=np.float64)
    return Spans(np.asarray(table.phone_offset, dtype=np.int64), start_s, end_s, labels)


def label_names(table: UtteranceTable, target: str) -> list[str]:
    """The label of every span as text, whether or not a model knows it; empty where there is none."""
    codes, names = codes_of(table, target)
    named = [*names, ""]
    return [named[code] for code in codes]
