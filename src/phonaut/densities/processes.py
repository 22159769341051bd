"""Reductions over the processes of `torch.distributed`, each with frames of its own; without it, the identity."""

from __future__ import annotations

import sys
from typing import Any, TypeVar

import numpy as np

Value = TypeVar("Value", bound=Any)  # a tensor or an array of numbers


def several() -> bool:
    """Tell whether several processes work together; who has not imported torch works alone."""
    dist: Any = sys.modules.get("torch.distributed")
    return bool(dist and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)


def all_reduce(value: Value) -> Value:
    """The sum of a tensor or an array over all processes."""
    return _collective(value, lambda dist, tensor: dist.all_reduce(tensor))


def broadcast(value: Value) -> Value:
    """A tensor or an array of the first process."""
    return _collective(value, lambda dist, tensor: dist.broadcast(tensor, 0))


def _collective(value: Value, operation: Any) -> Value:
    if not several():
        return value
    import torch

    is_array = isinstance(value, np.ndarray)
    tensor: Any = torch.from_numpy(np.array(value)) if is_array else value.clone()
    operation(torch.distributed, tensor)
    result: Value = tensor.numpy() if is_array else tensor
    return result
