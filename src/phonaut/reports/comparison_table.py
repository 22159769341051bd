"""The table that `phonaut compare` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from phonaut.metrics import Difference
from phonaut.reports.record import ITEM
from phonaut.reports.text import (
    NONE,
    escaped,
    interval,
    points,
    print_line,
    probability_of_chance,
    seconds,
    short,
    things,
    value,
)
from phonaut.runs.comparison import Comparison

ANY_WIDTH = 100_000


def about(comparison: Comparison) -> str:
    """Metric, number of items and of speakers, in a line."""
    item = ITEM.get(comparison.target, "item")
    people = "" if comparison.target == "speaker" else f" of {things(comparison.n_speakers, 'speaker')}"
    unknown = f"; {things(comparison.n_unknown, item)} of unknown classes left out" if comparison.n_unknown else ""
    return f"{comparison.metric.label} on {things(comparison.n, item)}{people} ({comparison.split}){unknown}"


def change(difference: Difference | None, format: str) -> str:
    """A difference with its interval."""
    if difference is None or not difference.n:
        return NONE
    value, low, high = (points(x, format) for x in difference[:3])
    return f"{value} ({low} to {high})"


def columns(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    """The table of the terminal: heads and cells. A column that no run has is left out."""
    runs = comparison.runs
    yield "run", [run.name for run in runs]
    if any(run.model not in run.name for run in runs):
        yield "model", [run.model for run in runs]
    metric = comparison.metric
    yield metric.label, [value(run.rate.value, metric.format) for run in runs]
    yield "95 % interval", [interval(run.rate, metric.format) for run in runs]
    yield "n", [f"{run.rate.n}" for run in runs]
    unit = " (points)" if metric.format == "percent" else ""
    yield f"difference{unit}", [change(run.difference, metric.format) for run in runs]
    yield "p", [probability_of_chance(run.difference.p) if run.difference else NONE for run in runs]
    yield "McNemar p", [probability_of_chance(run.mcnemar.p) if run.mcnemar else NONE for run in runs]
    for head, key, format in (("misses", "misses", "percent"), ("false alarms/h", "false_alarms_per_hour", "number")):
        rates = [run.detected(key) for run in runs]
        if any(rates):
            yield head, [f"{value(rate.value, format)} ({interval(rate, format)})" if rate else NONE for rate in rates]
    for head, key, text in (
        ("parameters", "parameters", short),
        ("MACs", "macs", short),
        ("trained in", "train_seconds", seconds),
    ):
        costs = [run.cost(key) for run in runs]
        if any(cost is not None for cost in costs):
            yield head, [NONE if cost is None else text(cost) for cost in costs]
    likelihoods = [run.log_likelihood_per_frame for run in runs]
    if any(one is not None for one in likelihoods):
        yield "log-lik./frame", [NONE if one is None else f"{one:.2f}" for one in likelihoods]


def show(comparison: Comparison, written: list[Path], *, console: Console | None = None) -> None:
    """Print the table, what to beware of, and where the files are.

    Nothing is cut off or broken. In a terminal that is too narrow, the table goes on below; in a pipe it is one.
    """
    first = comparison.runs[0].name
    how = f"differences, p (paired bootstrap over speakers) and McNemar's p are against the first run, {first}"
    show_columns([about(comparison), how], columns(comparison), comparison.remarks, written, console or Console())


def show_columns(
    above: Iterable[str],
    columns_: Iterable[tuple[str, list[str]]],
    remarks: Iterable[str],
    written: Iterable[Path],
    console: Console,
) -> None:
    """Print lines, a table of columns below them, remarks and files; see `show`."""
    line = partial(print_line, console=console)
    for text in ("", *above):
        line(text)
    safe = [(head, [escaped(cell, console) for cell in cells]) for head, cells in columns_]
    for part in parts(safe, console.width if console.is_terminal else ANY_WIDTH, console):
        line("")
        console.print(part, crop=False)
    line("")
    for remark in remarks:
        line(f"beware: {remark}")
    for path in written:
        line(str(path))


def parts(columns_: list[tuple[str, list[str]]], width: int, console: Console) -> Iterator[Table]:
    """The table, divided into tables that fit; each begins with the runs."""
    name, *rest = columns_
    while rest:
        n = len(rest)
        while n > 1 and natural_width(table([name, *rest[:n]]), console) > width:
            n -= 1
        one = table([name, *rest[:n]])
        one.width = natural_width(one, console)
        yield one
        rest = rest[n:]


def table(columns_: list[tuple[str, list[str]]]) -> Table:
    """Columns as a table: text to the left, numbers to the right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head, _ in columns_:
        made.add_column(head, justify="left" if head in ("run", "model") else "right", no_wrap=True)
    for cells in zip(*(cells for _, cells in columns_), strict=True):
        made.add_row(*(Text(cell, style="bold" if i == 0 else "") for i, cell in enumerate(cells)))
    return made


def natural_width(one: Table, console: Console) -> int:
    """Width of a table without line breaks."""
    return Measurement.get(console, console.options.update(width=ANY_WIDTH), one).maximum
