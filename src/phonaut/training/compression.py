"""Training for few bits: when batch normalisation is folded, and when numbers begin to be rounded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from phonaut.checks import Rule
from phonaut.data.batches import Batch
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.network import evaluating
from phonaut.networks.quantized import QuantizedNetwork, Scheme
from phonaut.networks.quantized.number_format import MOST_BITS

N_CALIBRATION = 500  # recordings that are heard where training heard none with ranges watched
WATCHED = 0.1  # part of training before the start in which ranges are watched
PRUNED_FROM = 0.25  # part of what comes before the start after which weights begin to be pruned
SHARE = Rule("must be from 0 to below 1", lambda value: 0 <= value < 1)


class Compression(Callback):
    """Moves a network through its phases: floating point, folded, rounded.

    Ranges of activations are watched in the tenth of training before the start, and in the first half of what comes
    after it. Weights are pruned from a quarter of the time before the start to the start (Zhu and Gupta 2017).

    Args:
        bits: of activations, weights and biases.
        kind: `linear`, with free scales, or `fp`, with powers of two.
        start: part of training after which numbers are rounded.
        fold_bn: part of training after which batch normalisations are folded and frozen; None: when it ends. Branches
            of convolutions are folded with them, when rounding begins at the latest, and pruned from then on.
        per_channel: weights have a scale for each output channel.
        layers: patterns of names of layers with bits of their own, `blocks.0.*:16_8_16`; the last that fits holds.
        noise: part of the weights that stay as they are in a step of training, drawn anew (Fan et al. 2021, "Training
            with quantization noise for extreme model compression").
        sparsity: part of the weights of each layer that are 0 from the start on.
    """

    RULES: ClassVar = {"start": SHARE, "fold_bn": SHARE, "noise": SHARE, "sparsity": SHARE}

    @classmethod
    def problems(
        cls, *, bits: Any = (8, 8, 8), kind: str = "linear", layers: Sequence[str] = (), **options: Any
    ) -> list[str]:
        """Bits that are none."""
        try:
            of_layers(layers, kind)
        except ValueError as error:
            return [str(error)]
        if len(bits) == 3 and all(1 <= n <= MOST_BITS for n in bits):
            return []
        return [f"compress.bits={list(bits)}: must be those of activations, weights and biases, each 1 to {MOST_BITS}: "
                "compress=linear_8_8_8"]  # fmt: skip

    def __init__(
        self,
        *,
        bits: Sequence[int] = (8, 8, 8),
        kind: str = "linear",
        start: float = 0.7,
        fold_bn: float | None = 0.7,
        per_channel: bool = True,
        layers: Sequence[str] = (),
        noise: float = 0.0,
        sparsity: float = 0.0,
    ) -> None:
        super().__init__()
        self.scheme = Scheme(kind, *bits)
        self.layers = of_layers(layers, kind)
        self.start, self.fold_bn, self.per_channel = start, fold_bn, per_channel
        self.noise, self.sparsity = noise, sparsity

    def quantized(self, network: nn.Module) -> QuantizedNetwork:
        """The network in its first phase.

        Raises:
            ValueError: it cannot be quantised, or a pattern fits no layer.
        """
        return QuantizedNetwork(network, self.scheme, layers=self.layers, per_channel=self.per_channel)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Go into the phase of this step."""
        network = pl_module.model.network  # type: ignore[union-attr]
        assert isinstance(network, QuantizedNetwork)
        self.advance(network, pl_module.progress())  # type: ignore[operator]

    def advance(self, network: QuantizedNetwork, progress: float) -> None:
        """Go into the phase of a part of training, in [0, 1)."""
        phase, began = network.phase, PRUNED_FROM * self.start
        phase.watches = self.start - WATCHED <= progress < (1 + self.start) / 2
        phase.noise = self.noise
        if self.sparsity:
            network.prune(self.sparsity, (progress - began) / (self.start - began) if self.start else 1.0)
        fold_bn = (
            min(self.start, 1.0 if self.fold_bn is None else self.fold_bn) if network.has_branches else self.fold_bn
        )
        if fold_bn is not None and progress >= fold_bn and not phase.folded:
            network.fold()
        if progress >= self.start and not phase.quantizes and network.has_heard:
            network.quantize()

    def finish(self, model: SpeechModel, batches: Iterable[Batch]) -> str:
        """Fold, and round a network that training ended too early for, with ranges of some batches; what was done."""
        network = model.network
        assert isinstance(network, QuantizedNetwork)
        note = ""
        if not network.phase.quantizes:
            network.prune(self.sparsity, 1.0)
            note = (
                f"training ended before compress.start={self.start:g}: the network was rounded without training for it"
            )
            calibrate(model, batches)
            network.quantize()
        if not network.phase.folded:
            network.fold()
        return note


def round_network(model: SpeechModel, scheme: Scheme, batches: Iterable[Batch]) -> QuantizedNetwork:
    """Put a network in few bits in the place of the trained one of a model, with ranges of batches of training."""
    network = QuantizedNetwork(model.network, scheme).eval()
    model.network = network
    calibrate(model, batches)
    network.fold()
    network.quantize()
    return network


@torch.no_grad()
def calibrate(model: SpeechModel, batches: Iterable[Batch]) -> None:
    """Watch the ranges of activations on batches, in evaluation, until a few hundred recordings were heard."""
    network = model.network
    assert isinstance(network, QuantizedNetwork)
    n_heard = 0
    with evaluating(model), network.watching():
        for batch in batches:
            network.exit_scores(*model.segments(batch))
            n_heard += len(batch.labels)
            if n_heard >= N_CALIBRATION:
                break


def of_layers(layers: Sequence[str], kind: str) -> dict[str, Scheme]:
    """Patterns of names of layers, with their bits.

    Raises:
        ValueError: one is no pattern with bits.

    >>> of_layers(["blocks.*:8_2_8"], "fp")
    {'blocks.*': Scheme(kind='fp', activation=8, weight=2, bias=8)}
    """
    found = {}
    for entry in layers:
        pattern, _, bits = str(entry).rpartition(":")
        try:
            found[pattern] = Scheme.of(bits, kind)
        except ValueError:
            pattern = ""
        if not pattern:
            raise ValueError(f"compress.layers: {entry} is no pattern with bits, such as blocks.0.*:16_8_16")
    return found
