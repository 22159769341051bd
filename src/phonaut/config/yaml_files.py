"""YAML files of others, read within bounds of size, depth and what their aliases stand for."""

from __future__ import annotations

import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

MOST_BYTES = 2**20  # the configuration of a run has some 5,000
MOST_NODES = 100_000  # with aliases written out
MOST_DEPTH = 40
MOST_KEPT = 2**15  # bytes of a text whose content is kept, for a run reads the same files again and again


def check_bounds(path: Path) -> str:
    """The text of a YAML file that can be read in bounded time and memory.

    Raises:
        ValueError: it is larger, deeper, or by aliases of aliases larger than any configuration.
        yaml.YAMLError: it is not YAML.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path}: is larger than {MOST_BYTES / 2**20:g} MiB, and no configuration is")
    try:
        text = data.decode("utf-8-sig")
        n_nodes = (n_values if len(text) <= MOST_KEPT else n_values.__wrapped__)(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8: {error}") from error
    except RecursionError:
        raise ValueError(f"{path}: is nested more than {MOST_DEPTH} deep, and no configuration is") from None
    if n_nodes > MOST_NODES:
        raise ValueError(f"{path}: has more than {MOST_NODES:,} values with its aliases written out")
    return text


@lru_cache(maxsize=128)
def n_values(text: str) -> int:
    """The number of values of a YAML text, by `count_nodes`."""
    import yaml

    return count_nodes(yaml.compose(text, Loader=yaml.SafeLoader), {}, 0)


def count_nodes(node: Any, known: dict[int, int], depth: int) -> int:
    """The number of values of a YAML node, those that aliases repeat counted each time.

    Raises:
        RecursionError: it is nested too deeply, or within itself.
    """
    if depth > MOST_DEPTH:
        raise RecursionError
    if id(node) not in known:
        parts = getattr(node, "value", None)
        pairs = (part for part in parts for part in (part if isinstance(part, tuple) else (part,))) if isinstance(
            parts, list) else ()  # fmt: skip
        known[id(node)] = 1 + sum(count_nodes(part, known, depth + 1) for part in pairs)
    return known[id(node)]


def read_yaml(path: Path) -> Any:
    """The content of a YAML file as plain containers, interpolations left as text.

    Raises:
        ValueError: it is not YAML, or out of bounds.
    """
    import yaml
    from omegaconf.errors import OmegaConfBaseException

    try:
        text = check_bounds(path)
        return copy.deepcopy(containers(text)) if len(text) <= MOST_KEPT else containers.__wrapped__(text)
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {' '.join(str(error).split())}") from error


@lru_cache(maxsize=128)
def containers(text: str) -> Any:
    """The content of a YAML text."""
    from omegaconf import OmegaConf

    return OmegaConf.to_container(OmegaConf.create(text))
