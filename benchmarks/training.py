"""An epoch of `phonaut train` against a bare PyTorch loop over ready-made features.

Both train the same tc-res8 on the same clips in batches of 100. The bare loop gets MFCC that were computed before the
clock started; Phonaut reads the audio, augments it and computes the features on the fly, inside Lightning's Trainer.
Epochs of the two alternate in one process; the median ratio is printed.

    python benchmarks/training.py [dataset=fsdd] [--epochs 12] [--output benchmarks/results/training.json]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint

from machine import machine, write_result
from phonaut.configuration import compose
from phonaut.runs import parts


class BareLoop(Callback):
    """Runs a bare epoch before each of Phonaut's, and times both."""

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
        self.bare_s: list[float] = []
        self.phonaut_s: list[float] = []

    def epoch(self) -> None:
        for rows in torch.randperm(len(self.labels)).split(self.size):
            scores = self.network(self.features[rows], self.lengths[: len(rows)])
            loss = torch.nn.functional.cross_entropy(scores, self.labels[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        started = time.perf_counter()
        self.epoch()
        self.bare_s.append(time.perf_counter() - started)
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
    data = parts.speech_data(config, parts.prepared_corpus(config))
    model = parts.speech_model(config, len(data.classes))
    bare = BareLoop(config, model, data)
    with tempfile.TemporaryDirectory() as folder:
        trainer = parts.trainer_of(config, Path(folder))
        trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, Checkpoint)] + [bare]
        trainer.fit(parts.training_loop(config, model, data), datamodule=data)
    ratios = [ours / theirs for ours, theirs in zip(bare.phonaut_s[1:], bare.bare_s[1:], strict=True)]  # 1st: warm-up
    result = {
        "overrides": overrides,
        "clips": len(bare.labels),
        "phonaut_s": statistics.median(bare.phonaut_s[1:]),
        "bare_s": statistics.median(bare.bare_s[1:]),
        "median_ratio": statistics.median(ratios),
        "lowest_ratio": min(ratios),
        "highest_ratio": max(ratios),
        "machine": machine(),
    }
    print(f"epoch of {result['clips']} clips: Phonaut {result['phonaut_s']:.2f} s, bare {result['bare_s']:.2f} s")
    print(f"median ratio {result['median_ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
