"""The parts of a pre-training run, what it heard, and how good it became."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from phonaut.checkpoints.state_dict import check_state_dict
from phonaut.data.unlabelled import UnlabelledData
from phonaut.files import write_bytes
from phonaut.metrics import mean_over
from phonaut.models import RepresentationModel
from phonaut.models.memory import Memory, estimate
from phonaut.runs import build as parts
from phonaut.runs import encoders
from phonaut.runs.evaluation import device_of
from phonaut.runs.run import Run
from phonaut.training import Representation

CUTS = "cuts.txt.gz"


def unlabelled_data(config: DictConfig) -> UnlabelledData:
    """Batches of the mix of `config.dataset`."""
    prepared = parts.prepared_corpus(config)
    return UnlabelledData(
        prepared,
        frame_samples=instantiate(config.features).layout.hop_length,
        batch_frames=config.batch_frames,
        seed=config.seed,
        weights={part.name: part.weight for part in config.dataset.corpora},
        n_workers=config.n_workers,
        max_recording_s=config.max_recording_s,
    )


def representation_model(config: DictConfig) -> RepresentationModel:
    """Front ends, normaliser, encoder and head, with fresh weights drawn from `config.seed`."""
    torch.manual_seed(config.seed)
    front_end = instantiate(config.features)
    return RepresentationModel(
        front_end,
        instantiate(config.model, n_features=front_end.n_features),
        instantiate(config.normalizer) if config.get("normalizer") else None,
        instantiate(config.target_features) if config.get("target_features") else None,
    )


def load_model(run: Run) -> RepresentationModel:
    """The trained encoder of a run with its head, in evaluation mode.

    Raises:
        ValueError: there are no weights, they are damaged or do not fit; the names that differ are given.
    """
    model = representation_model(run.config)
    weights = encoders.weights_of(run.folder)
    check_state_dict(model.state_dict(), weights, str(run.folder / "model.safetensors"))
    model.load_state_dict(weights)
    return model.eval()


def training_loop(config: DictConfig, model: RepresentationModel) -> Representation:
    """The module of `config.module` around `model`."""
    scheduler, interval = parts.scheduler_of(config)
    module: Representation = instantiate(config.module, _partial_=True)(
        model,
        instantiate(config.objective),
        optimizer=instantiate(config.optimizer, _partial_=True, _convert_="all"),
        scheduler=scheduler,
        interval=interval,
        seed=config.seed,
    )
    return module


def record_cuts(data: UnlabelledData, folder: Path) -> None:
    """Write down what the run hears, a line a cut: its split and its id."""
    text = "".join(f"{line}\n" for line in data.cuts())
    write_bytes(folder / CUTS, gzip.compress(text.encode("utf-8", "backslashreplace"), mtime=0))


def cuts_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Split and id of every cut that a run has heard."""
    for line in gzip.decompress((folder / CUTS).read_bytes()).decode("utf-8").splitlines():
        split, _, name = line.partition(" ")
        yield split, name


def memory_of(config: DictConfig, model: RepresentationModel, data: UnlabelledData, n_processes: int = 1) -> Memory:
    """What a step will take on each process: the largest batch that there can be."""
    longest = int(max(data.n_frames(split).max() for split in ("train", "validation")))
    share = 1.0 if getattr(config.objective, "mask_prob", None) is None else float(config.objective.mask_prob)
    if config.objective.get("mask_frequency"):
        share = 1.0
    n_frames = -(-int(data.batch_frames) // n_processes) + longest
    return estimate(model, n_frames, longest, share=share, half=is_half(config))


def is_half(config: DictConfig) -> bool:
    """Whether the run computes in bfloat16."""
    return str(config.trainer.precision).startswith("bf16")


def evaluated(
    config: DictConfig, module: Representation, data: UnlabelledData
) -> tuple[dict[str, dict[str, dict[str, float]]], dict[str, Any]]:
    """Metrics of the validation split, and what `model.json` says of the model."""
    device = device_of(config.trainer.accelerator)
    module = module.to(device).eval()
    network, front_end = module.model.network, module.model.front_end
    precision: AbstractContextManager[object] = (
        torch.autocast(device.type, dtype=torch.bfloat16) if is_half(config) else nullcontext()
    )
    sums, rows = [], []
    with torch.inference_mode(), precision:
        for batch in data.batches("validation"):
            batch = batch.to(device)
            sums.append(module.recording_losses(batch, "validation").cpu().numpy())
            rows.append(batch.rows.cpu().numpy())
    module.cpu()
    speakers = data.prepared.utterances("validation").speaker[np.concatenate(rows)]
    shift_s, offset_s = network.times(front_end.frame_shift_s, front_end.frame_offset_s)
    about = {
        "objective": str(config.choices.objective),
        "n_outputs": network.n_outputs,
        "frame_shift_s": shift_s,
        "frame_offset_s": offset_s,
        "head_parameters": sum(p.numel() for p in module.model.head.parameters()),
    }
    return {"validation": {"loss": mean_over(np.concatenate(sums).astype(np.float64), speakers).as_dict()}}, about
