"""One run of a network as a list of steps, and how much memory is alive during each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

BYTES = 4  # float32
COUNTED_APART = (nn.RNNBase, nn.Embedding)  # by a rule of ours, and none at all


class Step(NamedTuple):
    """One layer, or one operation between layers.

    Attributes:
        name: of the layer; None between layers.
        kind: class of the layer, or the operation.
        output: shape of its result for one segment.
        macs: multiply-accumulates.
        inputs: buffers that it reads.
        outputs: buffers that it writes.
        in_place: it can write over an input that nobody reads again.
    """

    name: str | None
    kind: str
    output: tuple[int, ...]
    macs: int
    inputs: frozenset[int]
    outputs: frozenset[int]
    in_place: bool


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the steps of one run: layers as a whole, and the operations between them.

    A buffer is one piece of memory: views of a tensor (transposed, sliced) are the same buffer, and so is a copy with
    zeros around it, which a convolution that pads by itself would not need. Integers (lengths, masks) are left out.

    Multiply-accumulates are those of PyTorch's flop counter; it knows no recurrent layers, of which each weight is used
    once a frame.

    Args:
        in_place: kinds of layers that can write over their input.

    Attributes:
        steps: of the run, in order.
        unknown: operations on parameters that are not elementwise and have no formula.
    """

    def __init__(self, in_place: tuple[type[nn.Module], ...]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.in_place = in_place
        self.steps: list[Step] = []
        self.n_bytes: dict[int, int] = {}
        self.held: list[Tensor] = []  # no memory is given back during the run, so that its address names a buffer
        self.padded: dict[int, int] = {}  # buffer -> the one that it is a copy of, with zeros around it
        self.running: list[tuple[nn.Module, list[int]]] = []  # layers, and multiply-accumulates of their operations
        self.unknown: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation; between layers, record it."""
        result = func(*args, **(kwargs or {}))
        kind, macs = func._schema.name.removeprefix("aten::"), product_macs(func, args, kwargs or {}, result)
        if self.running:
            layer, counts = self.running[-1]
            counts.append(macs)
            counted = func.overloadpacket in flop_registry or isinstance(layer, (*self.in_place, *COUNTED_APART))
            if not (counted or func.is_view or torch.Tag.pointwise in func.tags) and reads_parameter(args):
                self.unknown.add(f"{kind} of {type(layer).__name__}")
            return result
        inputs = self.buffers(args, kwargs)
        if kind == "constant_pad_nd":
            self.held.append(result)
            self.padded[address(result)] = next(iter(inputs))
            return result
        outputs = self.buffers(result)
        if macs or outputs - inputs:
            shape = tuple(result.shape[1:]) if isinstance(result, Tensor) else ()
            pointwise = torch.Tag.pointwise in func.tags
            self.steps.append(Step(None, kind, shape, macs, inputs, outputs, pointwise))
        return result

    @contextmanager
    def layers(self, layers: Mapping[str, nn.Module]) -> Iterator[None]:
        """Record each of `layers` as one step while the context lasts."""

        def before(layer: nn.Module, _: Any) -> None:
            self.running.append((layer, []))

        def after(name: str) -> Callable[..., None]:
            def record(layer: nn.Module, inputs: Any, output: Any) -> None:
                macs = sum(self.running.pop()[1])
                if isinstance(layer, nn.RNNBase):
                    weights = sum(p.numel() for name, p in layer.named_parameters() if name.startswith("weight"))
                    macs = weights * (first_tensor(inputs).numel() // layer.input_size)
                kind, shape = type(layer).__name__, tuple(first_tensor(output).shape[1:])
                in_place = isinstance(layer, self.in_place)
                self.steps.append(Step(name, kind, shape, macs, self.buffers(inputs), self.buffers(output), in_place))

            return record

        handles = [layer.register_forward_pre_hook(before) for layer in layers.values()]
        handles += [layer.register_forward_hook(after(name)) for name, layer in layers.items()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def buffers(self, *values: Any) -> frozenset[int]:
        """The buffers of all activations among `values`."""
        names = set()
        for tensor in tree_leaves(values):
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not isinstance(tensor, nn.Parameter):
                name = self.padded.get(address(tensor), address(tensor))
                self.n_bytes.setdefault(name, BYTES * (tensor.untyped_storage().nbytes() // tensor.element_size()))
                self.held.append(tensor)
                names.add(name)
        return frozenset(names)

    def alive(self, frames: Tensor, result: Any) -> list[int]:
        """Bytes alive during each step of the run from `frames` to `result`."""
        last_read = dict.fromkeys(self.buffers(result), len(self.steps))
        for i, step in reversed(list(enumerate(self.steps))):
            for name in step.inputs:
                last_read.setdefault(name, i)
        made = dict.fromkeys(self.buffers(frames), -1)
        needed = []
        for i, step in enumerate(self.steps):
            for name in step.outputs:
                made.setdefault(name, i)
            there = {name for name in made if last_read.get(name, made[name]) >= i}
            total = sum(self.n_bytes[name] for name in there)
            written = sum(self.n_bytes[name] for name in step.outputs)
            done = [self.n_bytes[name] for name in step.inputs if last_read[name] == i and name in made]
            needed.append(total - written if step.in_place and written in done else total)
        return needed


def reads_parameter(values: Any) -> bool:
    """True where a parameter is among the arguments of an operation."""
    return any(isinstance(value, nn.Parameter) for value in tree_leaves(values))


def product_macs(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    """Multiply-accumulates of an operation between layers: those of products of matrices, else 0."""
    cost = flop_registry.get(func.overloadpacket)
    # an addition and a multiplication are two of its operations
    return int(cost(*args, **kwargs, out_val=result)) // 2 if cost else 0


def address(tensor: Tensor) -> int:
    """Address of the memory of a tensor."""
    return tensor.untyped_storage().data_ptr()


def first_tensor(values: Any) -> Tensor:
    """The first tensor among a layer's inputs or outputs; of packed sequences their frames."""
    return next(value for value in tree_leaves(values) if isinstance(value, Tensor))
