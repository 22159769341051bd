"""Statistics of whole recordings under the components of a background model, or of whatever else aligns frames."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from phonaut.arrays import Array
from phonaut.hmm.emissions import MixtureEmissions
from phonaut.models.speakers.ubm import UBM
from phonaut.models.speakers.utterances import Utterances

BLOCK_CELLS = 2**22  # responsibilities of a block of utterances
PIECE_FRAMES = 1024  # of an utterance that are padded to


class Alignment(Protocol):
    """What gives frames to K components: a background model, or the states of phrases' models."""

    @property
    def claims(self) -> tuple[str, ...]:
        """What a recording may be claimed to say, each of which aligns it in another way; one, empty, where
        alignments do not depend on it."""
        ...

    @property
    def means(self) -> Array:
        """`(K, D)`."""
        ...

    @property
    def covariances(self) -> Array:
        """`(K, D)` or `(K, D, D)`."""
        ...

    def statistics(self, utterances: Utterances, claim: str | None = None) -> tuple[Array, Array]:
        """Occupancies `(B, K)`, and first-order sums about the means `(B, K, D)`, of each utterance.

        Args:
            utterances: with frames.
            claim: of `claims`; None: each by what it is known to say.
        """
        ...


class UBMAlignment:
    """Each frame belongs to the components of a background model, whatever is said."""

    claims = ("",)

    def __init__(self, ubm: UBM) -> None:
        self.ubm = ubm

    @property
    def means(self) -> Array:
        """`(K, D)`."""
        means: Array = self.ubm.emissions.means_[0]
        return means

    @property
    def covariances(self) -> Array:
        """`(K, D)` or `(K, D, D)`."""
        covariances: Array = self.ubm.emissions.covars_[0]
        return covariances

    def statistics(self, utterances: Utterances, claim: str | None = None) -> tuple[Array, Array]:
        """Occupancies and first-order sums of each utterance."""
        return utterance_statistics(self.ubm.emissions, utterances)


def utterance_statistics(emissions: MixtureEmissions, utterances: Utterances) -> tuple[Array, Array]:
    """Occupancies `(B, K)` and sums `sum_t r_tk (x_t - mu_k)`, `(B, K, D)`, of each utterance under a mixture.

    Utterances are cut into pieces, and pieces of like length are padded together: a block is one batched product.
    """
    means, n = emissions.means_[0], np.zeros((len(utterances), emissions.n_mix))
    f, origin = np.zeros((len(utterances), *means.shape)), means.mean(axis=0)
    pieces = -(-utterances.lengths // PIECE_FRAMES)
    owner = np.repeat(np.arange(len(utterances)), pieces)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    lengths = np.minimum(utterances.lengths[owner] - within * PIECE_FRAMES, PIECE_FRAMES)
    cut = Utterances(utterances.frames, lengths)
    order = np.argsort(lengths, kind="stable")
    size = max(1, BLOCK_CELLS // (PIECE_FRAMES * emissions.n_mix))
    for first in range(0, len(order), size):
        rows = order[first : first + size]
        some = cut.select(rows)
        x = some.frames.astype(np.float64)
        r = torch.softmax(torch.from_numpy(emissions.component_log_prob(x)[:, 0]), dim=1)
        split = some.lengths.tolist()
        weights = pad_sequence(list(torch.split(r, split)), batch_first=True)
        frames = pad_sequence(list(torch.split(torch.from_numpy(x - origin), split)), batch_first=True)
        np.add.at(n, owner[rows], weights.sum(dim=1).numpy())
        np.add.at(f, owner[rows], (weights.mT @ frames).numpy())
    f -= n[:, :, None] * (means - origin)
    return n, f
