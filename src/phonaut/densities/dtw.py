"""Dynamic time warping: how far two sequences are apart, however fast each was spoken.

    D(0, 0) = w d_00
    D(i, j) = min(D(i-1, j-1) + 2 d_ij, D(i-1, j) + d_ij, D(i, j-1) + d_ij)          distance = D(T-1, U-1) / (T + U)

over cells within the band, with `d_ij` Euclidean, or `1 - cos` of the angle between two frames (1 for a frame of
zeros). The first cell counts once (w = 1), as in dtw-python and R's dtw (`symmetric2`), or twice, as in the paper.

Source: Sakoe and Chiba 1978, "Dynamic programming algorithm optimization for spoken word recognition", symmetric form
without slope constraint, equations 8 (the band) and 19.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numba import prange
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array, Index
from phonaut.compiled import njit

Frames = NDArray[np.float32]
LocalDistance = Literal["cosine", "euclidean"]

BLOCK = 4  # features that the compiled code takes at once


@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nnan", "nsz"})
def _cumulate(
    x: Frames, y: Frames, is_cosine: bool, band: int, first_weight: float, bound: float, d: Frames, costs: Array
) -> float:
    """The distance of `x (T, D)` and `y (D, U)`; inf once it is known to lie above `bound`.

    Rows of local distances `d (R, U)` and costs `(R, U + 1)`, whose first column is before the first frame, are used in
    turn: two of them, or T + 1 that keep everything.
    """
    n_x, n_features, n_y, n_rows = len(x), len(y), y.shape[1], len(costs)
    reach = max(band, abs(n_x - n_y))
    costs[0] = np.inf
    for i in range(n_x):
        low, high = max(0, i - reach), min(n_y, i + reach + 1)
        above, row, away = costs[i % n_rows], costs[(i + 1) % n_rows], d[(i + 1) % n_rows][low:high]
        away[:] = 0.0
        for k in range(0, n_features, 4):
            x0, x1, x2, x3 = x[i, k], x[i, k + 1], x[i, k + 2], x[i, k + 3]
            y0, y1, y2, y3 = y[k, low:high], y[k + 1, low:high], y[k + 2, low:high], y[k + 3, low:high]
            if is_cosine:
                for j in range(len(away)):
                    away[j] += (x0 * y0[j] + x1 * y1[j]) + (x2 * y2[j] + x3 * y3[j])
            else:
                for j in range(len(away)):
                    s0, s1, s2, s3 = x0 - y0[j], x1 - y1[j], x2 - y2[j], x3 - y3[j]
                    away[j] += (s0 * s0 + s1 * s1) + (s2 * s2 + s3 * s3)
        if is_cosine:
            for j in range(len(away)):
                away[j] = max(np.float32(1.0) - away[j], np.float32(0.0))
        else:
            for j in range(len(away)):
                away[j] = np.sqrt(away[j])
        if i == 0:
            above[0] = (first_weight - 2.0) * away[0]
        row[low] = np.inf  # of the cell before the band
        before, here = above[low : high + 1], row[low + 1 : high + 1]
        for j in range(len(away)):
            here[j] = min(before[j] + 2.0 * away[j], before[j + 1] + away[j])
        left = np.inf
        for j in range(len(away)):
            left = min(here[j], left + away[j])
            here[j] = left
        if high < n_y:
            row[high + 1] = np.inf
        if bound < np.inf:
            least = np.inf
            for j in range(len(away)):
                least = min(least, here[j])
            if least > bound * (n_x + n_y):
                return np.inf
    return float(costs[n_x % n_rows, n_y] / (n_x + n_y))


@njit(nogil=True, parallel=True, error_model="numpy")
def _distances(
    x: Frames, ends: Index, y: Frames, last: Index, which: Index, reference: Index,
    is_cosine: bool, band: int, first_weight: float, bound: Array, out: Array,
) -> None:  # fmt: skip
    for n in prange(len(which)):
        b, r = which[n], reference[n]
        begin, first = ends[b - 1] if b > 0 else 0, last[r - 1] if r > 0 else 0
        n_y, n_features = last[r] - first, x.shape[1]
        template = y[first * n_features : last[r] * n_features].reshape(n_features, n_y)
        d, costs = np.empty((2, n_y), np.float32), np.empty((2, n_y + 1))
        out[n] = _cumulate(x[begin : ends[b]], template, is_cosine, band, first_weight, bound[n], d, costs)


@njit(nogil=True, parallel=True, error_model="numpy")
def _transposed(y: Frames, last: Index, out: Frames) -> None:
    """Each of the sequences `(U, D)` of `y` as `(D, U)`, one after another."""
    n_features = y.shape[1]
    for r in prange(len(last)):
        first = last[r - 1] if r > 0 else 0
        part = out[first * n_features : last[r] * n_features].reshape(n_features, last[r] - first)
        part[:] = y[first : last[r]].T


@njit(nogil=True, error_model="numpy")
def _backtracked(d: Frames, costs: Array) -> Index:
    """Cells `(K, 2)` of the cheapest path to the last cell; of equal ones, along the diagonal."""
    i, j = len(costs) - 1, costs.shape[1] - 1
    cells = np.empty((i + j, 2), np.int64)
    n = len(cells)
    while True:
        n -= 1
        cells[n] = i - 1, j - 1
        if i == 1 and j == 1:
            return cells[n:]
        away = np.float64(d[i, j - 1])
        # What leads out of the matrix costs inf, but for the cell before the first, from which only the first comes.
        diagonal = costs[i - 1, j - 1] + 2.0 * away if i > 1 and j > 1 else np.inf
        over, along = costs[i - 1, j] + away, costs[i, j - 1] + away
        if diagonal <= over and diagonal <= along:
            i, j = i - 1, j - 1
        elif over <= along:
            i -= 1
        else:
            j -= 1


def pair_distances(
    frames: NDArray[Any],
    lengths: Index,
    references: NDArray[Any],
    reference_lengths: Index,
    which: Index,
    reference: Index,
    *,
    distance: LocalDistance = "euclidean",
    band: int | None = None,
    first_weight: float = 1.0,
    abandon_above: ArrayLike | None = None,
) -> Array:
    """Distances of pairs that are listed, `(N,)`: of sequence `which[n]` from reference `reference[n]`.

    Args:
        frames: of all sequences, one after another, `(M, D)`.
        lengths: `(B,)`, each at least 1.
        references: likewise.
        reference_lengths: `(R,)`.
        which: numbers of sequences, `(N,)`.
        reference: numbers of references, `(N,)`.
        distance: of frames, `euclidean` or `cosine`.
        band: cells have |i - j| of at most so many frames, or of |T - U| where that is more; None: all have.
        first_weight: w of the first cell.
        abandon_above: a bound for each pair, or for all: where each cell of a row, and so the distance, lies above, it
            is inf, and the rest is not computed. None: nothing is abandoned.

    Raises:
        ValueError: dimensions differ, lengths do not add up, or an option is out of range.
    """
    check_options(distance, band)
    for name, x, n in (("frames", frames, lengths), ("references", references, reference_lengths)):
        if x.ndim != 2 or n.sum() != len(x) or (n < 1).any():
            raise ValueError(f"{name} {x.shape}: lengths must be at least 1 and add up to its rows, got {n.sum()}")
    if frames.shape[1] != references.shape[1]:
        raise ValueError(f"frames have {frames.shape[1]} features, references {references.shape[1]}")
    x, y = laid_out(frames, distance), laid_out(references, distance)
    last, columns = np.cumsum(reference_lengths), np.empty(y.size, np.float32)
    _transposed(y, last, columns)
    pairs = np.ascontiguousarray(np.stack([which, reference]), dtype=np.int64)  # compiled code knows one layout
    bound, out = np.full(pairs.shape[1], np.inf), np.empty(pairs.shape[1])
    bound[:] = np.inf if abandon_above is None else abandon_above
    reach = len(frames) + len(references) if band is None else band
    _distances(x, np.cumsum(lengths), columns, last, *pairs, distance == "cosine", reach, first_weight, bound, out)
    return out


def distances(
    frames: NDArray[Any], lengths: Index, references: NDArray[Any], reference_lengths: Index, **options: Any
) -> Array:
    """Distances of B sequences from R references, `(B, R)`; arguments and errors are those of `pair_distances`."""
    n = len(lengths), len(reference_lengths)
    which, reference = (numbers.ravel() for numbers in np.indices(n))
    return pair_distances(frames, lengths, references, reference_lengths, which, reference, **options).reshape(n)


def path(
    x: NDArray[Any],
    y: NDArray[Any],
    *,
    distance: LocalDistance = "euclidean",
    band: int | None = None,
    first_weight: float = 1.0,
) -> tuple[Index, float]:
    """How two sequences `(T, D)` and `(U, D)` are aligned, and their distance. Options are those of `pair_distances`.

    Returns:
        Pairs of frames `(K, 2)` from (0, 0) to (T-1, U-1), each at most one frame after the one before; of paths that
        cost the same, the one that is diagonal as late as it can be.

    Raises:
        ValueError: dimensions differ, a sequence is empty, or an option is out of range.
    """
    check_options(distance, band)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise ValueError(f"sequences must be (T, D) and (U, D), and not empty; got {x.shape} and {y.shape}")
    costs, d = np.full((len(x) + 1, len(y) + 1), np.inf), np.empty((len(x) + 1, len(y)), np.float32)
    columns, reach = np.ascontiguousarray(laid_out(y, distance).T), len(x) + len(y) if band is None else band
    found = _cumulate(laid_out(x, distance), columns, distance == "cosine", reach, first_weight, np.inf, d, costs)
    return _backtracked(d, costs), float(found)


def laid_out(frames: NDArray[Any], distance: LocalDistance) -> Frames:
    """Frames in float32, with zeros up to a multiple of `BLOCK` features; for cosines, of norm 1."""
    n_features = frames.shape[1]
    out = np.zeros((len(frames), -(-n_features // BLOCK) * BLOCK), np.float32)
    out[:, :n_features] = frames
    if distance == "cosine":
        norms = np.sqrt(np.einsum("nd,nd->n", frames, frames, dtype=np.float64))
        out /= np.where(norms > 0, norms, 1.0)[:, None]
    return out


def check_options(distance: str, band: int | None) -> None:
    """Refuse what is no distance of frames, and a band below 0."""
    if distance not in ("cosine", "euclidean"):
        raise ValueError(f"distance must be cosine or euclidean, got {distance}")
    if band is not None and band < 0:
        raise ValueError(f"band must be at least 0 frames, or null, got {band}")
