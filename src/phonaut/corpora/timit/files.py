"""The files of TIMIT: their places, and readers of labels and transcripts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from phonaut.corpora.disk import Refused, entries, is_audio
from phonaut.corpora.phone_alignments import append_phone
from phonaut.corpora.timit.tables import PHONES
from phonaut.data.utterance import Phone
from phonaut.files import text_lines
from phonaut.names import excerpt

PARTS = ("train", "test")
RATE = 16000  # of the samples in which labels count
DEEPEST = 5  # folders between what the user names and TRAIN/, as copies of the CD-ROM have them
MOST_FOLDERS = 200  # that are looked into for it
REGION = re.compile(r"dr[1-8]")
SPEAKER = re.compile(r"[fm][a-z]{3}\d")
SENTENCE = re.compile(r"(sa|si|sx)\d+")


class Recording(NamedTuple):
    """A recording and the label files beside it; empty where there is none."""

    part: str  # train or test
    speaker: str
    sentence: str
    audio: str
    phones: str
    words: str
    text: str

    @property
    def id(self) -> str:
        """The same on every machine, in whatever case the names are."""
        return f"{self.speaker}_{self.sentence}"


def find_root(folder: Path) -> Path:
    """`folder`, or the one below it that holds `TRAIN/DR1` or `TEST/DR1`.

    Raises:
        ValueError: there is none.
    """
    level = [folder]
    for _ in range(DEEPEST + 1):
        below: list[Path] = []
        for here in level:
            names = entries(str(here), Refused())[1]
            parts = [here / name for name in names if name.casefold() in PARTS]
            if any(True for part in parts for _ in folders(part, REGION, Refused())):
                return here
            below += [here / name for name in names]
        level = below[:MOST_FOLDERS]
    raise ValueError(
        f"dataset.data_folder={folder} holds no TRAIN/DR1 and no TEST/DR1, in upper or lower case: it is not TIMIT in "
        "its official layout, TRAIN/DR1/FCJF0/SI648.WAV"
    )


def listed(root: Path, refused: Refused) -> Iterator[Recording]:
    """All utterances but SA; what is no part of TIMIT is refused."""
    for part, in_part in folders(root, re.compile("|".join(PARTS)), refused):
        for _, in_region in folders(in_part, REGION, refused):
            for speaker, place in folders(in_region, SPEAKER, refused):
                yield from of_speaker(part, speaker, str(place), refused)


def folders(folder: Path, pattern: re.Pattern[str], refused: Refused) -> Iterator[tuple[str, Path]]:
    """The folders whose names match, in lower case, with their paths."""
    for name in entries(str(folder), refused)[1]:
        if pattern.fullmatch(name.casefold()):
            yield name.casefold(), folder / name


def of_speaker(part: str, speaker: str, folder: str, refused: Refused) -> Iterator[Recording]:
    """The utterances in a speaker's folder."""
    files: dict[str, dict[str, str]] = {}  # sentence -> suffixes -> path
    for name in entries(folder, refused)[0]:
        stem, _, suffixes = name.casefold().partition(".")
        if SENTENCE.fullmatch(stem):
            files.setdefault(stem, {})[suffixes] = os.path.join(folder, name)
        elif is_audio(name):
            refused.add(os.path.join(folder, name), "the name is none of TIMIT's, such as SI648.WAV")
    for sentence, by_suffix in files.items():
        if sentence.startswith("sa"):
            continue
        audio = [suffixes for suffixes in by_suffix if is_audio(suffixes)]
        if not audio:
            refused.add(next(iter(by_suffix.values())), "there is no recording beside it")
            continue
        path = by_suffix[max(audio, key=lambda suffixes: (suffixes.count("."), suffixes))]  # SI648.WAV.wav: converted
        beside = (by_suffix.get(suffix, "") for suffix in ("phn", "wrd", "txt"))
        yield Recording(part, speaker, sentence, path, *beside)


def read_phones(path: str, folding: dict[str, str]) -> tuple[Phone, ...]:
    """The phones of a `.PHN` file, folded; its times are in samples.

    Raises:
        ValueError: there is no such file, a line is none, a label is none of the 61, or phones overlap.
    """
    if not path:
        raise ValueError("there is no .PHN file beside it")
    name = os.path.basename(path)
    phones: list[Phone] = []
    for number, line in enumerate(text_lines(Path(path), "latin-1"), 1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) != 3 or not all(re.fullmatch(r"-?[0-9]{1,15}", field) for field in fields[:2]):
            wanted = "'<first sample> <last sample> <phone>'"
            raise ValueError(f"{name}, line {number}: {wanted} is wanted, got {excerpt(line)!r}")
        label = fields[2].casefold()
        if label not in PHONES:
            raise ValueError(f"{name}, line {number}: {excerpt(fields[2])} is none of TIMIT's {len(PHONES)} phones")
        try:
            append_phone(phones, Phone(label, int(fields[0]) / RATE, int(fields[1]) / RATE))
        except ValueError as error:
            raise ValueError(f"{name}, line {number}: {error}") from error
    if not phones:
        raise ValueError(f"{name} is empty")
    return tuple(Phone(folding[p.label], p.start_s, p.end_s) for p in phones if p.label in folding)


def read_text(one: Recording) -> str | None:
    """The transcript, by the `.TXT` file, else by the words of the `.WRD` file; both begin with samples."""
    for path in filter(None, (one.text, one.words)):
        said = " ".join(word for line in text_lines(Path(path), "latin-1") for word in line.split()[2:])
        if said:
            return said
    return None
