"""Runs as lines: for people, as CSV, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from phonaut.names import as_typed
from phonaut.reports.text import NONE, csv_line, interval, value
from phonaut.runs.listing import Listed, metrics

HEAD = ("run", "task", "corpus", "model", "figure", "95 % interval", "on", "age")
COLUMNS = (
    "run",
    "task",
    "corpus",
    "model",
    "state",
    "metric",
    "split",
    "value",
    "low",
    "high",
    "n",
    "started",
    "command",
)
UNITS = ((86400 * 365.25, "year"), (86400, "day"), (3600, "hour"), (60, "minute"))


def lines_of(runs: Sequence[Listed], form: str, now: datetime | None = None) -> list[str]:
    """A line for each run, of CSV and the table with a head, of JSON one list; below the table, how to go on."""
    if form == "csv":
        return [
            csv_line(COLUMNS),
            *(csv_line(["" if one is None else one for one in plain(run).values()]) for run in runs),
        ]
    if form == "json":
        return [json.dumps([plain(run) for run in runs], indent=1, ensure_ascii=False)]
    if not runs:
        return ["no runs yet: phonaut train starts one"]
    cells = [HEAD, *(cells_of(run, now or datetime.now(UTC)) for run in runs)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
    table = ["   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    open_ones = [run for run in runs if run.command and run.state == "unfinished"]
    return [*table, *(["", "to resume"] if open_ones else []), *(f"  {as_typed(run.command)}" for run in open_ones)]


def cells_of(run: Listed, now: datetime) -> tuple[str, ...]:
    """A run as a line of the table."""
    age = "" if run.started is None else age_of((now - run.started).total_seconds())
    of_run = (str(run.run), run.task, run.corpus, run.model)
    if run.figure is None or run.state != "finished":
        said = run.state + (f", {run.progress}" if run.progress else "")
        return (*of_run, said, "", "", age)
    metric = metrics().get(run.metric)
    form = metric.format if metric else "number"
    label = metric.label if metric else run.metric
    shown = f"{label} {value(run.figure.value, form)}"
    limits = NONE if math.isnan(run.figure.value) else interval(run.figure, form)
    return (*of_run, shown, limits, f"{run.figure.n:,} ({run.split})", age)


def age_of(seconds: float) -> str:
    """A time in its largest unit.

    >>> age_of(5), age_of(3599), age_of(7300), age_of(86400 * 9)
    ('now', '59 minutes', '2 hours', '9 days')
    """
    for length, name in UNITS:
        if (n := int(seconds // length)) > 0:
            return f"{n} {name}{'s' * (n > 1)}"
    return "now"


def plain(run: Listed) -> dict[str, Any]:
    """A run for other programs."""
    figure = run.figure
    return {
        **{key: str(getattr(run, key)) for key in COLUMNS[:7]},
        **{key: getattr(figure, key, None) for key in ("value", "low", "high", "n")},
        "started": run.started.isoformat() if run.started else None,
        "command": run.command,
    }
