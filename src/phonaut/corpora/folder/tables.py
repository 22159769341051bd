"""Recordings listed in a table: CSV, TSV or the like, with a header."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from phonaut.corpora.disk import Refused, base_of, composed, entries, existing, listed_path
from phonaut.corpora.folder.layouts import split_name
from phonaut.data.utterance import Utterance
from phonaut.files import encoding_of
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
            if not header.usable():
                there = excerpt(", ".join(header.names), 200) or "(none)"
                raise ValueError(
                    f"{header.file} has the columns {there}; needed are path and label, "
                    "and for splits by speaker also speaker. Name yours: 'dataset.columns={path: ..., label: ...}'"
                )
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
                f"{header.file} names recordings that are not there{first}; paths are relative to the table"
            )
        return base


class Header:
    """The columns of a table, and its rows by them.

    Args:
        file: the table.
        columns: what it calls `path`, `label` ..., where it is none of the usual names.

    Raises:
        ValueError: `columns` names a column that is not there, or the table is not UTF-8.
    """

    def __init__(self, file: Path, columns: Mapping[str, str]) -> None:
        unknown = sorted(set(columns) - set(COLUMNS))
        if unknown:
            raise ValueError(f"dataset.columns has {', '.join(unknown)}; it may name {', '.join(COLUMNS)}")
        self.file = file
        first = next(self._lines(), "")
        readings = [next(csv.reader([first], delimiter=delimiter), []) for delimiter in DELIMITERS]
        best = max(range(len(DELIMITERS)), key=lambda i: (len(_index(readings[i], columns)), len(readings[i])))
        self.delimiter, self.names = DELIMITERS[best], readings[best]
        self.index = _index(self.names, columns)
        for column, name in columns.items():
            if column not in self.index:
                near = ", ".join(nearest(name, self.names)) or "nothing"
                raise ValueError(f"dataset.columns: {file} has no column {name} for {column} (nearest: {near})")

    def usable(self) -> bool:
        """True where it names recordings and their classes or speakers."""
        return "path" in self.index and bool(self.index.keys() & {"label", "speaker", "text"})

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number and the row's cells by column."""
        quotes = None if self.delimiter == "\t" else '"'  # sentences in TSV hold lone quotes
        reader = csv.reader(
            self._lines(),
            delimiter=self.delimiter,
            quotechar=quotes,
            quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        )
        try:
            next(reader, None)
            for cells in reader:
                if any(cells):
                    yield reader.line_num, {name: cells[i].strip() for name, i in self.index.items() if i < len(cells)}
        except csv.Error as error:
            raise ValueError(f"{self.file}:{reader.line_num} cannot be read as a table: {error}") from error

    def _lines(self) -> Iterator[str]:
        try:
            with self.file.open(encoding=encoding_of(self.file), newline="") as lines:
                yield from lines
        except UnicodeError as error:
            raise ValueError(
                f"{self.file} is not UTF-8; save it as UTF-8 (iconv -f latin1 -t utf-8): {error}"
            ) from error


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


def find_tables(root: Path, refused: Refused, columns: Mapping[str, str]) -> list[Path]:
    """The tables in `root` that list recordings: one, or one per split.

    Raises:
        ValueError: there are several, and their names are not those of splits.
    """
    names = [name for name in entries(str(root), refused)[0] if name.lower().endswith((".csv", ".tsv"))]
    usable = [root / name for name in names if Header(root / name, {}).usable() or (columns and len(names) == 1)]
    splits = [split_name(file.stem) for file in usable]
    by_split = [file for file, split in zip(usable, splits, strict=True) if split]
    if len(usable) > 1 and "test" in splits and "train" in splits:
        if len(set(splits) - {None}) < len(by_split):
            raise ValueError(f"{root} has more than one table for a split: {', '.join(f.name for f in by_split)}")
        return by_split
    if len(usable) > 1:
        listed = ", ".join(file.name for file in usable)
        raise ValueError(f"{root} has several tables of recordings ({listed}); type dataset.table={usable[0].name}")
    return usable


def _times(row: Mapping[str, str]) -> tuple[float, float | None]:
    """Start and duration in seconds; no duration: to the end."""
    value = {}
    for column in ("start", "end", "duration"):
        if text := row.get(column):
            try:
                value[column] = float(text)
            except ValueError:
                raise ValueError(f"{column} {text!r} is not a number of seconds") from None
    start_s = value.get("start", 0.0)
    if "end" in value:
        duration_s = value["end"] - start_s
    elif "start" in value or "duration" not in value:
        return _from_start(start_s, value.get("duration"))
    else:
        return 0.0, None  # a column of durations alone describes whole recordings
    return _from_start(start_s, round(duration_s, 6))


def _from_start(start_s: float, duration_s: float | None) -> tuple[float, float | None]:
    if not (start_s >= 0 and (duration_s is None or duration_s > 0)):
        raise ValueError(f"start {start_s:g} s and duration {duration_s:g} s are no part of a recording")
    return start_s, duration_s
