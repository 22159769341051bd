"""Rooms in which nobody speaks, divided beside the people: a recording of `_silence_` has a room for a speaker."""

from __future__ import annotations

from phonaut.corpora.hashing import balanced_cuts, by_hash, hash_percent
from phonaut.corpora.protocols.base import Listing, Plan
from phonaut.data.utterance import SILENCE, Utterance

NOTE = "recordings of silence are divided by room"


def room_of(utterance: Utterance) -> str:
    """The room of a recording of silence; of an unknown one, the recording."""
    return utterance.speaker or utterance.id


def cut(plan: Plan, listing: Listing, dev_pct: float, test_pct: float) -> Plan:
    """A plan for people, in which rooms are divided by shares of them, by a hash of their names.

    Args:
        plan: which does not know rooms.
        listing: the utterances.
        dev_pct: per cent of the rooms that validate.
        test_pct: per cent that are tested.
    """
    rooms = listing.survey.rooms
    cuts = balanced_cuts(map(hash_percent, rooms), dev_pct, test_pct)
    return beside(plan, {room: cuts.split(room) for room in rooms})


def dealt(plan: Plan, listing: Listing, fold: int, n_folds: int) -> Plan:
    """A plan for people, in which each room is tested in one fold at most, and validates in the one before."""
    turns = {room: (i - fold) % n_folds for i, room in enumerate(by_hash(listing.survey.rooms))}
    return beside(plan, {room: {0: "test", 1: "validation"}.get(turn, "train") for room, turn in turns.items()})


def beside(plan: Plan, split_of: dict[str, str]) -> Plan:
    """A plan with rooms in splits of their own."""
    if not split_of:
        return plan

    def split(utterance: Utterance) -> str | None:
        return split_of[room_of(utterance)] if utterance.word == SILENCE else plan.split(utterance)

    return plan._replace(split=split, notes=[*plan.notes, NOTE])
