"""A quantised network as a program of integers: what an interpreter, a code generator or a person can read.

Images are `(D, F, T)`: channels, rows of frequencies (1 for most networks), frames. Every operation gives whole numbers
within `low ... high`, of which the `binary` are the two ends alone (y < 0 is low, else high); `half(shift)` is
`2^(shift-1)`, 0 for a shift of 0; shifts to the right round down:

    rows         (D, 1, T) -> (1, D, T)
    conv         acc = sum of weight * x + bias;            y = (acc * multiplier + half(shift)) >> shift, by channel
    scale        acc = weight * x + bias;                   likewise, by channel and row
    add          y = (a * multiplier[0] + b * multiplier[1] + half(shift)) >> shift; one row is repeated
    mean_rows    (D, F, T) -> (D, 1, T): acc = sum over F;  y = (acc * multiplier + half(shift)) >> shift
    mean_frames  acc = sum of `size` frames, every `size`;  likewise
    table        y = entries[x - offset]
    recurrent    (D, 1, T) -> (H, 1, T), frame by frame, from states of 0; see below
    mean_time    (D, 1, T) -> (D), 16 bits: y = floor((2 * sum(x) * 2^over + n * 2^under) / (2 * n * 2^under)), n frames
    linear       scores = weight x + bias: they are not brought back to few bits, and times `scale` they are logits

A recurrent operation, `>>` rounding half up, `|12` and `|16` clamped to so many bits, tables read at `z + 2048`:

    a = of_input x * factor_of_input + bias;  b = of_state h * factor_of_state
    lstm   i, f, g, o = (a + b) >> shift |12;  i, f, o by `sigmoid`, g by `tanh`
           c = (f c 2^4 + i g) >> 19 |16;      s = o * tanh[c >> 3 |12]
    gru    r, z = (a + b) >> shift |12 of the first 2 H rows, by `sigmoid`; of the last H rows
           n = a >> shift |16;  m = (b + bias_of_state) >> shift |16;  n = tanh[(n 2^15 + r m) >> 18 |12]
           s = ((2^15 - z) n + z s) >> 15 |16
    rnn    s = tanh[(a + b) >> shift |12]
    h = (s * multiplier) >> shift of the numbers, within low ... high: the result of the frame

Beyond the ends of time and rows are zeros. The input is `clamp(round(frames / scale))`, ties to even, in float32.
"""

from __future__ import annotations

import json
import operator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import fx, nn

from phonaut.arrays import Array
from phonaut.files import write_bytes
from phonaut.networks.convolutional import thinned
from phonaut.networks.quantized.network import QuantizedNetwork, found_frames
from phonaut.networks.quantized.quantizer import Quantizer
from phonaut.networks.quantized.recurrent import Recurrence
from phonaut.networks.quantized.steps import (
    Affine,
    MeanOverFrequency,
    MeanOverSomeTime,
    MeanOverTime,
    Product,
    Step,
    Sum,
    Table,
)

FORMAT = 1


@dataclass(frozen=True)
class Operation:
    """One operation; the module's own text says what each kind does.

    Attributes:
        kind: of the operation.
        inputs: names of what it reads.
        output: name of its result.
        shape: channels and rows of the result.
        low: least number of the result.
        high: greatest.
        binary: no others than these two.
        numbers: whole numbers, or lists of them: strides, dilation, groups, padding, shifts, one `scale`.
        arrays: integers, int32 or int64.
    """

    kind: str
    inputs: tuple[str, ...]
    output: str
    shape: tuple[int, int]
    low: int = 0
    high: int = 0
    binary: bool = False
    numbers: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A network.

    Attributes:
        n_features: of its input, `(T, n_features)`.
        n_classes: of its scores.
        scale: of the input.
        low: least number of the input.
        high: greatest.
        binary: of the input: its sign.
        time_stride: frames to each hidden one.
        causal: no operation looks at later frames.
        confidence: probability from which on an exit answers; None where there is one exit.
        operations: in order; each exit ends with a `linear` one.
        about: what else a user of the file may want to know: labels, sample rate.
    """

    n_features: int
    n_classes: int
    scale: float
    low: int
    high: int
    binary: bool
    time_stride: int
    causal: bool
    confidence: float | None
    operations: tuple[Operation, ...]
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def exits(self) -> list[Operation]:
        """The operations that give scores."""
        return [operation for operation in self.operations if operation.kind == "linear"]

    def save(self, path: Path) -> None:
        """Write the program as safetensors, its operations as JSON in the metadata."""
        arrays = {f"{o.output}.{name}": one for o in self.operations for name, one in o.arrays.items()}
        plain = {name: value for name, value in vars(self).items() if name != "operations"}
        plain["operations"] = [
            {name: value for name, value in vars(o).items() if name != "arrays"} | {"arrays": list(o.arrays)}
            for o in self.operations
        ]
        write_bytes(path, save_arrays(arrays, {"format": str(FORMAT), "program": json.dumps(plain)}))

    @classmethod
    def load(cls, path: Path) -> Self:
        """The program that `save` wrote.

        Raises:
            ValueError: the file is none.
        """
        data = path.read_bytes()
        try:
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            plain, arrays = json.loads(header["__metadata__"]["program"]), load_arrays(data)
            operations = tuple(
                Operation(**{**o, "inputs": tuple(o["inputs"]), "shape": tuple(o["shape"]),
                             "arrays": {name: arrays[f"{o['output']}.{name}"] for name in o["arrays"]}})
                for o in plain.pop("operations")
            )  # fmt: skip
            return cls(operations=operations, **plain)
        except Exception as error:  # safetensors' errors have no common class
            raise ValueError(f"{path} is no program of integers: {error}") from error


def program_of(network: QuantizedNetwork, n_features: int, about: dict[str, Any] | None = None) -> Program:
    """The program of a network that was quantised.

    Args:
        network: in evaluation mode.
        n_features: of its frames.
        about: metadata.

    Raises:
        ValueError: it is not yet quantised.
    """
    if not network.phase.quantizes:
        raise ValueError("the network is not quantised: train with compress=linear_8_8_8, or export with it")
    with torch.no_grad():
        return _program(network, n_features, about or {})


def _program(network: QuantizedNetwork, n_features: int, about: dict[str, Any]) -> Program:
    writer = Writer(dict(network.graph.named_modules()), n_features)
    for node in network.graph.graph.nodes:
        writer.add(node)
    results = found_frames(network.graph.graph)
    for i, (hidden, _) in enumerate(results):
        end = "" if i == len(results) - 1 else str(i)
        mean, decision = network.means[i], network.decisions[i]
        assert isinstance(mean, MeanOverTime)
        assert isinstance(decision, Product)
        over, under = mean.powers()
        name = writer.name_of[hidden]
        numbers = {"over": over, "under": under}
        writer.write("mean_time", f"pooled{end}", [name], mean, shape=writer.shape_of[name], numbers=numbers)
        weight, bias, step = decision.integers()
        writer.operations.append(Operation(
            "linear", (f"pooled{end}",), f"scores{end}", (len(bias), 1),
            numbers={"scale": float(step[0] * decision.sources[0].step())},
            arrays={"weight": whole(weight), "bias": whole(bias)},
        ))  # fmt: skip
    given, names = network.given, [operation.output for operation in writer.operations]
    assert len(set(names)) == len(names), names
    return Program(
        n_features, len(writer.operations[-1].arrays["bias"]), float(given.step()), *given.levels,
        time_stride=network.time_stride, causal=network.looks_ahead is False,
        confidence=network.confidence if len(results) > 1 else None, operations=tuple(writer.operations), about=about,
    )  # fmt: skip


class Writer:
    """Writes the steps of a graph as operations.

    Args:
        modules: of the graph, by name.
        n_features: of the input.
    """

    def __init__(self, modules: dict[str, nn.Module], n_features: int) -> None:
        self.modules = modules
        self.operations: list[Operation] = []
        self.name_of: dict[fx.Node, str] = {}
        self.shape_of = {"frames": (n_features, 1)}

    def add(self, node: fx.Node) -> None:
        """Write a node; one that moves numbers about is what it reads, by another name."""
        if node.op in ("placeholder", "output") or node.target in (thinned, operator.getitem, getattr):
            return
        module = self.modules[str(node.target)] if node.op == "call_module" else None
        read = [self.name_of[one] for one in node.args if isinstance(one, fx.Node) and one in self.name_of]
        if isinstance(module, Quantizer):
            self.name_of[node] = "frames"
        elif isinstance(module, Step):
            self.name_of[node] = str(node.target)
            self.step(module, str(node.target), read)
        elif read:
            self.name_of[node] = read[0]
            if node.target == "unsqueeze" and node.args[1] == 1:
                self.name_of[node] = node.name
                shape = (1, self.shape_of[read[0]][0])
                self.shape_of[node.name] = shape
                self.operations.append(Operation("rows", (read[0],), node.name, shape))

    def write(
        self, kind: str, name: str, inputs: list[str], step: Step, *, shape: tuple[int, int],
        numbers: dict[str, Any] | None = None, arrays: dict[str, Array] | None = None,
    ) -> None:  # fmt: skip
        """Write a step with the levels of its output."""
        assert step.output is not None
        low, high, binary = step.output.levels
        low = max(low, 0) if step.relu else low
        self.shape_of[name] = shape
        self.operations.append(
            Operation(kind, tuple(inputs), name, shape, low, high, binary, numbers or {}, arrays or {})
        )

    def step(self, step: Step, name: str, inputs: list[str]) -> None:
        """Write a step of the graph."""
        channels, rows = shape = self.shape_of[inputs[0]]
        if isinstance(step, Product):
            self.product(step, name, inputs, rows)
        elif isinstance(step, Affine):
            weight, bias, of_weight = step.integers(rows)
            multiplier, shift = step.ratios(of_weight)
            arrays = {"weight": whole(weight), "bias": whole(bias), "multiplier": multiplier, "shift": shift}
            self.write("scale", name, inputs, step, shape=shape, arrays=arrays)
        elif isinstance(step, Sum):
            multipliers, shift = step.ratios()
            numbers = {"multiplier": [int(n) for n in multipliers], "shift": shift}
            most = (channels, max(self.shape_of[one][1] for one in inputs))
            self.write("add", name, inputs, step, shape=most, numbers=numbers)
        elif isinstance(step, MeanOverSomeTime):
            layer, (multiplier, shift) = step.parts[0], step.ratios()
            more = {"size": layer.size, "padding": list(time_padding(layer)), "multiplier": multiplier, "shift": shift}
            self.write("mean_frames", name, inputs, step, shape=shape, numbers=more)
        elif isinstance(step, MeanOverFrequency):
            multiplier, shift = step.ratios(rows)
            numbers = {"multiplier": multiplier, "shift": shift}
            self.write("mean_rows", name, inputs, step, shape=(channels, 1), numbers=numbers)
        elif isinstance(step, Recurrence):
            numbers, tensors = step.program()
            arrays = {name: whole(one) for name, one in tensors.items()}
            self.write("recurrent", name, inputs, step, shape=(step.n_hidden, 1), numbers=numbers, arrays=arrays)
        else:
            assert isinstance(step, Table)
            arrays, numbers = {"entries": whole(step.entries())}, {"offset": step.sources[0].levels.low}
            self.write("table", name, inputs, step, shape=shape, numbers=numbers, arrays=arrays)

    def product(self, step: Product, name: str, inputs: list[str], rows: int) -> None:
        """Write a convolution, or a linear layer over frames as one of 1 x 1."""
        weight, bias, of_weight = step.integers()
        multiplier, shift = step.ratios(weight, bias, of_weight)
        layer = step.parts[0]
        if isinstance(layer, nn.Linear):
            weight, shape = weight[:, :, None, None], (len(weight), rows)
            numbers = {"stride": [1, 1], "dilation": 1, "groups": 1, "padding": [0, 0], "row_padding": 0}
        else:
            taps, stride, padding = layer.height
            shape = (len(weight), (rows + 2 * padding - taps) // stride + 1)
            numbers = {
                "stride": list(layer.stride), "dilation": layer.dilation[1], "groups": layer.groups,
                "padding": list(time_padding(layer)), "row_padding": padding,
            }  # fmt: skip
        arrays = {"weight": whole(weight), "bias": whole(bias), "multiplier": multiplier, "shift": shift}
        self.write("conv", name, inputs, step, shape=shape, numbers=numbers, arrays=arrays)


def time_padding(layer: Any) -> tuple[int, int]:
    """Zeros before and after the frames of a layer over time."""
    before = layer.context if layer.causal else layer.context // 2
    return before, layer.context - before


def whole(x: torch.Tensor) -> Array:
    """Whole numbers of a tensor, int64."""
    return x.to(torch.int64).cpu().numpy()
