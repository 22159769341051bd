"""Runs without predictions side by side, as files and on the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from phonaut.files import write_text
from phonaut.metrics import Estimate
from phonaut.reports.comparison import CSV, HTML, folder_of, plain_cell
from phonaut.reports.comparison_table import show_columns
from phonaut.reports.html import encodable, render
from phonaut.reports.side_by_side import side_by_side
from phonaut.reports.text import NONE, interval, seconds, short, value
from phonaut.runs.figure_comparison import FigureComparison

COSTS = {"parameters": short, "macs": short, "train_seconds": seconds}


def write_figure_comparison(comparison: FigureComparison, folder: Path | None = None) -> list[Path]:
    """Write `compare.html` and `compare.csv`, and say where."""
    folders = [str(run.folder.resolve()) for run in comparison.runs.values()]
    what = [*folders, *comparison.figures, comparison.split]
    folder = folder_of(len(comparison.runs), comparison.split, what, folder)
    write_text(folder / CSV, encodable(as_csv(comparison)))
    write_text(folder / HTML, encodable(page(comparison)))
    return [folder / HTML, folder / CSV]


def as_csv(comparison: FigureComparison) -> str:
    """A line for each run and figure, numbers in full."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["run", "folder", "split", "figure", "better", "value", "low", "high", "n", "interval"])
    for i, (name, run) in enumerate(comparison.runs.items()):
        for figure, of in comparison.figures.items():
            if (one := of[i]) is not None:
                cells = [name, run.folder, comparison.split, figure, comparison.metric(figure).direction, *one]
                writer.writerow([plain_cell(cell) for cell in cells])
    return buffer.getvalue()


def page(comparison: FigureComparison) -> str:
    """The comparison as HTML."""
    first = next(iter(comparison.runs.values()))
    rows = [
        (figure, comparison.label(figure), comparison.metric(figure), of, comparison.best(figure))
        for figure, of in comparison.figures.items()
    ]
    metric, measured = comparison.metric(next(iter(comparison.figures))), next(iter(comparison.figures.values()))
    estimates = [one for of in comparison.figures.values() for one in of]
    return render(
        "figure_compare.html",
        {
            "comparison": comparison,
            "rows": rows,
            "methods": list(dict.fromkeys(one.method for one in estimates if one and one.method)),
            "corpus": first.corpus.get("name", "their corpus"),
            "protocol": first.corpus.get("notes", [])[:1],
            "costs": [
                (head, [text(run.model[key]) if key in run.model else NONE for run in comparison.runs.values()])
                for (key, text), head in zip(COSTS.items(), ("Parameters", "MACs", "Trained in"), strict=True)
            ],
            **side_by_side(comparison.runs, dict(zip(comparison.runs, measured, strict=True)), metric),
        },
    )


def columns(comparison: FigureComparison) -> Iterator[tuple[str, list[str]]]:
    """The table of the terminal: heads and cells. Of several metrics, those under conditions are in the files."""
    yield "run", list(comparison.runs)
    several = len({figure.partition("/")[0] for figure in comparison.figures}) > 1
    for figure, of in comparison.figures.items():
        if several and "/" in figure:
            continue
        metric = comparison.metric(figure)
        yield f"{comparison.label(figure)}, {metric.direction} is better", [cell(one, metric.format) for one in of]


def cell(one: Estimate | None, format: str) -> str:
    """A figure with its interval."""
    return NONE if one is None else f"{value(one.value, format)} ({interval(one, format)})"


def show_figures(comparison: FigureComparison, written: list[Path], *, console: Console | None = None) -> None:
    """Print the table, what to beware of, and where the files are."""
    about = (f"figures of {comparison.split}, each with its run's own 95 % interval; runs of the same items may differ "
             "where intervals overlap")  # fmt: skip
    show_columns([about], columns(comparison), comparison.remarks, written, console or Console())
