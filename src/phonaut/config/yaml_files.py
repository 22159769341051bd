"""YAML files of others, read within bounds of size, depth and what their aliases stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MOST_BYTES = 2**20  # the configuration of a run has some 5,000
MOST_NODES = 100_000  # with aliases written out
MOST_DEPTH = 40


def check_bounds(path: Path) -> str:
    """The text of a YAML file that can be read in bounded time and memory.

    Raises:
        ValueError: it is larger, deeper, or by aliases of aliases larger than any configuration.
        yaml.YAMLError: it is not YAML.
    """
    import yaml

    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"{path}: is larger than {MOST_BYTES / 2**20:g} MiB, and no configuration is")
    try:
        text = data.decode("utf-8-sig")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        n_nodes = count_nodes(root, {}, 0)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8: {error}") from error
    except RecursionError:
        raise ValueError(f"{path}: is nested more than {MOST_DEPTH} deep, and no configuration is") from None
    if n_nodes > MOST_NODES:
        raise ValueError(f"{path}: has more than {MOST_NODES:,} values with its aliases written out")
    return text


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
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(OmegaConf.create(check_bounds(path)))
    except (yaml.YAMLError, OmegaConfBaseException, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {' '.join(str(error).split())}") from error
