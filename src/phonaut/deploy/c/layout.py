"""How a program runs in C: types, order, memory, multiply-accumulates."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.deploy.c.memory import Buffer, place
from phonaut.deploy.integer_program import Operation, Program

APART = ("linear", "mean_time")  # whose results lie in places of their own
POINTWISE = ("scale", "add", "table")  # may write where they read
INPUT = "frames"


@dataclass
class Value:
    """A result, frame by frame: rows of frequencies, in each all channels.

    Attributes:
        name: of the operation.
        c_type: of its numbers.
        channels: D.
        rows: F.
        low: least number.
        high: greatest.
        every: frames of the input to one of its own.
        frames: of a whole segment of the greatest length.
        history: in a stream, frames that are kept.
        place: byte at which it begins.
    """

    name: str
    c_type: str
    channels: int
    rows: int
    low: int
    high: int
    every: int = 1
    frames: int = 1
    history: int = 1
    place: int = 0

    @property
    def size(self) -> int:
        """Numbers of a frame."""
        return self.channels * self.rows

    @property
    def item(self) -> int:
        """Bytes of a number."""
        return 2 if "16" in self.c_type else 1

    @property
    def magnitude(self) -> int:
        """The greatest absolute value."""
        return max(abs(self.low), abs(self.high))


def c_type_of(low: int, high: int) -> str:
    """The least type that holds whole numbers of a range."""
    for bits in (8, 16, 32):
        if -(1 << bits - 1) <= low and high < 1 << bits - 1:
            return f"int{bits}_t"
        if low >= 0 and high < 1 << bits:
            return f"uint{bits}_t"
    return "int64_t"


def type_of(array: NDArray[Any]) -> str:
    """The least type that holds an array."""
    return c_type_of(int(array.min()), int(array.max())) if array.size else "int8_t"


@dataclass
class Layout:
    """The operations in their order with all that C needs to know.

    Attributes:
        program: of the network.
        streams: frame by frame with rings of history; else whole segments.
        operations: in the order in which they run; an exit as early as it can.
        values: by name.
        arena: bytes of what lives within a step, or a segment.
        rings: bytes of histories.
        macs: multiply-accumulates by operation: of a segment, or of a second... see `mac_unit`.
    """

    program: Program
    streams: bool
    operations: list[Operation]
    values: dict[str, Value]
    arena: int = 0
    rings: int = 0
    macs: dict[str, float] = field(default_factory=dict)
    ring_names: list[str] = field(default_factory=list)

    @property
    def period(self) -> int:
        """Frames of the input after which all strides have come round."""
        return math.lcm(*(one.every for one in self.values.values()))

    @property
    def score_type(self) -> str:
        """Of the scores of every exit."""
        types = {self.values[one.output].c_type for one in self.operations if one.kind == "linear"}
        return "int64_t" if "int64_t" in types else "int32_t"

    @property
    def pooled(self) -> dict[str, Value]:
        """Means over time, which lie apart: they may be wider than all else."""
        return {one.output: self.values[one.output] for one in self.operations if one.kind == "mean_time"}

    @property
    def base_type(self) -> str:
        """Of the numbers of the arena."""
        wide = [name for name, one in self.values.items() if one.item == 2 and name not in self.pooled]
        return "int16_t" if wide else "uint8_t"


def layout_of(program: Program, *, streams: bool, n_frames: int) -> Layout:
    """The layout of a program.

    Args:
        program: of a network.
        streams: keep histories and run frame by frame.
        n_frames: of the longest segment that is run whole.
    """
    operations = ordered(program, last_only=streams)
    first = Value(
        INPUT, c_type_of(program.low, program.high), program.n_features, 1, program.low, program.high, 1, n_frames
    )
    layout = Layout(program, streams, operations, {INPUT: first})
    for one in operations:
        layout.values[one.output] = value_of(one, [layout.values[name] for name in one.inputs])
        layout.macs[one.output] = macs_of(one, layout.values)
    if streams:
        for one in operations:
            source = layout.values[one.inputs[0]]
            source.history = max(source.history, context_of(one) + 1)
        for value in reversed(list(layout.values.values())):  # an alias is kept where it is read from
            origin = layout.values[origin_of(operations, value.name)]
            origin.history = max(origin.history, value.history)
    plan(layout)
    return layout


def ordered(program: Program, *, last_only: bool) -> list[Operation]:
    """The operations that exits need, each exit as soon as it can answer; or those of the last exit alone."""
    made = {one.output: one for one in program.operations}
    done: dict[str, Operation] = {}

    def add(name: str) -> None:
        if name in made and name not in done:
            for source in made[name].inputs:
                add(source)
            done[name] = made[name]

    for end in program.exits[-1:] if last_only else program.exits:
        add(end.output)
    return list(done.values())


def context_of(operation: Operation) -> int:
    """Earlier frames of its input that a result covers."""
    if operation.kind == "mean_frames":
        return int(operation.numbers["size"]) - 1
    return (
        int(operation.numbers["dilation"]) * (operation.arrays["weight"].shape[3] - 1)
        if operation.kind == "conv"
        else 0
    )


def stride_of(operation: Operation) -> int:
    """Frames of its input from one result to the next."""
    if operation.kind == "mean_frames":
        return int(operation.numbers["size"])
    return int(operation.numbers["stride"][1]) if operation.kind == "conv" else 1


def frames_of(operation: Operation, n: int) -> int:
    """Results of so many frames."""
    padding = sum(int(one) for one in operation.numbers.get("padding", (0, 0)))
    return (n + padding - context_of(operation) - 1) // stride_of(operation) + 1


def value_of(operation: Operation, inputs: list[Value]) -> Value:
    """The value of an operation."""
    (channels, rows), source = operation.shape, inputs[0]
    low, high, c_type = operation.low, operation.high, c_type_of(operation.low, operation.high)
    frames = frames_of(operation, source.frames)
    if operation.kind == "rows":
        low, high, c_type = source.low, source.high, source.c_type
    elif operation.kind == "mean_time":
        frames = 1
    elif operation.kind == "linear":
        most = int(
            (np.abs(operation.arrays["weight"]).sum(axis=1) * source.magnitude + np.abs(operation.arrays["bias"])).max()
        )
        low, high, c_type = -most, most, "int32_t" if most < 2**31 else "int64_t"
    every = source.every * stride_of(operation)
    return Value(operation.output, c_type, channels, rows, low, high, every, frames)


def macs_of(operation: Operation, values: dict[str, Value]) -> float:
    """Multiply-accumulates of a whole segment."""
    value = values[operation.output]
    if operation.kind == "conv":
        return value.frames * value.size * float(np.prod(operation.arrays["weight"].shape[1:]))
    if operation.kind == "linear":
        return float(operation.arrays["weight"].size)
    return float(value.frames * value.size) if operation.kind == "scale" else 0.0


def origin_of(operations: list[Operation], name: str) -> str:
    """Whose memory a value is: of one that only has another shape, that of its source."""
    for one in operations:
        if one.output == name and one.kind == "rows":
            return origin_of(operations, one.inputs[0])
    return name


def plan(layout: Layout) -> None:
    """Give every value its place."""
    values, operations = layout.values, layout.operations
    owner = {name: origin_of(operations, name) for name in values}
    last = dict.fromkeys(values, -1)
    for i, one in enumerate(operations):
        for name in one.inputs:
            last[owner[name]] = i
    if layout.streams:
        at = 0
        for name, value in values.items():
            if owner[name] == name and value.history > 1:
                layout.ring_names.append(name)
                value.place, at = at, at + even(value.history * value.size * value.item)
        layout.rings = at
    buffers: dict[str, Buffer] = {}
    for i, name in enumerate([INPUT, *(one.output for one in operations)]):
        step = operations[i - 1] if i else None
        value = values[name]
        if owner[name] != name or name in layout.ring_names or (step is not None and step.kind in APART):
            continue
        n_bytes = value.size * value.item * (1 if layout.streams else value.frames)
        if step is not None and step.kind in POINTWISE:
            for source in step.inputs:
                whose = owner[source]
                free = whose in buffers and buffers[whose].end == i - 1 == last[whose] and whose == source
                if free and buffers[whose].size == n_bytes and values[whose].item == value.item:
                    buffers[name] = buffers[whose]
                    buffers[name].end = max(last[name], i - 1)
                    break
        if name not in buffers:
            buffers[name] = Buffer(name, n_bytes, i - 1, max(last[name], i - 1))
    layout.arena = even(place(list({id(one): one for one in buffers.values()}.values()), 2))
    for name, buffer in buffers.items():
        values[name].place = buffer.offset
    for name in values:
        values[name].place = values[owner[name]].place


def even(n: int) -> int:
    """The next even number."""
    return n + n % 2
