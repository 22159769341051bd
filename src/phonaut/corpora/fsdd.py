"""Free Spoken Digit Dataset (Jakobovski et al., CC BY-SA 4.0): `recordings/{digit}_{speaker}_{take}.wav`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from phonaut.corpora.disk import Refused, entries, find_or_fetch, is_audio
from phonaut.corpora.options import refuse, seen_at_once, wrong_choice
from phonaut.corpora.protocols.hashing import speakers_to_validate, wrong_target
from phonaut.data.utterance import Item

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)\.[^.]+")
TEST_TAKES = range(5)  # the corpus's README: recordings 0-4 are the test set
VALIDATION_TAKES = range(5, 10)
PROTOCOLS = ("official", "leave_one_speaker_out")
URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip"
CHECKSUM = "sha256:c680098f5d2355ba7cc4bd8b0ca9e0a24c00ebe3b4c552208889a4d28d4fbc2b"


class Take(NamedTuple):
    """One recording, as its name tells it."""

    path: str
    digit: str
    speaker: str
    take: int


class FSDD:
    """Ten English digits by six speakers, 50 takes each, at 8 kHz.

    Args:
        data_folder: the folder that holds `recordings`.
        target: `keyword` (the digit) or `speaker`.
        protocol: `official`: takes 0-4 of every speaker are the test set; `leave_one_speaker_out`: the test set is one
            speaker, whom training does not hear.
        fold: which speaker, counted from 0 in alphabetical order.
        clip_s: seconds of a clip; null: as they are.
        download: fetch the corpus (16 MB) where `data_folder` does not hold it.
        clear_download: delete the archive after unpacking.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "fsdd"

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "keyword",
        protocol: str = "official",
        fold: int = 0,
        clip_s: float | None = 1.0,
        download: bool = False,
        clear_download: bool = True,
    ) -> None:
        problems = [*wrong_target(target, self.name), *wrong_choice("protocol", protocol, PROTOCOLS)]
        if target == "speaker" and protocol == "leave_one_speaker_out":
            problems.append(
                "target=speaker needs every speaker in training, dataset.protocol=leave_one_speaker_out keeps one out: "
                "type dataset.protocol=official"
            )
        refuse(problems)
        self.data_folder = Path(data_folder)
        self.target, self.protocol, self.fold = target, protocol, fold
        self.clip_s = clip_s
        self._download = {"download": download, "clear_download": clear_download}
        self._refused = Refused()
        self._place: Path | None = None
        self._names: list[str] | None = None

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """What is wrong with options, as far as can be seen at a glance, for the check of a configuration."""
        return seen_at_once(cls, lambda corpus: corpus.speakers(), options)

    def settings(self) -> dict[str, Any]:
        """Everything beside the recordings that decides which cuts there are."""
        return {
            "corpus": self.name,
            "target": self.target,
            "protocol": self.protocol,
            "fold": self.fold if self.protocol == "leave_one_speaker_out" else None,
            "clip_s": self.clip_s,
        }

    def folder(self) -> Path:
        """Where the recordings are; fetched first where that was asked for.

        Raises:
            ValueError: they are not there.
        """
        if self._place is None:
            root = find_or_fetch(self.data_folder, url=URL, checksum=CHECKSUM, **self._download)
            files, folders = entries(str(root), self._refused)
            inner = [root / name for name in folders if name.lower() == "recordings"]
            self._place = inner[0] if inner else root
            if not inner and not any(NAME.fullmatch(name) for name in files):
                raise ValueError(
                    f"dataset.data_folder={root} has no folder recordings/ with files such as 7_jackson_32.wav"
                )
        return self._place

    def speakers(self) -> list[str]:
        """Who is in the corpus, sorted."""
        if self._names is None:
            self._names = sorted({take.speaker for take in self._takes()})
            if not self._names:
                raise ValueError(f"{self.folder()} has no files such as 7_jackson_32.wav")
            if self.protocol == "leave_one_speaker_out" and not 0 <= self.fold < len(self._names):
                folds = ", ".join(f"{i} {name}" for i, name in enumerate(self._names))
                raise ValueError(f"dataset.fold={self.fold}: the corpus has these folds: {folds}")
        return self._names

    def words(self) -> list[str]:
        """The digits, 0 to 9."""
        return [str(digit) for digit in range(10)]

    def items(self) -> Iterator[Item]:
        """Every recording, sorted by name.

        Raises:
            ValueError: no such folder or fold.
        """
        tested, validated = self._held_out()
        for take in self._takes():
            if take.speaker == tested or (tested is None and take.take in TEST_TAKES):
                split = "test"
            elif take.speaker in validated or (not validated and take.take in VALIDATION_TAKES):
                split = "validation"
            else:
                split = "train"
            yield Item(
                id=f"{take.digit}_{take.speaker}_{take.take}",
                path=Path(take.path),
                split=split,
                speaker=take.speaker,
                word=take.digit,
                text=DIGITS[int(take.digit)],
            )

    def notes(self) -> list[str]:
        """The protocol."""
        tested, validated = self._held_out()
        takes = f"takes {VALIDATION_TAKES[0]}-{VALIDATION_TAKES[-1]} of the training speakers"
        by_take = f"validation is cut from training by recording: {takes}"
        if tested is None:
            return [
                "FSDD, official split: takes 0-4 of every digit and speaker are the test set, and all speakers are in "
                f"training too; {by_take}"
            ]
        by_speaker = f"validation is cut from training by speaker: {', '.join(sorted(validated))}"
        return [
            f"FSDD, leave one speaker out, fold {self.fold}: the test set is all of {tested}, whom training does not "
            f"hear; {by_speaker if validated else by_take}"
        ]

    def refused(self) -> list[dict[str, str]]:
        """Files that could not be listed."""
        return self._refused.as_list()

    def _held_out(self) -> tuple[str | None, set[str]]:
        """The speaker who is tested on (None: by takes) and those who are validated on (none: by takes)."""
        names = self.speakers()
        if self.protocol == "official":
            return None, set()
        tested = names[self.fold]
        return tested, speakers_to_validate([name for name in names if name != tested], [tested], pct=10)

    def _takes(self) -> Iterator[Take]:
        place = str(self.folder())
        for name in filter(is_audio, entries(place, self._refused)[0]):
            path = os.path.join(place, name)
            if found := NAME.fullmatch(name):
                yield Take(path, found["digit"], found["speaker"].lower(), int(found["take"]))
            else:
                self._refused.add(path, "the name is not {digit}_{speaker}_{take}.wav")
