"""TIMIT (LDC93S1): `TRAIN/DR1/FCJF0/SI648.WAV` with `.PHN`, `.WRD` and `.TXT` beside it, names in any case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from phonaut.checks import refuse
from phonaut.corpora.base import Corpus, target_problems
from phonaut.corpora.disk import find_folder
from phonaut.corpora.hashing import Shares
from phonaut.corpora.options import choice_problems
from phonaut.corpora.timit.files import PARTS, Recording, find_root, listed, read_phones, read_text
from phonaut.corpora.timit.tables import CORE, DEVELOPMENT, DROPPED, FOLDINGS, PHONES
from phonaut.data.utterance import Utterance

TEST_SETS = {"core": (24, 192), "complete": (168, 1344)}  # speakers and utterances, without SA
# A speaker reads sentences n, n + 90, ..., n + 360 of the 450 SX, so that these bounds divide everyone's alike.
VALIDATION_SX = range(181, 271)
TEST_SX = range(271, 451)


class TIMIT(Corpus):
    """Read English with phones labelled by hand: 630 speakers, of whom 168 are the test set.

    The two sentences that everybody reads, SA1 and SA2, are left out. With `test_set=core` the test set is the core
    test set, and validation the development set of 50 other speakers of the complete test set: training keeps all its
    speakers. With `test_set=complete` all 168 are tested, and validation is cut from training by speaker.

    `target=speaker` tells all speakers apart, divided by sentence: no sentence is in two splits.

    Args:
        data_folder: the corpus, or a folder above it.
        target: `phone` or `speaker`.
        test_set: `core` or `complete`, for `target=phone`.
        phone_set: 61 labels, or the 48 or 39 classes of Lee and Hon.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "timit"
    targets: ClassVar[tuple[str, ...]] = ("phone", "speaker")
    published_split: ClassVar[bool] = True
    shares: ClassVar[Shares] = Shares(of_training=10)

    def __init__(
        self, *, data_folder: str | Path, target: str = "phone", test_set: str = "core", phone_set: int = 39
    ) -> None:
        refuse(
            [
                *target_problems(target, TIMIT),
                *choice_problems("test_set", test_set, list(TEST_SETS)),
                *choice_problems("phone_set", str(phone_set), [str(n) for n in FOLDINGS]),
            ]
        )
        self.data_folder, self.target, self.test_set = Path(data_folder), target, test_set
        self.phone_set = int(phone_set)

    def first_look(self) -> None:
        """Find the folder.

        Raises:
            ValueError: it is not there.
        """
        self.root  # noqa: B018  # raises

    @cached_property
    def root(self) -> Path:
        """The folder of `TRAIN` and `TEST`.

        Raises:
            ValueError: there is none.
        """
        return find_root(find_folder(self.data_folder, otherwise="; TIMIT is LDC93S1, at catalog.ldc.upenn.edu"))

    @cached_property
    def recordings(self) -> dict[str, Recording]:
        """The recordings that are used, by id, in alphabetical order; never SA.

        Raises:
            ValueError: there are none in a part that is needed, or a speaker is in both.
        """
        recordings = sorted(listed(self.root, self._refused), key=lambda one: one.id)
        self._check({part: {one.speaker for one in recordings if one.part == part} for part in PARTS})
        if self.target == "phone" and self.test_set == "core":
            recordings = [one for one in recordings if one.part == "train" or one.speaker in CORE | DEVELOPMENT]
        return {one.id: one for one in recordings}

    def _check(self, speakers: dict[str, set[str]]) -> None:
        both = sorted(speakers["train"] & speakers["test"])
        if both:
            raise ValueError(f"{self.root}: {', '.join(both[:5])} lie in train and in test: unpack TIMIT again")
        for part, names in speakers.items():
            if not names and (self.target == "phone" or not any(speakers.values())):
                raise ValueError(f"{self.root} has no utterances such as {part.upper()}/DR1/*/SI648.WAV")
        if self.target == "phone" and self.test_set == "core" and not speakers["test"] & CORE:
            raise ValueError(
                f"{self.root} has none of the 24 speakers of the core test set, such as TEST/DR1/MDAB0; type "
                "dataset.test_set=complete to test on those that are there"
            )

    def utterances(self) -> Iterator[Utterance]:
        """Every utterance of the training part and of the test set, in alphabetical order.

        Raises:
            ValueError: no such folder, or a part of the corpus is missing.
        """
        for name, one in self.recordings.items():
            yield Utterance(name, Path(one.audio), self._split(one), one.speaker, sentence=one.sentence)

    def complete(self, utterance: Utterance) -> Utterance | None:
        """An utterance with its phones and transcript; None where they cannot be read."""
        one = self.recordings[utterance.id]
        try:
            phones = read_phones(one.phones, FOLDINGS[self.phone_set]) if self.target == "phone" else ()
            return replace(utterance, phones=phones, text=read_text(one))
        except ValueError as error:
            self.refuse(one.audio, str(error))
            return None

    def _split(self, one: Recording) -> str:
        if self.target == "speaker":
            return split_of(one.sentence)
        return "validation" if self.test_set == "core" and one.speaker in DEVELOPMENT else one.part

    def title(self) -> str:
        """Its name, its phones, and the sentences that are left out."""
        folding = f", {self.phone_set} phones" if self.target == "phone" else ""
        if folding and self.phone_set != len(PHONES):
            folding += f", folded after Lee and Hon (1989), {DROPPED} dropped in all splits"
        return f"TIMIT{folding}; the sentences SA, which everyone reads, are left out"

    def official(self) -> str:
        """The test set and the development set, with their sizes."""
        if self.target == "speaker":
            return (
                "divided by sentence: SI and SX 1 to 180 train, SX 181 to 270 validate, SX 271 to 450 test; no "
                "sentence is in two splits"
            )
        speakers: dict[str, list[str]] = {"test": [], "validation": [], "train": []}
        for one in self.recordings.values():
            speakers[self._split(one)].append(one.speaker)
        sizes = {split: (len(set(names)), len(names)) for split, names in speakers.items()}
        note = "{} test set: {} speakers, {} utterances".format(self.test_set, *sizes["test"])
        if sizes["test"] != TEST_SETS[self.test_set]:
            note += " (the official one has {} and {})".format(*TEST_SETS[self.test_set])
        if speakers["validation"]:
            note += (
                "; validation is the development set of the core test set, {} other speakers of the complete one, {} "
                "utterances"
            ).format(*sizes["validation"])
        return note


def split_of(sentence: str) -> str:
    """The split of a sentence when speakers are told apart.

    >>> split_of("sx37"), split_of("sx217"), split_of("sx397"), split_of("si648")
    ('train', 'validation', 'test', 'train')
    """
    number = int(sentence[2:]) if sentence.startswith("sx") else 0
    return "test" if number in TEST_SX else "validation" if number in VALIDATION_SX else "train"
