"""Table of all evaluations of a run, with the metrics of the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phonaut.config.metrics import registered_metrics
from phonaut.metrics import Estimate, Metric, unregistered
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Record, page_of
from phonaut.reports.sections import Section
from phonaut.reports.sections.headline import unknown_labels
from phonaut.reports.text import trained_speakers
from phonaut.tasks.noise_test import parsed

MAX_WORDS = 20


@dataclass(frozen=True)
class EvaluationRow:
    """A line of the table of evaluations.

    Attributes:
        name: the split or folder.
        condition: such as `noise_10_db`; empty for the recordings as they are.
        rates: metric -> estimate.
        n_speakers: None where the predictions have gone.
        unknown: labels that the model does not know and their counts; they count for nothing.
        n_unknown: items with such words.
        folder: what was refused of a folder; None: it is no folder.
        speakers: a sentence on those whom the model was trained on, or nothing.
        page: the file of its own page; empty where it has none.
    """

    name: str
    condition: str
    rates: dict[str, Estimate]
    n_speakers: int | None
    unknown: list[tuple[str, int]]
    n_unknown: int
    folder: dict[str, Any] | None
    speakers: str
    page: str


def render(record: Record) -> Section:
    """The section."""
    rows = evaluations(record)
    content = {"record": record, "evaluations": rows, "metrics": columns(rows)}
    return Section(rendered("evaluations.html", content))


def evaluations(record: Record) -> list[EvaluationRow]:
    """All that was evaluated, the headline's first; conditions on lines of their own."""
    rows = []
    for evaluation in record.evaluations:
        by_condition: dict[str, dict[str, Estimate]] = {}
        for name, rate in evaluation.rates.items():
            metric, _, condition = name.partition("/")
            by_condition.setdefault(condition, {})[metric] = rate
        unknown, folder = unknown_labels(evaluation), record.folders.get(evaluation.name)
        page = page_of(evaluation.name)
        for condition, rates in sorted(by_condition.items(), key=lambda pair: condition_order(pair[0])):
            rows.append(
                EvaluationRow(
                    name=evaluation.name,
                    condition=condition,
                    rates=rates,
                    n_speakers=evaluation.n_speakers if evaluation.predictions is not None else None,
                    unknown=[] if condition else unknown.most_common(MAX_WORDS),
                    n_unknown=0 if condition else unknown.total(),
                    folder=folder,
                    speakers=trained_speakers(folder or {}),
                    page="" if condition or record.part or not (record.run.folder / page).exists() else page,
                )
            )
    return rows


def columns(rows: list[EvaluationRow]) -> list[Metric]:
    """The metrics that any row has, in the order of the registry; those that it does not know last."""
    registered = registered_metrics()
    there = {name for row in rows for name in row.rates}
    known = [metric for name, metric in registered.items() if name in there]
    return known + [unregistered(name) for name in sorted(there - registered.keys())]


def condition_order(condition: str) -> tuple[str, float]:
    """Sort key of conditions: the kind, then the level.

    >>> sorted(["white_10_db", "white_5_db", "", "far"], key=condition_order)
    ['', 'far', 'white_5_db', 'white_10_db']
    """
    return parsed(condition) or (condition, 0.0)
