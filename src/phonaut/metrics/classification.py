"""Accuracy, recall, F1 and confusions of class decisions, with 95 % intervals over speakers.

Labels of -1 (a class that the model does not know) are left out everywhere.

The interval of a figure is the percentile bootstrap over speakers, because clips of one speaker stand or fall together.
Where there is one speaker, or where no resample differs (all speakers alike: everything right, everything wrong, the
same share of errors), it is Wilson's interval over clips. Neither depends on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.metrics.intervals import Rate, bootstrap, wilson

Counts = NDArray[np.float64]


class ClassRates(NamedTuple):
    """The figures of one class."""

    name: str
    precision: Rate
    recall: Rate
    f1: Rate


def confusion_matrix(label: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """How often class i was taken for class j, `(C, C)`: rows are the truth.

    >>> confusion_matrix([0, 0, 1, -1], [0, 1, 1, 0], 2)
    array([[1, 1],
           [0, 1]])
    """
    matrix: NDArray[np.int64] = confusions_by_group(label, predicted, np.zeros(np.size(label)), n_classes)[0]
    return matrix


def confusions_by_group(label: ArrayLike, predicted: ArrayLike, group: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """A confusion matrix for each value of `group`, in sorted order, `(G, C, C)`."""
    label, predicted = np.asarray(label), np.asarray(predicted)
    known = label >= 0
    _, code = np.unique(np.asarray(group), return_inverse=True)
    n_groups = int(code.max(initial=0)) + 1
    cells = (code * n_classes + label) * n_classes + predicted
    counts: NDArray[np.int64] = np.bincount(cells[known], minlength=n_groups * n_classes**2)
    return counts.reshape(n_groups, n_classes, n_classes)


def accuracy_of(confusion: Counts) -> Counts:
    """Share of the right decisions, of confusions `(..., C, C)`."""
    return _share(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def recall_of(confusion: Counts) -> Counts:
    """Mean over the classes that occur of the share found, of confusions `(..., C, C)`."""
    return _mean(_share(_diagonal(confusion), confusion.sum(axis=-1)))


def f1_of(confusion: Counts) -> Counts:
    """Mean F1 over the classes that occur or were predicted, of confusions `(..., C, C)`.

    `F1 = 2 right / (occurrences + predictions)`.
    """
    return _mean(_share(2 * _diagonal(confusion), confusion.sum(axis=-1) + confusion.sum(axis=-2)))


def rates_from_confusion(confusion: ArrayLike) -> dict[str, float]:
    """Accuracy, macro recall and macro F1 of a confusion matrix, without intervals; 0 where nothing was counted."""
    counts = np.asarray(confusion, dtype=np.float64)
    figures = {"accuracy": accuracy_of(counts), "recall": recall_of(counts), "f1": f1_of(counts)}
    return {name: float(np.nan_to_num(value)) for name, value in figures.items()}


def accuracy(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike) -> Rate:
    """Share of right decisions.

    >>> accuracy([0, 1, 1], [0, 1, 1], ["a", "b", "b"]).value
    1.0
    """
    n_classes = int(max(np.max(label, initial=0), np.max(predicted, initial=0))) + 1
    return _rate(accuracy_of, label, predicted, speaker, n_classes)


def recall(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike, *, n_classes: int) -> Rate:
    """Macro recall: the mean over classes of the share of each that was found."""
    return _rate(recall_of, label, predicted, speaker, n_classes)


def f1(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike, *, n_classes: int) -> Rate:
    """Macro F1: the mean over classes of the harmonic mean of precision and recall."""
    return _rate(f1_of, label, predicted, speaker, n_classes)


def by_class(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike, classes: Sequence[str]) -> list[ClassRates]:
    """Precision, recall and F1 of every class; `n` of recall and F1 is its number of clips."""
    counts = confusions_by_group(label, predicted, speaker, len(classes))
    table = []
    for c, name in enumerate(classes):
        right = counts[:, c, c]
        occurred, answered = counts[:, c, :].sum(axis=1), counts[:, :, c].sum(axis=1)
        table.append(
            ClassRates(
                name,
                precision=_ratio(right, answered),
                recall=_ratio(right, occurred),
                f1=_ratio(2 * right, occurred + answered)._replace(n=int(occurred.sum())),
            )
        )
    return table


def by_speaker(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike) -> dict[str, Rate]:
    """Accuracy of every speaker, in the order of their ids, with Wilson's interval."""
    label, predicted, speaker = np.asarray(label), np.asarray(predicted), np.asarray(speaker)
    known = label >= 0
    table = {}
    for name in np.unique(speaker[known]):
        mine = known & (speaker == name)
        right, n = int((label == predicted)[mine].sum()), int(mine.sum())
        table[str(name)] = Rate(right / n, *wilson(right, n), n)
    return table


def _rate(
    statistic: Callable[[Counts], Counts], label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike, n_classes: int
) -> Rate:
    counts = confusions_by_group(label, predicted, speaker, n_classes)
    counts = counts[counts.sum(axis=(1, 2)) > 0]
    whole = counts.sum(axis=0).astype(np.float64)
    n, n_right = int(whole.sum()), float(np.trace(whole))
    if n == 0:
        return Rate(float("nan"), 0.0, 1.0, 0)
    value = float(statistic(whole))
    if len(counts) < 2 or n_right in (0.0, n):
        return Rate(value, *wilson(value * n, n), n)
    return _resampled(value, n, *bootstrap(counts, statistic))


def _ratio(right: NDArray[np.int64], of: NDArray[np.int64]) -> Rate:
    """The rate `sum(right) / sum(of)` over speakers."""
    there = of > 0
    right, of = right[there], of[there]
    n = int(of.sum())
    if n == 0:
        return Rate(float("nan"), 0.0, 1.0, 0)
    value = float(right.sum() / n)
    if len(of) < 2 or value in (0.0, 1.0):
        return Rate(value, *wilson(value * n, n), n)
    return _resampled(value, n, *bootstrap(np.stack([right, of], axis=1), lambda sums: _share(sums[:, 0], sums[:, 1])))


def _resampled(value: float, n: int, low: float, high: float) -> Rate:
    """A rate with its interval from a bootstrap; Wilson's where no resample differed: a point would claim certainty."""
    if high - low < 1e-9:
        low, high = wilson(value * n, n)
    return Rate(value, min(low, value), max(high, value), n)


def _diagonal(confusion: Counts) -> Counts:
    right: Counts = np.diagonal(confusion, axis1=-2, axis2=-1)
    return right


def _share(part: Counts, whole: Counts) -> Counts:
    """`part / whole`, NaN where there is nothing."""
    shares: Counts = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=np.asarray(whole) > 0)
    return shares


def _mean(of_classes: Counts) -> Counts:
    """Mean over the classes that have a figure."""
    there = ~np.isnan(of_classes)
    return _share(np.where(there, of_classes, 0.0).sum(axis=-1), there.sum(axis=-1).astype(np.float64))
