"""Configuration groups: the YAML files from which a run's nodes are chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phonaut.config.nodes import Node
from phonaut.config.plugins import config_dirs

if TYPE_CHECKING:
    from omegaconf import DictConfig


def resolved(config: DictConfig) -> Node:
    """Plain containers, with all interpolations replaced by their values."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=True)
    return plain  # type: ignore[no-any-return]


def node_of_group(group: str, name: str, values: Node, root: Node) -> Node:
    """The node of a choice alone, outside of any run.

    Args:
        group: such as `dataset`.
        name: of a choice in it.
        values: options that replace those of the choice.
        root: root keys that the node may refer to.

    Raises:
        ValueError: the choice has no such option.
    """
    from omegaconf import DictConfig, OmegaConf

    files = (folder / group / f"{name}.yaml" for folder in config_dirs())
    node = OmegaConf.load(next(file for file in files if file.exists()))
    assert isinstance(node, DictConfig)
    node.pop("defaults", None)
    unknown = [key for key in values if key not in node]
    if unknown:
        takes = ", ".join(str(key) for key in node if key not in ("_target_", "target"))
        raise ValueError(f"{name} takes no {', '.join(unknown)}; it takes {takes}")
    plain: Node = resolved(OmegaConf.create({**root, group: OmegaConf.merge(node, values)}))[group]
    return plain
