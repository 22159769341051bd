"""Arrays in, figures with 95 % intervals out."""

from phonaut.metrics.builtin import ClassMetric, FrameAccuracy
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
from phonaut.metrics.intervals import Estimate, bootstrap, mean_over, wilson
from phonaut.metrics.paired import (
    Difference,
    Disagreement,
    McNemar,
    difference,
    difference_by_class,
    difference_of_frames,
    disagreements,
    mcnemar,
    mcnemar_of_predictions,
)
from phonaut.metrics.registry import Metric, Scored, evaluate_metrics, from_configs, unregistered

__all__ = [
    "ClassMetric",
    "ClassRates",
    "Difference",
    "Disagreement",
    "Estimate",
    "FrameAccuracy",
    "McNemar",
    "Metric",
    "Scored",
    "accuracy",
    "bootstrap",
    "by_class",
    "by_speaker",
    "confusion_matrix",
    "difference",
    "difference_by_class",
    "difference_of_frames",
    "disagreements",
    "evaluate_metrics",
    "f1",
    "from_configs",
    "mcnemar",
    "mcnemar_of_predictions",
    "mean_over",
    "rates_from_confusion",
    "recall",
    "unregistered",
    "wilson",
]
