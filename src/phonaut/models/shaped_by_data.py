"""Networks whose parameters have shapes that follow from the data: what EM and verification systems are trained to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def adopt_shapes(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give the networks in a model the tensors of its `state_dict` whose shapes follow from the data.

    Such are those that have `adopt`, wherever they stand: alone, or in an encoder in front of another network.
    """
    for name, module in model.named_modules():
        if name.endswith("network") and (adopt := getattr(module, "adopt", None)):
            adopt(weights, prefix=f"{name}.")


class ShapedByData(nn.Module):
    """A network that has its parameters elsewhere; `state_dict` reads them there, and loading sets them there.

    Their names have a colon, which no other part of a network has. The one `nn.Parameter` is what Lightning's
    optimizer and ddp ask for; it is not saved.
    """

    def __init__(self) -> None:
        super().__init__()
        self.placeholder = nn.Parameter(torch.zeros(1))

    def tensors(self) -> dict[str, Tensor]:
        """Parameters by name, each with a colon; none before training."""
        return {}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set parameters.

        Raises:
            ValueError: some are missing, or make no sense.
        """

    def adopt(self, weights: Mapping[str, Tensor], prefix: str = "") -> None:
        """Take the parameters of a trained model, with their shapes, from its `state_dict`. Errors are those above."""
        names = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        self.load_tensors({name: value for name, value in names.items() if ":" in name and "." not in name})

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        destination.update({prefix + name: value for name, value in self.tensors().items()})

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        self.adopt(state_dict, prefix)
