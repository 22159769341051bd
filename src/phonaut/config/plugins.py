"""Folders of configuration files: ours, those of installed packages, and those that a user adds.

A folder holds one YAML file per choice, `GROUP/NAME.yaml`. Its class or function is named by `_target_`, and lies in an
installed package or in a module beside the folder. Two groups are registries, in which every file counts: `metric` and
`command`; in `recipes` a file is a list of words (`recipes.py`).
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonaut.config.nodes import Node
from phonaut.config.yaml_files import check_bounds, read_yaml
from phonaut.files import expanded

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONF = Path(__file__).parent / "conf"
ENTRY_POINTS = "phonaut.plugins"
REGISTRIES = ("command", "metric", "recipes")

_added: list[Path] = []


def add_config_dir(path: Path | str) -> None:
    """Add a folder of configuration files; modules beside it can be imported from then on.

    Args:
        path: holds `GROUP/NAME.yaml`; one that was added before changes nothing.

    Raises:
        ValueError: there is no such folder, it names a choice that there is already, or a file in it is out of bounds.
    """
    import yaml

    folder = expanded(path).resolve()
    if folder in config_dirs():
        return
    if not folder.is_dir():
        raise ValueError(f"--config-dir {path}: there is no such folder")
    check_names([*config_dirs(), folder])
    for file in folder.rglob("*.yaml"):
        with suppress(yaml.YAMLError):  # which is said where the file is used
            check_bounds(file)
    _added.append(folder)
    if str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))  # at the end: a file named like a module of Python hides nothing


def config_dirs() -> list[Path]:
    """All folders in the order in which names are looked up: ours, of entry points, of `add_config_dir`.

    Raises:
        ValueError: an installed package announces a folder that it does not have, or a name that there is already.
    """
    return [CONF, *installed_config_dirs(), *_added]


def added_config_dirs() -> list[Path]:
    """The folders of `add_config_dir`: another process has to add them again."""
    return list(_added)


@cache
def installed_config_dirs() -> tuple[Path, ...]:
    """The folder `conf` of each package that an entry point of `phonaut.plugins` names."""
    folders = []
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.value):
        spec = importlib.util.find_spec(point.module)
        places = [Path(place) / "conf" for place in (spec.submodule_search_locations if spec else None) or []]
        there = next((place for place in places if place.is_dir()), None)
        if there is None:
            raise ValueError(f"the installed plugin {point.name} names {point.value}, a package without a folder conf")
        folders.append(there.resolve())
    check_names([CONF, *folders])
    return tuple(folders)


def check_names(folders: Sequence[Path]) -> None:
    """Refuse a name that stands in two folders: Hydra would take the first without a word.

    Raises:
        ValueError: one does.
    """
    first: dict[Path, Path] = {}
    for folder in folders:
        for file in sorted(folder.rglob("*.yaml")):
            name = file.relative_to(folder)
            if name in first:
                raise ValueError(f"{file}: there is a {name} in {first[name]} already; choose another name")
            first[name] = folder


def search_path() -> list[str]:
    """The override by which Hydra looks into the added folders too; empty if there are none."""
    folders = config_dirs()[1:]
    quoted = ("'file://{}'".format(str(folder).replace("'", "\\'")) for folder in folders)
    return [f"hydra.searchpath=[{','.join(quoted)}]"] if folders else []


def choices() -> dict[str, list[str]]:
    """The configuration groups and what may be chosen in each.

    >>> choices()["checkpoint"]
    ['all', 'average', 'best', 'last']
    """
    return {group: list(names) for group, names in _groups(tuple(config_dirs())).items() if group not in REGISTRIES}


@cache
def _groups(folders: tuple[Path, ...]) -> dict[str, list[str]]:
    """Names by group, over all folders."""
    groups: dict[str, set[str]] = {}
    for file in (file for folder in folders for file in folder.glob("[!_.]*/*.yaml")):
        groups.setdefault(file.parent.name, set()).add(file.stem)
    return {group: sorted(names) for group, names in sorted(groups.items())}


def registry(group: str) -> dict[str, dict[str, Any]]:
    """Every configuration file of a group over all folders, read: name -> content.

    Raises:
        ValueError: a file is not YAML, or has no `_target_`.
    """
    entries = {}
    for file in (file for folder in config_dirs() for file in sorted((folder / group).glob("*.yaml"))):
        content = read_yaml(file)
        if not isinstance(content, dict) or not isinstance(content.get("_target_"), str):
            raise ValueError(f"{file}: needs a line such as _target_: module.name")
        entries[file.stem] = content
    return entries


def resolved(config: DictConfig) -> Node:
    """Plain containers, with all interpolations replaced by their values."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=True)
    return plain  # type: ignore[no-any-return]


def load_group(group: str, name: str) -> DictConfig:
    """The file of a choice, over the choices of its group that it builds on; what it chooses in others is left out."""
    from omegaconf import DictConfig, OmegaConf

    files = (folder / group / f"{name}.yaml" for folder in config_dirs())
    file = next(file for file in files if file.exists())
    below, node = _of_file(file, file.read_bytes())
    place = name.rpartition("/")[0]
    bases = [f"{place}/{base}".lstrip("/") for base in below]
    merged = OmegaConf.merge(*(load_group(group, base) for base in bases), node)  # of copies
    assert isinstance(merged, DictConfig)
    return merged


@cache
def _of_file(file: Path, content: bytes) -> tuple[list[str], DictConfig]:
    """The choices of its group that a file with this content builds on, and its keys."""
    from omegaconf import DictConfig, OmegaConf

    node = OmegaConf.load(file)
    assert isinstance(node, DictConfig)
    below = [str(base).partition("@")[0] for base in node.pop("defaults", None) or [] if isinstance(base, str)]
    return [base for base in below if base != "_self_"], node


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
    from omegaconf import OmegaConf

    node = load_group(group, name)
    unknown = [key for key in values if key not in node]
    if unknown:
        takes = ", ".join(str(key) for key in node if key not in ("_target_", "target"))
        raise ValueError(f"{name} takes no {', '.join(unknown)}; it takes {takes}")
    plain: Node = resolved(OmegaConf.create({**root, group: OmegaConf.merge(node, values)}))[group]
    return plain
