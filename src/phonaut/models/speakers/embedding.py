"""Verification by the embeddings of a trained network: the cosine between a recording and the mean of the enrolled."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phonaut.arrays import Array, Index
from phonaut.models.speakers.system import SPEAKER, VerificationSystem
from phonaut.models.speakers.utterances import Utterances
from phonaut.networks import count
from phonaut.networks.embedding import EmbeddingNetwork
from phonaut.networks.network import evaluating

BATCH_FRAMES = 20_000  # that are embedded at once, padding included
TRIALS = 2**16  # that are scored at once


class EmbeddingScorer(VerificationSystem):
    """Scores of trials by a network that embeds: there is nothing to train, and nothing to save beside the network.

    The score is `x' m / (|x| |m|)`, with `x` the embedding of the recording and `m` the mean of the enrolled embeddings
    at length 1.

    Args:
        network: trained; embeds frames as they come from the front end and normaliser of its `SpeechModel`.
        n_features: of the frames.

    Raises:
        ValueError: the network gives no embeddings.
    """

    def __init__(self, network: nn.Module, n_features: int) -> None:
        super().__init__(n_features)
        if not isinstance(network, EmbeddingNetwork):
            raise ValueError(f"verification by embeddings needs a network that embeds, got {type(network).__name__}")
        self.network = network

    def represent(self, utterances: Utterances) -> Utterances:
        """The embedding of each recording, one row `(E,)` in place of its frames, its length in the column `norm`.

        Raises:
            ValueError: a recording has no frames.
        """
        if len(empty := np.flatnonzero(utterances.lengths < 1)):
            raise ValueError(f"recording {utterances['id'][empty[0]]} has no frames, and needs one to be embedded")
        weight = self.network.classifier.weight
        embeddings = np.empty((len(utterances), weight.shape[1]), np.float32)
        order = np.argsort(utterances.lengths, kind="stable")
        with evaluating(self.network), torch.inference_mode():
            for rows in batches(order, utterances.lengths):
                frames, lengths = padded(utterances, rows)
                embeddings[rows] = self.network.embed(frames.to(weight.device), lengths.to(weight.device)).cpu().numpy()
        norm = np.linalg.norm(embeddings.astype(np.float64), axis=1)
        return Utterances(embeddings, np.ones(len(utterances), np.int64), {**utterances.columns, "norm": norm})

    def enrol(self, represented: Utterances, model: Index) -> Utterances:
        """One row a model: the mean of its embeddings at length 1, and `norm`, the mean of their lengths before."""
        numbers, of = np.unique(model, return_inverse=True)
        n = np.bincount(of)
        means = np.zeros((len(numbers), represented.frames.shape[1]))
        np.add.at(means, of, directions(represented.frames))
        norm = np.bincount(of, represented["norm"]) / n
        ones = np.ones(len(numbers), np.int64)
        return Utterances((means / n[:, None]).astype(np.float32), ones, {"model": numbers, "norm": norm})

    def score(self, references: Utterances, tested: Utterances, model: Index, recording: Index) -> dict[str, Array]:
        """Cosines of N trials, `(N,)`."""
        mean, embedding = directions(references.frames), directions(tested.frames)
        row = np.searchsorted(references["model"], model)
        scores = np.empty(len(model))
        for start in range(0, len(model), TRIALS):
            some = slice(start, start + TRIALS)
            scores[some] = np.einsum("ne,ne->n", mean[row[some]], embedding[recording[some]])
        return {SPEAKER: scores}

    def size(self, n_frames: int) -> tuple[int, int]:
        """Of the network, without its classes, which play no part."""
        size, classifier = count(self.network, n_frames, self.n_features), self.network.classifier
        return size.parameters - classifier.weight.numel(), size.macs - classifier.weight.numel()


def directions(vectors: NDArray[Any]) -> Array:
    """Rows at length 1, in double precision; those of 0 stay."""
    wide = vectors.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: Array = np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)
    return unit


def batches(order: Index, lengths: Index) -> list[Index]:
    """Rows in the `order` of rising lengths, cut where a batch would have more than `BATCH_FRAMES` with padding."""
    cuts, begin = [], 0
    for i, row in enumerate(order.tolist()):
        if i > begin and (i - begin + 1) * int(lengths[row]) > BATCH_FRAMES:
            cuts.append(i)
            begin = i
    return np.split(order, cuts)


def padded(utterances: Utterances, rows: Index) -> tuple[Tensor, Tensor]:
    """Frames of some utterances `(B, T, D)`, zero past the end of each, with their lengths `(B,)`."""
    lengths = utterances.lengths[rows]
    some = utterances.select(rows)
    frames = np.zeros((len(rows), int(lengths.max(initial=0)), utterances.frames.shape[1]), np.float32)
    frames[np.arange(frames.shape[1]) < lengths[:, None]] = some.frames
    return torch.from_numpy(frames), torch.from_numpy(lengths)
