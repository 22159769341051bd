"""Confusion matrix and the most frequent confusions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, groupby

import numpy as np

from phonaut.metrics import ClassRates, by_class
from phonaut.plots import row_fractions
from phonaut.reports.html import render as rendered
from phonaut.reports.manners import MANNERS, in_order, manners_of
from phonaut.reports.record import Evaluation, Record
from phonaut.reports.sections import Section
from phonaut.tasks.predictions import Predictions

MAX_CLASSES = 64  # of a confusion matrix
MANY = 24  # classes; of more, cells are small and have shares in place of counts
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
    """A cell of a confusion matrix.

    Attributes:
        n: items.
        shade: in [0, 1].
        right: truth and answer are one class.
        share: of the row, in [0, 1].
    """

    n: int
    shade: float
    right: bool
    share: float


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix.

    Attributes:
        names: classes of the rows and columns.
        rows: cells.
        n_left_out: classes without room.
        pairs: the most frequent confusions.
        rates: of each class.
        groups: manners of articulation and how many classes of each there are, in order; none where these are no
            phones.
        borders: numbers of the classes with which a group begins, but the first.
        manners: rates of the manners, each taken as one class.
    """

    names: list[str]
    rows: list[list[Cell]]
    n_left_out: int
    pairs: list[Confused]
    rates: list[ClassRates]
    groups: list[tuple[str, int]]
    borders: set[int]
    manners: list[ClassRates]

    @property
    def many(self) -> bool:
        """True where cells have to be small."""
        return len(self.names) > MANY


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
    """The confusion matrix as cells; of very many classes, those with most errors; phones by manner of articulation.

    The shade of a cell grows with the square root of its share of the row, so that a single error can be seen.
    """
    p = evaluation.predictions
    assert p is not None
    counts, names = evaluation.confusion, [str(name) for name in p.classes]
    touched = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    shown = np.sort(np.argsort(-touched, kind="stable")[:MAX_CLASSES]).tolist()
    kinds = manners_of(names)
    if kinds:
        shown = [i for i in in_order(names) if i in shown]
    share = row_fractions(counts)
    groups = [(kind, len(list(of))) for kind, of in groupby(kinds[i] for i in shown)] if kinds else []
    return Matrix(
        names=[names[i] for i in shown],
        rows=[
            [Cell(int(counts[i, j]), float(np.sqrt(share[i, j])), i == j, float(share[i, j])) for j in shown]
            for i in shown
        ],
        n_left_out=len(names) - len(shown),
        pairs=confused(evaluation),
        rates=[evaluation.by_class[i] for i in shown],
        groups=groups,
        borders=set(accumulate(n for _, n in groups[:-1])),
        manners=by_manner(p, kinds) if kinds else [],
    )


def by_manner(p: Predictions, kinds: list[str]) -> list[ClassRates]:
    """Rates of manners of articulation: a phone that is taken for another of its manner is right."""
    there = list(dict.fromkeys(kind for kind in MANNERS if kind in kinds))
    of = np.array([there.index(kind) for kind in kinds])
    label = np.where(p.label >= 0, of[p.label], -1)
    return by_class(label, of[p.predicted], p.speaker, there)
