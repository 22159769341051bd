"""From a configuration to the parts of a run: corpus, data, model, training loop, trainer."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from omegaconf import DictConfig, OmegaConf

from phonaut.corpora.frames import FrameCorpus, prepare_frames
from phonaut.data.classes import classes_of
from phonaut.data.datamodule import SpeechData
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import PreparedCorpus
from phonaut.models import SpeechModel
from phonaut.runs import encoders
from phonaut.tasks.pretraining import CONF, pretrains
from phonaut.training.callbacks.monitoring import EpochLines, HistoryFile, TensorBoardPictures
from phonaut.training.callbacks.reconstructions import Reconstructions
from phonaut.training.checkpointing import AtomicCheckpointIO, ResumePoint


def prepared_corpus(config: DictConfig, *, progress: bool = True, n_jobs: int | None = None) -> PreparedCorpus:
    """The corpus of `config.dataset`, prepared at the sample rate of `config.features`, or its frames as they are.

    Args:
        config: of the corpus.
        progress: show a bar, where it takes long.
        n_jobs: threads that decode recordings; None: one per core. Frames need no decoding.

    Raises:
        ValueError: the corpus cannot be used, or its frames are not those of `config.features`.
    """
    corpus, protocol = instantiate(config.dataset), instantiate(config.protocol)
    if not isinstance(corpus, FrameCorpus):
        rate, target = config.features.sample_rate, config.target
        return prepare(corpus, protocol, sample_rate=rate, target=target, progress=progress, n_jobs=n_jobs)
    prepared, features = prepare_frames(corpus, protocol), config.features
    found = prepared.frames
    assert found is not None
    wanted = (features.n_features, features.frame_shift_s, features.frame_offset_s)
    if wanted != (found.n_features, found.frame_shift_s, found.frame_offset_s):
        raise ValueError(
            f"the frames of {corpus.source()} have n_features={found.n_features} frame_shift_s={found.frame_shift_s} "
            f"frame_offset_s={found.frame_offset_s}; wanted are {', '.join(map(str, wanted))}"
        )
    return prepared


def speech_data(config: DictConfig, prepared: PreparedCorpus, classes: Sequence[str] | None = None) -> SpeechData:
    """Batches of the corpus for `config.target`; `classes` are those of a trained model, where there is one.

    Raises:
        ValueError: `config.classes` asks for what the corpus does not have.
    """
    wanted = config.get("classes")
    limit = wanted if wanted is None or isinstance(wanted, int) else list(wanted)
    return SpeechData(
        prepared,
        target=config.target,
        classes=list(classes) if classes is not None else classes_of(prepared, config.target, limit),
        limited=limit is not None,
        labels_pct=config.get("labels_pct", 100.0),
        labels_each=config.get("labels_each"),
        batch_size=config.batch_size,
        seed=config.seed,
        n_workers=config.n_workers,
        max_recording_s=config.max_recording_s,
        context_s=config.context_s,
    )


def speech_model(config: DictConfig, n_classes: int) -> SpeechModel:
    """Front end, normaliser and network, with fresh weights drawn from `config.seed`."""
    front_end = encoders.front_end_of(config)
    torch.manual_seed(config.seed)  # after an encoder, which draws weights too
    normalizer = instantiate(config.normalizer) if config.get("normalizer") else None
    network = instantiate(config.model, n_features=front_end.n_features, n_classes=n_classes)
    return SpeechModel(front_end, network, normalizer)


def training_loop(config: DictConfig, model: SpeechModel, data: SpeechData) -> L.LightningModule:
    """The module of `config.module` around `model`."""
    scheduler, interval = scheduler_of(config)
    noise = data.prepared.utterances("noise")
    make = instantiate(config.module, _partial_=True)
    module: L.LightningModule = make(
        model,
        data.classes,
        optimizer=instantiate(config.optimizer, _partial_=True, _convert_="all"),
        scheduler=scheduler,
        interval=interval,
        augmentation=augmentation_of(config),
        noise=noise if len(noise) else None,
        seed=config.seed,
    )
    return module


def augmentation_of(config: DictConfig) -> Any:
    """The augmentation of training batches, or None: of frames there is none, and augmentation=none is none."""
    if not config.get("augmentation") or "sample_rate" not in config.features:
        return None
    if config.augmentation == OmegaConf.load(CONF / "augmentation" / "none.yaml"):
        return None
    return instantiate(config.augmentation, sample_rate=config.features.sample_rate)


def scheduler_of(config: DictConfig) -> tuple[Callable[..., Any] | None, str]:
    """The scheduler as `(optimizer, planned_length) -> scheduler`, and how often it moves."""
    if not config.get("scheduler"):
        return None, "epoch"
    options = {key: value for key, value in config.scheduler.items() if key != "interval"}
    make = instantiate(options, _partial_=True, _convert_="all")

    def scheduler(optimizer: torch.optim.Optimizer, planned_length: int) -> Any:
        open_keys = {key: planned_length for key in ("total_steps", "T_max") if key in options and options[key] is None}
        return make(optimizer, **open_keys)

    return scheduler, config.scheduler.get("interval", "epoch")


def trainer_of(config: DictConfig, folder: Path, more: Sequence[Callback] = ()) -> L.Trainer:
    """Lightning's Trainer with the logs, checkpoints and progress of a run in `folder`, and `more` callbacks."""
    quiet()
    return L.Trainer(
        **{**config.trainer, "enable_progress_bar": config.trainer.enable_progress_bar and sys.stdout.isatty()},
        profiler=instantiate(config.profiler) if config.get("profiler") else None,
        default_root_dir=folder,
        logger=TensorBoardLogger(folder, name="", version=""),
        plugins=[AtomicCheckpointIO()],
        callbacks=[*more, *callbacks_of(config, folder)],
        use_distributed_sampler=False,  # our sampler divides each batch among the processes
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


def processes_of(config: DictConfig) -> int:
    """How many processes train, as far as that was asked for."""
    devices = config.trainer.devices
    n_devices = devices if isinstance(devices, int) else 1 if isinstance(devices, str) else len(devices)
    return max(1, n_devices) * int(config.trainer.num_nodes)


def callbacks_of(config: DictConfig, folder: Path) -> list[Callback]:
    """What happens beside training: progress, history, pictures, checkpoints, early stopping."""
    progress: list[Callback] = [RichProgressBar() if sys.stdout.isatty() else EpochLines()]
    if not config.trainer.enable_progress_bar:
        progress = []
    pictures = Reconstructions() if pretrains(config) else TensorBoardPictures()
    callbacks = [*progress, HistoryFile(folder / "history.json"), pictures]
    if config.choices.module != "em":
        callbacks.append(LearningRateMonitor())
    if config.early_stopping.patience is not None:
        stopping = config.early_stopping
        callbacks.append(EarlyStopping(stopping.monitor, patience=stopping.patience, mode="min"))
    best = instantiate(config.checkpoint, dirpath=folder / "checkpoints", enable_version_counter=False)
    assert isinstance(best, ModelCheckpoint)
    return [*callbacks, best, ResumePoint(folder / "checkpoints", config.checkpoint_minutes)]


def quiet() -> None:
    """Silence the notes of libraries that a user can do nothing about."""
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*smaller than the logging interval.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
        ".*Detected call of `lr_scheduler.step.*",
        ".*in eval mode at the start of training.*",
    ):
        warnings.filterwarnings("ignore", message=message)
