"""Mixtures that were adapted from one background mixture: log-ratios to it, from what adaptation changed.

With `y = L_k^-1 (x - mu_k)`, `Sigma_k = L_k L_k^T` of component k of the background, and a model in which its mean is
`mu_k + L_k delta`, its covariance `L_k A^-1 L_k^T` and its weight `w'`,

    log w' N(x; model) - log w N(x; background) = delta^T A y + y^T (I - A) y / 2 + c,
    c = log w'/w + log |A| / 2 - delta^T A delta / 2

which is linear in y where covariances are kept, `A = I`, and else in (y, products of y). So, with the posteriors `r_k`
of the components in the background,

    log p(x | model) - log p(x | background) = log sum_k r_k exp(change of component k)

in which no large numbers cancel. Few components matter to a frame, and the same ones in all models: with the C best of
the background alone, in the numerator and in the denominator, it is the fast scoring of Reynolds, Quatieri and Dunn
2000, section 3.6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import prange
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.compiled import njit
from phonaut.densities.gaussian_log_prob import BLOCK_FRAMES, Gaussians, features

FAST = {"reassoc", "contract", "arcp", "nsz"}  # what lets sums be vectorised; infinities and NaN keep their meaning
Floats = NDArray[np.float32]


class Background:
    """The components of a mixture, ready for the frames of many recordings.

    Args:
        gaussians: K of them, diag or full.
        weights: `(K,)`.
    """

    def __init__(self, gaussians: Gaussians, weights: Array) -> None:
        self.gaussians, self.full = gaussians, gaussians.factor.ndim == 3
        self.log_weights = torch.from_numpy(weights).log()
        self.theta = gaussians.natural()
        self.far = gaussians.loses_digits(torch.float64).nonzero()[:, 0]
        eye = torch.eye(gaussians.means.shape[1], dtype=torch.float64)
        factor = gaussians.factor if self.full else gaussians.factor[:, :, None] * eye
        self.whitening: Tensor = torch.linalg.solve_triangular(factor, eye.expand(factor.shape), upper=False)

    def log_joint(self, x: NDArray[Any]) -> Tensor:
        """`log w_k N(x_t; k)` of frames `(T, D)`, `(T, K)`."""
        frames = torch.from_numpy(x).double()
        logs = frames.new_empty(len(x), len(self.log_weights))
        for block, out in zip(torch.split(frames, BLOCK_FRAMES), torch.split(logs, BLOCK_FRAMES), strict=True):
            phi = features(block - self.gaussians.origin, full=self.full)
            self.gaussians.log_prob_of_features(phi, block, self.theta, self.far, out)
        return logs.add_(self.log_weights)

    def best(self, x: NDArray[Any], n: int) -> tuple[Index, Array]:
        """The n best components of frames `(T, D)`, and the logarithms of their shares among these, `(T, n)` both."""
        logs = self.log_joint(x)
        if n >= logs.shape[1]:
            components = torch.arange(logs.shape[1]).expand(logs.shape)
        else:
            logs, components = logs.topk(n, dim=1)
        return components.numpy(), torch.log_softmax(logs, dim=1).numpy()

    def changes(
        self, offsets: NDArray[Any], weights: NDArray[Any] | None = None, covariances: NDArray[Any] | None = None
    ) -> tuple[Floats, Floats]:
        """What adaptation changed in M models, as coefficients `(K, M, P)` of (y, its products) and `c (K, M)`.

        Args:
            offsets: of their means from those of the background, `(M, K, D)`.
            weights: theirs, `(M, K)`; None: those of the background.
            covariances: theirs, `(M, K, D, D)` or `(M, K, D)`; None: those of the background.
        """
        delta = torch.from_numpy(offsets).double().transpose(0, 1) @ self.whitening.mT
        parts, constants = [delta], torch.zeros(delta.shape[:2], dtype=torch.float64)
        if weights is not None:
            known = self.log_weights[:, None] > -torch.inf
            constants += torch.where(known, torch.from_numpy(weights).double().T.log() - self.log_weights[:, None], 0.0)
        moved = delta
        if covariances is not None:
            theirs = torch.from_numpy(covariances).double().transpose(0, 1)
            if self.full:
                white = self.whitening[:, None]
                factor = torch.linalg.cholesky(white @ theirs @ white.mT)
                a = torch.cholesky_inverse(factor)
                constants -= factor.diagonal(dim1=2, dim2=3).log().sum(dim=2)
                moved = (a @ delta[..., None])[..., 0]
                rows, columns = torch.triu_indices(*a.shape[2:])
                rest = torch.eye(a.shape[2], dtype=a.dtype) - a
                products = rest[:, :, rows, columns] * torch.where(rows == columns, 0.5, 1.0)
            else:
                a = self.gaussians.factor.square()[:, None] / theirs
                constants += 0.5 * a.log().sum(dim=2)
                moved, products = a * delta, 0.5 * (1 - a)
            parts = [moved, products]
        constants -= 0.5 * (moved * delta).sum(dim=2)
        return torch.cat(parts, dim=2).float().numpy(), constants.float().numpy()

    def mean_log_ratios(
        self,
        x: Floats,
        lengths: Index,
        best: tuple[NDArray[Any], NDArray[Any]],
        changes: tuple[Floats, Floats],
        model: Index,
        recording: Index,
    ) -> Array:
        """Means over frames of `log p(x_t | model) - log p(x_t | background)`, of N pairs; 0 without frames.

        Args:
            x: frames of B recordings, one after another, `(T, D)`.
            lengths: of each, `(B,)`.
            best: of `best`, of these frames.
            changes: of M models.
            model: of each pair, `(N,)`.
            recording: of each pair, `(N,)`.
        """
        order = np.lexsort((model, recording))
        first = np.searchsorted(recording[order], np.arange(len(lengths) + 1))
        totals, ends = np.empty(len(order)), np.cumsum(lengths)
        sum_log_ratios(
            np.ascontiguousarray(x, np.float32), ends - lengths, ends,
            np.ascontiguousarray(best[0], np.int32), np.ascontiguousarray(best[1], np.float32),
            self.gaussians.means.numpy(), self.whitening.contiguous().numpy(), *changes,
            first, model[order].astype(np.int64), totals,
        )  # fmt: skip
        result = np.empty(len(order))
        result[order] = totals / np.maximum(lengths[recording[order]], 1)
        return result


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
