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
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.densities.gaussian_log_prob import BLOCK_FRAMES, Gaussians, features

TILE = 16  # frames of one component that NumPy multiplies at once
FEW_PRODUCTS = 2**27  # that NumPy sums sooner than Numba is loaded
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

        Few are scored in float64 by NumPy, many in float32 by Numba, which takes half a second to load.

        Args:
            x: frames of B recordings, one after another, `(T, D)`.
            lengths: of each, `(B,)`.
            best: of `best`, of these frames.
            changes: of M models.
            model: of each pair, `(N,)`.
            recording: of each pair, `(N,)`.
        """
        components, log_shares = best[0].astype(np.int32), best[1].astype(np.float32)
        used = len(np.unique(model))
        n_products = components.size * max(changes[0].shape[2], TILE) * max(used, TILE)
        sums = self._few_sums if n_products <= FEW_PRODUCTS else self._many_sums
        totals = sums(x.astype(np.float32), lengths, components, log_shares, changes, model, recording)
        means: Array = totals / np.maximum(lengths[recording], 1)
        return means

    def _few_sums(
        self, x: Floats, lengths: Index, components: NDArray[np.int32], log_shares: Floats,
        changes: tuple[Floats, Floats], model: Index, recording: Index,
    ) -> Array:  # fmt: skip
        """Sums over frames by NumPy, of all frames and all models: frames of a component lie in tiles of `TILE`."""
        slopes, constants = changes
        used, column = np.unique(model, return_inverse=True)
        (n_frames, n_best), n_models = components.shape, len(used)
        order = np.argsort(components, axis=None, kind="stable")
        component = components.ravel()[order]
        counts = np.bincount(component, minlength=len(slopes))
        n_tiles = -(-counts // TILE)
        ahead = TILE * (np.cumsum(n_tiles) - n_tiles) - (np.cumsum(counts) - counts)
        slot, of_tile = np.arange(len(order)) + ahead[component], np.repeat(np.arange(len(slopes)), n_tiles)
        tiles = np.zeros((len(of_tile), TILE, x.shape[1]))
        tiles.reshape(-1, x.shape[1])[slot] = x[order // n_best] - self.gaussians.means.numpy()[component]
        if self.full:
            y = tiles @ self.whitening.mT.numpy()[of_tile]
        else:
            y = tiles * self.whitening.diagonal(dim1=1, dim2=2).numpy()[of_tile, None]
        phi = with_products(y, slopes.shape[2])
        changed = phi @ slopes[:, used].astype(np.float64).swapaxes(1, 2)[of_tile]
        logs = np.empty((len(order), n_models))
        logs[order] = changed.reshape(tiles.shape[0] * TILE, n_models)[slot] + constants[component][:, used]
        ratios = np.logaddexp.reduce(logs.reshape(n_frames, n_best, n_models) + log_shares[..., None], axis=1)
        sums, some = np.zeros((len(lengths), n_models)), lengths > 0
        if some.any():
            sums[some] = np.add.reduceat(ratios, (np.cumsum(lengths) - lengths)[some], axis=0)
        totals: Array = sums[recording, column]
        return totals

    def _many_sums(
        self, x: Floats, lengths: Index, components: NDArray[np.int32], log_shares: Floats,
        changes: tuple[Floats, Floats], model: Index, recording: Index,
    ) -> Array:  # fmt: skip
        """Sums over frames by Numba, with all models of a recording at once."""
        from phonaut.densities.adapted_mixtures_engine import sum_log_ratios

        order = np.lexsort((model, recording))
        first = np.searchsorted(recording[order], np.arange(len(lengths) + 1))
        sums, totals, ends = np.empty(len(order)), np.empty(len(order)), np.cumsum(lengths)
        sum_log_ratios(
            np.ascontiguousarray(x), ends - lengths, ends,
            np.ascontiguousarray(components), np.ascontiguousarray(log_shares),
            self.gaussians.means.numpy(), self.whitening.contiguous().numpy(), *changes,
            first, model[order].astype(np.int64), sums,
        )  # fmt: skip
        totals[order] = sums
        return totals


def with_products(y: Array, n_features: int) -> Array:
    """`(y, products of y)` along the last axis, `n_features` in all: squares alone where there is room for no more."""
    d = y.shape[-1]
    if n_features == d:
        return y
    rows, columns = (np.arange(d),) * 2 if n_features == 2 * d else np.triu_indices(d)
    return np.concatenate([y, y[..., rows] * y[..., columns]], axis=-1)
