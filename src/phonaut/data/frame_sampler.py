"""Batches with a fixed frame budget, divided among processes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.data.checks import below, refuse
from phonaut.data.draws import uniform
from phonaut.data.sampler import EpochSampler

POOL = 32  # batches whose recordings are sorted by duration together


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
        self.n_frames = np.maximum(np.asarray(n_frames, dtype=np.int64), 1)
        self.batch_frames = batch_frames
        n = len(self.n_frames)
        self.weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
        self.keys = np.arange(n, dtype=np.uint64) if keys is None else keys
        refuse(below(1, batch_frames=batch_frames))
        n_drawn = len(self.drawn())
        if 0 < n_drawn < world_size:
            raise ValueError(
                f"{n_drawn} recordings cannot be divided among {world_size} processes; use trainer.devices={n_drawn}"
            )
        total = float((self.n_frames * self.weights).sum())
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
            return rows[np.argsort(-self.n_frames[rows], kind="stable")]
        rows = rows[self.permutation(n, "order of recordings")]
        n_pools = -(-self.n_batches // POOL)
        pool = np.arange(n) * n_pools // n
        duration = self.n_frames[rows] * np.where(pool % 2, -1, 1)
        return rows[np.lexsort((duration, pool))]

    def boundaries(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cuts of `order` into batches: nearest to equal parts of all frames, with a recording for every process."""
        # Batch k ends with the recording whose middle is nearest below k parts of all frames. Then cuts are moved so
        # that every batch has a recording for each process: first to the right, then, from the end, to the left.
        frames = self.n_frames[order]
        middles = np.cumsum(frames) - frames / 2
        nth, least = np.arange(1, self.n_batches), self.world_size
        cuts = np.searchsorted(middles, nth * (frames.sum() / self.n_batches))
        cuts = np.maximum.accumulate(cuts - nth * least) + nth * least
        cuts = np.maximum(cuts, nth * least)
        places: NDArray[np.int64] = np.minimum(cuts, len(order) - (self.n_batches - nth) * least)
        return places
