"""Validation cut from the training part, where a corpus has none: one rule for all protocols."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Iterable

from phonaut.corpora.hashing import Shares, balanced_cuts, hash_percent, speakers_to_validate
from phonaut.corpora.protocols.base import Listing, Plan
from phonaut.data.utterance import SILENCE, Utterance


def unit(utterance: Utterance) -> str:
    """The recording that an utterance is a part of: it stays whole where recordings are divided."""
    return utterance.recording or utterance.id


def with_validation(
    split: Callable[[Utterance], str | None],
    training: Collection[str],
    testing: Collection[str],
    listing: Listing,
    shares: Shares,
    note: str,
) -> Plan:
    """Cut validation from training: by speaker where the test has others and enough are left, else by recording.

    Args:
        split: a division into training and test.
        training: speakers of the training part; empty where they are not known.
        testing: speakers of the test part.
        listing: the utterances.
        shares: say how much.
        note: on that division.
    """
    pct = shares.dev_of_training()
    validating = speakers_to_validate(training, testing, pct) if listing.target != "speaker" else set()
    if validating:
        how = f"validation is cut from training by speaker: {some(validating)}"

        rooms = balanced_cuts(map(hash_percent, listing.survey.rooms), pct, 0)

        def validates(utterance: Utterance) -> bool:
            if utterance.word == SILENCE:
                return rooms.split(utterance.speaker or utterance.id) == "validation"
            return utterance.speaker in validating
    else:
        units = array("d", (hash_percent(unit(utterance)) for utterance in listing if split(utterance) == "train"))
        cuts = balanced_cuts(units, pct, 0)
        how = f"validation is cut from training by recording ({pct:.0f} %)"

        def validates(utterance: Utterance) -> bool:
            return cuts.split(unit(utterance)) == "validation"

    def divided(utterance: Utterance) -> str | None:
        part = split(utterance)
        return "validation" if part == "train" and validates(utterance) else part

    return Plan(divided, [f"{note}; {how}"], shares)


def some(speakers: Iterable[str], most: int = 10) -> str:
    """Names in a line, sorted; of many, the first.

    >>> some(["b", "a", "c"], most=2)
    'a, b ... (3)'
    """
    names = sorted(speakers)
    return ", ".join(names[:most]) + (f" ... ({len(names)})" if len(names) > most else "")
