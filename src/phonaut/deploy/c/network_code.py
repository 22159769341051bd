"""The lines of C that run a program, and what they need: arrays, descriptors, kernels."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.deploy.c.arrays import SHORT, Numbers, literal
from phonaut.deploy.c.layout import INPUT, Layout, Value, origin_of, type_of
from phonaut.deploy.integer_program import Operation

DESCRIPTOR_BYTES = {"conv": 56, "scale": 32, "add": 40, "mean_rows": 40, "mean_frames": 40, "mean_time": 24}


@dataclass
class NetworkCode:
    """Writes operations.

    Attributes:
        layout: of the program.
        arrays: weights.
        structs: lines that define descriptors.
        kernels: that are called, each for its types.
        lines: of the function that runs them.
    """

    layout: Layout
    window: int
    arrays: list[Numbers] = field(default_factory=list)
    structs: list[str] = field(default_factory=list)
    kernels: dict[str, dict[str, Any]] = field(default_factory=dict)
    dots: dict[str, dict[str, str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    n_bytes: int = 0
    counts: dict[str, str] = field(default_factory=lambda: {INPUT: "n"})

    def write(self) -> None:
        """Write all operations."""
        exits = 0
        for one in self.layout.operations:
            getattr(self, one.kind)(
                one, self.layout.values[one.output], [self.layout.values[name] for name in one.inputs]
            )
            self.n_bytes += DESCRIPTOR_BYTES.get(one.kind, 0)
            if one.kind == "linear":
                exits = self.after_exit(one, exits)
        text = " ".join(self.lines)
        self.lines = [line if is_read(line, text) else line.split(" = ", 1)[1] for line in self.lines]

    def after_exit(self, one: Operation, k: int) -> int:
        """What follows the scores of an exit."""
        program = self.layout.program
        if self.layout.streams:
            self.lines += [f"s->exit = {len(program.exits) - 1};", "return 1;"]
        elif one is program.exits[-1] or program.confidence is None:
            self.lines.append(f"s->exit = {k};")
        else:
            multiplier, shift = exponent_ratio(float(one.numbers["scale"]))
            self.lines += [f"s->exit = {k};", f"if (is_sure(s->scores, {multiplier}LL, {shift}))", "    return;"]
        return k + 1

    @property
    def multiplier_type(self) -> str:
        """Of all multipliers of channels."""
        most = max(
            (int(one.arrays["multiplier"].max()) for one in self.layout.operations if "multiplier" in one.arrays),
            default=0,
        )
        return "uint16_t" if most < 2**16 else "int32_t"

    def bytes_of(self, prefix: str) -> int:
        """Bytes of the arrays whose names begin so."""
        return sum(one.n_bytes for one in self.arrays if one.name.startswith(prefix))

    # --- places

    def pointer(self, value: Value) -> str:
        """Where a value lies; of one with a history, its newest frame."""
        if value.name in self.layout.pooled:
            return "s->pooled"
        origin = self.layout.values[origin_of(self.layout.operations, value.name)]
        if origin.name in self.layout.ring_names:
            k = self.layout.ring_names.index(origin.name)
            return f"({value.c_type} *)s->rings + {value.place // value.item} + s->places[{k}] * {value.size}"
        return f"({value.c_type} *)s->work.arena + {value.place // value.item}"

    def number(self, value: Value) -> str:
        """The number of frames that a value has, a name of C."""
        return self.counts.get(origin_of(self.layout.operations, value.name), f"n_{value.name}")

    def add_array(self, name: str, values: NDArray[Any], c_type: str | None = None) -> str:
        """Write an array down; its name."""
        self.arrays.append(Numbers(name, c_type or type_of(values), np.ascontiguousarray(values).reshape(-1)))
        self.n_bytes += self.arrays[-1].n_bytes
        return name

    def kernel(self, kind: str, **types: str) -> str:
        """The name of a kernel for types."""
        name = "_".join([kind, *(SHORT[one] for one in types.values())])
        self.kernels[name] = {"name": name, "kind": kind, **types}
        if kind in ("conv", "linear"):
            dot = "_".join(["dot", *(SHORT[types[one]] for one in ("x", "w", "acc"))])
            self.kernels[name]["dot"] = dot
            self.dots[dot] = {"name": dot, **types}
        return name

    def struct(self, kind: str, one: Operation, fields: list[Any]) -> str:
        """Write a descriptor; its name."""
        values = ", ".join(literal(int(x)) if isinstance(x, (int, np.integer)) else x for x in fields)
        name = f"l_{one.output}"
        self.structs.append(f"static const {kind} {name} = {{ {values} }};")
        return name

    def call(self, value: Value, line: str, taps: str = "") -> None:
        """Write a line: at once, or when its frame is due."""
        if not self.layout.streams:
            self.lines.append(line)
            return
        body = []
        if value.name in self.layout.ring_names:
            k = self.layout.ring_names.index(value.name)
            body.append(f"s->places[{k}] = (uint16_t)((s->places[{k}] + 1) % {value.history});")
        body += [one for one in (taps, line) if one]
        if value.every == 1:
            self.lines += ["{", *("    " + one for one in body), "}"]
        else:
            self.lines += [f"if (phase % {value.every} == 0) {{", *("    " + one for one in body), "}"]

    def taps(self, source: Value, n: int, dilation: int) -> str:
        """Pointers to the frames that a result covers, in a stream."""
        if n == 1:
            return f"const {source.c_type} *taps[1] = {{ {self.pointer(source)} }};"
        origin = self.layout.values[origin_of(self.layout.operations, source.name)]
        k, held = self.layout.ring_names.index(origin.name), origin.history
        first = held - dilation * (n - 1)
        slot = f"(s->places[{k}] + {first} + t * {dilation}) % {held}"
        return (
            f"const {source.c_type} *taps[{n}]; for (int t = 0; t < {n}; t++) "
            f"taps[t] = ({source.c_type} *)s->rings + {source.place // source.item} + {slot} * {source.size};"
        )

    # --- operations

    def ends(self, one: Operation) -> list[Any]:
        """The levels of the result."""
        return [one.low, one.high, int(one.binary)]

    def ratios(self, one: Operation, order: Any = None) -> list[str]:
        """Multipliers and shifts by channel."""
        multiplier, shift = (
            one.arrays[name] if order is None else one.arrays[name].transpose(order) for name in ("multiplier", "shift")
        )
        return [
            self.add_array(f"m_{one.output}", multiplier, self.multiplier_type),
            self.add_array(f"s_{one.output}", shift, "uint8_t"),
        ]

    def rows(self, one: Operation, value: Value, inputs: list[Value]) -> None:
        """The same numbers by another shape."""

    def conv(self, one: Operation, value: Value, inputs: list[Value]) -> None:
        """A convolution."""
        source, numbers, weight = inputs[0], one.numbers, one.arrays["weight"]
        acc = sums_of(one.output, np.abs(weight).reshape(len(weight), -1).sum(axis=1), source, one)
        w = self.add_array(f"w_{one.output}", weight.transpose(0, 3, 2, 1))
        name = self.kernel("conv", x=source.c_type, w=self.arrays[-1].c_type, acc=acc, y=value.c_type)
        bias = self.add_array(f"b_{one.output}", one.arrays["bias"], acc)
        n_taps, height = weight.shape[3], weight.shape[2]
        layer = self.struct("conv_t", one, [
            w, bias, *self.ratios(one), source.channels, source.rows, value.channels, value.rows, n_taps,
            numbers["dilation"], numbers["stride"][1], numbers["padding"][0], sum(numbers["padding"]), height,
            numbers["stride"][0], numbers["row_padding"], numbers["groups"], *self.ends(one),
        ])  # fmt: skip
        if self.layout.streams:
            self.call(
                value, f"{name}(taps, &{layer}, {self.pointer(value)});", self.taps(source, n_taps, numbers["dilation"])
            )
        else:
            self.over_frames(name, layer, value, source)

    def over_frames(self, name: str, layer: str, value: Value, source: Value) -> None:
        """Write the call of a kernel for all frames, whose results are fewer."""
        given = f"{self.pointer(source)}, {self.number(source)}, &{layer}, {self.pointer(value)}"
        self.call(value, f"const int {self.number(value)} = {name}_all({given});")

    def mean_frames(self, one: Operation, value: Value, inputs: list[Value]) -> None:
        """The mean of some frames."""
        source, numbers = inputs[0], one.numbers
        name = self.kernel("mean_frames", x=source.c_type, y=value.c_type)
        padding = numbers["padding"]
        layer = self.struct("mean_t", one, [numbers["multiplier"], numbers["shift"], value.channels, value.rows,
                                            numbers["size"], padding[0], sum(padding), *self.ends(one)])  # fmt: skip
        if self.layout.streams:
            self.call(value, f"{name}(taps, &{layer}, {self.pointer(value)});", self.taps(source, numbers["size"], 1))
        else:
            self.over_frames(name, layer, value, source)

    def plain(self, one: Operation, value: Value, inputs: list[Value], call: str) -> None:
        """An operation of as many results as frames; `call` has a place for their number."""
        if self.layout.streams:
            self.call(value, call.format(n=1))
        else:
            self.counts[value.name] = self.number(inputs[0])
            self.call(value, call.format(n=self.number(inputs[0])))

    def scale(self, one: Operation, value: Value, inputs: list[Value]) -> None:
        """A product with a number for each channel and row."""
        source, weight = inputs[0], one.arrays["weight"]
        acc = sums_of(one.output, np.abs(weight), source, one)
        w = self.add_array(f"w_{one.output}", weight.T)
        name = self.kernel("scale", x=source.c_type, w=self.arrays[-1].c_type, acc=acc, y=value.c_type)
        bias = self.add_array(f"b_{one.output}", one.arrays["bias"].T, acc)
        layer = self.struct("scale_t", one, [w, bias, *self.ratios(one, (1, 0)), value.size, *self.ends(one)])
        self.plain(one, value, inputs, f"{name}({self.pointer(source)}, {{n}}, &{layer}, {self.pointer(value)});")

    def add(self, one: Operation, value: Value, inputs: list[Value]) -> None:
        """A sum."""
        a, b = inputs
        name = self.kernel("add", x=a.c_type, x2=b.c_type, y=value.c_type)
        layer = self.struct("add_t", one, [*one.numbers["multiplier"], one.numbers["shift"], value.channels, value.rows,
                                           a.rows, b.rows, *self.ends(one)])  # fmt: skip
        self.plain(
            one, value, inputs, f"{name}({self.pointer(a)}, {self.pointer(b)}, {{n}}, &{layer}, {self.pointer(value)});"
        )

    def mean_rows(self, one: Operation, value: Value, inputs: list[Value]) -> None:
        """The mean over frequencies."""
        source, numbers = inputs[0], one.numbers
        name = self.kernel("mean_rows", x=source.c_type, y=value.c_type)
        layer = self.struct("mean_t", one, [numbers["multiplier"], numbers["shift"], value.channels, source.rows, 1, 0,
                                            0, *self.ends(one)])  # fmt: skip
        self.plain(one, value, inputs, f"{name}({self.pointer(source)}, {{n}}, &{layer}, {self.pointer(value)});")

    def table(self, one: Operation, value: Value, inputs: list[Value]) -> None:
        """A function of one number."""
        name = self.kernel("table", x=inputs[0].c_type, y=value.c_type)
        entries = self.add_array(f"t_{one.output}", one.arrays["entries"], value.c_type)
        more = f"{literal(one.numbers['offset'])}, {entries}, {self.pointer(value)}"
        self.plain(one, value, inputs, f"{name}({self.pointer(inputs[0])}, {{n}} * {value.size}, {more});")

    def mean_time(self, one: Operation, value: Value, inputs: list[Value]) -> None:
        """The mean over time: of a segment, or of the last hidden frames of a stream."""
        source, numbers = inputs[0], one.numbers
        n_most = self.window if self.layout.streams else source.frames
        if source.magnitude * n_most >= 2**31:
            raise ValueError(f"{n_most} hidden frames are more than 32 bits can add: take shorter clips")
        name = self.kernel("mean_time", x=source.c_type, y=value.c_type)
        layer = self.struct("over_time_t", one, [value.channels, numbers["over"], numbers["under"], *self.ends(one)])
        if not self.layout.streams:
            self.call(value, f"{name}({self.pointer(source)}, {self.number(source)}, &{layer}, {self.pointer(value)});")
            return
        w, hidden = self.window, self.pointer(source)
        self.lines += [
            f"if (phase % {source.every})",
            "    return 0;",
            f"const {source.c_type} *hidden = {hidden};",
            f"{value.c_type} *mean = {self.pointer(value)};",
            f"{source.c_type} *oldest = s->hidden[s->n_hidden % {w}];",
            f"const int32_t n = s->n_hidden < {w} ? (int32_t)s->n_hidden + 1 : {w};",
            f"for (int d = 0; d < {value.channels}; d++) {{",
            f"    s->sums[d] += hidden[d] - (s->n_hidden < {w} ? 0 : oldest[d]);",
            "    oldest[d] = hidden[d];",
            f"    mean[d] = ({value.c_type}){name}_one(s->sums[d], n, &{layer});",
            "}",
            f"if (++s->n_hidden == {2 * w})",
            f"    s->n_hidden = {w};",
        ]

    def linear(self, one: Operation, value: Value, inputs: list[Value]) -> None:
        """Scores."""
        source = inputs[0]
        weight, acc = one.arrays["weight"], self.layout.score_type
        w = self.add_array(f"w_{one.output}", weight)
        name = self.kernel("linear", x=source.c_type, w=self.arrays[-1].c_type, acc=acc)
        bias = self.add_array(f"b_{one.output}", one.arrays["bias"], acc)
        self.lines.append(f"{name}({self.pointer(source)}, {source.channels}, {w}, {bias}, s->scores);")


def is_read(line: str, text: str) -> bool:
    """Whether a line declares no number of frames, or one that is read in the text of all lines."""
    name = line.split()[2] if line.startswith("const int n_") else ""
    return not name or len(re.findall(rf"\b{name}\b", text)) > 1


def sums_of(name: str, weights: NDArray[Any], source: Value, one: Operation) -> str:
    """The type of sums of products; their product with a multiplier must fit 64 bits."""
    most = weights * source.magnitude + np.abs(one.arrays["bias"])
    if (most.astype(float) * one.arrays["multiplier"] + 2.0 ** (one.arrays["shift"] - 1)).max() >= 2.0**63 or (
        one.arrays["multiplier"].max() >= 2**31
    ):
        raise ValueError(f"{name}: its sums need more than 64 bits")
    return "int32_t" if most.max() < 2**31 else "int64_t"


def exponent_ratio(scale: float) -> tuple[int, int]:
    """`scale log2(e) 2^30` as a multiplier of 31 bits and a shift."""
    mantissa, exponent = np.frexp(scale * np.log2(np.e) * 2.0**30)
    shift = 31 - int(exponent)
    if shift < 0:
        raise ValueError("scores of an exit are too coarse to be sure of: use more bits")
    return round(float(mantissa) * 2**31), shift
