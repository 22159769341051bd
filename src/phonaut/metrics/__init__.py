"""Arrays in, figures with 95 % intervals out."""

from phonaut.metrics.classification import (
    ClassRates,
    accuracy,
    by_class,
    by_speaker,
    confusion_matrix,
    f1,
    rates_from_confusion,
    recall,
)
from phonaut.metrics.intervals import Rate, bootstrap, wilson

__all__ = [
    "ClassRates",
    "Rate",
    "accuracy",
    "bootstrap",
    "by_class",
    "by_speaker",
    "confusion_matrix",
    "f1",
    "rates_from_confusion",
    "recall",
    "wilson",
]
