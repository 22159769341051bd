"""What a network costs: parameters, multiply-accumulates, activation memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

BYTES = 4  # float32


class LayerSize(NamedTuple):
    """One layer that has parameters."""

    name: str
    kind: str
    parameters: int
    macs: int
    activation_bytes: int


@dataclass(frozen=True)
class ModelSize:
    """The cost of one segment.

    Attributes:
        parameters: trained numbers (statistics of batch normalisation are not).
        macs: multiply-accumulates of convolutions, linear and recurrent layers; normalisations, rectifiers and sums are
            left out, as in the literature.
        activation_bytes: the largest input and output that one layer needs at once, in float32: what a device must
            hold beside the weights when it runs layer by layer (less what a residual block keeps for its shortcut).
        layers: all of this layer by layer.
    """

    parameters: int
    macs: int
    activation_bytes: int
    layers: tuple[LayerSize, ...]


def count(network: nn.Module, n_frames: int, n_features: int) -> ModelSize:
    """Cost of `network` on one segment of `n_frames` x `n_features`.

    Raises:
        ValueError: a layer has parameters and no rule to count by; a silent zero would be a false figure.
    """
    was_training = network.training
    layers: list[LayerSize] = []

    def measure(name: str, layer: nn.Module) -> Any:
        def hook(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            result = output[0] if isinstance(output, tuple) else output
            size = BYTES * (inputs[0].numel() + result.numel())
            own = sum(p.numel() for p in layer.parameters(recurse=False))
            layers.append(LayerSize(name, type(layer).__name__, own, macs_of(layer, inputs[0], result), size))

        return layer.register_forward_hook(hook)

    handles = [
        measure(name, layer)
        for name, layer in network.named_modules()
        if any(True for _ in layer.parameters(recurse=False))
    ]
    device = next(network.parameters()).device
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, n_frames, n_features, device=device), torch.tensor([n_frames], device=device))
    finally:
        for handle in handles:
            handle.remove()
        network.train(was_training)
    return ModelSize(
        parameters=sum(p.numel() for p in network.parameters()),
        macs=sum(layer.macs for layer in layers),
        activation_bytes=max((layer.activation_bytes for layer in layers), default=0),
        layers=tuple(layers),
    )


def macs_of(layer: nn.Module, x: Tensor, y: Tensor) -> int:
    """Multiply-accumulates of one layer from its input and output."""
    if isinstance(layer, nn.Linear):
        return y.numel() * layer.in_features
    if isinstance(layer, (nn.Conv1d, nn.Conv2d)):
        return y.numel() * (layer.in_channels // layer.groups) * int(torch.tensor(layer.kernel_size).prod())
    if isinstance(layer, nn.RNNBase):  # RNN, GRU, LSTM: every weight is used once a frame
        weights = sum(p.numel() for name, p in layer.named_parameters() if name.startswith("weight"))
        return x.shape[0] * x.shape[1] * weights
    if isinstance(layer, (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.Embedding)):
        return 0
    raise ValueError(f"no rule counts the operations of {type(layer).__name__}: add one to phonaut.networks.counting")
