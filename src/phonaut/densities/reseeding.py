"""Re-seeding of mixture components that have lost their frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SHARE = 1e-3  # of what a component would have if all had the same: less is empty
SHIFT = 0.1  # standard deviations that the halves of a component move apart


def reseed(
    counts: NDArray[Any],
    weights: NDArray[Any],
    means: NDArray[Any],
    spread: NDArray[Any],
    others: list[NDArray[Any]],
) -> bool:
    """Give the emptiest component of each mixture half of the heaviest one, in place; whether there was any to move.

    The halves are moved apart by a tenth of a standard deviation, so that EM can tell them from each other. That may
    cost likelihood: who calls this compares, and takes it back where it did.

    Args:
        counts: frames of each component, `(S, M)`.
        weights: `(S, M)`.
        means: `(S, M, D)`.
        spread: standard deviations, likewise.
        others: what else each component has, `(S, M, ...)`.
    """
    n = counts.shape[1]
    empty, heavy = counts.argmin(axis=1), counts.argmax(axis=1)
    states = np.arange(len(counts))
    lost = counts[states, empty] < np.minimum(SHARE * counts.sum(axis=1) / n, 1.0)
    rows = states[lost & (counts[states, heavy] >= 2 * n) & (n > 1)]
    if not len(rows):
        return False
    to, of = empty[rows], heavy[rows]
    weights[rows, to] = weights[rows, of] = (weights[rows, of] + weights[rows, to]) / 2
    away = SHIFT * spread[rows, of]
    means[rows, to] = means[rows, of] + away
    means[rows, of] -= away
    for other in others:
        other[rows, to] = other[rows, of]
    return True
