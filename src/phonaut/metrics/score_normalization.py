"""Scores of verification relative to those of a cohort of other speakers: z-, t-, s- and adaptive s-norm.

A score says how well a recording fits a model; how well strangers fit the same model, or the same recording strangers'
models, says how much that is worth. With scores of one phrase the cohort is to say that phrase: else what is
normalised away is the phrase.

Statistics broadcast like arrays: of all models against all recordings, and of a list of trials,

    s_norm(scores, enrolled[:, None], tested)                  # scores (M, T)
    s_norm(scores, enrolled[model], tested[recording])         # scores (N,), and the numbers of model and recording
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from phonaut.arrays import Array


@dataclass(frozen=True)
class CohortStatistics:
    """Mean and standard deviation of the cohort scores of each model or recording; both `(...)`.

    The means are quality inputs of a fusion as well (`metrics.calibration.quality_inputs`).
    """

    mean: Array
    deviation: Array

    def __getitem__(self, index: Any) -> CohortStatistics:
        """Those of some, or with new axes, as of arrays."""
        return CohortStatistics(self.mean[index], self.deviation[index])


def cohort_statistics(
    cohort: ArrayLike, *, member: ArrayLike | None = None, top_n: int | None = None
) -> CohortStatistics:
    """Mean and standard deviation (of the population) of each row's cohort scores.

    Args:
        cohort: scores of each model against the cohort's recordings, or of each recording against the cohort's models,
            `(..., C)`.
        member: who of the cohort counts, such as those of the same phrase and of another speaker, `(..., C)`; the two
            broadcast, so that `(P, C)` gives recordings `(T, 1, C)` statistics of each phrase, `(T, P)`. None: all.
        top_n: of adaptive normalisation: the largest so many of each row, 20 to 300 as a rule; all where there are
            fewer. None: all.

    Raises:
        ValueError: a score that counts is not finite; a row has fewer than two or only equal ones; `top_n` below 2.

    >>> cohort_statistics([[1.0, 3.0, 2.0, 9.0]], member=[True, True, True, False], top_n=2).mean.tolist()
    [2.5]
    """
    scores = np.asarray(cohort, dtype=np.float64)
    if scores.ndim < 1:
        raise ValueError("cohort scores must have an axis of the cohort; got one number")
    if top_n is not None and top_n < 2:
        raise ValueError(f"top_n must be >= 2, as one score has no deviation; got {top_n}")
    scores, counts = np.broadcast_arrays(scores, True if member is None else np.asarray(member, dtype=bool))
    refuse_rows(counts & ~np.isfinite(scores), "must be finite; got one that is not")
    if top_n is not None and top_n < scores.shape[-1]:
        scores = -np.partition(np.where(counts, -scores, np.inf), top_n - 1, axis=-1)[..., :top_n]
        counts = scores > -np.inf
    n = counts.sum(axis=-1)
    refuse_rows(n[..., None] < 2, "must be at least two; got fewer")
    mean = np.where(counts, scores, 0.0).sum(axis=-1) / n
    deviation = np.sqrt((np.where(counts, scores - mean[..., None], 0.0) ** 2).sum(axis=-1) / n)
    spread = np.where(counts, scores, -np.inf).max(axis=-1) - np.where(counts, scores, np.inf).min(axis=-1)
    refuse_rows(spread[..., None] == 0, "must differ from one another; got equal ones")
    return CohortStatistics(mean, deviation)


def z_norm(scores: ArrayLike, enrolled: CohortStatistics) -> Array:
    """Zero normalisation: scores relative to those of strangers' recordings against the same model.

    >>> float(z_norm(5.0, cohort_statistics([1.0, 3.0])))
    3.0
    """
    normalised: Array = (np.asarray(scores, dtype=np.float64) - enrolled.mean) / enrolled.deviation
    return normalised


def t_norm(scores: ArrayLike, tested: CohortStatistics) -> Array:
    """Test normalisation: scores relative to those of the same recording against strangers' models."""
    return z_norm(scores, tested)


def s_norm(scores: ArrayLike, enrolled: CohortStatistics, tested: CohortStatistics) -> Array:
    """Symmetric normalisation: the mean of z-norm and t-norm.

    Adaptive where both statistics are of the largest cohort scores (Matejka et al. 2017, "Analysis of score
    normalization in multilingual speaker recognition", AS-norm1): `cohort_statistics(..., top_n=200)`.

    >>> float(s_norm(5.0, cohort_statistics([1.0, 3.0]), cohort_statistics([3.0, 5.0])))
    2.0
    """
    return (z_norm(scores, enrolled) + t_norm(scores, tested)) / 2


def refuse_rows(wrong: np.ndarray[Any, Any], rule: str) -> None:
    """Raise where a row `(..., C)` breaks a rule, naming the first."""
    rows = np.asarray(wrong).any(axis=-1)
    if rows.any():
        place = np.unravel_index(int(rows.argmax()), rows.shape)
        where = f" in row {', '.join(str(int(i)) for i in place)}" if place else ""
        raise ValueError(f"cohort scores of a row {rule}{where}")
