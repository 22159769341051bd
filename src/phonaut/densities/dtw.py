"""Dynamic time warping: how far two sequences are apart, however fast each was spoken."""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from phonaut.arrays import Index
from phonaut.compiled import njit


@njit(nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def between(x: NDArray[np.float32], y: NDArray[np.float32]) -> float:
    """The normalised distance of `x (T, D)` and `y (U, D)`, row by row in O(U) memory."""
    n_x, n_y = len(x), len(y)
    above, row = np.full(n_y + 1, np.inf), np.empty(n_y + 1)
    above[0] = 0.0
    for i in range(n_x):
        row[0] = np.inf
        for j in range(n_y):
            away = np.float32(0.0)
            for k in range(x.shape[1]):
                step = x[i, k] - y[j, k]
                away += step * step
            d = np.sqrt(away)
            row[j + 1] = min(above[j] + 2.0 * d, above[j + 1] + d, row[j] + d)
        above, row = row, above
        above[0] = np.inf
    return float(above[n_y] / (n_x + n_y))


@njit(nogil=True, parallel=True, error_model="numpy")
def _distances(
    x: NDArray[np.float32], begin: Index, end: Index, y: NDArray[np.float32], first: Index, last: Index,
    out: NDArray[np.float64],
) -> None:  # fmt: skip
    for b in prange(len(begin)):
        for r in range(len(first)):
            out[b, r] = between(x[begin[b] : end[b]], y[first[r] : last[r]])


def distances(
    frames: NDArray[np.float32], lengths: Index, references: NDArray[np.float32], reference_lengths: Index
) -> NDArray[np.float64]:
    """Distances of B sequences from R references, `(B, R)`.

    `D(i, j) = min(D(i-1, j-1) + 2 d_ij, D(i-1, j) + d_ij, D(i, j-1) + d_ij)`, with `d_ij` Euclidean: `D(T, U) /
    (T + U)`.

    Args:
        frames: of all sequences, one after another, `(N, D)`.
        lengths: `(B,)`, each at least 1.
        references: likewise, `(M, D)`.
        reference_lengths: `(R,)`.

    Raises:
        ValueError: dimensions differ, or lengths do not add up.

    Source: Sakoe and Chiba 1978, "Dynamic programming algorithm optimization for spoken word recognition", symmetric
    form without slope constraint.
    """
    for name, x, n in (("frames", frames, lengths), ("references", references, reference_lengths)):
        if x.ndim != 2 or n.sum() != len(x) or (n < 1).any():
            raise ValueError(f"{name} {x.shape}: lengths must be at least 1 and add up to its rows, got {n.sum()}")
    if frames.shape[1] != references.shape[1]:
        raise ValueError(f"frames have {frames.shape[1]} features, references {references.shape[1]}")
    out = np.empty((len(lengths), len(reference_lengths)))
    ends, last = np.cumsum(lengths), np.cumsum(reference_lengths)
    x, y = (np.ascontiguousarray(v, dtype=np.float32) for v in (frames, references))
    _distances(x, ends - lengths, ends, y, last - reference_lengths, last, out)
    return out
