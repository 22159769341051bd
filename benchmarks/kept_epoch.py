"""What it costs to keep this epoch or that: test accuracy of a run by which epoch of training becomes the model.

Each fold is trained once, and validation and test are scored after every epoch. Kept are, in turn, the epoch of the
lowest validation loss, that of the highest validation accuracy, the last one, and the mean of the weights of the last
ten; beside them stands the best epoch on the test speakers, which nobody can know.

    python benchmarks/kept_epoch.py --folds 0 1 2 3 4 5 --output benchmarks/results/kept_epoch.json \
        dataset=fsdd protocol=leave_one_speaker_out
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from machine import machine, write_result
from phonaut.config.compose import compose
from phonaut.runs.trainer import silence_libraries
from phonaut.runs.training import build

AVERAGED = 10  # epochs
KEPT = ("lowest loss", "highest accuracy", "last", "mean of ten", "best on test")


class EveryEpoch(Callback):
    """Scores validation and test after every epoch, and holds the last weights."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self.lines: list[list[float]] = []  # validation loss, validation accuracy, test accuracy
        self.weights: list[dict[str, torch.Tensor]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Score it."""
        self.lines.append(self.score(pl_module))
        state = {name: value.detach().clone() for name, value in pl_module.model.state_dict().items()}
        self.weights = [*self.weights, state][-AVERAGED:]

    def score(self, loop: Any) -> list[float]:
        """Validation loss and accuracy, and test accuracy."""
        was = loop.training
        loop.eval()
        found = []
        for split in ("validation", "test"):
            sums = loop.statistics()
            with torch.no_grad():
                for batch in self.data.batches(split):
                    scores, loss = loop.scores_and_loss(batch, 0.0)
                    sums.update(loss, scores, batch.labels)
            found.append(sums.summary())
        loop.train(was)
        return [found[0]["loss"], found[0]["accuracy"], found[1]["accuracy"]]

    def mean(self, loop: Any) -> list[float]:
        """The same of the mean of the last weights."""
        state = {
            name: torch.stack([weights[name].double() for weights in self.weights]).mean(0).to(value.dtype)
            if value.is_floating_point() else value
            for name, value in self.weights[-1].items()
        }  # fmt: skip
        loop.model.load_state_dict(state)
        return self.score(loop)


def fold(words: list[str]) -> dict[str, Any]:
    """Train a run; test accuracy by what is kept."""
    config = compose(words)
    _, loop, data = build(config)
    data.setup("fit")
    every = EveryEpoch(data)
    L.Trainer(
        max_epochs=config.trainer["max_epochs"], accelerator="cpu", callbacks=[every], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, num_sanity_val_steps=0, limit_val_batches=0,
    ).fit(loop, datamodule=data)  # fmt: skip
    lines = every.lines
    kept = [min(lines, key=lambda line: line[0]), max(lines, key=lambda line: line[1]), lines[-1], every.mean(loop)]
    test = dict(zip(KEPT, [*(line[2] for line in kept), max(line[2] for line in lines)], strict=True))
    return {"words": words, "test": test, "validation": dict(zip(KEPT, (line[1] for line in kept), strict=False)),
            "epochs": [[round(value, 4) for value in line] for line in lines]}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="+")
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    silence_libraries()
    found = []
    print(f"{'':10}" + "".join(f"{name:>18}" for name in KEPT))
    for number in arguments.folds:
        found.append(fold([*arguments.words, f"protocol.fold={number}"]))
        print(f"fold {number:<5}" + "".join(f"{found[-1]['test'][name]:18.1%}" for name in KEPT), flush=True)
    means = {name: statistics.mean(one["test"][name] for one in found) for name in KEPT}
    print(f"{'mean':10}" + "".join(f"{means[name]:18.1%}" for name in KEPT))
    earlier = json.loads(arguments.output.read_text()) if arguments.output and arguments.output.exists() else {}
    rows = {**earlier.get("rows", {}), " ".join(arguments.words): {"means": means, "folds": found}}
    write_result(arguments.output, {"machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
