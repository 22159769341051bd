"""Log-ratios of adapted mixtures to their background, frame by frame, in Numba: for many pairs."""

from __future__ import annotations

import numpy as np
from numba import prange
from numpy.typing import NDArray

from phonaut.arrays import Array, Index
from phonaut.compiled import njit

FAST = {"reassoc", "contract", "arcp", "nsz"}  # what lets sums be vectorised; infinities and NaN keep their meaning
Floats = NDArray[np.float32]


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def whitened(frame: Floats, mean: Array, whitening: Array, phi: Floats) -> None:
    """`phi = (y, products of y)` with `y = whitening (frame - mean)`; squares alone where there is room for no more."""
    d = len(frame)
    for i in range(d):
        total, row = 0.0, whitening[i]
        for j in range(i + 1):
            total += row[j] * (frame[j] - mean[j])
        phi[i] = total
    if len(phi) == 2 * d:
        for i in range(d):
            phi[d + i] = phi[i] * phi[i]
    elif len(phi) > d:
        at = d
        for i in range(d):
            for j in range(i, d):
                phi[at] = phi[i] * phi[j]
                at += 1


@njit(nogil=True, error_model="numpy", fastmath=FAST, parallel=True)
def sum_log_ratios(
    x: Floats, begin: Index, end: Index, components: NDArray[np.int32], log_shares: Floats,
    means: Array, whitening: Array, slopes: Floats, constants: Floats, first: Index, model: Index, totals: Array,
) -> None:  # fmt: skip
    """Sums over the frames of recordings, each with the models of its pairs `first[b] ... first[b + 1]`."""
    n_best, n_features = components.shape[1], slopes.shape[2]
    for b in prange(len(begin)):
        models = model[first[b] : first[b + 1]]
        n = len(models)
        if n:
            out = totals[first[b] : first[b + 1]]
            out[:] = 0.0
            logs, phi = np.empty((n, n_best), np.float32), np.empty(n_features, np.float32)
            for t in range(begin[b], end[b]):
                for c in range(n_best):
                    k = components[t, c]
                    whitened(x[t], means[k], whitening[k], phi)
                    share, slope, constant = log_shares[t, c], slopes[k], constants[k]
                    for j in range(n):
                        m = models[j]
                        row, total = slope[m], np.float32(0.0)
                        for p in range(n_features):
                            total += row[p] * phi[p]
                        logs[j, c] = total + constant[m] + share
                for j in range(n):
                    row = logs[j]
                    peak = row[0]
                    for c in range(1, n_best):
                        peak = max(peak, row[c])
                    total = np.float32(0.0)
                    for c in range(n_best):
                        total += np.exp(row[c] - peak)
                    out[j] += peak + np.log(total)
