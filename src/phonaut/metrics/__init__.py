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
from phonaut.metrics.intervals import Rate, bootstrap, mean_over, wilson
from phonaut.metrics.paired import (
    FRAME_ACCURACY,
    Difference,
    Disagreement,
    McNemar,
    difference,
    difference_by_class,
    difference_of_frames,
    disagreements,
    mcnemar,
    mcnemar_of,
)

__all__ = [
    "FRAME_ACCURACY",
    "ClassRates",
    "Difference",
    "Disagreement",
    "McNemar",
    "Rate",
    "accuracy",
    "bootstrap",
    "by_class",
    "by_speaker",
    "confusion_matrix",
    "difference",
    "difference_by_class",
    "difference_of_frames",
    "disagreements",
    "f1",
    "mcnemar",
    "mcnemar_of",
    "mean_over",
    "rates_from_confusion",
    "recall",
    "wilson",
]
