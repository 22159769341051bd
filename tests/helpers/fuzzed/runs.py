"""Readers of runs: configurations, figures, predictions, weights, checkpoints; and of folders of frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from helpers.foreign_checkpoints import modern, ours_in_their_names
from helpers.fuzz import Reader
from helpers.scored_runs import scored, write_scored
from phonaut.checkpoints import pretrained
from phonaut.checkpoints.state_dict import read_checkpoint, read_weights, write_weights
from phonaut.config.compose import compose, to_yaml
from phonaut.data.frame_shards import MANIFEST, FrameShards
from phonaut.data.frame_writer import FrameWriter
from phonaut.runs import Predictions, Run

SHARD = "frames-00000.safetensors"


def run(folder: Path) -> Path:
    """A finished run, with a whole configuration."""
    made = write_scored(folder / "x" / "lstm", scored(["yes", "no"], ["yes", "stop"], n_speakers=2))
    (made / "config.yaml").write_text(to_yaml(compose(["model=lstm"])))
    (made / "history.json").write_text(json.dumps([{"epoch": 0, "validation/loss": 0.5, "seconds": 1.0}]))
    return made


def of_run(*names: str) -> Callable[[Path], Sequence[Path]]:
    """Files of a run."""
    return lambda folder: [run(folder) / name if i == 0 else folder / "x" / "lstm" / name
                           for i, name in enumerate(names)]  # fmt: skip


def figures(path: Path) -> Any:
    """What a run says of itself."""
    read = Run(path.parent)
    return read.metrics, read.history, read.model, read.corpus


def weights(folder: Path) -> list[Path]:
    write_weights(folder / "a.safetensors", {"a": torch.ones(3, 2), "b": torch.arange(4)})
    return [folder / "a.safetensors"]


def checkpoint(folder: Path) -> list[Path]:
    torch.save({"phonaut": {"history": []}, "state_dict": {"w": torch.ones(3)}}, folder / "last.ckpt")
    return [folder / "last.ckpt"]


def frames(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    with FrameWriter(folder / "frames", n_features=2, frame_shift_s=0.01) as writer:
        for i, split in enumerate(("train", "validation", "test")):
            writer.add(rng.standard_normal((5, 2)), id=f"s{i}", split=split, speaker=f"s{i}", word="yes",
                       phones=[("AA", 0.0, 0.03), ("B", 0.03, 0.05)])  # fmt: skip
    return [folder / "frames" / MANIFEST, folder / "frames" / SHARD]


def sequences(path: Path) -> int:
    """All frames of a folder."""
    shards = FrameShards(path.parent)
    return sum(len(shards.frames(one)) for one in shards.sequences())


def s3prl(folder: Path) -> list[Path]:
    torch.save(modern(ours_in_their_names()), folder / "states.ckpt")
    return [folder / "states.ckpt"]


READERS = {
    "run configuration": Reader(of_run("config.yaml"), lambda path: Run(path.parent).config),
    "run figures": Reader(of_run("metrics.json", "history.json", "model.json", "corpus.json"), figures),
    "predictions": Reader(of_run("predictions/test.npz"), Predictions.load),
    "weights": Reader(weights, read_weights),
    "checkpoint": Reader(checkpoint, read_checkpoint),
    "frame shards": Reader(frames, sequences),
    "s3prl": Reader(s3prl, pretrained.read),
}
