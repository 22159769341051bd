"""Items in groups that are alike, such as windows of a speaker: which groups, and the jackknife over them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array, Index
from phonaut.metrics.intervals import Z

LEAST = 5  # groups, below which an interval over them says little


class Groups(NamedTuple):
    """Groups of items.

    Attributes:
        ids: the group of each item, `(N,)`.
        what: they are, in the plural.
    """

    ids: NDArray[Any]
    what: str


def groups_of(speakers: NDArray[Any], recordings: NDArray[Any]) -> Groups:
    """The speakers of items where there are five, else their recordings, else each item by itself.

    >>> groups_of(np.array(["a", "b"] * 5), np.arange(10) // 2).what
    'recordings'
    """
    for ids, what in ((speakers, "speakers"), (recordings, "recordings")):
        if len(np.unique(ids)) >= LEAST:
            return Groups(ids, what)
    return Groups(np.arange(len(speakers)), "windows, taken as independent of each other")


def numbered(groups: NDArray[Any], n: int) -> Index:
    """Numbers from 0 in place of names, `(N,)`.

    Raises:
        ValueError: they are not as many as there are items, or all the same.
    """
    names, numbers = np.unique(groups, return_inverse=True)
    if len(numbers) != n or len(names) < 2:
        raise ValueError(
            f"groups must name one of two or more for each of {n} items; got {len(names)} for {len(numbers)}"
        )
    return np.asarray(numbers, np.int64)


def jackknife_variance(value: Array, without: Array, sizes: Index) -> Array:
    """Variance of a figure by those without one group, which may be of several sizes (Busing et al. 1999, eq. 8).

    Args:
        value: with all groups, `(...)`.
        without: without each group, `(G, ...)`.
        sizes: items of each group, `(G,)`.
    """
    h = (sizes.sum() / sizes).reshape(-1, *[1] * np.ndim(value))
    pseudo = h * value - (h - 1) * without
    mean = (pseudo / h).sum(axis=0)
    variance: Array = (np.square(pseudo - mean) / (h - 1)).mean(axis=0)
    return variance


def half_width(parts: Iterable[tuple[Array, int]]) -> Array:
    """Half of a 95 % interval: variances that add up, each with the number of groups behind it (0: many).

    Each is widened by Student's t of its groups.
    """
    from scipy.special import stdtrit

    half: Array = np.sqrt(sum(np.square(stdtrit(g - 1, 0.975) if g else Z) * variance for variance, g in parts))
    return half
