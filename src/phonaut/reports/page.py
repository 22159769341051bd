"""The report of a run: one HTML file that needs nothing beside itself."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from phonaut import __version__
from phonaut.files import write_text
from phonaut.reports import charts, representation, text
from phonaut.reports.densities import learned, sampled
from phonaut.reports.mistakes import mistakes
from phonaut.reports.record import Record, read
from phonaut.reports.result import columns, evaluations, result
from phonaut.reports.setup import corpus, machine, moment, settings, size, strip
from phonaut.reports.tables import MOST_ROWS, class_rows, floor_of, matrix, speaker_rows

FILTERS = (
    "percent",
    "value",
    "probability",
    "interval",
    "whole",
    "things",
    "seconds",
    "figure",
    "short",
    "points",
    "probability_of_chance",
)
TEMPLATES = Path(__file__).parent / "templates"


def write_report(run_folder: Path) -> Path:
    """Write `report.html` of a finished run, and say where.

    The page is a function of the run's files alone: the same files give the same bytes. Players and spectrograms are
    left out, with the reason, where the prepared corpus has gone.

    Raises:
        ValueError: the folder holds no finished run, or a file of it is damaged.
    """
    record = read(run_folder)
    path = record.run.folder / "report.html"
    write_text(path, encodable(page(record)))
    return path


def page(record: Record) -> str:
    """The report as HTML."""
    if representation.is_representation(record):
        return render("representation.html", representation.contents(record))
    return render("report.html", contents(record))


def render(template: str, content: dict[str, Any]) -> str:
    """A page as HTML; all that comes from runs is escaped, and nothing but the page's own script may run."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(text, name) for name in FILTERS}
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template(template).render(
        content, script=script, script_hash=f"sha256-{digest}", version=__version__
    )


def encodable(html: str) -> str:
    """A page without what UTF-8 cannot say: halves of characters, out of names that are no UTF-8."""
    return html.encode("utf-8", "backslashreplace").decode("utf-8")


def kept_by(config: Any) -> str:
    """What the kept epoch had most or least of."""
    watched = config.get("checkpoint") or {}
    extreme = "highest" if watched.get("mode") == "max" else "lowest"
    return f"{extreme} {watched.get('monitor', 'validation/loss').replace('/', ' ')}"


def contents(record: Record) -> dict[str, Any]:
    """What the template shows."""
    run, evaluation = record.run, record.main
    scored = evaluation.predictions is not None and bool(evaluation.known.any())
    classes = class_rows(evaluation) if scored else []
    speakers = speaker_rows(evaluation) if scored and record.target != "speaker" else []
    best_epoch = run.model.get("best_epoch")
    return {
        "record": record,
        "environment": run.environment,
        "started": moment(run.environment.get("started", "")),
        "result": result(record, classes, speakers),
        "evaluations": (rows := evaluations(record)),
        "metrics": columns(rows),
        "best_epoch": best_epoch,
        "kept_by": kept_by(run.config),
        "charts": charts.charts(run.history, best_epoch),
        "learned": learned(run),
        "sampled": sampled(run),
        "history": charts.thinned(run.history, MOST_ROWS),
        "matrix": matrix(evaluation) if scored else None,
        "classes": classes[:MOST_ROWS],
        "n_classes": len(classes),
        "class_floor": floor_of(row.rates[0] for row in classes),
        "speakers": speakers[:MOST_ROWS],
        "n_speakers": len(speakers),
        "speaker_floor": floor_of(row.rates[0] for row in speakers),
        "mistakes": mistakes(record) if scored else None,
        "size": size(record),
        "strip": strip(record),
        "corpus": corpus(record),
        "settings": settings(record),
        "machine": machine(record),
    }
