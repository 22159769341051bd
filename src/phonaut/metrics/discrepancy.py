"""Maximum mean discrepancy of two samples, whose items may come in groups that are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array
from phonaut.metrics.grouped import half_width, jackknife_variance, numbered
from phonaut.metrics.intervals import Estimate
from phonaut.metrics.pairwise import Kernel, KernelSums, checked, kernel_scale, kernel_sums


def mmd(
    first: Array,
    second: Array,
    *,
    kernel: Kernel = "rbf",
    groups: NDArray[Any] | None = None,
    other_groups: NDArray[Any] | None = None,
) -> Estimate:
    r"""Squared maximum mean discrepancy of two samples `(N, D)` and `(M, D)`, unbiased: it may be below 0.

    `mean k(x, x') + mean k(y, y') - 2 mean k(x, y)`, no item paired with itself (Gretton et al. 2012, eq. 3). The
    interval is `value ± q s`. Of a sample of independent items, `s^2` has the variances of the terms of Hoeffding's
    decomposition, those of one item and those of pairs, so that it holds where the samples are of one distribution too
    (there it is a quarter too wide, as a variance that is 0 is not estimated below 0), and q is 1.96. Of one in groups,
    it has the variance of the jackknife that leaves out one group at a time, and q is of Student's t.

    Args:
        first: `(N, D)`, at least 4.
        second: `(M, D)`, likewise.
        kernel: `rbf`: `exp(-|x - y|^2 / 2 h^2)` with `h` the median distance between up to 1,000 items of each;
            `polynomial`: `(x^T y / D + 1)^3`, as of KID (Binkowski et al. 2018).
        groups: of the items of the first, such as speakers or recordings, `(N,)`; None: they are independent.
        other_groups: of the second, likewise.
    """
    x, y = checked(first, second, at_least=4)
    n, m = len(x), len(y)
    scale = kernel_scale(x, y, kernel)
    ours, theirs = (None if of is None else numbered(of, k) for of, k in ((groups, n), (other_groups, m)))
    of_x, of_y = kernel_sums(x, x, kernel, scale, ours), kernel_sums(y, y, kernel, scale, theirs)
    xy = kernel_sums(x, y, kernel, scale)
    crossed = xy.rows.sum() / (n * m)
    value = float(of_x.rows.mean() / (n - 1) + of_y.rows.mean() / (m - 1) - 2 * crossed)
    # What pairs add beyond what their two items do: E k^2 less the variances of the rows' means and the squared mean.
    pair_xy = max(0.0, xy.squares / (n * m) - (xy.rows / m).var() - (xy.columns / n).var() - crossed**2)
    parts = [(np.array(4 * pair_xy / (n * m)), 0)]
    for own, cross, of, k in ((of_x, xy.rows, ours, m), (of_y, xy.columns, theirs, n)):
        if of is None:
            parts.append((np.array(_of_items(own, cross / k, pair_xy / k)), 0))
        else:
            sizes = np.bincount(of)
            parts.append((jackknife_variance(np.array(0.0), _without(own, cross / k, of, sizes), sizes), len(sizes)))
    half = float(half_width(parts))
    return Estimate(value, value - half, value + half, min(n, m))


def mmd_difference(first: Array, second: Array, real: Array, *, groups: NDArray[Any] | None = None) -> Estimate:
    """How much farther a first sample `(N, D)` is from real items `(M, D)` than a second one `(L, D)` is, by `mmd`.

    With one kernel, whose width comes from the real items, their pairs with each other cancel:

        mean k(x, x') - mean k(y, y') - 2 mean_r (mean_x k(x, r) - mean_y k(y, r))

    so that what the choice of real items does to both discrepancies alike is not in the interval.

    Args:
        first: at least 4, independent draws.
        second: likewise.
        real: likewise.
        groups: of the real items, such as speakers or recordings, `(M,)`; None: they are independent.
    """
    (x, r), (y, _) = checked(first, real, at_least=4), checked(second, real, at_least=4)
    scale, m = kernel_scale(r, r, "rbf"), len(r)
    value, parts, beside = 0.0, [], np.zeros(m)
    for sign, items in ((1, x), (-1, y)):
        own, cross = kernel_sums(items, items, "rbf", scale), kernel_sums(items, r, "rbf", scale)
        n = len(items)
        value += sign * float(own.rows.mean() / (n - 1))
        beside += sign * cross.columns / n
        parts.append((np.array(_of_items(own, cross.rows / m, 0.0)), 0))
    value -= 2 * float(beside.mean())
    if groups is None:
        parts.append((np.array(4 * beside.var(ddof=1) / m), 0))
    else:
        of = numbered(groups, m)
        sizes = np.bincount(of)
        without = (beside.sum() - np.bincount(of, weights=beside)) / (m - sizes)
        parts.append((4 * jackknife_variance(beside.mean(), without, sizes), len(sizes)))
    half = float(half_width(parts))
    return Estimate(value, value - half, value + half, min(len(x), len(y), m))


def _of_items(own: KernelSums, cross: Array, pair_xy: float) -> float:
    """Variance of the discrepancy by a sample of n independent items.

    Args:
        own: sums over its pairs.
        cross: mean kernel of each item with the other sample, `(n,)`.
        pair_xy: variance of that mean by pairs.
    """
    n = len(cross)
    rows = own.rows / (n - 1)
    pair = max(0.0, own.squares / (n * (n - 1)) - 2 * rows.var() - rows.mean() ** 2)
    # The means over rows vary by their pairs too, which is no variance of the items themselves.
    item = max(0.0, (rows - cross).var(ddof=1) - pair / (n - 1) - pair_xy)
    return float(4 * item / n + 2 * pair / (n * (n - 1)))


def _without(own: KernelSums, cross: Array, of: NDArray[np.int64], sizes: NDArray[np.int64]) -> Array:
    """What the sample adds to the discrepancy when a group is left out, less what it adds with all of them, `(G,)`."""
    n, left = len(cross), len(cross) - sizes

    def by_group(values: Array) -> Array:
        sums: Array = np.bincount(of, weights=values).astype(np.float64)
        return sums

    pairs = own.rows.sum() - 2 * by_group(own.rows) + by_group(own.within)
    without: Array = pairs / (left * (left - 1)) - 2 * (cross.sum() - by_group(cross)) / left
    without -= own.rows.sum() / (n * (n - 1)) - 2 * cross.mean()
    return without
