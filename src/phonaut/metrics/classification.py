"""Accuracy, recall, F1 and confusions of class decisions, with 95 % intervals over speakers.

Labels of -1 (a class that the model does not know) are left out everywhere.

The interval of a figure is the percentile bootstrap over speakers, because clips of one speaker stand or fall together.
It is never narrower than Wilson's interval over clips: that one is given where there is one speaker, where everything
is right or wrong, and where a few speakers happen to be alike. Wilson's interval of a mean over classes takes as many
clips as would give it the same variance in classes of equal size: `C^2 / sum(1 / n_c)`; of F1 it is approximate.

Neither values nor intervals depend on the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array
from phonaut.metrics.intervals import Estimate, bootstrap, estimate, ratio

CORRECT, LABELLED, PREDICTED = range(3)  # of tallies (..., 3, C)


class ClassRates(NamedTuple):
    """Precision, recall and F1 of one class.

    Attributes:
        name: of the class.
        precision: fraction of the items predicted as the class that are of it; n predictions.
        recall: fraction of the items of the class that are recognised; n items.
        f1: their harmonic mean; n items.
    """

    name: str
    precision: Estimate
    recall: Estimate
    f1: Estimate


def confusion_matrix(label: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Counts of items of class i that were predicted as class j, `(C, C)`: rows are the truth.

    Raises:
        ValueError: arrays of different lengths, or classes that are not among `n_classes`.

    >>> confusion_matrix([0, 0, 1, -1], [0, 1, 1, 0], 2)
    array([[1, 1],
           [0, 1]])
    """
    true, answer, _ = labelled_rows(label, predicted, np.zeros(np.size(label)), n_classes)
    counts: NDArray[np.int64] = np.bincount(true * n_classes + answer, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes)


def rates_from_confusion(confusion: ArrayLike) -> dict[str, float]:
    """Accuracy, macro recall and macro F1 of a confusion matrix, without intervals; 0 where nothing was counted.

    >>> {name: round(value, 3) for name, value in rates_from_confusion([[3, 1], [0, 4]]).items()}
    {'accuracy': 0.875, 'recall': 0.875, 'f1': 0.873}
    """
    counts = np.asarray(confusion, dtype=np.float64)
    tallies = np.stack([np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)])
    figures = {
        "accuracy": accuracy_statistic(tallies),
        "recall": recall_statistic(tallies),
        "f1": f1_statistic(tallies),
    }
    return {name: float(np.nan_to_num(value)) for name, value in figures.items()}


def accuracy(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike) -> Estimate:
    """Fraction of correct decisions.

    Raises:
        ValueError: arrays of different lengths, or negative classes (but for labels of -1).

    >>> accuracy([0, 1, 1], [0, 1, 1], ["a", "b", "b"]).value
    1.0
    """
    n_classes = int(max(np.max(label, initial=0), np.max(predicted, initial=0))) + 1
    true, answer, group = labelled_rows(label, predicted, speaker, n_classes)
    right = (true == answer).astype(np.int64)  # one class of two answers: as many tallies as speakers, not as classes
    tallies = tallies_by_speaker(np.zeros_like(right), 1 - right, group, 2)
    return overall(accuracy_statistic, tallies, n_independent=len(right))


def recall(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike, *, n_classes: int) -> Estimate:
    """Macro recall: the mean, over the classes that occur, of the fraction of each that is recognised.

    Raises:
        ValueError: arrays of different lengths, or classes that are not among `n_classes`.
    """
    tallies = tallies_by_speaker(*labelled_rows(label, predicted, speaker, n_classes), n_classes)
    return overall(recall_statistic, tallies, n_independent=effective_n(tallies))


def f1(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike, *, n_classes: int) -> Estimate:
    """Macro F1: the mean, over the classes that occur or were predicted, of `2 right / (occurrences + predictions)`.

    Raises:
        ValueError: arrays of different lengths, or classes that are not among `n_classes`.
    """
    tallies = tallies_by_speaker(*labelled_rows(label, predicted, speaker, n_classes), n_classes)
    return overall(f1_statistic, tallies, n_independent=effective_n(tallies))


def by_class(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike, classes: Sequence[str]) -> list[ClassRates]:
    """Precision, recall and F1 of every class; NaN where there is nothing to count.

    Raises:
        ValueError: arrays of different lengths, or more classes than names.
    """
    tallies = tallies_by_speaker(*labelled_rows(label, predicted, speaker, len(classes)), len(classes))
    sums = tallies.sum(axis=0)
    values = precision_recall_f1(sums.astype(np.float64))
    low, high = bootstrap(tallies, precision_recall_f1) if len(tallies) else (values, values)
    n = np.stack([sums[PREDICTED], sums[LABELLED], sums[LABELLED]])
    n_independent = np.stack([sums[PREDICTED], sums[LABELLED], (sums[LABELLED] + sums[PREDICTED]) / 2])
    table = []
    for c, name in enumerate(classes):
        precision, recall_, f1_ = (
            estimate(
                float(values[i, c]),
                int(n[i, c]),
                n_independent=float(n_independent[i, c]),
                low=float(low[i, c]),
                high=float(high[i, c]),
            )
            for i in range(3)
        )
        table.append(ClassRates(name, precision, recall_, f1_))
    return table


def by_speaker(label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike) -> dict[str, Estimate]:
    """Accuracy of every speaker, in the order of their ids, with Wilson's interval.

    Raises:
        ValueError: arrays of different lengths.
    """
    n_classes = int(max(np.max(label, initial=0), np.max(predicted, initial=0))) + 1
    true, answer, group = labelled_rows(label, predicted, speaker, n_classes)
    names, code = np.unique(group, return_inverse=True)
    n_right, n = np.bincount(code, weights=true == answer), np.bincount(code)
    rows = zip(names, n_right, n, strict=True)
    return {str(name): estimate(float(right / of), int(of), n_independent=int(of)) for name, right, of in rows}


def labelled_rows(
    label: ArrayLike, predicted: ArrayLike, speaker: ArrayLike, n_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.generic]]:
    """The rows whose label is known, as arrays.

    Raises:
        ValueError: arrays of different lengths, or classes that are not among `n_classes`.
    """
    true, answer, group = np.asarray(label), np.asarray(predicted), np.asarray(speaker)
    if not true.shape == answer.shape == group.shape == (true.size,):
        raise ValueError(
            f"label, predicted and speaker must be rows of one length; got {true.shape}, {answer.shape}, {group.shape}"
        )
    if not true.size:
        return true.astype(np.int64), answer.astype(np.int64), group
    for name, column, least in (("label", true, -1), ("predicted", answer, 0)):
        if column.dtype.kind not in "iu":
            raise ValueError(f"{name} must be whole numbers, the index of a class; got {column.dtype}")
        if column.min() < least or column.max() >= n_classes:
            row = int(np.flatnonzero((column < least) | (column >= n_classes))[0])
            raise ValueError(f"{name} must be in {least} ... {n_classes - 1}; got {column[row]} in row {row}")
    known = true >= 0
    return true[known].astype(np.int64), answer[known].astype(np.int64), group[known]


def tallies_by_speaker(
    label: NDArray[np.int64], predicted: NDArray[np.int64], speaker: NDArray[np.generic], n_classes: int
) -> NDArray[np.int64]:
    """Counts of correct, labelled and predicted items by speaker (sorted) and class, `(G, 3, C)`."""
    names, code = np.unique(speaker, return_inverse=True)
    columns = [code * n_classes + label, code * n_classes + predicted]
    right = columns[0][label == predicted]
    counts = [np.bincount(cells, minlength=len(names) * n_classes) for cells in (right, *columns)]
    return np.stack([column.reshape(len(names), n_classes) for column in counts], axis=1)


def overall(statistic: Callable[[Array], Array], tallies: NDArray[np.int64], *, n_independent: float) -> Estimate:
    """A figure of all speakers together, with its interval."""
    sums = tallies.sum(axis=0)
    value, n = float(statistic(sums.astype(np.float64))), int(sums[LABELLED].sum())
    if len(tallies) < 2:
        return estimate(value, n, n_independent=n_independent)
    low, high = bootstrap(tallies, statistic)
    return estimate(value, n, n_independent=n_independent, low=float(low), high=float(high))


def effective_n(tallies: NDArray[np.int64]) -> float:
    """Number of items that gives a mean over classes of equal size the same variance: `C^2 / sum(1 / n_c)`."""
    occurred = tallies[:, LABELLED].sum(axis=0)
    n = occurred[occurred > 0]
    return float(len(n) ** 2 / (1 / n).sum()) if len(n) else 0.0


def accuracy_statistic(tallies: Array) -> Array:
    """Accuracy, of tallies `(..., 3, C)`."""
    return ratio(tallies[..., CORRECT, :].sum(axis=-1), tallies[..., LABELLED, :].sum(axis=-1))


def recall_statistic(tallies: Array) -> Array:
    """Macro recall, of tallies `(..., 3, C)`."""
    return mean_over_classes(precision_recall_f1(tallies)[..., 1, :])


def f1_statistic(tallies: Array) -> Array:
    """Macro F1, of tallies `(..., 3, C)`."""
    return mean_over_classes(precision_recall_f1(tallies)[..., 2, :])


def precision_recall_f1(tallies: Array) -> Array:
    """Precision, recall and F1 of each class, `(..., 3, C)`, of tallies `(..., 3, C)`; NaN where there is nothing."""
    correct, labelled, predicted = (tallies[..., i, :] for i in (CORRECT, LABELLED, PREDICTED))
    f1 = ratio(2 * correct, labelled + predicted)
    return np.stack([ratio(correct, predicted), ratio(correct, labelled), f1], axis=-2)


def mean_over_classes(figures: Array) -> Array:
    """Mean over the classes that have a figure."""
    defined = ~np.isnan(figures)
    return ratio(np.where(defined, figures, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))
