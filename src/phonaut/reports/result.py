"""The headline of a report: how good the model is, how sure that is, and what stands out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from phonaut.config.metrics import registered_metrics
from phonaut.metrics import Estimate, Metric, unregistered, wilson
from phonaut.reports.record import Evaluation, Record
from phonaut.reports.tables import Confused, RateRow, confused, floor_of
from phonaut.reports.text import whole
from phonaut.runs.run import parsed

FEW_SPEAKERS = 5
MOST_WORDS = 20


@dataclass(frozen=True)
class Result:
    """The headline.

    Attributes:
        rate: the accuracy.
        n_right: items that were right.
        n_speakers: speakers who said them; None where the predictions have gone.
        how: how the interval was found.
        chance: accuracy of always giving the most common class.
        floor: where the drawn scale of the interval begins.
        confused: the most frequent confusion.
        weakest_class: the class that was found least often.
        weakest_speaker: the speaker who was understood least often.
    """

    rate: Estimate
    n_right: int
    n_speakers: int | None
    how: str
    chance: float | None
    floor: float
    confused: Confused | None
    weakest_class: RateRow | None
    weakest_speaker: RateRow | None


@dataclass(frozen=True)
class EvaluationRow:
    """A line of the table of evaluations.

    Attributes:
        name: the split or folder.
        condition: such as `noise_10_db`; empty for the recordings as they are.
        rates: metric -> estimate.
        n_speakers: None where the predictions have gone.
        unknown: words that the model does not know and how often they came; they count for nothing.
        n_unknown: items with such words.
    """

    name: str
    condition: str
    rates: dict[str, Estimate]
    n_speakers: int | None
    unknown: list[tuple[str, int]]
    n_unknown: int


def result(record: Record, classes: list[RateRow], speakers: list[RateRow]) -> Result:
    """The headline of a run, given the tables of its classes and speakers, the weakest first."""
    evaluation = record.main
    rate = evaluation.rates["accuracy"]
    there = evaluation.predictions is not None and rate.n > 0
    counts = evaluation.confusion if there else None
    pairs = confused(evaluation) if there else []
    return Result(
        rate=rate,
        n_right=round(rate.value * rate.n) if rate.n else 0,
        n_speakers=evaluation.n_speakers if there else None,
        how=how(evaluation, record.item) if there else "",
        chance=float(counts.sum(axis=1).max() / counts.sum()) if counts is not None else None,
        floor=floor_of([rate]),
        confused=pairs[0] if pairs else None,
        weakest_class=imperfect(classes),
        weakest_speaker=imperfect(speakers) if len(speakers) > 1 else None,
    )


def imperfect(rows: list[RateRow]) -> RateRow | None:
    """The first row, if anything was wrong in it."""
    return rows[0] if rows and rows[0].rates[0].value < 1 else None


def how(evaluation: Evaluation, item: str) -> str:
    """How the interval of a headline was found, in words."""
    n, rate = evaluation.n_speakers, evaluation.rates["accuracy"]
    if n < 2:
        return f"Wilson's interval over {item}s, because there is one speaker: it says nothing about other speakers"
    if np.allclose((rate.low, rate.high), wilson(rate.value * rate.n, rate.n), rtol=0, atol=1e-9):
        return f"Wilson's interval over {item}s: wider than the bootstrap over the {whole(n)} speakers, who are alike"
    rough = "; with so few, it is rough" if n < FEW_SPEAKERS else ""
    return f"bootstrap over the {whole(n)} speakers{rough}"


def evaluations(record: Record) -> list[EvaluationRow]:
    """All that was evaluated, the headline's first; conditions on lines of their own."""
    rows = []
    for evaluation in record.evaluations:
        by_condition: dict[str, dict[str, Estimate]] = {}
        for name, rate in evaluation.rates.items():
            metric, _, condition = name.partition("/")
            by_condition.setdefault(condition, {})[metric] = rate
        unknown = unknown_words(evaluation)
        for condition, rates in sorted(by_condition.items(), key=lambda pair: in_counting_order(pair[0])):
            rows.append(
                EvaluationRow(
                    name=evaluation.name,
                    condition=condition,
                    rates=rates,
                    n_speakers=evaluation.n_speakers if evaluation.predictions is not None else None,
                    unknown=[] if condition else unknown.most_common(MOST_WORDS),
                    n_unknown=0 if condition else unknown.total(),
                )
            )
    return rows


def columns(rows: list[EvaluationRow]) -> list[Metric]:
    """The metrics that any row has, in the order of the registry; those that it does not know last."""
    registered = registered_metrics()
    there = {name for row in rows for name in row.rates}
    known = [metric for name, metric in registered.items() if name in there]
    return known + [unregistered(name) for name in sorted(there - registered.keys())]


def in_counting_order(condition: str) -> tuple[str, float]:
    """What conditions are sorted by: the kind, then the level.

    >>> sorted(["white_10_db", "white_5_db", "", "far"], key=in_counting_order)
    ['', 'far', 'white_5_db', 'white_10_db']
    """
    return parsed(condition) or (condition, 0.0)


def unknown_words(evaluation: Evaluation) -> Counter[str]:
    """The words of items that the model has no class for."""
    if evaluation.predictions is None:
        return Counter()
    words, counts = np.unique(evaluation.predictions.label_name[~evaluation.known], return_counts=True)
    return Counter({str(word): int(n) for word, n in zip(words, counts, strict=True)})
