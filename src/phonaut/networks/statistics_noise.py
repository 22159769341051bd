"""Noise on the statistics of hidden layers in training: speakers and microphones between and beyond those there are.

Li et al. 2022, "Uncertainty Modeling for Out-of-Distribution Generalization" (DSU, arXiv:2202.03958).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from phonaut.checks import refuse

N_BLOCKS = 2  # the first ones, where voice and channel are still to be heard
EPSILON = 1e-6


class StatisticsNoise:
    r"""A hook on layers `(B, D, ..., T)` that perturbs the mean and deviation over time of each item and channel.

        y = (s + e' S_s) (x - m) / s + m + e S_m,   e, e' standard normal for each item and channel

    `m` and `s` are over an item's valid frames, `S_m` and `S_s` their deviations over the batch (eq. 3 to 8). Nothing
    is done in evaluation, nor to a batch of one.

    Args:
        probability: part of the batches and layers that are perturbed.
    """

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        """The output of a layer that is called as `layer(x, mask)`; `mask (B, T)` or None is that of the output."""
        if not layer.training or len(output) < 2 or float(torch.rand(())) >= self.probability:
            return output
        return perturbed(output, inputs[1] if len(inputs) > 1 else None)

    @classmethod
    def attach(cls, network: nn.Module, probability: float) -> None:
        """Put it behind the first blocks of a network.

        Raises:
            ValueError: the network has no blocks.
        """
        refuse(blocks_problems(network, probability))
        for block in list(network.blocks)[:N_BLOCKS]:  # type: ignore[arg-type]
            block.register_forward_hook(cls(probability))


def blocks_problems(network: nn.Module, probability: float) -> list[str]:
    """The problem of a network that has no blocks to put the noise behind."""
    if isinstance(blocks := getattr(network, "blocks", None), nn.ModuleList) and len(blocks):
        return []
    return [
        f"module.statistics_noise={probability} goes behind the first blocks of a network, and "
        f"{type(network).__name__} has none: leave it out, or use model=tc-res8"
    ]


def perturbed(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x (B, D, ..., T)` with perturbed statistics; zero where `mask (B, T)` is."""
    shape = (len(x), *(1,) * (x.ndim - 2), x.shape[-1])
    inside = torch.ones(shape, dtype=x.dtype, device=x.device) if mask is None else mask.view(shape).to(x.dtype)
    axes = tuple(range(2, x.ndim))
    count = (inside.expand(len(x), 1, *x.shape[2:])).sum(dim=axes, keepdim=True)
    mean = (x * inside).sum(dim=axes, keepdim=True) / count
    centred = (x - mean) * inside
    deviation = (centred.square().sum(dim=axes, keepdim=True) / count + EPSILON).sqrt()
    new_mean, new_deviation = (
        statistic + torch.randn_like(statistic) * (statistic.var(dim=0, keepdim=True) + EPSILON).sqrt()
        for statistic in (mean, deviation)
    )
    return (centred / deviation * new_deviation + new_mean) * inside
