"""Lightning's Trainer as every run has it."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger

from phonaut.config.nodes import instantiate
from phonaut.config.schema import Config
from phonaut.peers import place
from phonaut.runs.profile import profiler_of
from phonaut.training.callbacks.monitoring import EpochLines, HistoryFile
from phonaut.training.checkpointing import AtomicCheckpointIO, ResumePoint

SHARES = {"limit_train_batches": "train", "overfit_batches": "train", "limit_val_batches": "validation"}


def trainer_of(
    config: Config,
    folder: Path,
    more: Sequence[Callback] = (),
    *,
    is_em: bool = False,
    n_batches: Mapping[str, int] | None = None,
) -> L.Trainer:
    """Lightning's Trainer with the logs, checkpoints and progress of a run in `folder`, and `more` callbacks.

    Args:
        config: of the run.
        folder: of the run.
        more: callbacks of the task.
        is_em: training by EM steps.
        n_batches: of the splits, for shares of them: Lightning refuses less than a batch, here it is one.
    """
    silence_libraries()
    options = dict(config.trainer)
    options.pop("sync_batchnorm", None)  # the loop's
    for key, split in SHARES.items():
        share = options.get(key)
        if n_batches and isinstance(share, float) and 0 < share < 1:
            options[key] = max(1, int(share * n_batches[split]))
    options["enable_progress_bar"] = options["enable_progress_bar"] and sys.stdout.isatty()
    options["num_sanity_val_steps"] = options.get("num_sanity_val_steps") or 0
    if options["strategy"] == "ddp_spawn":  # the same training; what a process learned would not come back from it
        options["strategy"] = "ddp"
    plugins: list[Any] = [AtomicCheckpointIO()]
    if place().n > 1:
        plugins.append(TorchElasticEnvironment())  # whose variables srun's processes have too
    return L.Trainer(
        **options,
        profiler=profiler_of(config.profiler, folder),
        default_root_dir=folder,
        logger=TensorBoardLogger(folder, name="", version=""),
        plugins=plugins,
        callbacks=[*more, *callbacks_of(config, folder, is_em=is_em)],
        use_distributed_sampler=False,  # our sampler divides each batch among the processes
        enable_model_summary=False,
    )


def callbacks_of(config: Config, folder: Path, *, is_em: bool) -> list[Callback]:
    """Callbacks of every run: progress, history, checkpoints, early stopping."""
    progress: list[Callback] = [EpochLines(), *([Bar(leave=False)] if sys.stdout.isatty() else [])]
    if not config.trainer["enable_progress_bar"]:
        progress = []
    callbacks = [*progress, HistoryFile(folder / "history.json")]
    if not is_em:
        callbacks.append(LearningRateMonitor())
    stopping = config.early_stopping
    if stopping.patience is not None:
        mode = "min" if stopping.monitor.endswith("loss") else "max"
        callbacks.append(EarlyStopping(stopping.monitor, patience=stopping.patience, mode=mode))
    best = instantiate(config.checkpoint, dirpath=folder / "checkpoints", enable_version_counter=False)
    assert isinstance(best, ModelCheckpoint)
    return [*callbacks, best, ResumePoint(folder / "checkpoints", config.checkpoint_minutes)]


class Bar(RichProgressBar):
    """A bar within an epoch, counted as its line will be; the line has the figures."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        """None."""
        return {}

    def _get_train_description(self, current_epoch: int) -> str:
        most = self.trainer.max_epochs or -1
        return f"epoch {current_epoch + 1:3d}" + (f"/{most}" if most > 0 else "")


class Title(Callback):
    """What stands above the lines of training, once the Trainer and the optimizer refuse nothing any more.

    Args:
        text: of the title.
        at_once: before the loop is set up, which of EM takes as long as reading all frames.
    """

    def __init__(self, text: str, *, at_once: bool) -> None:
        self.text, self.at_once = text.strip(), at_once

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Before the optimizer is there."""
        if self.at_once:
            self.show(trainer)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """After it."""
        if not self.at_once:
            self.show(trainer)

    def show(self, trainer: L.Trainer) -> None:
        """Print it."""
        if trainer.is_global_zero:
            print(self.text, flush=True)


def silence_libraries() -> None:
    """Silence warnings of libraries that a user can do nothing about."""
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.pytorch.accelerators.cuda",
        "lightning.fabric.utilities.distributed",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
        ".*Detected call of `lr_scheduler.step.*",
        ".*in eval mode at the start of training.*",
        ".*Total length of .* across ranks is zero.*",  # of the validation
        ".*`srun` command is available.*",  # one process needs none
        ".*recommended to use `self.log.*sync_dist=True.*",  # figures are sums over all processes already
        "Grad strides do not match bucket view strides.*",
    ):
        warnings.filterwarnings("ignore", message=message)
