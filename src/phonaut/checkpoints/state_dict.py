"""Check and read state dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def check_state_dict(expected: dict[str, Tensor], actual: dict[str, Tensor], where: str) -> None:
    """Refuse weights whose names or shapes are not those of a network.

    Raises:
        ValueError: names or shapes differ; all of them are told.
    """
    wrong = [f"{name} is missing" for name in sorted(expected.keys() - actual.keys())]
    wrong += [f"{name} is not known" for name in sorted(actual.keys() - expected.keys())]
    wrong += [
        f"{name} is {tuple(actual[name].shape)}, not {tuple(expected[name].shape)}"
        for name in sorted(expected.keys() & actual.keys())
        if expected[name].shape != actual[name].shape
    ]
    if wrong:
        raise ValueError(f"{where} does not fit this model: {'; '.join(wrong)}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        ValueError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
