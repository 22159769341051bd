"""A few recordings: each is tested once, by a model that was trained on the others, and the last one on all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from phonaut.corpora.hashing import by_hash
from phonaut.corpora.protocols.base import Listing, Plan, Protocol
from phonaut.corpora.protocols.rooms import room_of
from phonaut.corpora.protocols.validation import unit
from phonaut.data.utterance import SILENCE, Utterance

LEAST_SPEAKERS = 3  # to test on people who were not heard
MOST_BY_SPEAKER, MOST_BY_RECORDING = 10, 5  # folds, where nobody says how many


class Dealt(NamedTuple):
    """Recordings as folds.

    Attributes:
        fold_of: person, room or recording -> its fold.
        n_folds: how many.
        by_speaker: people are kept together.
        note: how it was done, in words.
    """

    fold_of: dict[str, int]
    n_folds: int
    by_speaker: bool
    note: str

    def fold(self, utterance: Utterance) -> int:
        """The fold in which an utterance is tested."""
        return self.fold_of[key_of(utterance, by_speaker=self.by_speaker)]


@dataclass(frozen=True, kw_only=True)
class Few(Protocol):
    """Cross-validation within one run, for so few recordings that a test set of some says nothing.

    From three speakers on each speaker is tested by a model that heard the others only; of fewer, or where a word is
    said by one of them alone, recordings of each word are dealt out to folds, and speakers are in training and test.
    Nothing validates. The model that is kept has all recordings in training.

    Args:
        n_folds: how many; null: one a speaker, up to 10, or one a recording of a word, up to 5.
        fold: the one that is tested, from 0; null: all recordings train.
    """

    name: ClassVar[str] = "few"
    n_folds: int | None = None
    fold: int | None = None

    def option_problems(self) -> list[str]:
        """All problems of the options."""
        problems = super().option_problems()
        if self.n_folds is not None and self.n_folds < 2:
            problems.append(f"protocol.n_folds={self.n_folds}: must be >= 2, to train on others than are tested")
        elif self.fold is not None and not 0 <= self.fold < (self.n_folds or MOST_BY_SPEAKER):
            problems.append(f"protocol.fold={self.fold}: with protocol.n_folds={self.n_folds} there is none")
        return problems

    def plan(self, listing: Listing) -> Plan:
        """Two passes, over speakers and over recordings.

        Raises:
            ValueError: a word has one recording, or there are fewer speakers or recordings of a word than folds.
        """
        dealt = self.dealt(listing)
        if self.fold is None:
            note = f"{dealt.note}; the model of this run is trained on all recordings"
            return Plan(lambda utterance: "train", [note], listing.corpus.shares)
        note = f"fold {self.fold} of {dealt.n_folds}: {dealt.note}"
        return Plan(
            lambda utterance: "test" if dealt.fold(utterance) == self.fold else "train", [note], listing.corpus.shares
        )

    def dealt(self, listing: Listing) -> Dealt:
        """The folds.

        Raises:
            ValueError: as for `plan`.
        """
        survey = listing.survey
        parts = list({(unit(one), label_of(one, listing.target)): one for one in listing}.values())
        n = Counter(label_of(one, listing.target) for one in parts)
        if alone := sorted(label for label, count in n.items() if count == 1 and len(n) > 1):
            raise ValueError(
                f"of {', '.join(alone)} there is one recording, which cannot be both trained on and tested: record "
                "another"
            )
        what = f"{survey.n} recordings" + (f" of {len(n)} words" if listing.target == "keyword" else "")
        dealt, why = self.by_speaker(listing, parts)
        if dealt is None:
            dealt = self.by_recording(listing.target, parts, max(n.values()), why)
        return dealt._replace(note=f"{what} are few: {dealt.note}")

    def by_speaker(self, listing: Listing, parts: list[Utterance]) -> tuple[Dealt | None, str]:
        """Speakers as folds; None, and why, where that cannot be."""
        survey = listing.survey
        n_people = len(survey.speakers)
        people = "one person speaks" if n_people == 1 else f"{n_people} people speak"
        if survey.n_without_speaker:
            return None, "who speaks is not known"
        if n_people < LEAST_SPEAKERS or listing.target == "speaker":
            return None, people
        n_folds = self.n_folds or min(n_people, MOST_BY_SPEAKER)
        if n_folds > n_people:
            return None, f"{people}, and there are {n_folds} folds"
        fold_of = {name: i % n_folds for i, name in enumerate(by_hash(survey.speakers))}
        fold_of |= {room: i % n_folds for i, room in enumerate(by_hash(survey.rooms))}
        folds: dict[str, set[int]] = {}
        for one in parts:
            folds.setdefault(label_of(one, listing.target), set()).add(fold_of[key_of(one, by_speaker=True)])
        if lonely := sorted(label for label, of_label in folds.items() if len(of_label) < 2):
            return None, f"{', '.join(lonely)} is said by one speaker alone"
        others = "the others" if n_folds == n_people else "others alone"
        note = f"each of the {n_people} speakers is tested once, by a model that was trained on {others}, all pooled"
        return Dealt(fold_of, n_folds, True, note), ""

    def by_recording(self, target: str, parts: list[Utterance], most: int, why: str) -> Dealt:
        """Recordings of each word dealt out in turns.

        Raises:
            ValueError: there are fewer than folds.
        """
        n_folds = self.n_folds or min(most, MOST_BY_RECORDING)
        if not 2 <= n_folds <= len(parts):
            raise ValueError(f"protocol=few: {len(parts)} recordings are too few for {n_folds} folds")
        names: dict[str, list[str]] = {}
        for one in parts:
            names.setdefault(label_of(one, target), []).append(unit(one))
        in_turn = dict.fromkeys(name for label in sorted(names) for name in by_hash(names[label]))
        note = (
            f"each is tested once, by a model that was trained on others, in {n_folds} folds by recording, all pooled; "
            f"{why}, so the speakers of the test are in training too"
        )
        return Dealt({name: i % n_folds for i, name in enumerate(in_turn)}, n_folds, False, note)


def label_of(utterance: Utterance, target: str) -> str:
    """What has to be in training, too."""
    return (utterance.speaker if target == "speaker" else utterance.word if target == "keyword" else None) or ""


def key_of(utterance: Utterance, *, by_speaker: bool = False) -> str:
    """What is dealt to one fold: a person, a room where nobody speaks, or a recording."""
    if not by_speaker:
        return unit(utterance)
    return room_of(utterance) if utterance.word == SILENCE else utterance.speaker
