"""Samplers: the recordings that make up each batch, divided among processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.data.checks import below, refuse
from phonaut.data.draws import uniform

POOL = 16  # batches whose recordings are sorted by duration together: enough to save most of the padding


class EpochSampler(ABC):
    """Batches of recordings, as arrays of rows, in an order that follows from (seed, epoch) alone.

    A global batch is divided among `world_size` processes: together they get what one process alone would get, each the
    same number of batches, and no recording of a batch twice.

    Args:
        seed: of the run.
        shuffle: a new order in every epoch (training).
        rank: of this process.
        world_size: number of processes.

    Attributes:
        n_batches: global batches of an epoch; a subclass sets it.
        epoch: which epoch's order is next; see `set_epoch`.
        start: first batch to yield of this epoch, not 0 where an epoch is resumed.
    """

    def __init__(self, seed: int, shuffle: bool, rank: int, world_size: int) -> None:
        self.seed, self.shuffle = seed, shuffle
        self.rank, self.world_size = rank, world_size
        self.n_batches = 0
        self.epoch = 0
        self.start = 0

    def __len__(self) -> int:
        return self.n_batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is yielded next, from its first batch on."""
        self.epoch, self.start = epoch, 0

    def __iter__(self) -> Iterator[NDArray[np.int64]]:
        for batch in self.batches()[self.start :]:
            yield batch[self.rank :: self.world_size]

    def batches(self) -> list[NDArray[np.int64]]:
        """The global batches of this epoch."""
        if not self.n_batches:
            return []
        order = self.order()
        batches = np.split(order, self.boundaries(order))
        if self.shuffle and self.durations_differ:  # else short and long batches would come regularly
            batches = [batches[k] for k in self.permutation(self.n_batches, "order of batches")]
        return batches

    @property
    def durations_differ(self) -> bool:
        """True where sorting by duration may save padding."""
        return True

    @abstractmethod
    def order(self) -> NDArray[np.int64]:
        """The recordings of this epoch, in the order in which they are cut into batches."""

    @abstractmethod
    def boundaries(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cuts of `order` into batches, `(n_batches - 1,)`."""

    def permutation(self, n: int, stream: str) -> NDArray[np.int64]:
        """A permutation of n things that belongs to (seed, epoch, stream)."""
        draws = uniform(np.arange(n, dtype=np.uint64), seed=self.seed, epoch=self.epoch, stream=stream)
        return np.argsort(draws[:, 0], kind="stable")


class BatchSampler(EpochSampler):
    """Batches of as many spans.

    The batch size counts spans: a batch of read sentences with forty phones each holds few sentences. How many batches
    there are is a property of the data, `ceil(spans / batch_size)`, and not of the epoch, because learning rate
    schedules and Lightning plan with it. So batch k ends with the recording that comes nearest to `(k + 1) *
    batch_size` spans: exact where every recording has one span, else right on average. A recording without a span
    counts as one.

    Where durations differ, recordings are sorted within pools of a few batches, which limits padding; pools are sorted
    up and down in turn, so that a batch across their border is even too.

    Args:
        n_spans: spans of each recording, `(R,)`.
        n_samples: duration of each recording, `(R,)`.
        batch_size: spans in a global batch.
        seed: of the run.
        shuffle: a new order in every epoch (training), else the order of the corpus (evaluation).
        rank: of this process.
        world_size: number of processes.

    Raises:
        ValueError: batch size below 1, or fewer recordings than processes.
    """

    def __init__(
        self,
        n_spans: ArrayLike,
        n_samples: ArrayLike,
        batch_size: int,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(seed, shuffle, rank, world_size)
        self.weights = np.maximum(np.asarray(n_spans, dtype=np.int64), 1)
        self.n_samples = np.asarray(n_samples, dtype=np.int64)
        self.batch_size = batch_size
        # Training with batch normalisation cannot use a batch of one recording.
        self.least = max(2 if shuffle else 1, world_size)
        refuse(below(1, batch_size=batch_size))
        if 0 < len(self.weights) < world_size:
            raise ValueError(
                f"{len(self.weights)} recordings cannot be divided among {world_size} processes; "
                f"use trainer.devices={len(self.weights)} or fewer"
            )
        self.n_batches = self.count()

    def count(self) -> int:
        """Batches in an epoch; a last one that would be too small is merged into the one before."""
        full, rest = divmod(int(self.weights.sum()), self.batch_size)
        n_batches = full + (rest >= self.least)
        return min(max(n_batches, 1), max(len(self.weights) // self.least, 1)) if len(self.weights) else 0

    @property
    def durations_differ(self) -> bool:
        """True where sorting by duration saves padding."""
        return bool((self.n_samples != self.n_samples[0]).any())

    def order(self) -> NDArray[np.int64]:
        """All rows, in the order in which they are cut into batches."""
        n = len(self.weights)
        order = self.permutation(n, "order of recordings") if self.shuffle else np.arange(n)
        if not self.durations_differ:
            return order
        pool = np.arange(n) * self.n_batches // (n * POOL)
        duration = self.n_samples[order] * np.where(pool % 2, -1, 1)
        return order[np.lexsort((duration, pool))]

    def boundaries(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cuts of `order`: nearest to every `batch_size` spans, and never fewer than `least` recordings apart."""
        # Batch k ends with the recording whose middle, counted in spans, is nearest below k batch sizes. Then cuts are
        # moved so that every batch has `least` recordings: first to the right, then, from the end, to the left.
        spans = np.cumsum(self.weights[order])
        middles = spans - self.weights[order] / 2
        nth = np.arange(1, self.n_batches)
        cuts = np.searchsorted(middles, nth * self.batch_size)
        earliest = np.maximum.accumulate(cuts - nth * self.least) + nth * self.least
        earliest = np.maximum(earliest, nth * self.least)
        return np.minimum(earliest, len(order) - (self.n_batches - nth) * self.least)
