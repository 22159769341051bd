"""Atomic checkpoints and resuming: a checkpoint is whole or absent, and there is one place to resume from."""

from __future__ import annotations

import io
import os
import time
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from phonaut.checkpoints.state_dict import read_checkpoint
from phonaut.files import write_bytes

LAST = "last.ckpt"
BEFORE_LAST = "before-last.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, then moves it there; reads tensors and plain containers only.

    Lightning's own writer moves from the system's temporary folder, which is a copy, not a move, where that is
    another disk; and its reader unpickles whatever the file asks for.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write `checkpoint` to `path`: it is there whole, or what was there before still is."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_bytes(Path(path), buffer.getvalue())

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Read a checkpoint with PyTorch's restricted reader, whatever is asked for, to the CPU.

        The best checkpoints that Lightning's callback remembers lie beside this one, wherever the folder is today.
        """
        checkpoint, folder = read_checkpoint(Path(path)), os.path.realpath(Path(path).parent)
        for state in checkpoint.get("callbacks", {}).values():
            if "best_k_models" in state:
                here = {one: os.path.join(folder, os.path.basename(one)) for one in state["best_k_models"]}
                state["best_k_models"] = {here[one]: score for one, score in state["best_k_models"].items()}
                for key in ("best_model_path", "kth_best_model_path", "last_model_path"):
                    state[key] = state[key] and os.path.join(folder, os.path.basename(state[key]))
                state["dirpath"] = folder
        return checkpoint


class ResumePoint(Callback):
    """Keeps `checkpoints/last.ckpt`: at each epoch's end, and every `minutes` within a long epoch.

    It is written when the *next* epoch starts: only then have schedulers that watch a metric made their step, which a
    checkpoint at the end of the epoch would miss. The one before is kept as well, in case the last cannot be read.
    """

    def __init__(self, folder: Path, minutes: float) -> None:
        self.path = folder / LAST
        self.interval_s = minutes * 60.0
        self.saved_at = time.monotonic()

    def save(self, trainer: L.Trainer) -> None:
        """Write the resume point; the last one becomes the one before."""
        if trainer.is_global_zero and self.path.exists():
            os.replace(self.path, self.path.with_name(BEFORE_LAST))
        trainer.save_checkpoint(self.path, weights_only=False)
        self.saved_at = time.monotonic()

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The epoch before is complete (from `on_train_epoch_start`, Lightning would resume with the epoch after)."""
        if batch_idx == 0 and trainer.current_epoch > 0:
            self.save(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save within the epoch too, where epochs are long."""
        if trainer.is_last_batch:
            return  # resumed from here, Lightning would take the epoch for complete, its validation and history lost
        # Every process must take part in a save, so the first one's clock decides for all.
        if trainer.strategy.broadcast(time.monotonic() - self.saved_at >= self.interval_s):
            self.save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Training is complete: what is left is evaluation."""
        self.save(trainer)


def newest_readable_checkpoint(folder: Path) -> Path | None:
    """The checkpoint to resume from, or None; damaged ones are named in a warning and passed over."""
    for path in (folder / LAST, folder / BEFORE_LAST):
        if not path.exists():
            continue
        try:
            if "phonaut" in read_checkpoint(path):
                return path
            reason = "it is not a checkpoint of a run"
        except ValueError as error:
            reason = str(error).removeprefix(f"{path} ")
        warnings.warn(f"{path} cannot be read ({reason}); going back to an earlier checkpoint", stacklevel=2)
    return None


def chosen_weights(callback: ModelCheckpoint) -> dict[str, Any] | None:
    """The state of the best epoch that can be read, damaged ones being named in a warning; None: of no epoch."""
    ranked = sorted(callback.best_k_models.items(), key=lambda one: float(one[1]), reverse=callback.mode == "max")
    for path in dict.fromkeys(
        [callback.best_model_path, *(path for path, _ in ranked)] if callback.best_model_path else []
    ):
        try:
            state: dict[str, Any] = read_checkpoint(Path(path))["state_dict"]
            return state
        except (ValueError, KeyError, FileNotFoundError) as error:
            warnings.warn(f"{error}; taking the next best epoch, or the last", stacklevel=2)
    return None
