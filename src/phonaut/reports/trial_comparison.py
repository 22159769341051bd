"""Verification runs side by side, as files and on the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from phonaut.config.metrics import registered_metrics
from phonaut.files import write_text
from phonaut.metrics import det_curve
from phonaut.plots import png
from phonaut.plots.verification import CONDITIONS, GENDERS, det_curves, in_words
from phonaut.reports.comparison import CSV, HTML, folder_of, plain_cell
from phonaut.reports.comparison_table import change, show_columns
from phonaut.reports.html import encodable, render
from phonaut.reports.media import data_uri
from phonaut.reports.side_by_side import side_by_side
from phonaut.reports.text import NONE, interval, probability_of_chance, value
from phonaut.runs.trial_comparison import ComparedTrials, TrialComparison

DPI = 180
FORMATS = {"eer": "percent"}
LABELS = {"eer": "EER", "min_dcf": "least cost", "dcf": "cost", "cllr": "Cllr", "min_cllr": "least Cllr"}


def write_trial_comparison(comparison: TrialComparison, folder: Path | None = None) -> list[Path]:
    """Write `compare.html` and `compare.csv`, and say where."""
    folders = [str(run.run.folder.resolve()) for run in comparison.runs if run.run]
    folder = folder_of(len(comparison.runs), comparison.split, [*folders, comparison.split], folder)
    write_text(folder / CSV, encodable(as_csv(comparison)))
    write_text(folder / HTML, encodable(page(comparison)))
    return [folder / HTML, folder / CSV]


def as_csv(comparison: TrialComparison) -> str:
    """A line for each run and condition, numbers in full."""
    rows: list[dict[str, Any]] = []
    for run in comparison.runs:
        for suffix in comparison.conditions:
            cells: dict[str, Any] = {"run": run.name, "folder": run.run and run.run.folder, "split": comparison.split,
                                     "condition": suffix.removeprefix("/") or "all"}  # fmt: skip
            for figure in LABELS:
                rate, difference = run.figures.get(figure + suffix), run.differences.get(figure + suffix)
                cells |= {figure: rate and rate.value, f"{figure}_low": rate and rate.low,
                          f"{figure}_high": rate and rate.high, f"{figure}_interval": rate and rate.method,
                          "n": rate.n if rate else cells.get("n"),
                          f"{figure}_difference": difference and difference.value,
                          f"{figure}_difference_low": difference and difference.low,
                          f"{figure}_difference_high": difference and difference.high}  # fmt: skip
            rows.append(cells)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: plain_cell(cell) for key, cell in row.items()} for row in rows)
    return buffer.getvalue()


def page(comparison: TrialComparison) -> str:
    """The comparison as HTML."""
    first = comparison.runs[0]
    notes = first.run.corpus.get("notes", []) if first.run else []
    return render(
        "trial_compare.html",
        {
            "comparison": comparison,
            **side_by_side(
                {run.name: run.run for run in comparison.runs if run.run},
                {run.name: run.figures.get("eer") for run in comparison.runs},
                registered_metrics()["eer"],
            ),
            "conditions": [(suffix, in_words(suffix.removeprefix("/"))) for suffix in comparison.conditions],
            "labels": LABELS,
            "methods": methods(comparison),
            "formats": FORMATS,
            "protocol": notes[:2],
            "n": len(first.scored.trials),
            "pictures": {name: data_uri("image/png", data) for name, data in curves(comparison)},
            "fusion": next((run for run in comparison.runs if run.calibration), None),
        },
    )


def methods(comparison: TrialComparison) -> list[str]:
    """How the intervals that are shown were made, each once; figures name them by their numbers."""
    shown = {f"eer{suffix}" for suffix in comparison.conditions} | {*LABELS}
    rates = (rate for run in comparison.runs for name, rate in run.figures.items() if name in shown)
    return list(dict.fromkeys(rate.method for rate in rates))


def curves(comparison: TrialComparison) -> Iterator[tuple[str, bytes]]:
    """DET curves of all runs, a picture a condition."""
    condition = comparison.runs[0].scored.condition
    for kind, label in CONDITIONS.items():
        which = (condition == "TC") | (condition == kind)
        if kind == "TC" or not (condition == kind).any():
            continue
        drawn = {}
        for run in comparison.runs:
            curve = det_curve(run.scored.scores[which], condition[which] == "TC")
            drawn[run.name] = (curve.false_alarm, curve.miss)
        yield label, png(det_curves(drawn), dpi=DPI)


def columns(comparison: TrialComparison) -> Iterator[tuple[str, list[str]]]:
    """The table of the terminal: heads and cells; those of each gender are in the files."""
    runs = comparison.runs
    yield "run", [run.name for run in runs]
    for suffix in (one for one in comparison.conditions if one.rpartition("/")[2] not in GENDERS):
        head = f"EER {suffix.removeprefix('/')}".strip()
        yield head, [cell(run, f"eer{suffix}") for run in runs]
        yield "95 % interval", [interval(run.figures[f"eer{suffix}"]) for run in runs]
        differences = [run.differences.get(f"eer{suffix}") for run in runs]
        yield "difference (points)", [change(one, "percent") for one in differences]
        yield "p", [probability_of_chance(one.p) if one else NONE for one in differences]
    for figure in ("min_dcf", "cllr", "min_cllr"):
        yield LABELS[figure], [cell(run, figure) for run in runs]


def cell(run: ComparedTrials, name: str) -> str:
    """A figure of a run."""
    rate = run.figures.get(name)
    return NONE if rate is None else value(rate.value, FORMATS.get(name.partition("/")[0], "number"))


def show_trials(comparison: TrialComparison, written: list[Path], *, console: Console | None = None) -> None:
    """Print the table, what to beware of, and where the files are."""
    first = comparison.runs[0]
    about = (f"{len(first.scored.trials):,} trials ({comparison.split}); differences and p (paired bootstrap over the "
             f"speakers of both sides) are against the first run, {first.name}")  # fmt: skip
    show_columns([about], columns(comparison), comparison.remarks, written, console or Console())
