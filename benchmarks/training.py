"""An epoch of `phonaut train` against bare PyTorch loops over ready-made features.

All train the same tc-res8 on the same clips in batches of 100. The bare loops get MFCC that were computed before the
clock started, one by PyTorch's DataLoader over a TensorDataset, as one would write it, and one by indexing the tensor,
which is the least that one can do; Phonaut reads the audio, augments it and computes the features on the fly, inside
Lightning's Trainer. Epochs of the three alternate in one process; the median ratios are printed.

    python benchmarks/training.py [dataset=fsdd] [--epochs 12] [--output benchmarks/results/training.json]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint
from torch.utils.data import DataLoader, TensorDataset

from machine import machine, write_result
from phonaut.config.compose import compose
from phonaut.runs.trainer import trainer_of
from phonaut.tasks import build as parts
from phonaut.tasks.classification import speech_data


class BareLoop(Callback):
    """Runs bare epochs before each of Phonaut's, and times them all."""

    def __init__(self, config: Any, model: Any, data: Any) -> None:
        batches = list(data.batches("train"))
        with torch.no_grad():
            made = [model.segments(batch)[0] for batch in batches]
        self.features = torch.cat(made)
        self.labels = torch.cat([batch.labels for batch in batches])
        self.lengths = torch.full((config.batch_size,), self.features.shape[1])
        self.size = config.batch_size
        self.network = parts.speech_model(config, len(data.classes)).network.train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=0.01)
        self.loader = DataLoader(TensorDataset(self.features, self.labels), batch_size=self.size, shuffle=True)
        self.loader_s: list[float] = []
        self.index_s: list[float] = []
        self.phonaut_s: list[float] = []

    def epoch(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
        """Train on batches of features and labels; the seconds that it took."""
        started = time.perf_counter()
        for features, labels in batches:
            scores = self.network(features, self.lengths[: len(labels)])
            loss = torch.nn.functional.cross_entropy(scores, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return time.perf_counter() - started

    def indexed(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for rows in torch.randperm(len(self.labels)).split(self.size):
            yield self.features[rows], self.labels[rows]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.loader_s.append(self.epoch(self.loader))
        self.index_s.append(self.epoch(self.indexed()))
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.phonaut_s.append(time.perf_counter() - self.started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", default=[])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    overrides = arguments.overrides or ["dataset=fsdd"]
    plan = [f"trainer.max_epochs={arguments.epochs}", "trainer.accelerator=cpu", "trainer.limit_val_batches=0"]
    config = compose([*overrides, *plan, "trainer.enable_progress_bar=false"])
    data = speech_data(config, parts.prepared_corpus(config))
    model = parts.speech_model(config, len(data.classes))
    bare = BareLoop(config, model, data)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trainer_of(config, Path(folder))
        trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, Checkpoint)] + [bare]
        trainer.fit(parts.training_loop(config, model, data.classes), datamodule=data)
    ours, loader, index = bare.phonaut_s[1:], bare.loader_s[1:], bare.index_s[1:]  # the first is the warm-up
    result: dict[str, Any] = {"overrides": overrides, "clips": len(bare.labels), "phonaut_s": statistics.median(ours)}
    print(f"epoch of {len(bare.labels)} clips: Phonaut {statistics.median(ours):.2f} s")
    for name, theirs in (("loader", loader), ("index", index)):
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        result[name] = {
            "bare_s": statistics.median(theirs),
            "median_ratio": statistics.median(ratios),
            "lowest_ratio": min(ratios),
            "highest_ratio": max(ratios),
        }
        print(
            f"bare loop, {'DataLoader' if name == 'loader' else 'indexed tensor'}: {statistics.median(theirs):.2f} s, "
            f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    result["machine"] = machine()
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
