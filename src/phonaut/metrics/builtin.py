"""Metrics of class decisions and of decisions about single frames, as entries of the registry."""

from __future__ import annotations

import numpy as np

from phonaut.arrays import Array
from phonaut.metrics.classification import accuracy, f1, recall
from phonaut.metrics.intervals import Estimate, mean_over
from phonaut.metrics.paired import STATISTICS, Difference, difference, difference_of_frames
from phonaut.metrics.registry import Scored
from phonaut.metrics.verification import Trials, detection_differences, detection_figures


class ClassMetric:
    """Accuracy, macro recall or macro F1 of class decisions.

    Args:
        statistic: `accuracy`, `recall` or `f1`.

    Raises:
        ValueError: another statistic.
    """

    def __init__(self, statistic: str) -> None:
        if statistic not in STATISTICS:
            raise ValueError(f"statistic must be one of {', '.join(STATISTICS)}, got {statistic}")
        self.statistic = statistic

    def __call__(self, scored: Scored) -> Estimate | None:
        """The estimate; None where there are no classes."""
        if scored.label is None or scored.predicted is None:
            return None
        if self.statistic == "accuracy":
            return accuracy(scored.label, scored.predicted, scored.speaker)
        macro = {"recall": recall, "f1": f1}[self.statistic]
        return macro(scored.label, scored.predicted, scored.speaker, n_classes=scored.n_classes)

    def difference(self, first: Scored, other: Scored) -> Difference:
        """The paired difference over speakers, never narrower than Newcombe's over items."""
        assert first.label is not None
        assert first.predicted is not None
        assert other.predicted is not None
        answers = (first.label, first.predicted, other.predicted)
        return difference(*answers, first.speaker, n_classes=first.n_classes, metric=self.statistic)


class FrameAccuracy:
    """Fraction of the frames of items of known class that are classified correctly each on its own; its n are frames.

    It needs the columns `n_correct_frames` and `n_frames`.
    """

    def __call__(self, scored: Scored) -> Estimate | None:
        """The estimate, bootstrapped over speakers; None where frames are not classified."""
        if scored.label is None or not {"n_correct_frames", "n_frames"} <= scored.columns.keys():
            return None
        counts = self.counts(scored)
        return mean_over(counts, scored.speaker[scored.label >= 0])._replace(n=int(counts[:, 1].sum()))

    def difference(self, first: Scored, other: Scored) -> Difference:
        """The paired bootstrap over speakers alone: frames of a span are not independent of each other."""
        assert first.label is not None
        return difference_of_frames(self.counts(first), self.counts(other), first.speaker[first.label >= 0])

    @staticmethod
    def counts(scored: Scored) -> Array:
        """Correct frames and all frames of each item of known class, `(N, 2)`."""
        counts = np.stack([scored.columns["n_correct_frames"], scored.columns["n_frames"]], axis=1)
        return counts[np.asarray(scored.label) >= 0].astype(np.float64)


class DetectionFigure:
    """A figure of verification: over all trials, where what was scored are trials.

    It needs the columns `condition`, `enrolled` and `tested` of `metrics.verification.Trials`, and one score a trial.

    Args:
        figure: a name of `detection_figures`, such as `eer`.
    """

    def __init__(self, figure: str) -> None:
        self.figure = figure

    def __call__(self, scored: Scored) -> Estimate | None:
        """The estimate with its interval over the speakers of both sides; None where there are no trials."""
        if (trials := trials_of(scored)) is None or scored.scores is None:
            return None
        return detection_figures(scored.scores[:, 0], trials).get(self.figure)

    def difference(self, first: Scored, other: Scored) -> Difference:
        """The paired difference by the same resamples of speakers."""
        trials = trials_of(first)
        assert trials is not None
        assert first.scores is not None
        assert other.scores is not None
        return detection_differences(first.scores[:, 0], other.scores[:, 0], trials)[self.figure]


def of_task(scored: Scored) -> None:
    """A figure that a task finds out by more than predictions, and writes down itself: nothing is computed here."""
    return


def trials_of(scored: Scored) -> Trials | None:
    """The trials that were scored; None: what was scored are no trials."""
    if not {"condition", "enrolled", "tested"} <= scored.columns.keys():
        return None
    return Trials(*(scored.columns[name] for name in ("condition", "enrolled", "tested")))
