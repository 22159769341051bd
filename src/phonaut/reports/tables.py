"""Which classes and speakers are hard, and what is taken for what."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from phonaut.metrics import Estimate, by_class, by_speaker
from phonaut.reports.record import Evaluation

MOST_ROWS = 200
MOST_CLASSES = 40  # of a confusion matrix
MOST_PAIRS = 10


@dataclass(frozen=True)
class RateRow:
    """A line of a table: a class or a speaker, how many items, and figures."""

    name: str
    n: int
    rates: tuple[Estimate, ...]


@dataclass(frozen=True)
class Confused:
    """How often one class was taken for another, of how many."""

    truth: str
    answer: str
    n: int
    of: int


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix; `shade` is in [0, 1]."""

    n: int
    shade: float
    right: bool


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix.

    Attributes:
        names: classes of the rows and columns.
        rows: cells.
        totals: items of each row, whatever they were taken for.
        n_left_out: classes without room.
        pairs: the most frequent confusions.
    """

    names: list[str]
    rows: list[list[Cell]]
    totals: list[int]
    n_left_out: int
    pairs: list[Confused]


def class_rows(evaluation: Evaluation) -> list[RateRow]:
    """Recall, precision and F1 of every class, the weakest first; classes that were not tested last."""
    p = evaluation.predictions
    assert p is not None
    names = [str(name) for name in p.classes]
    table = by_class(p.label, p.predicted, p.speaker, names)
    return weakest_first(RateRow(c.name, c.recall.n, (c.recall, c.precision, c.f1)) for c in table)


def speaker_rows(evaluation: Evaluation) -> list[RateRow]:
    """Accuracy of every speaker, the weakest first."""
    p = evaluation.predictions
    assert p is not None
    table = by_speaker(p.label, p.predicted, p.speaker)
    return weakest_first(RateRow(name, rate.n, (rate,)) for name, rate in table.items())


def weakest_first(rows: Iterable[RateRow]) -> list[RateRow]:
    """Rows by their first figure; those without one come last."""
    return sorted(rows, key=lambda row: (math.isnan(row.rates[0].value), row.rates[0].value))


def floor_of(rates: Iterable[Estimate]) -> float:
    """Where a drawn scale that ends at 1 begins: the tenth below the lowest interval.

    >>> floor_of([Estimate(0.95, 0.87, 0.99, 50)])
    0.8
    """
    low = min((rate.low for rate in rates if rate.n), default=0.0)
    return max(0.0, min(0.9, math.floor(10 * low) / 10))


def confused(evaluation: Evaluation) -> list[Confused]:
    """Pairs of classes, the most frequent confusion first."""
    assert evaluation.predictions is not None
    counts, names = evaluation.confusion, evaluation.predictions.classes
    errors = counts - np.diag(np.diag(counts))
    order = np.argsort(-errors, axis=None, kind="stable")[:MOST_PAIRS]
    cells = ((i, j) for i, j in zip(*np.unravel_index(order, errors.shape), strict=True) if errors[i, j])
    return [Confused(str(names[i]), str(names[j]), int(errors[i, j]), int(counts[i].sum())) for i, j in cells]


def matrix(evaluation: Evaluation) -> Matrix:
    """The confusions as cells; of very many classes, those that errors touch most.

    The shade of a cell grows with the square root of its share of the row, so that a single error can be seen.
    """
    assert evaluation.predictions is not None
    counts, names = evaluation.confusion, evaluation.predictions.classes
    touched = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    kept = np.sort(np.argsort(-touched, kind="stable")[:MOST_CLASSES])
    totals = counts.sum(axis=1)
    shade = np.sqrt(counts / np.maximum(totals, 1)[:, None])
    return Matrix(
        names=[str(names[i]) for i in kept],
        rows=[[Cell(int(counts[i, j]), float(shade[i, j]), bool(i == j)) for j in kept] for i in kept],
        totals=[int(totals[i]) for i in kept],
        n_left_out=len(names) - len(kept),
        pairs=confused(evaluation),
    )
