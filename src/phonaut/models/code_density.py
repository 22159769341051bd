"""A density of a generator's codes, to draw from: of windows by themselves, and of windows that follow one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.models.encoded_windows import EncodedWindows
from phonaut.models.generative_classifier import GenerativeClassifier


class CodeDensity:
    """Draws of codes from a density of each of C classes.

    Args:
        encoder: the generator's, whose codes the density has learned, projected or not.
        network: the density.
        median_frames: codes of a training sequence of each class, `(C,)`; None: not known.
    """

    def __init__(
        self, encoder: EncodedWindows, network: GenerativeClassifier, median_frames: Sequence[int] | None = None
    ) -> None:
        self.encoder, self.network, self.median_frames = encoder, network, median_frames

    def classes(self, n: int, rng: np.random.Generator) -> Index:
        """`n` classes, as often as in training, `(n,)`."""
        share = self.network.decision.log_prior.exp().double().numpy()
        drawn: Index = rng.choice(len(share), n, p=share / share.sum())
        return drawn

    def codes(self, classes: Index, rng: np.random.Generator) -> Tensor:
        """A code `(n, Z)` of each of `classes (n,)`: one at a random place of a sequence of median length.

        There, state s has the share `1/T sum_t (start A^t)_s`, t from 0 to T - 1.

        Raises:
            ValueError: of a chain of several states, T is not known.
        """
        drawn = np.empty((len(classes), self.network.n_features))
        for c in np.unique(classes).tolist():
            rows = np.flatnonzero(classes == c)
            share = self.occupancy(c)
            states = rng.choice(len(share), len(rows), p=share)
            drawn[rows] = self.network.sample(c, len(rows), rng, states)
        return self.expanded(drawn)

    def occupancy(self, c: int) -> Array:
        """Shares of the states of class c in sequences of median length, `(S,)`. Errors are those of `codes`."""
        model = self.network.models[c]
        if model.n_components == 1:
            return np.ones(1)
        if self.median_frames is None:
            raise ValueError("a density of an earlier version keeps no lengths of its classes: train it again, or draw "
                             "utterances with seconds=")  # fmt: skip
        n_frames = int(self.median_frames[c])
        share, total = model.startprob_, np.zeros(model.n_components)
        for _ in range(n_frames):
            total += share
            share = share @ model.transmat_
        shares: Array = total / total.sum()
        return shares

    def sequences(self, classes: Index, n_codes: int, rng: np.random.Generator) -> Tensor:
        """A sequence `(n, T, Z)` of `n_codes` codes of each of `classes (n,)`."""
        return self.expanded(np.stack([self.network.sample(int(c), n_codes, rng) for c in classes]))

    def expanded(self, drawn: Array) -> Tensor:
        """Codes of the generator from those of the density: the projection undone, `(..., K) -> (..., Z)`."""
        codes = torch.from_numpy(drawn.astype(np.float32))
        projection = self.encoder.projection
        return codes if projection is None else codes @ projection.components + projection.mean
