"""Batch normalisation by the valid frames of a batch: of this process, or of all that train together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def total(x: Tensor) -> Tensor:
    """The sum over all processes, through which gradients go."""
    summed: Tensor = SumOfAll.apply(x)  # type: ignore[no-untyped-call]
    return summed


class SumOfAll(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Sum `x` over the processes."""
        summed = x.contiguous().clone()
        torch.distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Sum the gradients over the processes."""
        return total(gradients[0])


def share_statistics(model: nn.Module, shared: bool) -> None:
    """Let batch normalisation in training go by the frames of all processes, which must then compute together, or not.

    PyTorch's `SyncBatchNorm` knows neither masks nor CPUs.
    """
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.of_all = shared  # type: ignore[assignment]


def is_shared(norm: nn.Module) -> bool:
    """True where `share_statistics` said so."""
    return bool(getattr(norm, "of_all", False))


def normalized_by_valid(norm: Any, rows: Tensor, valid: Tensor) -> Tensor:
    """Rows `(N, D)` normalised by mean and biased variance of the valid ones, which enter the running statistics.

    Sums over frames are products with the mask: one pass each, and nothing waits for a GPU.

    Args:
        norm: a batch normalisation in training.
        rows: the frames, laid end to end.
        valid: 1 for valid frames, else 0, `(1, N)`, in the type of the statistics.
    """
    summed = total if is_shared(norm) else lambda x: x
    with torch.autocast(rows.device.type, enabled=False):
        n = summed(valid.sum())
        mean = (summed(valid @ rows) / n)[0]
        # Around a constant, the squares need no gradient through the mean: theirs is zero there.
        variance = (summed(valid @ (rows - mean.detach()).square()) / n)[0]
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * n / (n - 1).clamp_min(1.0), norm.momentum)
    scale: Tensor = torch.rsqrt(variance + norm.eps)
    if norm.weight is None:
        return (rows - mean) * scale
    scale = norm.weight * scale
    return torch.addcmul(norm.bias - mean * scale, rows, scale)
