"""Training: curves and figures by epoch, and those of a probe where there was one."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from phonaut.metrics import Estimate
from phonaut.reports.charts import Chart, chart, charts, thinned
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Record
from phonaut.reports.sections import Section
from phonaut.reports.text import percent
from phonaut.runs.run import PROBE_FILE, Run

MAX_ROWS = 200
COLUMNS = (
    ("train/loss", "Training loss", "number"),
    ("train/accuracy", "Training accuracy", "percent"),
    ("validation/loss", "Validation loss", "number"),
    ("validation/accuracy", "Validation accuracy", "percent"),
    ("lr", "Learning rate", "number"),
)


@dataclass(frozen=True)
class Probe:
    """Accuracy of a linear probe after each epoch.

    Attributes:
        words: corpus and target.
        lines: epoch, step, accuracy.
        charts: the curve of the accuracy over steps.
    """

    words: str
    lines: list[tuple[int, int, Estimate]]
    charts: list[Chart]


def render(record: Record) -> Section | None:
    """The section; None where nothing was recorded."""
    history, best_epoch = record.run.history, record.run.model.get("best_epoch")
    probed = probe(record.run)
    drawn = [*charts(history, best_epoch), *(probed.charts if probed else [])]
    if not drawn:
        return None
    content = {
        "record": record,
        "best_epoch": best_epoch,
        "kept_by": checkpoint_criterion(record.run.config),
        "charts": drawn,
        "history": thinned(history, MAX_ROWS),
        "columns": [column for column in COLUMNS if any(column[0] in line for line in history)],
        "probe": probed,
    }
    return Section(rendered("training.html", content), {"training": "Training"})


def checkpoint_criterion(config: Any) -> str:
    """Criterion of the best checkpoint, such as `lowest validation loss`."""
    watched = config.get("checkpoint") or {}
    extreme = "highest" if watched.get("mode") == "max" else "lowest"
    return f"{extreme} {watched.get('monitor', 'validation/loss').replace('/', ' ')}"


def probe(run: Run) -> Probe | None:
    """The probes of a run; None where there were none."""
    stored = run.read(PROBE_FILE)
    if not stored or not stored["epochs"]:
        return None
    drawn = chart("Probe accuracy over steps", stored["epochs"], {"accuracy": "value"}, percent,
                         run.model.get("best_epoch"), over="step")  # fmt: skip
    rates = [Estimate(line["value"], line["low"], line["high"], int(line["n"])) for line in stored["epochs"]]
    places = ((int(line["epoch"]), int(line["step"])) for line in stored["epochs"])
    lines = [(epoch, step, rate) for (epoch, step), rate in zip(places, rates, strict=True)]
    return Probe(shlex.join(stored["words"]), lines, [drawn] if drawn else [])
