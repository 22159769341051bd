"""Linear probe of the representations of an encoder while it is pre-trained."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from phonaut.data.datamodule import SpeechData
from phonaut.features.functional import length_mask
from phonaut.files import write_json
from phonaut.metrics import Estimate, mean_over
from phonaut.models.representation_model import RepresentationModel
from phonaut.networks.network import evaluating
from phonaut.networks.padding import masked_mean
from phonaut.training.representation import Representation

PROBE_FILE = "probe.json"  # accuracies of a linear probe after each epoch of pre-training
RIDGE = 1e-3  # of the mean square of a feature


class ProbeFile:
    """Probes of a run's epochs, in `probe.json`: of what corpus and target, and the accuracy after so many steps.

    Args:
        path: of the file.
        words: corpus and target, as words of `phonaut train`.
    """

    def __init__(self, path: Path, words: Sequence[str]) -> None:
        self.path, self.words = path, list(words)

    def add(self, epoch: int, step: int, accuracy: Estimate) -> None:
        """Write down a probe; those of the same and of later epochs, by a run that was taken up again, go."""
        self.write([line for line in self.read() if line["epoch"] < epoch], epoch, step, accuracy)

    def put(self, epoch: int, step: int, accuracy: Estimate) -> None:
        """Write down a probe in its place among those of other epochs."""
        self.write([line for line in self.read() if line["epoch"] != epoch], epoch, step, accuracy)

    def read(self) -> list[dict[str, Any]]:
        """The probes of these words that are there."""
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        lines: list[dict[str, Any]] = stored["epochs"] if stored.get("words") == self.words else []
        return lines

    def write(self, others: list[dict[str, Any]], epoch: int, step: int, accuracy: Estimate) -> None:
        """Replace the file."""
        lines = [*others, {"epoch": epoch, "step": step, **accuracy.as_dict()}]
        write_json(self.path, {"words": self.words, "epochs": sorted(lines, key=lambda line: int(line["epoch"]))})


class OnlineProbe(Callback):
    """Probes the encoder after every validation; its training stays as it is, for nothing is drawn.

    Args:
        data: what is probed: fitted to the training split, scored on the validation split.
        file: what keeps the figures.
    """

    def __init__(self, data: SpeechData, file: ProbeFile) -> None:
        self.data, self.file = data, file

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Probe, and publish the accuracy."""
        assert isinstance(pl_module, Representation)
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        accuracy = linear_probe(pl_module.model, self.data)
        self.file.add(trainer.current_epoch, trainer.global_step, accuracy)
        if trainer.logger is not None:
            trainer.logger.log_metrics({"probe/accuracy": accuracy.value}, step=trainer.global_step)


def linear_probe(model: RepresentationModel, data: SpeechData) -> Estimate:
    """Accuracy on the validation split of a linear classifier that is fitted to the training split.

    Least squares to indicators of classes, `W = (X^T X + r I)^-1 X^T Y`, `r` a thousandth of the mean diagonal of
    `X^T X`, with a constant feature in `X`: the solution is unique, so that curves show the encoder alone. Of phones
    each frame is an item; of other targets it is the mean of a span.

    Args:
        model: the encoder; is left in the mode that it is in.
        data: spans of one target.

    Returns:
        The accuracy with its interval over speakers; its n are items.

    Raises:
        ValueError: there is nothing to validate on.
    """
    if not len(data.dataset("validation")):
        raise ValueError(f"{data.prepared.name} has no validation recordings to probe with")
    counts, speakers = [], []
    with evaluating(model):
        weights = fitted(model, data)
        for x, label, span, names in items(model, data, "validation"):
            right = (x @ weights).argmax(dim=1) == label
            both = torch.stack([right.double(), torch.ones_like(right, dtype=torch.float64)], dim=1)
            counts.append(torch.zeros(len(names), 2, dtype=torch.float64).index_add(0, span, both).numpy())
            speakers += names
    of_spans = np.concatenate(counts)
    return mean_over(of_spans, np.array(speakers, dtype=np.str_))._replace(n=int(of_spans[:, 1].sum()))


def fitted(model: RepresentationModel, data: SpeechData) -> Tensor:
    """The weights `W (H + 1, C)` of the probe, in float64; the last row is of the constant."""
    width, n_classes = model.network.n_outputs + 1, len(data.classes)
    products = torch.zeros(width, width, dtype=torch.float64)
    sums = torch.zeros(width, n_classes, dtype=torch.float64)
    for x, label, _, _ in items(model, data, "train"):
        products += x.T @ x
        sums += x.T @ torch.nn.functional.one_hot(label, n_classes).double()
    ridge = RIDGE * products.diagonal()[:-1].mean() * torch.eye(width, dtype=torch.float64)
    weights: Tensor = torch.linalg.solve(products + ridge, sums)
    return weights


@torch.no_grad()
def items(
    model: RepresentationModel, data: SpeechData, split: str
) -> Iterator[tuple[Tensor, Tensor, Tensor, list[str]]]:
    """Items of known class, by batch: `x (N, H + 1)`, `label (N,)`, the span of each `(N,)`, and who said the spans."""
    table, front_end = data.prepared.utterances(split), model.front_end
    times = model.network.times(front_end.frame_shift_s, front_end.frame_offset_s)
    device = next(model.parameters()).device
    for batch in data.batches(split):
        batch = batch.to(device)
        frames, lengths = model(batch.audio, batch.audio_lengths)
        segments, n = model.cut(frames, lengths, batch, times)
        inside = length_mask(n, segments.shape[1])
        span = torch.arange(len(n), device=device)
        if data.target == "phone":
            x, span = segments[inside], span[:, None].expand_as(inside)[inside]
        else:
            x = masked_mean(segments, inside)
        label = batch.labels[span]
        x = torch.cat([x.double(), x.new_ones(len(x), 1, dtype=torch.float64)], dim=1)[label >= 0].cpu()
        rows = batch.rows[batch.span_recording].tolist()
        yield x, label[label >= 0].cpu(), span[label >= 0].cpu(), [table.speaker_name(row) for row in rows]
