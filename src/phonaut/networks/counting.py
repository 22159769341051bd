"""Cost of a network: parameters, multiply-accumulates, activation memory, in all and layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm

from phonaut.networks.network import evaluating
from phonaut.networks.tracing import Trace

IN_PLACE = (_BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.PReLU)  # they can write over their input


class LayerSize(NamedTuple):
    """One layer with parameters, or one product of activations between layers.

    Attributes:
        name: as in `named_modules`; of a product, the operation.
        kind: class.
        output: shape of its result for one segment.
        parameters: of the layer itself; 0 where an earlier layer shares them.
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
            normalisations, rectifiers, sums and other elementwise steps are left out, as in the literature.
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
    """Cost of `network` on one segment of `n_frames` x `n_features`, measured by one run on zeros.

    Args:
        network: `(frames (B, T, D), lengths (B,)) -> scores`; left as it was.
        n_frames: T.
        n_features: D.

    Raises:
        ValueError: PyTorch's flop counter has no formula for an operation on parameters, or a layer did not run: a zero
            would be a false figure.

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
    like = next(network.parameters(), torch.zeros(()))
    frames = torch.zeros(1, n_frames, n_features, dtype=like.dtype, device=like.device)
    trace = Trace(IN_PLACE)
    products = sdpa_kernel(SDPBackend.MATH)  # attention as products of matrices, which the trace can count
    with evaluating(network), torch.no_grad(), products, trace.layers(owners), trace:
        whole = getattr(network, "exit_scores", network)  # all of a network that may answer early
        scores = whole(frames, torch.tensor([n_frames], device=like.device))
    idle = sorted(owners.keys() - {step.name for step in trace.steps})
    if idle:
        raise ValueError(f"layers that did not run cannot be counted: {', '.join(idle)}")
    if trace.unknown:
        raise ValueError(
            f"PyTorch's flop counter has no formula for {', '.join(sorted(trace.unknown))}: add one with "
            "torch.utils.flop_counter.register_flop_formula"
        )
    alive = trace.alive(frames, scores)
    counted: set[int] = set()
    layers = []
    for step, n_bytes in zip(trace.steps, alive, strict=True):
        if step.name is None and not step.macs:
            continue
        new = [p for p in owners[step.name].parameters(recurse=False) if id(p) not in counted] if step.name else []
        counted.update(id(p) for p in new)
        n_new = sum(p.numel() for p in new)
        layers.append(LayerSize(step.name or step.kind, step.kind, step.output, n_new, step.macs, n_bytes))
    return ModelSize(
        parameters=sum(p.numel() for p in network.parameters()),
        macs=sum(layer.macs for layer in layers),
        activation_bytes=max(alive, default=0),
        layers=tuple(layers),
    )
