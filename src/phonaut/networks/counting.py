"""What a network costs: parameters, multiply-accumulates, activation memory, in all and layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from phonaut.networks.tracing import Trace

IN_PLACE = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.PReLU)  # they can write over their input

# Multiply-accumulates of (layer, input, output). A network with layers of another kind adds its rule here.
MACS: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], int]] = {
    nn.Linear: lambda layer, x, y: y.numel() * layer.in_features,
    _ConvTransposeNd: lambda layer, x, y: x.numel() * layer.out_channels // layer.groups * math.prod(layer.kernel_size),
    _ConvNd: lambda layer, x, y: y.numel() * layer.in_channels // layer.groups * math.prod(layer.kernel_size),
    nn.RNNBase: lambda layer, x, y: x.numel() // x.shape[-1] * matrix_weights(layer),
    nn.Embedding: lambda layer, x, y: 0,
    **dict.fromkeys(IN_PLACE, lambda layer, x, y: 0),
}


class LayerSize(NamedTuple):
    """One layer with parameters, or one product of activations between layers.

    Attributes:
        name: as in `named_modules`; of a product, the operation.
        kind: class.
        output: shape of its result for one segment.
        parameters: its own; 0 where they were those of a layer before.
        macs: multiply-accumulates.
        activation_bytes: alive while it runs.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class ModelSize:
    """The cost of one segment.

    Attributes:
        parameters: learned numbers, frozen ones too (running statistics of batch normalisation are none).
        macs: multiply-accumulates of convolutions, linear and recurrent layers and products of matrices. Biases,
            normalisations, rectifiers and sums are left out, as in the literature.
        activation_bytes: the least memory beside the weights that runs the network step by step in its order: the
            peak over the steps of what is alive, in float32. Alive are the inputs and outputs of a step, and every
            result before it that a later step still reads (the input of a residual block until its shortcut is done).
            Normalisations and other elementwise steps write over an input that nobody reads again; zeros at the edges
            of a convolution take no memory; what goes on within a layer (gates) is not counted.
        layers: all of this layer by layer, in the order of execution.
    """

    parameters: int
    macs: int
    activation_bytes: int
    layers: tuple[LayerSize, ...]


def count(network: nn.Module, n_frames: int, n_features: int) -> ModelSize:
    """Cost of `network` on one segment of `n_frames` x `n_features`, found by running it once on zeros.

    Args:
        network: `(frames (B, T, D), lengths (B,)) -> scores`; left as it was.
        n_frames: T.
        n_features: D.

    Raises:
        ValueError: a layer has parameters and no rule counts its operations, or it did not run: a silent zero would be
            a false figure.

    >>> class Mean(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.linear = nn.Linear(3, 2)
    ...
    ...     def forward(self, frames, lengths):
    ...         return self.linear(frames.mean(dim=1))
    >>> size = count(Mean(), n_frames=5, n_features=3)
    >>> size.parameters, size.macs, size.activation_bytes
    (8, 6, 72)
    """
    owners = {
        name or type(layer).__name__: layer
        for name, layer in network.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
    }
    unknown = sorted(f"{name} ({type(layer).__name__})" for name, layer in owners.items() if rule_of(layer) is None)
    if unknown:
        raise ValueError(
            f"no rule counts the operations of {', '.join(unknown)}: add one to phonaut.networks.counting.MACS"
        )
    like = next(network.parameters(), torch.zeros(()))
    frames = torch.zeros(1, n_frames, n_features, dtype=like.dtype, device=like.device)
    trace = Trace(macs_of, IN_PLACE)
    products = sdpa_kernel(SDPBackend.MATH)  # attention as products of matrices, which the trace can count
    with evaluating(network), torch.no_grad(), products, trace.layers(owners), trace:
        scores = network(frames, torch.tensor([n_frames], device=like.device))
    idle = sorted(owners.keys() - {step.name for step in trace.steps})
    if idle:
        raise ValueError(f"layers that did not run cannot be counted: {', '.join(idle)}")
    alive = trace.alive(frames, scores)
    counted: set[int] = set()
    layers = []
    for step, n_bytes in zip(trace.steps, alive, strict=True):
        if step.name is None and not step.macs:
            continue
        own = [p for p in owners[step.name].parameters(recurse=False) if id(p) not in counted] if step.name else []
        counted.update(id(p) for p in own)
        n_own = sum(p.numel() for p in own)
        layers.append(LayerSize(step.name or step.kind, step.kind, step.output, n_own, step.macs, n_bytes))
    return ModelSize(
        parameters=sum(p.numel() for p in network.parameters()),
        macs=sum(layer.macs for layer in layers),
        activation_bytes=max(alive, default=0),
        layers=tuple(layers),
    )


def macs_of(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    """Multiply-accumulates of a layer that a rule counts, from its input and output."""
    rule = rule_of(layer)
    assert rule is not None
    return rule(layer, x, y)


def rule_of(layer: nn.Module) -> Callable[[Any, Tensor, Tensor], int] | None:
    """How the operations of `layer` are counted; None: no rule says."""
    return next((rule for kind, rule in MACS.items() if isinstance(layer, kind)), None)


def matrix_weights(layer: nn.RNNBase) -> int:
    """Weights of a recurrent layer without its biases: each is used once a frame."""
    return sum(p.numel() for name, p in layer.named_parameters() if name.startswith("weight"))


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """In evaluation mode while the context lasts; then each module is in the mode that it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
