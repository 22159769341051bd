"""Recordings in batches of as many frames, without anything to classify: what pre-training reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import lightning as L
import numpy as np
from numpy.typing import NDArray

from phonaut.data.batches import Batch, SpeechDataset
from phonaut.data.datamodule import BatchLoader, from_the_start
from phonaut.data.draws import nth_key
from phonaut.data.frame_sampler import FrameSampler
from phonaut.data.spans import Spans
from phonaut.data.windows import windows_of

if TYPE_CHECKING:
    from phonaut.data.prepared import CutTable, PreparedCorpus


def without_spans(table: CutTable, max_recording_s: float) -> SpeechDataset:
    """All cuts of a table, nothing in them to classify; longer ones in parts."""
    nothing = np.zeros(0)
    spans = Spans(np.zeros(len(table) + 1, np.int64), nothing, nothing, np.zeros(0, np.int64))
    windows = windows_of(
        table.n_samples, spans, sample_rate=table.sample_rate, max_recording_s=max_recording_s, margin_s=0.0
    )
    return SpeechDataset(table, spans, windows)


class UnlabelledData(L.LightningDataModule):
    """A prepared corpus as batches of recordings; longer ones are read in parts.

    Args:
        prepared: the corpus; its splits are `train` and `validation`.
        frame_samples: from one frame to the next, which is what `batch_frames` counts.
        batch_frames: in a batch, over all processes.
        seed: of the run.
        weights: how often the recordings of a corpus come in an epoch, by what stands before the slash of their ids.
        n_workers: processes that read audio.
        max_recording_s: the longest that is read in one go.

    Attributes:
        refused: what was left out, `{"path", "reason"}`: nothing.

    Raises:
        ValueError: a number is out of range, or a split is empty.
    """

    def __init__(
        self,
        prepared: PreparedCorpus,
        *,
        frame_samples: int,
        batch_frames: int,
        seed: int,
        weights: Mapping[str, float] | None = None,
        n_workers: int = 0,
        max_recording_s: float = 30.0,
    ) -> None:
        super().__init__()
        for name, value, least in (("n_workers", n_workers, 0), ("batch_frames", batch_frames, 1)):
            if value < least:
                raise ValueError(f"{name} is at least {least}, got {value}")
        if not max_recording_s > 0:
            raise ValueError(f"max_recording_s is above 0, got {max_recording_s}")
        self.prepared = prepared
        self.frame_samples, self.batch_frames, self.seed = frame_samples, batch_frames, seed
        self.weights, self.n_workers, self.max_recording_s = dict(weights or {}), n_workers, max_recording_s
        self.refused: list[dict[str, str]] = []
        self.datasets: dict[str, SpeechDataset] = {}
        for split in ("train", "validation"):
            if not len(prepared.cuts(split)):
                raise ValueError(f"{prepared.name} has no recordings in its {split} split")

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures must know: the corpus's notes."""
        return self.prepared.notes

    def dataset(self, split: str) -> SpeechDataset:
        """What gives the batches of a split."""
        if split not in self.datasets:
            self.datasets[split] = without_spans(self.prepared.cuts(split), self.max_recording_s)
        return self.datasets[split]

    def n_frames(self, split: str) -> NDArray[np.int64]:
        """About how many frames each recording of a split has."""
        windows = self.dataset(split).windows
        counts: NDArray[np.int64] = np.maximum((windows.stop - windows.start) // self.frame_samples, 1)
        return counts

    def weights_of(self, split: str) -> NDArray[np.float64]:
        """How often each recording of a split comes in an epoch; in validation, once."""
        windows, table = self.dataset(split).windows, self.prepared.cuts(split)
        if split != "train" or not self.weights:
            return np.ones(len(windows))
        by_row = [self.weights.get(table.id(row).partition("/")[0], 1.0) for row in range(len(table))]
        return np.array(by_row)[windows.row]

    def sampler(self, split: str, *, rank: int = 0, world_size: int = 1) -> FrameSampler:
        """Which recordings make up the batches of a split."""
        windows, table = self.dataset(split).windows, self.prepared.cuts(split)
        return FrameSampler(
            self.n_frames(split),
            self.batch_frames,
            self.seed,
            split == "train",
            weights=self.weights_of(split),
            keys=nth_key(table.key[windows.row], windows.part),
            rank=rank,
            world_size=world_size,
        )

    def batches(self, split: str) -> Iterator[Batch]:
        """All batches of a split, in this process."""
        return map(self.dataset(split).__getitem__, self.sampler(split))

    def loader(self, split: str, position: Callable[[L.Trainer], tuple[int, int]]) -> BatchLoader:
        """This process's share of the batches of a split."""
        trainer = self.trainer
        assert trainer is not None
        sampler = self.sampler(split, rank=trainer.global_rank, world_size=trainer.world_size)
        same_order = getattr(trainer, "overfit_batches", 0) > 0
        where = self.dataset(split), sampler
        return BatchLoader(*where, position=lambda: position(trainer), n_workers=self.n_workers, same_order=same_order)

    def train_dataloader(self) -> BatchLoader:
        """Shuffled anew in every epoch."""
        return self.loader("train", lambda trainer: (trainer.current_epoch, trainer.fit_loop.batch_idx + 1))

    def val_dataloader(self) -> BatchLoader:
        """Never shuffled."""
        return self.loader("validation", from_the_start)

    def cuts(self) -> Iterator[str]:
        """What is heard, a line a cut: split and id."""
        for split in ("train", "validation"):
            table = self.prepared.cuts(split)
            yield from (f"{split} {table.id(row)}" for row in range(len(table)))
