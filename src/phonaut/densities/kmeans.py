"""k-means: where mixtures and state densities start."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array

MOST_FRAMES = 50_000  # a start needs no more than a sample


def squared_distances(x: Array, centres: Array) -> Array:
    """`|x_t - c_k|^2`, `(N, K)`."""
    cross = x @ centres.T
    distances: Array = np.square(x).sum(axis=1)[:, None] - 2 * cross + np.square(centres).sum(axis=1)
    return np.maximum(distances, 0.0)


def seeds(x: Array, k: int, rng: np.random.Generator) -> Array:
    """k-means++ (Arthur and Vassilvitskii 2007): each next centre is a frame, drawn by its squared distance from those
    before; where fewer than `k` frames differ, some are drawn again."""
    rows = [int(rng.integers(len(x)))]
    nearest = squared_distances(x, x[rows])[:, 0]
    for _ in range(k - 1):
        total = nearest.sum()
        new = int(rng.choice(len(x), p=nearest / total)) if total > 0 else int(rng.integers(len(x)))
        rows.append(new)
        nearest = np.minimum(nearest, squared_distances(x, x[[new]])[:, 0])
    return x[rows]


def kmeans(
    x: Array, k: int, rng: np.random.Generator, *, n_iter: int = 20, n_init: int = 1
) -> tuple[Array, NDArray[np.int64]]:
    """Centres `(K, D)`, and the nearest one of every frame `(N,)`.

    Dimensions are standardised for the distances, so that units do not matter; centres are found on a sample of at most
    50,000 frames, and of `n_init` starts the one is kept whose frames are nearest to their centres. A centre that loses
    all its frames moves to the frame farthest from its own.
    """
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[~(scale > 0)] = 1.0
    z = (x - mean) / scale
    sample = z if len(z) <= MOST_FRAMES else z[rng.choice(len(z), MOST_FRAMES, replace=False)]
    best, least = np.empty(0), np.inf
    for _ in range(n_init):
        centres = moved_to_rest(sample, seeds(sample, k, rng), n_iter)
        spread = squared_distances(sample, centres).min(axis=1).sum() if n_init > 1 else 0.0
        if not len(best) or spread < least:
            best, least = centres, spread
    return best * scale + mean, squared_distances(z, best).argmin(axis=1)


def moved_to_rest(x: Array, centres: Array, n_iter: int) -> Array:
    """Lloyd's iterations from centres `(K, D)`."""
    k = len(centres)
    for _ in range(n_iter):
        distances = squared_distances(x, centres)
        nearest = distances.argmin(axis=1)
        counts = np.bincount(nearest, minlength=k)
        order, there = np.argsort(nearest, kind="stable"), np.flatnonzero(counts)
        sums = np.zeros_like(centres)
        sums[there] = np.add.reduceat(x[order], (np.cumsum(counts) - counts)[there], axis=0)
        moved = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            nearest_distance = distances[np.arange(len(x)), nearest]
            moved[empty] = x[np.argsort(nearest_distance)[::-1][: len(empty)]]
        done = np.allclose(moved, centres, rtol=0, atol=1e-6)
        centres = moved
        if done:
            break
    return centres


def nested(
    x: Array, n: int, m: int, rng: np.random.Generator, states: NDArray[np.int64] | None = None, *, n_init: int = 10
) -> tuple[Array, Array]:
    """Centres `(n, m, D)` by k-means over the frames of each state; the way of each frame from its centre, `(N, D)`.

    Where nobody says which of n states a frame is of, `states (N,)`, k-means over all frames does. Centres repeat where
    there are fewer frames.
    """
    k = min(n, len(x))
    nearest = kmeans(x, k, rng, n_init=n_init)[1] if states is None else states
    k = k if states is None else n
    means, away = np.empty((n, m, x.shape[1])), np.zeros_like(x)
    for state in range(n):
        inside = nearest == state % k
        of_state, centres, which = x[inside], x.mean(axis=0, keepdims=True), np.zeros(int(inside.sum()), np.int64)
        if len(of_state):
            centres, which = kmeans(of_state, min(m, len(of_state)), rng, n_init=n_init)
        means[state] = centres[np.arange(m) % len(centres)]
        away[inside] = of_state - centres[which]
    return means, away
