"""The batches of a corpus as Lightning's Trainer takes them; what scores and predicts does without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L

from phonaut.data.datamodule import BatchLoader, CorpusData


class CorpusModule(L.LightningDataModule):
    """This process's share of the batches of a corpus: resumable in mid-epoch.

    Args:
        corpus: gives the batches.
    """

    def __init__(self, corpus: CorpusData) -> None:
        super().__init__()
        self.corpus = corpus

    def loader(self, split: str, position: Callable[[L.Trainer], tuple[int, int]]) -> BatchLoader | list[int]:
        """The share of a split."""
        if self.corpus.whole_epochs:
            return [0]
        trainer = self.trainer
        assert trainer is not None
        return BatchLoader(
            self.corpus.dataset(split),
            self.corpus.sampler(split, rank=trainer.global_rank, world_size=trainer.world_size),
            position=lambda: position(trainer),
            n_workers=self.corpus.n_workers,
            same_order=getattr(trainer, "overfit_batches", 0) > 0,
        )

    def train_dataloader(self) -> BatchLoader | list[int]:
        """Shuffled anew in every epoch."""
        return self.loader("train", lambda trainer: (trainer.current_epoch, trainer.fit_loop.batch_idx + 1))

    def val_dataloader(self) -> BatchLoader | list[int]:
        """Never shuffled, nor taken up in the middle."""
        return self.loader("validation", lambda trainer: (trainer.current_epoch, 0))


def corpus_of(trainer: L.Trainer) -> Any:
    """The corpus that a Trainer trains on."""
    return trainer.datamodule.corpus  # type: ignore[attr-defined]
