"""Confusion matrix and the most frequent confusions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phonaut.plots import row_fractions
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Evaluation, Record
from phonaut.reports.sections import Section

MAX_CLASSES = 40  # of a confusion matrix
MAX_PAIRS = 10


@dataclass(frozen=True)
class Confused:
    """Count of items of one class that were predicted as another, and of all items of the class."""

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
        n_left_out: classes without room.
        pairs: the most frequent confusions.
    """

    names: list[str]
    rows: list[list[Cell]]
    n_left_out: int
    pairs: list[Confused]


def render(record: Record) -> Section:
    """The section; where nothing was counted, the reason."""
    shown = matrix(record.main) if record.main.classified else None
    return Section(
        rendered("confusions.html", {"record": record, "matrix": shown}), {"confusions": "Confusions"} if shown else {}
    )


def confused(evaluation: Evaluation) -> list[Confused]:
    """Pairs of classes, the most frequent confusion first."""
    assert evaluation.predictions is not None
    counts, names = evaluation.confusion, evaluation.predictions.classes
    errors = counts - np.diag(np.diag(counts))
    order = np.argsort(-errors, axis=None, kind="stable")[:MAX_PAIRS]
    cells = ((i, j) for i, j in zip(*np.unravel_index(order, errors.shape), strict=True) if errors[i, j])
    return [Confused(str(names[i]), str(names[j]), int(errors[i, j]), int(counts[i].sum())) for i, j in cells]


def matrix(evaluation: Evaluation) -> Matrix:
    """The confusion matrix as cells; of very many classes, those with most errors.

    The shade of a cell grows with the square root of its share of the row, so that a single error can be seen.
    """
    assert evaluation.predictions is not None
    counts, names = evaluation.confusion, evaluation.predictions.classes
    touched = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    shown = np.sort(np.argsort(-touched, kind="stable")[:MAX_CLASSES])
    shade = np.sqrt(row_fractions(counts))
    return Matrix(
        names=[str(names[i]) for i in shown],
        rows=[[Cell(int(counts[i, j]), float(shade[i, j]), bool(i == j)) for j in shown] for i in shown],
        n_left_out=len(names) - len(shown),
        pairs=confused(evaluation),
    )
