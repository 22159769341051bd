"""The table of a profiler: a file in the run, and its head for people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from phonaut.checks import types_of
from phonaut.config.nodes import Node, class_of, instantiate

NAME = "profile"
SHOWN = 10  # lines
WIDTH = 60  # characters of a name
PART = "Profile stats for: "  # heads of the tables in a file


def profiler_of(node: Node | None, folder: Path) -> Any:
    """The profiler of a node, which writes its table into a folder; an earlier one goes."""
    if not node:
        return None
    for file in folder.glob(f"*{NAME}*.txt"):
        file.unlink()
    return instantiate(node, **({"dirpath": folder, "filename": NAME} if "dirpath" in types_of(class_of(node)) else {}))


def head_of(folder: Path) -> list[str]:
    """The first lines of the table, of several the one of most time, and where all is; none where there is no table."""
    file = next(iter(sorted(folder.glob(f"*{NAME}*.txt"))), None)
    if file is None:
        return []
    text = file.read_text(encoding="utf-8")
    part = max(text.split(PART), key=seconds_of)
    rows = [re.split(r"\s*\|\s*|\s{2,}|\t+", line.strip("| \t")) for line in part.splitlines() if line.strip("-| \t")]
    rows = [[cell[:WIDTH] for cell in row] for row in rows[: SHOWN - 1]]
    table = [row for row in rows if len(row) == len(rows[-1])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["   ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=row in table)).rstrip() for row in rows]
    return [*lines, f"all {len(text.splitlines()):,} lines: {file}"]


def seconds_of(part: str) -> float:
    """The time that a table of function calls is of; of other tables 0.

    >>> seconds_of("7 function calls (5 primitive calls) in 0.250 seconds"), seconds_of("Action")
    (0.25, 0.0)
    """
    match = re.search(r"function calls.* in ([\d.]+) seconds", part)
    return float(match[1]) if match else 0.0
