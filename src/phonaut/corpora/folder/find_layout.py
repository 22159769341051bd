"""Recognise the layout of a user's recordings: Kaldi's, a table, or folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from phonaut.corpora.disk import Refused, entries
from phonaut.corpora.folder.directories import Directories
from phonaut.corpora.folder.layouts import Layout
from phonaut.corpora.folder.tables import Table, find_tables
from phonaut.corpora.kaldi import KaldiDirectory, find_kaldi
from phonaut.names import nearest


def find_layout(
    root: Path,
    refused: Refused,
    layout: str,
    table: str | None,
    columns: Mapping[str, str],
    word_pattern: re.Pattern[str] | None,
) -> Layout:
    """The layout of the recordings in `root`, which may also be a table.

    Raises:
        ValueError: not in the way that was asked for, or in none that is known.
    """
    if root.is_file():
        return Table([root], refused, columns)
    if table is not None:
        if not (root / table).is_file():
            near = ", ".join(nearest(table, entries(str(root), refused)[0])) or "no files"
            raise ValueError(f"dataset.table={table} is not in {root} (nearest: {near})")
        return Table([root / table], refused, columns)
    if layout == "auto" and word_pattern is not None:
        layout = "directories"
    if layout in ("auto", "kaldi"):
        if folders := find_kaldi(root):
            return KaldiDirectory(folders, refused)
        if layout == "kaldi":
            raise ValueError(f"dataset.layout=kaldi: neither {root} nor its folders train and test have a wav.scp")
    passed_over: dict[Path, str] = {}
    if layout in ("auto", "csv"):
        tables, passed_over = find_tables(root, refused, columns)
        for table_file, problem in passed_over.items():
            refused.add(str(table_file), problem)
        if tables:
            return Table(tables, refused, columns)
        if layout == "csv":
            there = "".join(f". {file.name}: {problem}" for file, problem in passed_over.items())
            raise ValueError(
                f"dataset.layout=csv: {root} has no .csv or .tsv table with columns path and label; name the file "
                f"(dataset.table=NAME) and its columns ('dataset.columns={{path: ..., label: ...}}'){there}"
            )
    try:
        return Directories(root, refused, word_pattern)
    except ValueError as error:
        if not passed_over:
            raise
        file, problem = next(iter(passed_over.items()))
        raise ValueError(f"{file} is not read: {problem}. Without it, {error}") from error
