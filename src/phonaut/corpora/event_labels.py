"""Recordings with the times of words in them, as people mark them: a table, or labels of Audacity."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from phonaut.corpora.disk import is_audio
from phonaut.files import composed, text_lines

SUFFIXES = (".csv", ".txt")
COLUMNS = ("start_s", "end_s", "word")
LATE_S = 0.05  # that a label may end after its recording


class Said(NamedTuple):
    """A word that was said.

    Attributes:
        word: which.
        start_s: seconds.
        end_s: seconds; as `start_s` where a moment was marked.
        speaker: empty where it is not known.
    """

    word: str
    start_s: float
    end_s: float
    speaker: str = ""


def labelled(folder: Path) -> Iterator[tuple[Path, list[Said]]]:
    """The recordings of a folder by name, and what is said in each.

    Raises:
        ValueError: there are none, a recording has no labels or two files of them, or labels are wrong.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; it is to hold recordings, each with labels of the same name")
    paths = sorted(path for path in folder.iterdir() if is_audio(path.name))
    if not paths:
        raise ValueError(f"{folder} holds no recordings; labels lie beside each: meeting.wav, meeting.csv")
    for path in paths:
        files = [file for suffix in SUFFIXES if (file := path.with_suffix(suffix)).is_file()]
        if not files:
            wanted = " or ".join(path.with_suffix(suffix).name for suffix in SUFFIXES)
            raise ValueError(f"{path} has no labels: {wanted} is missing (an empty one says that no word is said)")
        if len(files) > 1:
            raise ValueError(f"{path} has two files of labels, {' and '.join(file.name for file in files)}: remove one")
        yield path, read_labels(files[0])


def read_labels(path: Path) -> list[Said]:
    """The words of a file of labels.

    Args:
        path: `.csv`: columns start_s, end_s, word and, if it is known, speaker, named in the first line, between commas
            or, then with decimal commas too, semicolons or tabs; `.txt`: labels of Audacity, start, end and word with
            tabs between.

    Raises:
        ValueError: it is not like that; file and line are named.
    """
    lines = [(number, line) for number, line in enumerate(text_lines(path), 1) if line.strip()]
    if path.suffix == ".txt":  # lines that begin with a backslash are frequencies of a selection
        rows = [(number, [*line.split("\t"), "", ""]) for number, line in lines if not line.startswith("\\")]
        return apart(path, [said(path, number, row[:3]) for number, row in rows])
    if lines and re.fullmatch("sep=.", lines[0][1].strip(), re.IGNORECASE):  # as Excel begins a table
        lines = lines[1:]
    if not lines:
        return []
    mark = max(",;\t", key=lines[0][1].count)
    head = [name.strip().casefold() for name in next(csv.reader([lines[0][1]], delimiter=mark))]
    if missing := [name for name in COLUMNS if name not in head]:
        raise ValueError(f"{path} has no column {', '.join(missing)}: its first line is to name start_s,end_s,word")
    found = []
    for number, line in lines[1:]:
        row = dict(zip(head, next(csv.reader([line], delimiter=mark)), strict=False))
        times = [row.get(name, "") if mark == "," else row.get(name, "").replace(",", ".") for name in COLUMNS[:2]]
        found.append(said(path, number, [*times, row.get("word", "")], row.get("speaker", "")))
    return apart(path, found)


def apart(path: Path, words: list[Said]) -> list[Said]:
    """Labels, if none of a word overlaps another of it, which one detection could not find both.

    Raises:
        ValueError: two do.
    """
    last: dict[str, Said] = {}
    for one in sorted(words, key=lambda word: word.start_s):
        before = last.get(one.word)
        if before is not None and (one.start_s < before.end_s or one[:3] == before[:3]):
            raise ValueError(f"{path}: {one.word} is said twice at once, at {before.start_s:g} to {before.end_s:g} and "
                             f"at {one.start_s:g} to {one.end_s:g} s: remove one")  # fmt: skip
        last[one.word] = one
    return words


def said(path: Path, number: int, row: Sequence[str], speaker: str = "") -> Said:
    """One label.

    Raises:
        ValueError: times are no numbers, or upside down, or there is no word.
    """
    where, word = f"{path}, line {number}", row[2].strip()
    try:
        start_s, end_s = float(row[0]), float(row[1])
    except ValueError:
        raise ValueError(f"{where}: start and end must be seconds, got {row[0]!a} and {row[1]!a}") from None
    if not (0 <= start_s <= end_s < math.inf):
        raise ValueError(f"{where}: a word must end where it begins or later, got {row[0].strip()} to {row[1].strip()}")
    if not word:
        raise ValueError(f"{where}: no word is named")
    return Said(composed(word), start_s, end_s, composed(speaker.strip()))


def check_times(path: Path, words: Sequence[Said], duration_s: float) -> None:
    """Refuse labels beyond the end of a recording, which are of another one.

    Raises:
        ValueError: there are some.
    """
    late = [one for one in words if one.end_s > duration_s + LATE_S]
    if late:
        raise ValueError(f"{path} ends after {duration_s:.2f} s, and its labels say {late[0].word} at "
                         f"{late[0].start_s:g} to {late[0].end_s:g} s")  # fmt: skip
