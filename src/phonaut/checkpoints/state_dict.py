"""Check, read and write state dictionaries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonaut.files import UNSEALED, check_zip, damage, read_sealed, sealed, write_bytes
from phonaut.names import shown

FOREIGN = re.compile(r"GLOBAL (\S+)")  # in the message of PyTorch's restricted reader

if TYPE_CHECKING:
    from torch import Tensor


def check_state_dict(expected: dict[str, Tensor], actual: dict[str, Tensor], where: str) -> None:
    """Refuse weights whose names or shapes are not those of a network.

    Raises:
        ValueError: names or shapes differ; all of them are told.
    """
    wrong = [f"{name} is missing" for name in sorted(expected.keys() - actual.keys())]
    wrong += [f"{shown(name)} is not known" for name in sorted(actual.keys() - expected.keys())]
    wrong += [
        f"{name} is {tuple(actual[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & actual.keys())
        if expected[name].shape != actual[name].shape
    ]
    if wrong:
        raise ValueError(f"{where} does not fit this model: {'; '.join(wrong)}")


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file with its checksum, atomically."""
    from safetensors.torch import save

    write_bytes(path, sealed(save({name: value.contiguous() for name, value in weights.items()}, UNSEALED)))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        ValueError: it is damaged.
    """
    from safetensors.torch import load

    data = read_sealed(path)
    try:
        return load(data)
    except Exception as error:  # SafetensorError, and whatever a type that torch does not know raises
        raise damage(path, error) from error


def model_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of the model among those of the module that trained it, under the model's own names."""
    prefix, state = "model.", checkpoint.get("state_dict", {})
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint of PyTorch: tensors and plain containers only, each as it was written.

    Raises:
        ValueError: it is damaged, or holds what would run code.
    """
    import torch

    try:
        check_zip(path)  # PyTorch does not compare the checksums
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # whatever a damaged archive makes the readers raise
        if foreign := FOREIGN.search(str(error)):
            what = f"{path} holds an object of {shown(foreign[1])}"
            raise ValueError(f"{what}: weights and plain containers are read, and no code is run") from error
        raise damage(path, error) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{path} is damaged: it holds no checkpoint")
    return checkpoint
