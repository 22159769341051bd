"""Samplers: the recordings that make up each batch, divided among processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.checks import below, refuse
from phonaut.data.draws import uniform

POOL = 16  # batches whose recordings are sorted by duration together: enough to save most of the padding
FRAME_POOL = 32  # likewise, where batches count frames


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
        sizes: of the recordings, `(R,)`, as batches count them; a subclass sets it.
        n_batches: global batches of an epoch; likewise.
        least: recordings in a batch.
        epoch: which epoch's order is next; see `set_epoch`.
        start: first batch to yield of this epoch, not 0 where an epoch is resumed.
    """

    sizes: NDArray[np.int64]

    def __init__(self, seed: int, shuffle: bool, rank: int, world_size: int) -> None:
        self.seed, self.shuffle = seed, shuffle
        self.rank, self.world_size, self.least = rank, world_size, world_size
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
    def batch_part(self, sizes: NDArray[np.int64]) -> float:
        """The size of a batch, given those of its recordings in their order."""

    def boundaries(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cuts of `order` into batches, `(n_batches - 1,)`, never fewer than `least` recordings apart."""
        # Batch k ends with the recording whose middle is nearest below k parts. Then cuts are moved so that every batch
        # has its recordings: first to the right, then, from the end, to the left.
        sizes = self.sizes[order]
        middles = np.cumsum(sizes) - sizes / 2
        nth = np.arange(1, self.n_batches)
        cuts = np.searchsorted(middles, nth * self.batch_part(sizes))
        cuts = np.maximum.accumulate(cuts - nth * self.least) + nth * self.least
        cuts = np.maximum(cuts, nth * self.least)
        places: NDArray[np.int64] = np.minimum(cuts, len(order) - (self.n_batches - nth) * self.least)
        return places

    def check_processes(self, n: int) -> None:
        """Refuse fewer recordings than processes.

        Raises:
            ValueError: there are fewer.
        """
        if 0 < n < self.world_size:
            raise ValueError(
                f"{n} recordings cannot be divided among {self.world_size} processes; use trainer.devices={n} or fewer"
            )

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
        self.sizes = np.maximum(np.asarray(n_spans, dtype=np.int64), 1)
        self.n_samples = np.asarray(n_samples, dtype=np.int64)
        self.batch_size = batch_size
        # Training with batch normalisation cannot use a batch of one recording.
        self.least = max(2 if shuffle else 1, world_size)
        refuse(below(1, batch_size=batch_size))
        self.check_processes(len(self.sizes))
        self.n_batches = self.count()

    def count(self) -> int:
        """Batches in an epoch; a last one that would be too small is merged into the one before."""
        full, rest = divmod(int(self.sizes.sum()), self.batch_size)
        most = max(len(self.sizes) // self.least, 1) if len(self.sizes) else 0
        return min(max(full + (rest >= self.least), 1), most)

    @property
    def durations_differ(self) -> bool:
        """True where sorting by duration saves padding."""
        return bool((self.n_samples != self.n_samples[0]).any())

    def order(self) -> NDArray[np.int64]:
        """All rows, in the order in which they are cut into batches."""
        n = len(self.sizes)
        order = self.permutation(n, "order of recordings") if self.shuffle else np.arange(n)
        if not self.durations_differ:
            return order
        pool = np.arange(n) * self.n_batches // (n * POOL)
        duration = self.n_samples[order] * np.where(pool % 2, -1, 1)
        return order[np.lexsort((duration, pool))]

    def batch_part(self, sizes: NDArray[np.int64]) -> float:
        """`batch_size` spans."""
        return self.batch_size


class FrameSampler(EpochSampler):
    """Batches of as many frames.

    How many batches an epoch has follows from the data alone, `ceil(frames / batch_frames)`, because learning rate
    schedules and Lightning plan with it; batch k ends with the recording that comes nearest to the k-th part of all
    frames. So no batch exceeds `batch_frames` by more than its longest recording. A recording of weight w comes w
    times an epoch: `floor(w)` times, and once more in an epoch in which its draw is among the least. Recordings are
    sorted by duration within pools of many batches, up and down in turn, and batches then shuffled.

    Args:
        n_frames: of each recording, `(R,)`.
        batch_frames: in a global batch.
        seed: of the run.
        shuffle: a new order in every epoch (training); else all are sorted by duration (evaluation).
        weights: how often each recording comes in an epoch, `(R,)`; None: once.
        keys: what the draws of recordings derive from, `(R,)`; None: their numbers.
        rank: of this process.
        world_size: number of processes.

    Raises:
        ValueError: `batch_frames` below 1, or too few recordings to be divided among the processes.
    """

    def __init__(
        self,
        n_frames: ArrayLike,
        batch_frames: int,
        seed: int,
        shuffle: bool,
        *,
        weights: ArrayLike | None = None,
        keys: NDArray[np.uint64] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(seed, shuffle, rank, world_size)
        self.sizes = np.maximum(np.asarray(n_frames, dtype=np.int64), 1)
        self.batch_frames = batch_frames
        n = len(self.sizes)
        self.weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
        self.keys = np.arange(n, dtype=np.uint64) if keys is None else keys
        refuse(below(1, batch_frames=batch_frames))
        n_drawn = len(self.drawn())
        self.check_processes(n_drawn)
        total = float((self.sizes * self.weights).sum())
        self.n_batches = min(max(1, int(np.ceil(total / batch_frames))), n_drawn // world_size) if n_drawn else 0

    def drawn(self) -> NDArray[np.int64]:
        """The recordings of this epoch, each as often as it comes; of those of one weight always as many."""
        times = np.floor(self.weights).astype(np.int64)
        for weight in np.unique(self.weights[self.weights > times]):
            same = np.flatnonzero(self.weights == weight)
            draw = uniform(self.keys[same], seed=self.seed, epoch=self.epoch, stream="weight")[:, 0]
            n_more = round((weight - np.floor(weight)) * len(same))
            times[same[np.argsort(draw, kind="stable")[:n_more]]] += 1
        return np.repeat(np.arange(len(times)), times)

    def order(self) -> NDArray[np.int64]:
        """The recordings of this epoch, in the order in which they are cut into batches."""
        rows = self.drawn()
        n = len(rows)
        if not self.shuffle:
            return rows[np.argsort(-self.sizes[rows], kind="stable")]
        rows = rows[self.permutation(n, "order of recordings")]
        n_pools = -(-self.n_batches // FRAME_POOL)
        pool = np.arange(n) * n_pools // n
        duration = self.sizes[rows] * np.where(pool % 2, -1, 1)
        return rows[np.lexsort((duration, pool))]

    def batch_part(self, sizes: NDArray[np.int64]) -> float:
        """An equal part of all frames."""
        return float(sizes.sum() / self.n_batches)
