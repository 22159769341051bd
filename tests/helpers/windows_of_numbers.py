"""Windows without speech: batches for generators, and the smallest model and data that their training loop takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader

from phonaut.models.generators import Generator, Windows, keyed_draw
from phonaut.training.checkpointing import AtomicCheckpointIO
from phonaut.training.generation import Generation


def windows_of(
    frames: Tensor, *, condition: Tensor | None = None, sequence: Tensor | None = None, epoch: int = 0
) -> Windows:
    """A batch of windows `(B, T, D)`, each with the key of its place."""
    n = len(frames)
    return Windows(
        frames=frames,
        condition=frames.new_zeros(n, 0) if condition is None else condition,
        sequence=torch.full((n,), -1) if sequence is None else sequence,
        draw=keyed_draw(np.arange(n, dtype=np.uint64), seed=0, epoch=epoch, stage="train", like=frames),
    )


class Rows(nn.Module):
    """What stands around a generator: batches are rows of a table of windows, with their keys."""

    def __init__(self, network: Generator, table: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("table", table, persistent=False)

    def windows(self, batch: Tensor, *, seed: int, epoch: int, stage: str) -> Windows:
        frames: Any = self.table[batch]  # type: ignore[index]
        draw = keyed_draw(batch.numpy().astype(np.uint64), seed=seed, epoch=epoch, stage=stage, like=frames)
        sequence = batch if stage == "train" else torch.full_like(batch, -1)
        return Windows(frames, frames.new_zeros(len(batch), self.network.condition_size), sequence, draw)


class Batches(L.LightningDataModule):
    """Rows of a table in an order by epoch, from where an epoch was left; the last 8 are for validation."""

    def __init__(self, n: int, batch_size: int) -> None:
        super().__init__()
        self.n, self.size = n, batch_size

    def __len__(self) -> int:
        return -(-self.n // self.size)

    def __iter__(self) -> Iterator[Tensor]:
        assert self.trainer is not None
        order = torch.randperm(self.n, generator=torch.Generator().manual_seed(self.trainer.current_epoch))
        yield from order.split(self.size)[self.trainer.fit_loop.batch_idx + 1 :]

    def train_dataloader(self) -> Any:
        return self

    def val_dataloader(self) -> Any:
        rows = torch.arange(self.n, self.n + 8)
        return DataLoader(rows, batch_size=None, sampler=BatchSampler(range(8), 6, drop_last=False))  # type: ignore

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The Trainer keeps epoch and position; that there is a state tells it that it may resume here."""


def loop_of(network: Generator, table: Tensor, *, optimizer: Any = None, **options: Any) -> Generation:
    """The training loop around a generator of rows of `table`."""
    return Generation(Rows(network, table), optimizer=optimizer or partial(torch.optim.Adam, lr=0.01), **options)


def trainer_in(folder: Path, *callbacks: L.Callback, max_epochs: int = 3, **options: Any) -> L.Trainer:
    return L.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        plugins=[AtomicCheckpointIO()],
        callbacks=list(callbacks),
        use_distributed_sampler=False,
        **options,
    )
