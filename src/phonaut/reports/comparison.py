"""Runs side by side as files: a page, a table as CSV, and a picture of the curves in noise."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonaut.files import sweep, write_bytes, write_text
from phonaut.metrics import ClassMetric, Difference, Estimate
from phonaut.plots import against_snr, png
from phonaut.reports.comparison_table import about
from phonaut.reports.html import encodable, render
from phonaut.reports.media import data_uri
from phonaut.reports.record import ITEM
from phonaut.reports.sections.classes import MAX_ROWS, scale_start
from phonaut.reports.side_by_side import CSS_DPI, SHARPNESS, side_by_side, width_of
from phonaut.runs.comparison import Compared, Comparison
from phonaut.runs.folds import Folds
from phonaut.tasks.noise_test import condition

FOLDER = Path("trained_models") / "comparisons"
CSV, HTML, PICTURE = "compare.csv", "compare.html", "noise.png"
MAX_CONFUSIONS = 20  # of a run, on the page


def write_comparison(comparison: Comparison, folder: Path | None = None) -> list[Path]:
    """Write `compare.html`, `compare.csv` and, where there are curves, `noise.png`, and say where.

    Args:
        comparison: what to show.
        folder: made where it is not there; None: one under `trained_models/comparisons`, the same for the same runs.
    """
    folders = [str(run.run.folder.resolve()) for run in comparison.runs]
    what = [*folders, comparison.split, comparison.metric.name]
    folder = folder_of(len(comparison.runs), comparison.split, what, folder)
    picture = curves(comparison)
    write_text(folder / CSV, encodable(as_csv(comparison)))
    if picture is None:
        (folder / PICTURE).unlink(missing_ok=True)  # of an earlier comparison
    else:
        write_bytes(folder / PICTURE, picture)
    write_text(folder / HTML, encodable(page(comparison, picture)))
    return [folder / HTML, folder / CSV, *([folder / PICTURE] if picture else [])]


def folder_of(n: int, split: str, what: Iterable[str], folder: Path | None = None) -> Path:
    """The folder of a comparison of n runs, made and swept.

    Args:
        n: runs.
        split: that is compared.
        what: is compared, all that tells this comparison from others.
        folder: None: `<n>-runs-<split>-<hash of what is compared>` under `trained_models/comparisons`.
    """
    digest = hashlib.sha256("\n".join(what).encode("utf-8", "replace")).hexdigest()[:8]
    folder = folder or FOLDER / f"{n}-runs-{split}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder)
    return folder


def as_csv(comparison: Comparison) -> str:
    """A line for each run, numbers in full; figures in noise as `accuracy/white_10_db`, with `_low` and `_high`."""
    levels = sorted({(kind, snr) for run in comparison.runs for kind, curve in run.in_noise.items() for snr in curve})
    noisy = {f"{comparison.metric.name}/{condition(kind, snr)}": (kind, snr) for kind, snr in levels}
    rows = [row(run, comparison, noisy) for run in comparison.runs]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: plain_cell(value) for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def plain_cell(value: Any) -> Any:
    """A cell that no program for tables takes for a formula: text that begins like one is marked as text.

    >>> plain_cell("=1+1"), plain_cell("tc-res8"), plain_cell(-0.5)
    ("'=1+1", 'tc-res8', -0.5)
    """
    if not isinstance(value, (str, Path)):
        return value
    text = str(value).replace("\r", "\n")  # which the writer would not put into quotes
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\n")) else text


def row(run: Compared, comparison: Comparison, noisy: dict[str, tuple[str, float]]) -> dict[str, Any]:
    """A line of the CSV file."""
    cells: dict[str, Any] = {"run": run.name, "model": run.run.model.get("model"), "folder": run.run.folder}
    cells |= {"folds": len(run.run.runs) if isinstance(run.run, Folds) else None}
    cells |= {"split": comparison.split, "metric": comparison.metric.name, **run.rate.as_dict()}
    of_difference = run.difference._asdict() if run.difference else {}
    for key, head in (("value", "difference"), ("low", "difference_low"), ("high", "difference_high"), ("p", "p")):
        cells[head] = of_difference.get(key)
    of_test = run.mcnemar._asdict() if run.mcnemar else {}
    for key, head in (("only_first", "only_first_right"), ("only_other", "only_this_right"), ("p", "mcnemar_p")):
        cells[head] = of_test.get(key)
    cells |= {key: run.cost(key) for key in ("parameters", "macs", "train_seconds")}
    cells["log_likelihood_per_frame"] = run.log_likelihood_per_frame
    for head, (kind, snr) in noisy.items():
        rate = run.in_noise.get(kind, {}).get(snr)
        cells |= {head: rate and rate.value, f"{head}_low": rate and rate.low, f"{head}_high": rate and rate.high}
    return cells


def curves(comparison: Comparison) -> bytes | None:
    """The picture of the curves in noise, as PNG; None where no run has any."""
    if not comparison.noises:
        return None
    clean = {run.name: run.rate[:3] for run in comparison.runs}
    panels = {
        kind: {
            run.name: {snr: r[:3] for snr, r in run.in_noise[kind].items()}
            for run in comparison.runs
            if kind in run.in_noise
        }
        for kind in comparison.noises
    }
    return png(
        against_snr(panels, clean, ylabel=comparison.metric.label, percent=comparison.metric.format == "percent"),
        dpi=SHARPNESS * CSS_DPI,
    )


def page(comparison: Comparison, picture: bytes | None) -> str:
    """The comparison as HTML."""
    runs = comparison.runs
    notes = [str(note) for note in protocol(runs[0])]
    reach = max(
        (abs(x) for run in runs if run.difference for x in (run.difference.low, run.difference.high)), default=0
    )
    by_class = class_lines(comparison)
    return render(
        "compare.html",
        {
            "comparison": comparison,
            **side_by_side(
                {run.name: run.run for run in runs}, {run.name: run.rate for run in runs}, comparison.metric
            ),
            "about": about(comparison),
            "item": ITEM.get(comparison.target, "item"),
            "corpus": runs[0].run.corpus.get("name", "their corpus"),
            "protocol": notes[0] if notes else "",
            "floor": scale_start(run.rate for run in runs) if comparison.metric.format == "percent" else None,
            "newcombe": isinstance(comparison.metric.compute, ClassMetric),
            "reach": reach or 1.0,
            "picture_width": width_of(picture) if picture else 0,
            "picture": data_uri("image/png", picture) if picture else None,
            "levels": {
                kind: sorted({s for run in runs for s in run.in_noise.get(kind, {})}) for kind in comparison.noises
            },
            "classes": by_class[:MAX_ROWS],
            "n_classes": len(by_class),
            "most_confusions": MAX_CONFUSIONS,
        },
    )


@dataclass(frozen=True)
class ClassLine:
    """A class: its items, its recall by each run, and the differences to the first run."""

    name: str
    n: int
    rates: list[Estimate]
    differences: list[Difference]


def class_lines(comparison: Comparison) -> list[ClassLine]:
    """The classes that were tested, those on which the runs differ most first."""
    runs = comparison.runs
    lines = [
        ClassLine(name, n, [run.classes[c] for run in runs], [run.class_differences[c] for run in runs[1:]])
        for c, name in enumerate(comparison.classes)
        if (n := runs[0].classes[c].n)
    ]
    return sorted(lines, key=lambda line: -max((abs(one.value) for one in line.differences), default=0))


def protocol(run: Compared) -> list[str]:
    """The notes of the corpus; of folds those of the first, and which folds there are."""
    if not isinstance(run.run, Folds):
        return list(run.run.corpus.get("notes", []))
    first, *more = run.run.corpus.get("notes", [""])
    numbers = ", ".join(str(number) for number in run.run.numbers)
    return [f"the test cuts of folds {numbers} pooled. Of the first: {first}", *more]
