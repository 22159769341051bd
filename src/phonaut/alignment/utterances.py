"""Utterances to align: recordings with their words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.data.lexicon import words_of
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import SPLITS, Phone


@dataclass(frozen=True, slots=True)
class Utterance:
    """An utterance by its place in a prepared corpus.

    Attributes:
        id: of the utterance.
        split: of the corpus.
        row: in the split's table.
        words: what is said, in upper case, without punctuation.
        speaker: who says it.
    """

    id: str
    split: str
    row: int
    words: tuple[str, ...]
    speaker: str


class Aligned(NamedTuple):
    """Alignment of an utterance.

    Attributes:
        id: of the utterance.
        phones: one after another without gaps, silence (`SIL`) included; empty where it could not be aligned.
        words: as they are said, with their times.
        reason: why there are no phones.
    """

    id: str
    phones: tuple[Phone, ...] = ()
    words: tuple[Phone, ...] = ()
    reason: str = ""


def utterances(prepared: PreparedCorpus) -> Iterator[Utterance]:
    """All utterances of all splits, in the order of the corpus."""
    for split in SPLITS:
        table = prepared.utterances(split)
        for row in range(len(table)):
            yield Utterance(table.id(row), split, row, words_of(table.text(row)), table.speaker_name(row))


def problem(utterance: Utterance, lexicon: Mapping[str, Any]) -> str | None:
    """Why an utterance cannot be aligned, if it is known from its words."""
    if not utterance.words:
        return "it has no transcript"
    unknown = [word for word in dict.fromkeys(utterance.words) if word not in lexicon]
    return f"no pronunciation is known of {', '.join(unknown)}" if unknown else None


def samples(prepared: PreparedCorpus, utterance: Utterance) -> NDArray[np.float32]:
    """The audio of an utterance, in [-1, 1]."""
    return prepared.utterances(utterance.split).audio(utterance.row)


def known_phones(prepared: PreparedCorpus, utterance: Utterance) -> tuple[Phone, ...]:
    """The phones that the corpus itself has, with their times."""
    table = prepared.utterances(utterance.split)
    first, last = table.phone_offset[utterance.row], table.phone_offset[utterance.row + 1]
    return tuple(
        Phone(table.phones[int(table.phone_label[i])], float(table.phone_start_s[i]), float(table.phone_end_s[i]))
        for i in range(first, last)
    )
