"""Training: curves and figures by epoch, and those of a probe where there was one."""

from __future__ import annotations

import shlex
from typing import Any

from phonaut.metrics import Estimate
from phonaut.reports.charts import chart, charts, thinned
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Record
from phonaut.reports.sections import Section
from phonaut.reports.text import percent
from phonaut.runs.run import Run
from phonaut.training.callbacks.probing import PROBE_FILE

MAX_ROWS = 200
STAGES = {"train": "Training", "validation": "Validation"}
COLUMNS = (
    ("train/loss", "Training loss", "number"),
    ("train/accuracy", "Training accuracy", "percent"),
    ("validation/loss", "Validation loss", "number"),
    ("validation/accuracy", "Validation accuracy", "percent"),
    ("lr", "Learning rate", "number"),
)


def render(record: Record) -> Section | None:
    """The section; None where nothing was recorded."""
    history, averaged = record.run.history, averaged_epochs(record.run)
    best_epoch = None if averaged else record.run.model.get("best_epoch")
    probed = probe(record.run)
    terms = terms_of(record)
    drawn = [*charts(history, best_epoch, terms), *(probed["charts"] if probed else [])]
    if not drawn:
        return None
    content = {
        "record": record,
        "best_epoch": best_epoch,
        "averaged": averaged,
        "kept_by": checkpoint_criterion(record.run.config),
        "charts": drawn,
        "history": thinned(history, MAX_ROWS),
        "columns": [column for column in (*COLUMNS, *columns_of(terms)) if any(column[0] in line for line in history)],
        "probe": probed,
    }
    return Section(rendered("training.html", content), {"training": "Training"})


def terms_of(record: Record) -> list[str]:
    """Terms of a generator's loss in the order of its history; none of other models."""
    if record.target != "generation":
        return []
    names = (key.partition("/") for line in record.run.history for key in line)
    return list(dict.fromkeys(name for stage, _, name in names if stage in STAGES and name and name != "loss"))


def columns_of(terms: list[str]) -> list[tuple[str, str, str]]:
    """Columns of the table of epochs for terms of a loss."""
    return [
        (f"{stage}/{term}", f"{said} {term.replace('_', ' ')}", "number")
        for term in terms
        for stage, said in STAGES.items()
    ]


def checkpoint_criterion(config: Any) -> str:
    """Which checkpoint is kept: such as `of the lowest validation loss`, or `the last`."""
    watched = config.checkpoint
    if watched.get("monitor") is None:
        return "the last"
    extreme = "highest" if watched.get("mode") == "max" else "lowest"
    return f"of the {extreme} {watched['monitor'].replace('/', ' ')}"


def averaged_epochs(run: Run) -> str:
    """The epochs whose mean became the model, such as `11 to 20`; empty where it is of one."""
    epochs: list[int] = run.model.get("averaged_epochs", [])
    if len(epochs) > 1 and epochs == list(range(epochs[0], epochs[-1] + 1)):
        return f"{epochs[0]} to {epochs[-1]}"
    return ", ".join(map(str, epochs))


def probe(run: Run) -> dict[str, Any] | None:
    """Corpus and target of a probe, its accuracy by epoch and step, and their curve; None where there was none."""
    stored: dict[str, Any] = run.read(PROBE_FILE, {})
    if not stored or not stored["epochs"]:
        return None
    curve = chart("Probe accuracy over steps", stored["epochs"], {"accuracy": "value"}, percent,
                  run.model.get("best_epoch"), over="step")  # fmt: skip
    lines = [
        (int(line["epoch"]), int(line["step"]), Estimate(line["value"], line["low"], line["high"], int(line["n"])))
        for line in stored["epochs"]
    ]
    return {"words": shlex.join(stored["words"]), "lines": lines, "charts": [curve] if curve else []}
