"""A network whose numbers become integers in the course of training, and in the end an exact program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from phonaut.checks import refuse
from phonaut.networks.convolutional import ConvolutionalNetwork
from phonaut.networks.network import Network
from phonaut.networks.padding import without_padding
from phonaut.networks.quantized.graph import Steps, traced
from phonaut.networks.quantized.number_format import Scheme
from phonaut.networks.quantized.quantizer import Phase, Quantizer
from phonaut.networks.quantized.recurrent import Recurrence
from phonaut.networks.quantized.steps import MeanOverTime, Product
from phonaut.networks.recurrent import Recurrent
from phonaut.networks.reparameterized import layers_of

MEAN_BITS = 16  # of the one mean over time, whatever the scheme: a level of 8 bits would decide where scores are near
DELEGATED = ("exit_weights", "confidence", "chosen", "exit_macs")


class QuantizedNetwork(Network):
    """Scores of segments, `frames (B, T, D), lengths (B,) -> scores (B, C)`, of a network in few bits.

    At first it is the network that it was, and watches the range of every activation. Once `quantize` was called, it
    is trained with activations, weights and biases rounded, and in evaluation it computes with integers: exactly what
    the program does that `phonaut.deploy` writes. Padding never changes a score.

    Args:
        network: of convolutions over time; its layers stay those of this one.
        scheme: bits of activations, weights and biases.
        layers: patterns of names of layers (`blocks.0.*`), each with bits of its own; the last that fits holds.
        per_channel: weights have a scale for each output channel; of fixed point, a power of two.

    Attributes:
        network: itself, in floating point.
        phase: what it is doing.

    Raises:
        ValueError: the network cannot be quantised, or a pattern fits no layer.
    """

    state: Tensor

    def __init__(
        self, network: nn.Module, scheme: Scheme, *, layers: Mapping[str, Scheme] | None = None,
        per_channel: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        if problem := why_not(network):
            raise ValueError(problem)
        assert isinstance(network, (ConvolutionalNetwork, Recurrent))
        self.network, self.phase, self.scheme = network, Phase(), scheme
        self.looks_ahead, self.time_stride = network.looks_ahead, network.time_stride
        self.register_buffer("state", torch.zeros(3))  # folded, quantises, sparsity
        graph = traced(network)
        makes = Steps(network, graph, scheme=scheme, layers=layers or {}, per_channel=per_channel, phase=self.phase)
        made = makes.build()
        results = found_frames(graph)
        heads = [*getattr(network, "exits", []), network.classifier]
        names = [*(f"exits.{i}" for i in range(len(heads) - 1)), "classifier"]
        means, decisions = [], []
        for (hidden, _), head, name in zip(results, heads, names, strict=True):
            source, of_head = makes.quantizer_of[hidden], makes.scheme_of(name)
            more: dict[str, Any] = {"signed": source.levels.low < 0, "kind": of_head.kind, "phase": self.phase}
            mean = Quantizer(MEAN_BITS, unit=source, **more)
            means.append(MeanOverTime([source], mean))
            decisions.append(
                Product(head, None, None, of_head, relu=False, per_channel=False, sources=[mean], output=None)
            )
        self.means, self.decisions = nn.ModuleList(means), nn.ModuleList(decisions)
        refuse([f"compress.layers: {pattern} fits no layer of {type(network).__name__}"
                for pattern in sorted((layers or {}).keys() - makes.used)])  # fmt: skip
        self.graph = fx.GraphModule(made, graph, "Body")
        self.register_load_state_dict_post_hook(lambda *_: self.enter())  # type: ignore[no-untyped-call]

    def __getattr__(self, name: str) -> Any:
        """What belongs to a network that may answer early is the network's own."""
        return getattr(self.network, name) if name in DELEGATED else super().__getattr__(name)

    @property
    def given(self) -> Quantizer:
        """That of the input."""
        quantizer = self.graph.given
        assert isinstance(quantizer, Quantizer)
        return quantizer

    # --- phases

    def enter(self) -> None:
        """Go into the phase that the state, which a checkpoint may have brought, says."""
        folded, quantizes, sparsity = self.state.tolist()
        self.phase.folded, self.phase.quantizes, self.phase.sparsity = bool(folded), bool(quantizes), sparsity

    def fold(self) -> None:
        """From now on normalisations keep their statistics, as parts of the layers before them."""
        self.state[0] = 1
        self.enter()

    @property
    def has_branches(self) -> bool:
        """Whether convolutions have branches, which are folded with the normalisations."""
        return any(len(layer.branches) for layer in layers_of(self.network))

    def prune(self, sparsity: float, progress: float) -> None:
        """Let the smallest weights of each layer be 0: a part `s (1 - (1 - t)^3)` of them at `t` in [0, 1].

        They stay what they are beneath, so that they may come back. Zhu and Gupta 2017, "To prune, or not to prune",
        equation 1.
        """
        self.state[2] = sparsity * (1 - (1 - min(max(progress, 0.0), 1.0)) ** 3)
        self.enter()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Take ranges from what is heard while the context lasts, in evaluation too."""
        self.phase.calibrates = True
        try:
            yield
        finally:
            self.phase.calibrates = False

    @property
    def quantizers(self) -> dict[str, Quantizer]:
        """Those of all activations, by name."""
        return {name: part for name, part in self.named_modules() if isinstance(part, Quantizer)}

    @property
    def has_heard(self) -> bool:
        """Whether the range of every activation is known."""
        return all(bool(part.scale > 0) for part in self.quantizers.values())

    @property
    def weight_bits(self) -> int:
        """Bits that weights and biases take."""
        products = [part for part in self.modules() if isinstance(part, (Product, Recurrence))]
        return sum(part.n_bits for part in products)

    def quantize(self) -> None:
        """From now on round.

        Raises:
            ValueError: nothing was heard, and no range is known.
        """
        if unseen := [name for name, part in self.quantizers.items() if not part.scale > 0]:
            raise ValueError(f"{unseen[0]} has heard nothing, or zeros alone: its range is not known")
        self.state[1] = 1
        self.enter()

    # --- the network

    def body(self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Hidden frames `(B, T', H)` of the last exit, and the mask of the valid."""
        hidden: tuple[Tensor, Tensor | None] = self.all_frames(frames, lengths, mask)[-1]
        return hidden

    def all_frames(self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None) -> list[Any]:
        """Hidden frames and masks of all exits."""
        found = self.graph(frames, lengths, mask)
        return found[1:] if isinstance(found, list) else [found]

    def exit_scores(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores of all exits, `(E, B, C)`; of most networks there is one."""
        frames, mask = without_padding(frames, lengths)
        found = self.all_frames(frames, lengths, mask)
        return torch.stack([
            self.decided(i, self.means[i](hidden, valid)) for i, (hidden, valid) in enumerate(found)
        ])  # fmt: skip

    def decided(self, i: int, mean: Tensor) -> Tensor:
        """Scores of an exit."""
        decision: Any = self.decisions[i]
        scores: Tensor = decision(self.network.dropout(mean), None)
        return scores

    def decide(self, mean: Tensor) -> Tensor:
        """Scores `(..., C)` of means over hidden frames of the last exit, `(..., H)`."""
        last: Any = self.means[-1]
        return self.decided(-1, last.of_means(mean))

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        scores = self.exit_scores(frames, lengths)
        network: Any = self.network
        chosen: Tensor = scores[-1] if len(scores) == 1 else network.chosen(scores)[0]
        return chosen


def found_frames(graph: fx.Graph) -> list[tuple[fx.Node, Any]]:
    """What a body returns: hidden frames and mask of each exit."""
    output = next(node for node in graph.nodes if node.op == "output").args[0]
    return list(output)[1:] if isinstance(output, list) else [output]


def can_be(kind: type) -> bool:
    """Whether networks of a class can be quantised."""
    return issubclass(kind, (ConvolutionalNetwork, Recurrent))


def why_not(network: nn.Module) -> str | None:
    """Why a network cannot be quantised, in one sentence; None where it can."""
    name = type(network).__name__
    if not can_be(type(network)):
        return (f"{name} cannot be quantised: networks of convolutions over time and recurrent ones can; export it in "
                "floating point, phonaut export RUN")  # fmt: skip
    if isinstance(network, Recurrent) and (network.cells.bidirectional or network.encodes_recordings):
        return f"{name} is quantised in one direction, over segments: leave model.bidirectional and model.scope out"
    return None
