"""From the body of a network to the steps of a quantised one: its operations are traced and joined."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from fnmatch import fnmatch
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from phonaut.networks.bc_resnet import SubSpectralNorm
from phonaut.networks.convolutional import thinned
from phonaut.networks.padding import MaskedBatchNorm
from phonaut.networks.quantized.number_format import Scheme
from phonaut.networks.quantized.quantizer import Phase, Quantizer
from phonaut.networks.quantized.recurrent import Recurrence
from phonaut.networks.quantized.steps import Affine, MeanOverFrequency, MeanOverSomeTime, Product, Step, Sum, Table
from phonaut.networks.recurrent import Recurrent
from phonaut.networks.time_conv import TemporalConv, TimeConv, TimeMean, masked

LAYERS = (TemporalConv, TimeConv, MaskedBatchNorm, TimeMean, nn.Linear, nn.Dropout, nn.Dropout2d)
PASSED = ("transpose", "unsqueeze", "squeeze")  # they move numbers about, and keep them


class BodyTracer(fx.Tracer):
    """Traces a method of a network; layers, and what deals with masks, are single operations."""

    def __init__(self, method: str) -> None:
        super().__init__(autowrap_functions=(masked, thinned))
        self.traced_func_name = method

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one operation."""
        return isinstance(m, LAYERS)


def traced(network: nn.Module) -> fx.Graph:
    """The operations of `block_frames`, where a network has exits after its blocks, else of its `body`.

    Raises:
        ValueError: they depend on values, and cannot be traced.
    """
    if isinstance(network, Recurrent):
        graph = fx.Graph()
        frames, _, mask = (graph.placeholder(name) for name in ("frames", "lengths", "mask"))
        graph.output((graph.call_module("cells", (frames,)), mask))
        return graph
    method = "block_frames" if hasattr(network, "exits") else "body"
    try:
        return BodyTracer(method).trace(network)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ValueError(f"{type(network).__name__} cannot be quantised: what its {method} does depends on values "
                         f"({error})") from error  # fmt: skip


class Steps:
    """Replaces the operations of a graph by steps; the quantiser of what each node gives is known as it goes.

    Args:
        network: whose body was traced.
        graph: its operations; changed in place.
        scheme: bits of what no pattern names.
        layers: patterns of names of layers, each with bits of its own; the last that fits holds.
        per_channel: weights have a scale for each output channel.
        phase: of the network.
    """

    def __init__(
        self, network: nn.Module, graph: fx.Graph, *, scheme: Scheme, layers: Mapping[str, Scheme], per_channel: bool,
        phase: Phase,
    ) -> None:  # fmt: skip
        self.modules, self.graph, self.scheme, self.layers = dict(network.named_modules()), graph, scheme, layers
        self.per_channel, self.phase = per_channel, phase
        self.made: dict[str, nn.Module] = {}
        self.quantizer_of: dict[fx.Node, Quantizer] = {}
        self.used: set[str] = set()

    def scheme_of(self, name: str) -> Scheme:
        """Bits of a layer."""
        found = self.scheme
        for pattern, scheme in self.layers.items():
            if fnmatch(name, pattern):
                found = scheme
                self.used.add(pattern)
        return found

    def quantizer(self, scheme: Scheme, *, signed: bool) -> Quantizer:
        """A new one."""
        return Quantizer(scheme.activation, signed=signed, kind=scheme.kind, phase=self.phase)

    def build(self) -> dict[str, nn.Module]:
        """The steps by name; `given` is the quantiser of the network's input.

        Raises:
            ValueError: an operation that no step is made of.
        """
        frames = next(node for node in self.graph.nodes if node.op == "placeholder")
        with self.graph.inserting_after(frames):
            given = self.graph.call_module("given", (frames,))
        frames.replace_all_uses_with(given, delete_user_cb=lambda user: user is not given)
        self.made["given"] = first = self.quantizer(self.scheme, signed=True)
        self.quantizer_of[given] = first
        for node in list(self.graph.nodes):
            if node not in self.quantizer_of and not node._erased:  # not joined to one before
                self.replace(node)
        self.graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
        return self.made

    def source(self, node: Any) -> Quantizer:
        """The quantiser of what an operation reads."""
        return self.quantizer_of[node]

    def replace(self, node: fx.Node) -> None:
        """Make a step of an operation, or pass its quantiser on."""
        if node.op == "call_module":
            self.replace_layer(node, self.modules[str(node.target)])
        elif node.op == "call_function" and node.target in (operator.add, torch.add):
            self.replace_sum(node)
        elif node.op == "call_function" and node.target is F.silu:
            step = Table(F.silu, sources=[self.source(node.args[0])], output=self.quantizer(self.scheme, signed=True))
            self.put(node, step, (node.args[0],), node)
        elif node.op == "call_method" and node.target == "mean":
            self.replace_mean(node)
        elif node.op == "call_function" and node.target is masked:
            self.quantizer_of[node] = self.source(node.args[0])
        elif node.op == "call_method" and node.target in PASSED:
            if node.args[0] in self.quantizer_of:
                self.quantizer_of[node] = self.source(node.args[0])
        elif any(argument in self.quantizer_of for argument in node.all_input_nodes) and not harmless(node):
            raise ValueError(f"{node.target} is an operation that cannot be quantised")

    def replace_layer(self, node: fx.Node, layer: nn.Module) -> None:
        """Make a step of a layer."""
        x, mask = node.args[0], node.args[1] if len(node.args) > 1 else None
        if isinstance(layer, (nn.Dropout, nn.Dropout2d)):
            self.made[node.name] = layer
            node.target = node.name
            self.quantizer_of[node] = self.source(x)
            return
        scheme, last = self.scheme_of(str(node.target)), node
        if isinstance(layer, nn.RNNBase):
            self.replace_recurrence(node, layer, scheme)
            return
        source = [self.source(x)]
        if isinstance(layer, TimeMean):
            signed = source[0].levels.low < 0
            self.put(
                node, MeanOverSomeTime(layer, sources=source, output=self.quantizer(scheme, signed=signed)), (x,), node
            )
            return
        if isinstance(layer, SubSpectralNorm):
            relu, last = self.rectified(node)
            affine = Affine(layer, scheme, sources=source, output=self.quantizer(scheme, signed=not relu))
            affine.relu = relu
            self.put(node, affine, (x, mask), last)
            return
        norm: Any = None
        owner: TemporalConv | None = None
        if isinstance(layer, TemporalConv):
            owner = layer
            layer, norm = owner.conv, owner.norm
        elif (follower := self.normalised(node)) is not None:
            norm, last, mask = self.modules[str(follower.target)], follower, follower.args[1]
        relu, last = self.rectified(last)
        assert isinstance(layer, (TimeConv, nn.Linear)), layer
        step = Product(
            layer, norm, owner, scheme, relu=relu, per_channel=self.per_channel, sources=source,
            output=self.quantizer(scheme, signed=not relu),
        )  # fmt: skip
        self.put(node, step, (x, mask), last)

    def replace_recurrence(self, node: fx.Node, layer: nn.RNNBase, scheme: Scheme) -> None:
        """Make steps of a recurrent layer and those on top of it."""
        below: Any = node.args[0]
        for number in range(layer.num_layers):
            step = Recurrence(
                layer, number, scheme, sources=[self.source(below)], output=self.quantizer(scheme, signed=True)
            )
            name = f"cells_{number}"
            self.made[name] = step
            with self.graph.inserting_before(node):
                below = self.graph.call_module(name, (below,))
            assert step.output is not None
            self.quantizer_of[below] = step.output
        node.replace_all_uses_with(below)
        self.graph.erase_node(node)

    def replace_sum(self, node: fx.Node) -> None:
        """Make a step of a sum; a sum with the number 0 is none."""
        terms = [argument for argument in node.args if isinstance(argument, fx.Node)]
        if len(terms) == 1 and 0 in [argument for argument in node.args if not isinstance(argument, fx.Node)]:
            node.replace_all_uses_with(terms[0])
            return
        sources = [self.source(term) for term in terms]
        relu, last = self.rectified(node)
        signed = not relu and any(source.levels.low < 0 for source in sources)
        self.put(node, Sum(relu=relu, sources=sources, output=self.quantizer(self.scheme, signed=signed)), terms, last)

    def replace_mean(self, node: fx.Node) -> None:
        """Make a step of the mean over frequencies, which lie in dimension 2."""
        if node.kwargs.get("dim") != 2 or len(node.args) != 1:
            raise ValueError("a mean over something else than frequencies cannot be quantised")
        x, source = node.args[0], self.source(node.args[0])
        output = self.quantizer(self.scheme, signed=source.levels.low < 0)
        keepdim = node.kwargs.get("keepdim")
        kept = self.put(node, MeanOverFrequency([source], output), (x,), node)
        if not keepdim:
            with self.graph.inserting_after(kept):
                squeezed = self.graph.call_method("squeeze", (kept, 2))
            kept.replace_all_uses_with(squeezed, delete_user_cb=lambda user: user is not squeezed)
            self.quantizer_of[squeezed] = output

    def only_user(self, node: fx.Node) -> fx.Node | None:
        """The one operation that reads a node, if there is one."""
        return next(iter(node.users)) if len(node.users) == 1 else None

    def normalised(self, node: fx.Node) -> fx.Node | None:
        """The batch normalisation that follows, alone, if one does."""
        user = self.only_user(node)
        is_norm = user is not None and type(self.modules.get(str(user.target))) is MaskedBatchNorm
        return user if is_norm else None

    def rectified(self, node: fx.Node) -> tuple[bool, fx.Node]:
        """Whether a rectifier follows, alone, and the last node of both."""
        user = self.only_user(node)
        if user is not None and user.op == "call_function" and user.target in (F.relu, torch.relu):
            return True, user
        return False, node

    def put(self, node: fx.Node, step: Step, arguments: Any, last: fx.Node) -> fx.Node:
        """Put a step in the place of the operations from `node` to `last`; its node."""
        name = str(node.target).replace(".", "_") if node.op == "call_module" else node.name
        self.made[name] = step
        with self.graph.inserting_after(last):
            new = self.graph.call_module(name, tuple(arguments))
        last.replace_all_uses_with(new)
        while last is not node:
            before = next(argument for argument in last.all_input_nodes if only_reader(argument, last))
            self.graph.erase_node(last)
            last = before
        self.graph.erase_node(node)
        assert step.output is not None
        self.quantizer_of[new] = step.output
        return new


def only_reader(node: fx.Node, user: fx.Node) -> bool:
    """Whether one operation alone reads a node, which is no input."""
    return list(node.users) == [user] and node.op != "placeholder"


def harmless(node: fx.Node) -> bool:
    """Whether an operation asks for shapes alone, or ends the graph."""
    return node.op == "output" or node.target in (getattr, operator.getitem, thinned, operator.sub, operator.floordiv)
