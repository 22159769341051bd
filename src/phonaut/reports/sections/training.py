"""Training: curves and figures by epoch, and those of a probe where there was one."""

from __future__ import annotations

import shlex
from typing import Any

from phonaut.metrics import Estimate
from phonaut.reports.charts import chart, charts, thinned
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Record
from phonaut.reports.sections import Section
from phonaut.reports.text import figure, percent
from phonaut.runs.run import Run
from phonaut.training.callbacks.probing import PROBE_FILE

MAX_ROWS = 200
STAGES = {"train": "Training", "validation": "Validation"}
ACCURACY = [
    ("train/accuracy", "Training accuracy", "percent"),
    ("validation/accuracy", "Validation accuracy", "percent"),
]
RATE = ("lr", "Learning rate", "number")
UNITS = {"cross_entropy": "cross-entropy, nats", "none": "mean absolute error of normalised features"}


def render(record: Record) -> Section | None:
    """The section; None where nothing was recorded."""
    averaged, em = averaged_epochs(record.run), is_em(record)
    history = em_history(record.run.history) if em else record.run.history
    best_epoch = None if averaged else record.run.model.get("best_epoch")
    probed = probe(record.run)
    figures = figures_of(record)
    over = turn(record) if record.target != "none" else "step"
    drawn = [*charts(history, best_epoch, figures, over), *(probed["charts"] if probed else [])]
    if not drawn:
        return None
    shown = [*columns_of([*figures]), *ACCURACY, *([("gain", "Gain", "number")] if em else [RATE])]
    content = {
        "record": record,
        "best_epoch": best_epoch,
        "averaged": averaged,
        "kept_by": checkpoint_criterion(record),
        "charts": drawn,
        "history": thinned(history, MAX_ROWS),
        "columns": [column for column in shown if any(column[0] in line for line in history)],
        "probe": probed,
        "turn": turn(record),
        "convergence": convergence(record, history) if em else "",
    }
    return Section(rendered("training.html", content), {"training": "Training"})


def is_em(record: Record) -> bool:
    """True where the training loop is expectation-maximisation."""
    module = record.run.config.module
    return bool(module) and str(module.get("_target_")).endswith(".EM")


def turn(record: Record) -> str:
    """What a line of the history is, in words."""
    return "EM step" if is_em(record) else "epoch"


def em_history(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """The history in log-likelihoods of a frame, with what each step gained on the training split."""
    lines = []
    before = None
    for line in history:
        here = line.get("train/log_likelihood")
        held = {"validation/log_likelihood": -line["validation/loss"]} if "validation/loss" in line else {}
        gain: dict[str, float] = {"gain": here - before} if here is not None and before is not None else {}
        lines.append({**line, **held, **gain})
        before = here
    return lines


def convergence(record: Record, history: list[dict[str, float]]) -> str:
    """Sentence on how far EM came: from where to where, what its last step gained, and if it converged."""
    steps = [line["train/log_likelihood"] for line in history if "train/log_likelihood" in line]
    if not steps:
        return ""
    if len(steps) == 1:
        return f"A training frame has {steps[0]:.2f} nats."
    gain, tol = steps[-1] - steps[-2], record.run.config.model.get("tol")
    text = f"A training frame has {steps[0]:.2f} nats after the first step and {steps[-1]:.2f} after the last, which "
    text += f"gained {figure(gain)}"
    if tol is None:
        return f"{text}."
    if gain <= tol:
        return f"{text}, no more than model.tol={tol:g}: it has converged."
    most = record.run.config.trainer.get("max_epochs")
    end = f", and trainer.max_epochs={most} ended it" if most == len(history) else ""
    return f"{text}, more than model.tol={tol:g}: it has not converged{end}."


def figures_of(record: Record) -> dict[str, str]:
    """Figures of the history that have a chart, and their units; a generator has terms of its loss."""
    if is_em(record):
        return {"log_likelihood": "nats"}
    unit = UNITS.get(record.target, UNITS.get(str(record.run.config.module.get("loss")), ""))
    figures = {"loss": unit}
    if record.target == "generation":
        names = (key.partition("/") for line in record.run.history for key in line)
        figures |= {name: "" for stage, _, name in names if stage in STAGES and name and name != "loss"}
    return figures


def columns_of(figures: list[str]) -> list[tuple[str, str, str]]:
    """Columns of the table of epochs: key, head and format."""
    return [
        (f"{stage}/{one}", f"{said} {one.replace('_', '-' if one == 'log_likelihood' else ' ')}", "number")
        for one in figures
        for stage, said in STAGES.items()
    ]


def checkpoint_criterion(record: Record) -> str:
    """Which checkpoint is kept: such as `of the lowest validation loss`, or `the last`."""
    watched = record.run.config.checkpoint
    if watched.get("monitor") is None:
        return "the last"
    if is_em(record) and watched["monitor"] == "validation/loss":
        return "of the highest validation log-likelihood"
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
