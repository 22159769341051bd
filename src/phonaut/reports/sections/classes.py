"""Tables of classes and of speakers, the hardest first."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from phonaut.metrics import Estimate
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Evaluation, Record
from phonaut.reports.sections import Section

MAX_ROWS = 200


@dataclass(frozen=True)
class RateRow:
    """A line of a table: a class or a speaker, how many items, and figures."""

    name: str
    n: int
    rates: tuple[Estimate, ...]


def render(record: Record) -> Section | None:
    """The section; None where nothing was counted."""
    evaluation = record.main
    if not evaluation.classified:
        return None
    classes = class_rows(evaluation)
    speakers = speaker_rows(evaluation) if record.target != "speaker" else []
    content = {
        "classes": classes[:MAX_ROWS],
        "n_classes": len(classes),
        "class_floor": scale_start(row.rates[0] for row in classes),
        "speakers": speakers[:MAX_ROWS],
        "n_speakers": len(speakers),
        "speaker_floor": scale_start(row.rates[0] for row in speakers),
    }
    links = {"classes": "Classes"} | ({"speakers": "Speakers"} if speakers else {})
    return Section(rendered("classes.html", content), links)


def class_rows(evaluation: Evaluation) -> list[RateRow]:
    """Recall, precision and F1 of every class, the weakest first; classes that were not tested last."""
    rows = (RateRow(c.name, c.recall.n, (c.recall, c.precision, c.f1)) for c in evaluation.by_class)
    return weakest_first(rows)


def speaker_rows(evaluation: Evaluation) -> list[RateRow]:
    """Accuracy of every speaker, the weakest first."""
    return weakest_first(RateRow(name, rate.n, (rate,)) for name, rate in evaluation.by_speaker.items())


def weakest_first(rows: Iterable[RateRow]) -> list[RateRow]:
    """Rows by their first figure; those without one come last."""
    return sorted(rows, key=lambda row: (math.isnan(row.rates[0].value), row.rates[0].value))


def scale_start(rates: Iterable[Estimate]) -> float:
    """Start of a drawn scale that ends at 1: the tenth below the lowest interval.

    >>> scale_start([Estimate(0.95, 0.87, 0.99, 50)])
    0.8
    >>> scale_start([Estimate(math.nan, math.nan, math.nan, 3)])
    0.0
    """
    low = min((rate.low for rate in rates if rate.n and not math.isnan(rate.low)), default=0.0)
    return max(0.0, min(0.9, math.floor(10 * low) / 10))
