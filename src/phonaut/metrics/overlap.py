"""How two samples overlap, by balls about their items: precision, recall, density and coverage."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array
from phonaut.metrics.grouped import half_width, jackknife_variance, numbered
from phonaut.metrics.intervals import Estimate, Z, wilson
from phonaut.metrics.pairwise import checked, distances, kth_distance

N_BLOCKS = 10  # of the items of each sample, of which one at a time is left out


class Neighbours(NamedTuple):
    """How two samples overlap, by balls about their items: all in [0, 1] but `density`, which may be above.

    Attributes:
        precision: share of generated items within the ball of some real one.
        recall: share of real items within the ball of some generated one.
        density: balls of real items about a generated one, on average, over k.
        coverage: share of real items with a generated one in their ball.
        k: a ball reaches to its item's k-th neighbour in its own sample.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int


def neighbours(real: Array, generated: Array, *, k: int = 5) -> Neighbours:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020) of `(N, D)`, `(M, D)`.

    Balls are closed: an item on the sphere is within. Density and coverage withstand outliers, whose large balls make
    precision and recall large; coverage of equally many items of one distribution is about `1 - 2^-k`.

    Raises:
        ValueError: a sample has no more than k items, or shapes do not agree.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1; got {k}")
    x, y = checked(real, generated, at_least=k + 1)
    reach_x, reach_y = kth_distance(x, k), kth_distance(y, k)
    balls, done = np.zeros(len(y), np.int64), 0
    recalled, covered = np.zeros(len(x), bool), np.zeros(len(x), bool)
    for block in distances(x, y):
        rows = slice(done, done + len(block))
        within = block <= reach_x[rows, None]
        balls += within.sum(axis=0)
        covered[rows] = within.any(axis=1)
        recalled[rows] = (block <= reach_y).any(axis=1)
        done += len(block)
    return Neighbours(
        float((balls > 0).mean()), float(recalled.mean()), float(balls.mean() / k), float(covered.mean()), k
    )


def overlap_estimates(
    real: Array, generated: Array, *, groups: NDArray[Any] | None = None, k: int = 5
) -> dict[str, Estimate]:
    """`precision`, `recall` and `coverage` of `neighbours`, each with its interval.

    Whole groups of real items are left out in turn (of many, a tenth of them), and tenths of the generated items: a
    jackknife of either sample, whose variances add up. The interval is Wilson's over as many independent items as would
    have that variance, since a share near 1 can only fall.

    Args:
        real: `(N, D)`.
        generated: `(M, D)`.
        groups: of the real items, which are alike within one, such as speakers; None: they are independent.
        k: see `neighbours`.

    Raises:
        ValueError: as of `neighbours`, or there is one group alone.
    """
    found = neighbours(real, generated, k=k)
    x, y = checked(real, generated, at_least=k + 1)
    of_real = numbered(np.arange(len(x)) if groups is None else groups, len(x))
    blocks = of_real % N_BLOCKS
    others = np.arange(len(y)) % N_BLOCKS
    xx, yy, xy = (np.concatenate(list(distances(a, b))).astype(np.float32) for a, b in ((x, x), (y, y), (x, y)))
    for square in (xx, yy):
        np.fill_diagonal(square, np.inf)
    within_x: NDArray[np.bool_] = np.less_equal(xy, _reach(xx, k)[:, None])
    recalled: NDArray[np.bool_] = np.any(xy <= _reach(yy, k), axis=1)

    def without_real(block: int) -> list[float]:
        kept = blocks != block
        within = np.less_equal(xy[kept], _reach(xx[kept][:, kept], k)[:, None])
        return [within.any(axis=0).mean(), recalled[kept].mean(), within.any(axis=1).mean()]

    def without_generated(block: int) -> list[float]:
        kept = others != block
        within = within_x[:, kept]
        recalled = np.less_equal(xy[:, kept], _reach(yy[kept][:, kept], k)).any(axis=1)
        return [within.any(axis=0).mean(), recalled.mean(), within.any(axis=1).mean()]

    values = np.array([found.precision, found.recall, found.coverage])
    parts = []
    for of, without in ((blocks, without_real), (others, without_generated)):
        sizes = np.bincount(of)
        left = np.array([without(block) for block in range(len(sizes))])
        parts.append((jackknife_variance(values, left, sizes), len(sizes)))
    half = half_width(parts)
    n = {"precision": len(y), "recall": len(x), "coverage": len(x)}
    return {
        name: _share(float(value), float(h), n[name], fewest=int(of_real.max()) + 1)
        for name, value, h in zip(n, values, half, strict=True)
    }


def _share(value: float, half: float, n: int, *, fewest: int) -> Estimate:
    """A share with Wilson's interval over as many independent items as would give it half that width, n at most.

    Args:
        value: in [0, 1].
        half: of the interval by the jackknife, which says nothing where all items are alike.
        n: items.
        fewest: independent items that there are at least; that many are taken where all items are alike.
    """
    spread = value * (1 - value)
    n_independent = np.clip(spread * Z**2 / half**2, fewest, n) if half > 0 and spread > 0 else fewest
    return Estimate(value, *wilson(value * n_independent, float(n_independent)), n)


def _reach(apart: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Distance of each item to its k-th neighbour, of distances `(N, N)` whose diagonal is infinite."""
    reach: NDArray[np.float32] = np.partition(apart, k - 1, axis=1)[:, k - 1]
    return reach
