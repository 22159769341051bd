"""TIMIT (LDC93S1): `TRAIN/DR1/FCJF0/SI648.WAV` with `.PHN`, `.WRD` and `.TXT` beside it, names in any case."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from phonaut.corpora.disk import Refused, find_folder
from phonaut.corpora.folder.layouts import Found
from phonaut.corpora.options import refuse, seen_at_once, wrong_choice
from phonaut.corpora.protocols.division import Plan, Shares, Spoken, with_validation
from phonaut.corpora.protocols.hashing import wrong_target
from phonaut.corpora.timit.files import PARTS, Utterance, find_root, listed, read_phones, read_text
from phonaut.corpora.timit.tables import CORE, DEVELOPMENT, DROPPED, FOLDINGS, PHONES
from phonaut.data.utterance import Item

PROTOCOLS = ("core", "complete")
TARGETS = ("phone", "speaker")
OFFICIAL = {"core": (24, 192), "complete": (168, 1344)}  # speakers and utterances of the test set, without SA
SHARES = Shares(90, 10, 0)  # of training, where validation is cut from it
# A speaker reads sentences n, n + 90, ..., n + 360 of the 450 SX, so that these bounds divide everyone's alike.
VALIDATION_SX = range(181, 271)
TEST_SX = range(271, 451)


class TIMIT:
    """Read English with phones labelled by hand: 630 speakers, of whom 168 are the test set.

    The two sentences that everybody reads, SA1 and SA2, are left out. With `protocol=core` the test set is the core
    test set, and validation the development set of 50 other speakers of the complete test set: training keeps all its
    speakers. With `protocol=complete` all 168 are tested, and validation is cut from training by speaker.

    `target=speaker` tells all speakers apart, divided by sentence: no sentence is in two splits.

    Args:
        data_folder: the corpus, or a folder above it.
        target: `phone` or `speaker`.
        protocol: `core` or `complete`, for `target=phone`.
        phone_set: 61 labels, or the 48 or 39 classes of Lee and Hon.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "timit"
    clip_s: float | None = None

    def __init__(
        self, *, data_folder: str | Path, target: str = "phone", protocol: str = "core", phone_set: int = 39
    ) -> None:
        refuse(
            [
                *wrong_target(target, self.name, TARGETS),
                *wrong_choice("protocol", protocol, PROTOCOLS),
                *wrong_choice("phone_set", str(phone_set), [str(n) for n in FOLDINGS]),
            ]
        )
        self.data_folder, self.target, self.protocol = Path(data_folder), target, protocol
        self.phone_set = int(phone_set)
        self._refused = Refused()
        self._root: Path | None = None
        self._found: list[Utterance] | None = None
        self._plan: Plan | None = None

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """What is wrong with options, as far as can be seen at a glance, for the check of a configuration."""
        return seen_at_once(cls, lambda corpus: corpus.root(), options)

    def settings(self) -> dict[str, Any]:
        """Everything beside the recordings and labels that decides which cuts there are."""
        by_phone = {"protocol": self.protocol, "phone_set": self.phone_set} if self.target == "phone" else {}
        return {"corpus": self.name, "target": self.target, **by_phone}

    def words(self) -> list[str] | None:
        """There are no keywords."""
        return None

    def root(self) -> Path:
        """The folder of `TRAIN` and `TEST`.

        Raises:
            ValueError: there is none.
        """
        if self._root is None:
            folder = find_folder(self.data_folder, otherwise="; TIMIT is LDC93S1, at catalog.ldc.upenn.edu")
            self._root = find_root(folder)
        return self._root

    def items(self) -> Iterator[Item]:
        """Every utterance that the protocol uses, in alphabetical order.

        Raises:
            ValueError: no such folder, or a part of the corpus is missing.
        """
        plan = self.plan()
        for one in self.used():
            try:
                phones = read_phones(one.phones, FOLDINGS[self.phone_set]) if self.target == "phone" else ()
                text = read_text(one)
            except ValueError as error:
                self._refused.add(one.audio, str(error))
                continue
            yield Item(
                id=one.id,
                path=Path(one.audio),
                split=plan.split(spoken(one)),
                speaker=one.speaker,
                text=text,
                phones=phones,
                sentence=one.sentence,
            )

    def notes(self) -> list[str]:
        """The protocol."""
        return self.plan().notes

    def refused(self) -> list[dict[str, str]]:
        """Utterances and files that cannot be used."""
        return self._refused.as_list()

    def used(self) -> list[Utterance]:
        """The utterances that the protocol uses; never SA.

        Raises:
            ValueError: there are none in a part that is needed, or a speaker is in both.
        """
        if self._found is None:
            found = sorted(listed(self.root(), self._refused), key=lambda one: one.id)
            self._check({part: {one.speaker for one in found if one.part == part} for part in PARTS})
            if self.target == "phone" and self.protocol == "core":
                found = [one for one in found if one.part == "train" or one.speaker in CORE | DEVELOPMENT]
            self._found = found
        return self._found

    def _check(self, speakers: dict[str, set[str]]) -> None:
        both = sorted(speakers["train"] & speakers["test"])
        if both:
            raise ValueError(f"{self.root()}: {', '.join(both[:5])} lie in train and in test: unpack TIMIT again")
        for part, names in speakers.items():
            if not names and (self.target == "phone" or not any(speakers.values())):
                raise ValueError(f"{self.root()} has no utterances such as {part.upper()}/DR1/*/SI648.WAV")
        if self.target == "phone" and self.protocol == "core" and not speakers["test"] & CORE:
            raise ValueError(
                f"{self.root()} has none of the 24 speakers of the core test set, such as TEST/DR1/MDAB0; type "
                "dataset.protocol=complete to test on those that are there"
            )

    def plan(self) -> Plan:
        """How the utterances are divided."""
        if self._plan is None:
            self._plan = self._by_sentence() if self.target == "speaker" else self._by_part()
        return self._plan

    def _by_sentence(self) -> Plan:
        n = len({one.speaker for one in self.used()})
        return Plan(
            lambda spoken: split_of(spoken.found.name.rpartition("_")[2]),
            [
                f"TIMIT, {n} speakers of both parts, each in all splits, divided by sentence: SI and SX 1 to 180 "
                "train, SX 181 to 270 validate, SX 271 to 450 test; no sentence is in two splits; the sentences SA, "
                "which everyone reads, are left out"
            ],
        )

    def _by_part(self) -> Plan:
        used = self.used()
        trained = {one.speaker for one in used if one.part == "train"}
        tested = {one.speaker for one in used if one.part == "test"}
        validated = tested & DEVELOPMENT if self.protocol == "core" else set()
        folding = f"{self.phone_set} phones"
        if self.phone_set != len(PHONES):
            folding += f", folded after Lee and Hon (1989), {DROPPED} dropped in all splits"
        n, n_speakers = sum(one.speaker in tested - validated for one in used), len(tested - validated)
        note = f"TIMIT, {self.protocol} test set: {n_speakers} speakers, {n} utterances"
        if (n_speakers, n) != OFFICIAL[self.protocol]:
            note += " (the official one has {} and {})".format(*OFFICIAL[self.protocol])
        note += f"; no speaker is in two splits; the sentences SA, which everyone reads, are left out; {folding}"

        def given(spoken: Spoken) -> str:
            return "validation" if spoken.speaker in validated else str(spoken.found.split)

        if not validated:
            return with_validation(given, trained, tested, lambda: map(spoken, used), SHARES, note)
        n = sum(one.speaker in validated for one in used)
        return Plan(
            given,
            [
                f"{note}; validation is the development set of the core test set, {len(validated)} other speakers of "
                f"the complete one, {n} utterances"
            ],
        )


def spoken(one: Utterance) -> Spoken:
    """An utterance as what is divided."""
    return Spoken(Found(id=one.id, path=one.audio, name=one.id, split=one.part), one.speaker)


def split_of(sentence: str) -> str:
    """Where a sentence belongs when speakers are told apart.

    >>> split_of("sx37"), split_of("sx217"), split_of("sx397"), split_of("si648")
    ('train', 'validation', 'test', 'train')
    """
    number = int(sentence[2:]) if sentence.startswith("sx") else 0
    return "test" if number in TEST_SX else "validation" if number in VALIDATION_SX else "train"
