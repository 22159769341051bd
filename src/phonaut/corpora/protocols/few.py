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
        labels = {(unit(one), label_of(one, listing.target)): one for one in listing}
        n = Counter(label for _, label in labels)
        if alone := sorted(label for label, count in n.items() if count == 1 and len(n) > 1):
            raise ValueError(
                f"of {', '.join(alone)} there is one recording, which cannot be both trained on and tested: record "
                "another"
            )
        what = f"{survey.n} recordings" + (f" of {len(n)} words" if listing.target == "keyword" else "")
        n_people = len(survey.speakers)
        why = "one person speaks" if n_people == 1 else f"{n_people} people speak"
        if listing.target != "speaker" and not survey.n_without_speaker and n_people >= LEAST_SPEAKERS:
            n_folds = self.n_folds or min(n_people, MOST_BY_SPEAKER)
            fold_of = {name: i % n_folds for i, name in enumerate(by_hash(survey.speakers))}
            fold_of |= {room: i % n_folds for i, room in enumerate(by_hash(survey.rooms))}
            of_label: dict[str, set[int]] = {}
            for (_, label), one in labels.items():
                of_label.setdefault(label, set()).add(fold_of[key_of(one, by_speaker=True)])
            lonely = sorted(label for label, folds in of_label.items() if len(folds) < 2)
            if not lonely and n_folds <= n_people:
                folds = "" if n_folds == n_people else f" of {n_folds} parts"
                note = (
                    f"{what} are few: each of the {n_people} speakers is tested once, by a model{folds} "
                    "that was trained on others alone, and all are pooled"
                )
                return Dealt(fold_of, n_folds, True, note)
            why = f"{', '.join(lonely)} is said by one speaker alone" if lonely else f"{why} for {n_folds} folds"
        elif survey.n_without_speaker:
            why = "who speaks is not known"
        n_folds = self.n_folds or min(max(n.values()), MOST_BY_RECORDING)
        if n_folds > len(labels) or n_folds < 2:
            raise ValueError(f"protocol=few: {len(labels)} recordings are too few for folds")
        fold_of, turn = {}, 0
        for label in sorted(n):
            for name in by_hash(sorted({key_of(one) for (_, of), one in labels.items() if of == label})):
                if name not in fold_of:
                    fold_of[name], turn = turn % n_folds, turn + 1
        note = (
            f"{what} are few: each is tested once, by a model that was trained on others, in {n_folds} folds by "
            f"recording, pooled; {why}, so the speakers of the test are in training too"
        )
        return Dealt(fold_of, n_folds, False, note)


def label_of(utterance: Utterance, target: str) -> str:
    """What has to be in training, too."""
    return (utterance.speaker if target == "speaker" else utterance.word if target == "keyword" else None) or ""


def key_of(utterance: Utterance, *, by_speaker: bool = False) -> str:
    """What is dealt to one fold: a person, a room where nobody speaks, or a recording."""
    if not by_speaker:
        return unit(utterance)
    return room_of(utterance) if utterance.word == SILENCE else utterance.speaker
