"""Sums over the processes of `torch.distributed`, each of which has frames of its own; without it, what goes in."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor


def several() -> bool:
    """Whether more than one process works on this."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def summed(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes."""
    if not several():
        return value
    value = value.clone()
    dist.all_reduce(value)
    return value


def of_first(value: Tensor) -> Tensor:
    """What the first process has."""
    if not several():
        return value
    value = value.clone()
    dist.broadcast(value, 0)
    return value
