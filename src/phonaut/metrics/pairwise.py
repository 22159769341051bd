"""Distances and kernels of all pairs of two samples, in blocks that bound memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array, Index, spread

Kernel = Literal["rbf", "polynomial"]
BLOCK_CELLS = 2**21  # of a block of distances: 16 MB
N_FOR_MEDIAN = 1000  # items of each sample from which the width of a kernel is taken


class KernelSums(NamedTuple):
    """Sums of a kernel over the pairs of two samples `(N, D)` and `(M, D)`; no item is paired with itself.

    Attributes:
        rows: over the second sample, `(N,)`.
        columns: over the first, `(M,)`.
        squares: of all squared values.
        within: over the items of the row's own group, `(N,)`; 0 without groups.
    """

    rows: Array
    columns: Array
    squares: float
    within: Array


def kernel_sums(x: Array, y: Array, kernel: Kernel, scale: float, groups: Index | None = None) -> KernelSums:
    """The sums of a kernel.

    Args:
        x: `(N, D)`.
        y: `(M, D)`; x itself for the pairs of one sample.
        kernel: `rbf`: `exp(-|x - y|^2 / 2 scale^2)`; `polynomial`: `(x^T y / scale + 1)^3`.
        scale: of the kernel.
        groups: numbers of the groups of x, where y is x.
    """
    rows, within, columns, squares, done = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(y)), 0.0, 0
    for block in distances(x, y) if kernel == "rbf" else products(x, y):
        here = np.arange(done, done + len(block))
        if kernel == "rbf":
            values = np.exp(np.square(block, out=block) / (-2 * scale**2), out=block)
        else:
            values = (block / scale + 1) ** 3
        if x is y:
            values[here - done, here] = 0.0
        rows[here] = values.sum(axis=1)
        columns += values.sum(axis=0)
        squares += float(np.vdot(values, values))
        if groups is not None:
            within[here] = np.where(groups[here][:, None] == groups, values, 0.0).sum(axis=1)
        done += len(values)
    return KernelSums(rows, columns, squares, within)


def kernel_scale(x: Array, y: Array, kernel: Kernel) -> float:
    """The median distance between up to 1,000 items of each sample; of the polynomial kernel the dimension.

    Raises:
        ValueError: it is another kernel.
    """
    if kernel == "polynomial":
        return float(x.shape[1])
    if kernel != "rbf":
        raise ValueError(f"kernel must be rbf or polynomial; got {kernel!r}")
    some = np.concatenate([items[spread(len(items), N_FOR_MEDIAN)] for items in (x, y)])
    pairs = np.triu_indices(len(some), 1)
    return float(np.median(np.concatenate(list(distances(some, some)))[pairs])) or 1.0


def products(x: Array, y: Array) -> Iterator[Array]:
    """`x @ y.T` in blocks of rows."""
    size = max(1, BLOCK_CELLS // len(y))
    for first in range(0, len(x), size):
        yield x[first : first + size] @ y.T


def distances(x: Array, y: Array) -> Iterator[Array]:
    """Euclidean distances between the rows of `x` and those of `y`, in blocks of rows of `x`."""
    centre = y.mean(axis=0)  # near which fewer digits are lost than at a far origin
    x, y = x - centre, y - centre
    done, of_x, of_y = 0, np.square(x).sum(axis=1), np.square(y).sum(axis=1)
    for block in products(x, y):
        block *= -2
        block += of_x[done : done + len(block), None]
        block += of_y
        done += len(block)
        yield np.sqrt(block.clip(min=0, out=block), out=block)


def kth_distance(x: Array, k: int) -> Array:
    """Distance of each item to its k-th neighbour, itself not counted."""
    found, done = [], 0
    for block in distances(x, x):
        block[np.arange(len(block)), done + np.arange(len(block))] = np.inf
        found.append(np.partition(block, k - 1, axis=1)[:, k - 1])
        done += len(block)
    return np.concatenate(found)


def checked(a: NDArray[np.floating], b: NDArray[np.floating], *, at_least: int) -> tuple[Array, Array]:
    """Two samples in float64, checked."""
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < at_least:
        raise ValueError(
            f"samples must be (N, D) and (M, D), of {at_least} items at least; got {a.shape} and {b.shape}"
        )
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("samples must be finite; a value is NaN or infinite")
    return x, y
