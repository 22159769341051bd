"""The recordings of speech and of noise of a folder, in the layout of the original and of hannah."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from phonaut.corpora.disk import Refused, entries, existing, is_audio, stems, walk
from phonaut.corpora.noise import NOISE_FOLDER
from phonaut.files import text_lines

NOISE_FILES, SPEECH_FILES = "noise_files", "speech_files"
SPEECH_COMMANDS = ("speech_commands_v0.02", "speech_commands_v0.01", "speech_commands")
LISTS = ("train.tsv", "dev.tsv", "test.tsv")
CLIPS = "clips"


class Clip(NamedTuple):
    """A recording.

    Attributes:
        name: the path below the root, without its suffix.
        path: of the file.
        who: the speaker, or the place of a noise.
        text: transcript, or None.
    """

    name: str
    path: str
    who: str
    text: str | None = None


def clips(root: Path, folder: str, refused: Refused, languages: Sequence[str] = ()) -> Iterator[Clip]:
    """The recordings under `root / folder`, in a fixed order.

    Of Common Voice (`.../LANGUAGE/train.tsv` beside `clips/`) those that the lists name, of the languages that are
    asked for. Of others what stands before the first `_` of the file name is the speaker; `_background_noise_` is left
    out.

    Args:
        root: of the corpus.
        folder: of the recordings.
        refused: gets what cannot be used.
        languages: of Common Voice; none: all.
    """
    voices = sorted(common_voice(root, folder))
    for language in voices:
        if not languages or os.path.basename(language) in languages:
            yield from listed(root, language, refused)
    for inner, files in walk(root / folder, refused):
        parts = inner.split("/")
        inside = f"{folder}/{inner}" if inner else folder
        if NOISE_FOLDER in parts or any(inside.startswith(f"{language}/") for language in voices):
            continue
        for file, stem in stems(files):
            yield Clip(f"{inside}/{stem}", str(root / inside / file), stem.partition("_")[0])


def common_voice(root: Path, folder: str, depth: int = 2) -> Iterator[str]:
    """The folders of languages of Common Voice, below `root`: `cv-corpus-.../LANGUAGE`."""
    files, folders = entries(str(root / folder), Refused())
    if CLIPS in folders and set(LISTS) & set(files):
        yield folder
    elif depth:
        for name in folders:
            yield from common_voice(root, f"{folder}/{name}", depth - 1)


def listed(root: Path, language: str, refused: Refused) -> Iterator[Clip]:
    """The clips that the lists of a language of Common Voice name, each once."""
    seen: set[str] = set()
    for name in LISTS:
        file = root / language / name
        if not file.is_file():
            continue
        rows = csv.DictReader(text_lines(file), delimiter="\t", quoting=csv.QUOTE_NONE)
        if missing := {"client_id", "path"} - set(rows.fieldnames or ()):
            refused.add(str(file), f"it has no column {', '.join(sorted(missing))}")
            continue
        for row in rows:
            clip = row["path"] if is_audio(row["path"]) else f"{row['path']}.mp3"
            if clip not in seen:
                seen.add(clip)
                path = existing(str(root / language / CLIPS / clip))
                yield Clip(f"{language}/{clip.rpartition('.')[0]}", path, row["client_id"], row.get("sentence"))


def languages_of(root: Path) -> list[str]:
    """The languages of Common Voice that are there."""
    return sorted(os.path.basename(folder) for folder in common_voice(root, SPEECH_FILES))
