"""Recordings listed in a table: CSV, TSV or the like, with a header."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from phonaut.corpora.disk import Refused, base_of, entries, existing, is_audio, suffix_of
from phonaut.corpora.folder.layouts import split_name
from phonaut.data.utterance import Utterance
from phonaut.files import LONGEST_LINE, composed, encoding_of, listed_path
from phonaut.names import excerpt, nearest

COLUMNS = {  # what people call them
    "path": ("path", "file", "filename", "file_name", "filepath", "file_path", "audio", "audio_path", "wav"),
    "label": ("label", "word", "class", "keyword", "command", "category", "target"),
    "speaker": ("speaker", "speaker_id", "speakerid", "spk", "spk_id", "client_id", "worker_id", "talker", "user"),
    "split": ("split", "set", "subset", "partition"),
    "start": ("start", "start_s", "start_time", "begin", "onset"),
    "end": ("end", "end_s", "end_time", "stop_time", "offset"),
    "duration": ("duration", "duration_s", "dur"),
    "text": ("text", "transcript", "transcription", "sentence", "utterance"),
    "session": ("session", "session_id"),
}
TIMES = ("start", "end", "duration")
DECIMAL = re.compile(r"^(-?\d*),(\d+)$")
SHEETS = ("xlsx", "xls", "ods", "parquet", "jsonl")
SHEET = "a table of this kind is not read: save it as CSV"
DELIMITERS = (",", "\t", ";", "|")
SUBFOLDERS = ("", "clips", "audio", "wav", "wavs", "recordings", "WAVE")


class Table:
    """One table, or one per split (`train.csv`, `test.csv`).

    Args:
        files: the tables.
        refused: gets the rows that cannot be used.
        columns: what this table calls `path`, `label` ..., where it is none of the usual names.

    Raises:
        ValueError: a table has no header with the columns that are needed, or its recordings are not found.
    """

    def __init__(self, files: Sequence[Path], refused: Refused, columns: Mapping[str, str]) -> None:
        self._files = [(file, split_name(file.stem) if len(files) > 1 else None) for file in files]
        self._refused = refused
        self._headers = [Header(file, columns) for file in files]
        for header in self._headers:
            if problem := header.problem():
                raise ValueError(f"{header.file}: {problem}")
        self._bases = [self._base(header) for header in self._headers]
        self.has_speakers = all("speaker" in header.index for header in self._headers)
        self.has_splits = len(files) > 1 or "split" in self._headers[0].index
        self.has_words = all("label" in header.index or "text" in header.index for header in self._headers)

    def pattern_text(self, utterance: Utterance) -> str:
        """The path, as in the table."""
        return str(utterance.recording)

    def utterances(self) -> Iterator[Utterance]:
        """Row by row."""
        seen: set[int] = set()
        for (file, split), header, (base, suffix) in zip(self._files, self._headers, self._bases, strict=True):
            for line, row in header.rows():
                try:
                    utterance = self._row(row, base, suffix, split)
                except ValueError as error:
                    self._refused.add(f"{file}:{line}", str(error))
                    continue
                key = int.from_bytes(hashlib.sha1(utterance.id.encode(), usedforsecurity=False).digest()[:8], "big")
                if key in seen:
                    self._refused.add(f"{file}:{line}", f"{utterance.id} is listed twice")
                else:
                    seen.add(key)
                    yield utterance

    def _row(self, row: Mapping[str, str], base: Path, suffix: str, split: str | None) -> Utterance:
        if not row.get("path"):
            raise ValueError("no path")
        name = listed_path(row["path"]) + suffix
        path = existing(os.path.join(base, name))
        start_s, duration_s = _times(row)
        text = row.get("text") or None
        word = row.get("label") or (text if self.has_words else None)
        if self.has_words and not word:
            raise ValueError("no label")
        stem = str(PurePosixPath(name).with_suffix(""))
        cut = f"@{start_s:.3f}" if start_s or duration_s is not None else ""
        return Utterance(
            id=composed(stem + cut),
            path=Path(path),
            split=split or split_name(row.get("split", "")),
            speaker=composed(row.get("speaker", "")),
            word=composed(word) if word else None,
            start_s=start_s,
            duration_s=duration_s,
            text=text,
            session=row.get("session") or None,
            recording=composed(name),
        )

    def _base(self, header: Header) -> tuple[Path, str]:
        folder = header.file.parent
        samples = [row["path"] for _, row in islice(header.rows(), 20) if row.get("path")]
        bases = [folder / name for name in SUBFOLDERS] + [folder.parent]
        base = base_of([listed_path(name) for name in samples], bases)
        if base is None:
            first = f": {samples[0]} is not in {folder}" if samples else ": it has no rows"
            raise ValueError(
                f"{header.file} names recordings that are not there{excerpt(first, 300)}; paths are relative to the "
                "table"
            )
        return base


class Header:
    """The columns of a table, and its rows by them.

    Before the line with the names of the columns there may be comments, empty lines, and Excel's `sep=;`.

    Args:
        file: the table.
        columns: what it calls `path`, `label` ..., where it is none of the usual names.

    Raises:
        ValueError: `columns` names a column that is not there, or the table is no text.
    """

    def __init__(self, file: Path, columns: Mapping[str, str]) -> None:
        unknown = sorted(set(columns) - set(COLUMNS))
        if unknown:
            raise ValueError(f"dataset.columns has {', '.join(unknown)}; it may name {', '.join(COLUMNS)}")
        self.file = file
        self._first, first, delimiters = self._find(columns)
        readings = [_cells(first, delimiter) for delimiter in delimiters]
        best = max(range(len(delimiters)), key=lambda i: (len(_index(readings[i], columns)), len(readings[i])))
        self.delimiter, self.names = delimiters[best], readings[best]
        self.index = _index(self.names, columns)
        for column, name in columns.items():
            if column not in self.index:
                near = ", ".join(nearest(name, self.names)) or "nothing"
                raise ValueError(
                    f"dataset.columns: {file} has no column {name} for {column} (nearest: {excerpt(near, 200)})"
                )

    def problem(self) -> str | None:
        """The reason why it cannot be used; None: it names recordings and their classes or speakers."""
        if "path" in self.index and bool(self.index.keys() & {"label", "speaker", "text"}):
            return None
        there = excerpt(", ".join(self.names), 200) or "(none)"
        if any(is_audio(name) for name in self.names):
            return (
                f"its first line names a recording ({there}), not columns: put a line path,label,speaker above it, in "
                "the order of its columns"
            )
        return (
            f"it has the columns {there}; needed are path and label, and for splits by speaker also speaker. Name "
            "yours: 'dataset.columns={path: ..., label: ...}'"
        )

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number and the row's cells by column."""
        quotes = None if self.delimiter == "\t" else '"'  # sentences in TSV hold lone quotes
        reader = csv.reader(
            islice(self._lines(), self._first, None),
            delimiter=self.delimiter,
            quotechar=quotes,
            quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        )
        try:
            next(reader, None)
            start = reader.line_num + 1
            for cells in reader:
                if any("\n" in cell or "\r" in cell for cell in cells):
                    raise ValueError(f"{self.file}:{self._first + start}: a quote is not closed on its line")
                start = reader.line_num + 1
                if any(cells):
                    row = {name: cells[i].strip() for name, i in self.index.items() if i < len(cells)}
                    if self.delimiter == ";":  # as Excel writes where decimals have commas
                        row |= {name: DECIMAL.sub(r"\1.\2", row[name]) for name in TIMES if name in row}
                    yield self._first + reader.line_num, row
        except csv.Error as error:
            line = self._first + reader.line_num
            raise ValueError(f"{self.file}:{line} cannot be read as a table: {error}") from error

    def _find(self, columns: Mapping[str, str]) -> tuple[int, str, Sequence[str]]:
        """The number of lines before the names of the columns, these names, and the delimiters that there may be."""
        delimiters: Sequence[str] = DELIMITERS
        for number, line in enumerate(self._lines()):
            text = line.strip()
            if number == 0 and (match := re.fullmatch(r"\W*sep=(.)\W*", line.rstrip("\r\n"), re.IGNORECASE)):
                delimiters = [match[1]]
            elif text.startswith("#"):
                named = text.lstrip("# ")  # the names themselves may stand in a comment
                if any("path" in (found := _index(_cells(named, d), columns)) and len(found) > 1 for d in delimiters):
                    return number, named, delimiters
            elif text.strip(",;|"):
                return number, line, delimiters
        return 0, "", delimiters

    def _lines(self) -> Iterator[str]:
        try:
            with self.file.open(encoding=encoding_of(self.file), newline="") as lines:
                while line := lines.readline(LONGEST_LINE):
                    if "\0" in line or len(line) == LONGEST_LINE:
                        raise ValueError(f"{self.file} is no text in UTF-8; save it as UTF-8")
                    yield line
        except UnicodeError as error:
            raise ValueError(
                f"{self.file} is not UTF-8; save it as UTF-8 (iconv -f latin1 -t utf-8): {error}"
            ) from error
        except OSError as error:
            raise ValueError(f"{self.file} cannot be read: {error.strerror}") from error


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of one line; none where it is no such line."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except (csv.Error, TypeError, ValueError):
        return []


def _index(names: Sequence[str], columns: Mapping[str, str]) -> dict[str, int]:
    """The place of each column that is understood."""
    folded = [name.strip().casefold().replace(" ", "_") for name in names]
    index = {}
    for column, usual in COLUMNS.items():
        names = [columns[column].strip().casefold().replace(" ", "_")] if column in columns else usual
        place = next((folded.index(name) for name in names if name in folded), None)
        if place is not None:
            index[column] = place
    return index


def find_tables(root: Path, refused: Refused, columns: Mapping[str, str]) -> tuple[list[Path], dict[Path, str]]:
    """The tables in `root` that list recordings, one or one per split; and those that are passed over, with reasons.

    Raises:
        ValueError: there are several, and their names are not those of splits.
    """
    names = entries(str(root), refused)[0]
    tables = [root / name for name in names if suffix_of(name) in ("csv", "tsv")]
    passed_over = {root / name: SHEET for name in names if suffix_of(name) in SHEETS}
    usable = []
    for file in tables:
        try:
            problem = Header(file, {}).problem()
        except ValueError as error:
            problem = str(error).removeprefix(str(file)).strip()
        if problem is None or (columns and len(tables) == 1):
            usable.append(file)
        else:
            passed_over[file] = problem
    splits = [split_name(file.stem) for file in usable]
    by_split = [file for file, split in zip(usable, splits, strict=True) if split]
    if len(usable) > 1 and "test" in splits and "train" in splits:
        if len(set(splits) - {None}) < len(by_split):
            raise ValueError(f"{root} has more than one table for a split: {', '.join(f.name for f in by_split)}")
        listed = ", ".join(file.name for file in by_split)
        passed_over |= {file: f"not read beside {listed}" for file in usable if file not in by_split}
        return by_split, passed_over
    if len(usable) > 1:
        listed = ", ".join(file.name for file in usable)
        raise ValueError(f"{root} has several tables of recordings ({listed}); type dataset.table={usable[0].name}")
    return usable, passed_over


def _times(row: Mapping[str, str]) -> tuple[float, float | None]:
    """Start and duration in seconds; no duration: to the end."""
    value = {}
    for column in TIMES:
        if text := row.get(column):
            try:
                value[column] = float(text)
            except ValueError:
                hint = ": write decimals with a point" if DECIMAL.match(text) else ""
                raise ValueError(f"{column} '{excerpt(text)}' is not a number of seconds{hint}") from None
    start_s = value.get("start", 0.0)
    if "end" in value:
        duration_s = value["end"] - start_s
    elif "start" in value or "duration" not in value:
        return _from_start(start_s, value.get("duration"))
    else:
        return 0.0, None  # a column of durations alone describes whole recordings
    return _from_start(start_s, round(duration_s, 6))


def _from_start(start_s: float, duration_s: float | None) -> tuple[float, float | None]:
    if not (0 <= start_s < math.inf and (duration_s is None or 0 < duration_s < math.inf)):
        lasting = "" if duration_s is None else f" and duration {duration_s:g} s"
        raise ValueError(f"start {start_s:g} s{lasting} are no part of a recording")
    return start_s, duration_s
