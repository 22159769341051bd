"""Free Spoken Digit Dataset (Jakobovski et al., CC BY-SA 4.0): `recordings/{digit}_{speaker}_{take}.wav`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from phonaut.checks import refuse, within
from phonaut.corpora.base import Corpus, target_problems
from phonaut.corpora.disk import entries, find_or_fetch, is_audio
from phonaut.corpora.noise import noise_folders
from phonaut.data.utterance import Utterance

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_]+)_(?P<take>\d+)\.[^.]+")
TEST_TAKES = range(5)  # the corpus's README: recordings 0-4 are the test set
VALIDATION_TAKES = range(5, 10)
URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip"
CHECKSUM = "sha256:c680098f5d2355ba7cc4bd8b0ca9e0a24c00ebe3b4c552208889a4d28d4fbc2b"


class FSDD(Corpus):
    """Ten English digits by six speakers, 50 takes each, at 8 kHz.

    Officially takes 0-4 of every digit and speaker are the test set; 5-9 validate.

    Args:
        data_folder: the folder that holds `recordings`.
        target: `keyword` (the digit) or `speaker`.
        clip_s: seconds of a clip; null: as they are.
        download: fetch the corpus (16 MB) where `data_folder` does not hold it.
        clear_download: delete the archive after unpacking.
        noise_dataset: folders of noise recordings to mix in, each recording for one split alone.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "fsdd"
    RULES: ClassVar = {"clip_s": within(0.01, 3600)}
    published_split: ClassVar[bool] = True

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "keyword",
        clip_s: float | None = 1.0,
        download: bool = False,
        clear_download: bool = True,
        noise_dataset: Sequence[str] | str | None = None,
    ) -> None:
        refuse(target_problems(target, FSDD))
        self.data_folder = Path(data_folder)
        self.target, self.clip_s, self.noise_dataset = target, clip_s, noise_folders(noise_dataset)
        self._download = {"download": download, "clear_download": clear_download}

    @cached_property
    def folder(self) -> Path:
        """The folder of the recordings; fetched first where that was asked for.

        Raises:
            ValueError: they are not there.
        """
        root = find_or_fetch(self.data_folder, url=URL, checksum=CHECKSUM, **self._download)
        files, folders = entries(str(root), self._refused)
        inner = [root / name for name in folders if name.lower() == "recordings"]
        if not inner and not any(NAME.fullmatch(name) for name in files):
            raise ValueError(
                f"dataset.data_folder={root} has no folder recordings/ with files such as 7_jackson_32.wav"
            )
        return inner[0] if inner else root

    def first_look(self) -> None:
        """Find a recording.

        Raises:
            ValueError: there is none.
        """
        if next(self.utterances(), None) is None:
            raise ValueError(f"{self.folder} has no files such as 7_jackson_32.wav")

    def official(self) -> str:
        """By takes."""
        return (
            "official split: takes 0-4 of every digit and speaker are the test set, and all speakers are in training "
            "too; validation is cut from training by recording: takes 5-9"
        )

    def title(self) -> str:
        """Its usual name."""
        return "FSDD"

    def words(self) -> list[str]:
        """The digits, 0 to 9."""
        return [str(digit) for digit in range(10)]

    def utterances(self) -> Iterator[Utterance]:
        """Every recording, sorted by name.

        Raises:
            ValueError: no such folder.
        """
        for file in filter(is_audio, entries(str(self.folder), self._refused)[0]):
            path = os.path.join(self.folder, file)
            match = NAME.fullmatch(file)
            if match is None:
                self.refuse(path, "the name is not {digit}_{speaker}_{take}.wav")
                continue
            digit, speaker, take = match["digit"], match["speaker"].lower(), int(match["take"])
            yield Utterance(
                id=f"{digit}_{speaker}_{take}",
                path=Path(path),
                split="test" if take in TEST_TAKES else "validation" if take in VALIDATION_TAKES else "train",
                speaker=speaker,
                word=digit,
                text=DIGITS[int(digit)],
            )
