"""A quantised network as one graph that every runtime takes: layers between rounding to 8 bits and back.

Rounding is by `quantize_per_tensor` and `dequantize_per_tensor` of PyTorch's `quantized_decomposed`, with the scales
that the network has: the patterns of which ONNX Runtime, XNNPACK and CMSIS-NN make integer kernels. Weights are int8
with a scale for each channel, activations int8: levels 0 ... 255 with the zero at -128, signed ones with it at 0.
Levels of fewer bits lie in int8 too, and values are clipped to them before they are rounded.

A runtime rounds with an arithmetic of its own: its levels may differ by one from those of the integer program
(`phonaut.deploy.integer_program`), which is the reference.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from phonaut.deploy.rounded_steps import Form, Mean, Rounding, Scores, rounded
from phonaut.networks.network import Network
from phonaut.networks.quantized.graph import PASSED
from phonaut.networks.quantized.network import QuantizedNetwork, found_frames
from phonaut.networks.quantized.quantizer import Quantizer
from phonaut.networks.quantized.recurrent import Recurrence
from phonaut.networks.quantized.steps import MeanOverTime, Product, Step

MOST_BITS = 8
ONNX_RUNTIME, XNNPACK, CORTEX_M = Form(storage=torch.uint8), Form(), Form(whole_bias=True, pools=False)


class QuantizedGraph(Network):
    """Scores of segments of equal length, `frames (B, T, D) -> scores (B, C)`: what is exported.

    Args:
        network: quantised, in evaluation mode.
        form: for which runtime.

    Raises:
        ValueError: it is not yet quantised, or has levels that 8 bits do not hold.
    """

    def __init__(self, network: QuantizedNetwork, *, form: Form = XNNPACK) -> None:
        super().__init__()
        self.form = form
        if problem := why_no_graph(network):
            raise ValueError(problem)
        self.looks_ahead, self.time_stride = network.looks_ahead, network.time_stride
        modules, graph = dict(network.graph.named_modules()), network.graph.graph
        self.results = [image_of(hidden) for hidden, _ in found_frames(graph)]
        self.nodes = [node for node in graph.nodes if node in before(self.results)]
        self.steps = nn.ModuleDict()
        self.rounding_of: dict[fx.Node, Rounding] = {}
        with torch.no_grad():
            for node in self.nodes:
                if node.op == "call_module":
                    self.add(node, modules[str(node.target)])
                elif read := [self.rounding_of[one] for one in node.all_input_nodes if one in self.rounding_of]:
                    self.rounding_of[node] = read[0]
            self.means, self.scores = nn.ModuleList(), nn.ModuleList()
            for mean, decision, image in zip(network.means, network.decisions, self.results, strict=True):
                assert isinstance(mean, MeanOverTime)
                assert isinstance(decision, Product)
                self.means.append(Mean(mean, self.rounding_of[image]))
                self.scores.append(Scores(decision))
        self.chosen = [network.chosen] if len(self.results) > 1 else []

    def add(self, node: fx.Node, module: nn.Module) -> None:
        """Add what a node calls."""
        source = [self.rounding_of[one] for one in node.all_input_nodes if one in self.rounding_of]
        if isinstance(module, Quantizer):
            made: nn.Module = nn.Identity()
            self.rounding_of[node] = Rounding(module, form=self.form, of_input=True)
        elif isinstance(module, Step):
            made = rounded(module, source)
            self.rounding_of[node] = made.output
        else:  # dropout, which does nothing in evaluation
            made, self.rounding_of[node] = nn.Identity(), source[0]
        self.steps[str(node.target)] = made

    def images(self, frames: Tensor) -> list[Tensor]:
        """Hidden frames of each exit, `(B, H, 1, T')`."""
        found: dict[fx.Node, Any] = {}  # what is rounded as whole numbers: each that reads them takes them back itself

        def read(node: fx.Node) -> Any:
            return self.rounding_of[node].back(found[node]) if node in self.rounding_of else found[node]

        for node in self.nodes:
            if node.op == "placeholder":
                found[node] = frames if node.target == "frames" else None
            elif node.op == "call_module":
                given = [read(one) for one in node.all_input_nodes if found[one] is not None]
                found[node] = self.rounding_of[node].levels(self.steps[str(node.target)](*given))
            elif node.op == "call_method" and node.target in PASSED:
                found[node] = self.rounding_of[node].kept(moved(read(node.args[0]), str(node.target), node.args[1:]))
            else:  # of shapes and masks alone
                found[node] = node.target(*map_arg(node.args, found.get))
        return [read(node) for node in self.results]

    def body(self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Hidden frames `(B, T', H)` of the last exit, all of them valid."""
        return self.images(frames)[-1].squeeze(2).transpose(1, 2), None

    def decide(self, mean: Tensor) -> Tensor:
        """Scores `(..., C)` of means over hidden frames of the last exit, `(..., H)`."""
        scores: Tensor = self.scores[-1](mean)
        return scores

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)`, all of them valid."""
        found = [
            scores(mean(image))
            for image, mean, scores in zip(self.images(frames), self.means, self.scores, strict=True)
        ]
        chosen: Tensor = self.chosen[0](torch.stack(found))[0] if self.chosen else found[0]
        return chosen


def why_no_graph(network: nn.Module) -> str | None:
    """Why there is no graph of 8 bits of a network, in one sentence; None where there is."""
    if not isinstance(network, QuantizedNetwork) or not network.phase.quantizes:
        return "the network is not quantised: train with compress=linear_8_8_8, or export with it"
    if any(isinstance(step, Recurrence) for step in network.modules()):
        return (f"runtimes have no kernels for {type(network.network).__name__} in integers: export a run in floating "
                "point, or use phonaut.deploy.interpreter")  # fmt: skip
    wide = [part for name, part in network.quantizers.items() if not name.startswith("means.") and
            part.levels.high >= 2**MOST_BITS]  # fmt: skip
    weights = [step for step in network.modules() if isinstance(step, Product) and step.scheme.weight > MOST_BITS]
    if wide or weights:
        return (f"{network.scheme} has activations or weights of more than 8 bits, for which runtimes have no kernels: "
                "use 8 or fewer, or backend=c")  # fmt: skip
    return None


def moved(x: Tensor, how: str, arguments: tuple[Any, ...]) -> Tensor:
    """The same numbers elsewhere: by `reshape` where it can, for XNNPACK takes neither `squeeze` nor `unsqueeze`."""
    y: Tensor = getattr(x, how)(*arguments)
    return x.reshape(y.shape) if how != "transpose" and all(isinstance(n, int) for n in y.shape) else y


def image_of(hidden: fx.Node) -> fx.Node:
    """The step whose result, an image `(B, H, 1, T')`, hidden frames `(B, T', H)` are."""
    while hidden.op != "call_module":
        hidden = hidden.all_input_nodes[0]
    return hidden


def before(results: list[fx.Node]) -> set[fx.Node]:
    """The nodes that results depend on, and themselves."""
    found, left = set(), list(results)
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += node.all_input_nodes
    return found
