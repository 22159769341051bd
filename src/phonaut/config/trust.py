"""Which classes the configuration of somebody else may name: to import one, and to make it, is to run code.

A run folder may come from anybody, so what its `config.yaml` names is checked before anything is imported or made.
Trusted is what a configuration file of ours, of an installed plugin or of an added folder names, what was typed in this
process, and packages in `$PHONAUT_TRUST`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from phonaut.config.plugins import REGISTRIES, config_dirs

VARIABLE = "PHONAUT_TRUST"
NAMING = ("_target_", "density")  # keys whose values are imported
NAMED = re.compile(r"""\b(?:_target_|density)["']?\s*:\s*["']?([\w.]+)""")  # in a configuration file
# Beside those that our files name: a part of a mix, which is made of what was typed, and the siblings of ours.
PART = "phonaut.corpora.Part"
SIBLINGS = {
    "optimizer": r"torch\.optim\.[A-Z]\w*",
    "scheduler": r"torch\.optim\.lr_scheduler\.[A-Z]\w*",
    "density": r"phonaut\.hmm\.emissions\.[A-Z]\w*",
}

_typed: set[str] = set()


def trust(typed: Any) -> None:
    """Trust, in this process, the classes that are named in what the user has typed."""
    _typed.update(value for _, key, value in keys_of(typed) if key in NAMING and isinstance(value, str))


def problems(config: Any) -> list[str]:
    """The problems of a configuration that comes from a file: names that are not trusted, keys that call by themselves.

    >>> problems({"model": {"_target_": "phonaut.networks.LSTM"}, "optimizer": {"_target_": "torch.optim.NAdam"}})
    []
    >>> problems({"model": {"_target_": "os.system"}, "task": [{"_partial_": True}]})  # doctest: +ELLIPSIS
    ["model: os.system cannot be imported: ...", 'task.0._partial_ is no key of a configuration']
    """
    return [problem for path, key, value in keys_of(config) if (problem := problem_of(path, key, value))]


def keys_of(config: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, Any]]:
    """Every key of nested containers: the keys above it, itself, its value."""
    if isinstance(config, (list, tuple)):
        config = dict(enumerate(config))
    if isinstance(config, dict):
        for key, value in config.items():
            yield path, str(key), value
            yield from keys_of(value, (*path, str(key)))


def problem_of(path: tuple[str, ...], key: str, value: Any) -> str | None:
    """The problem of a key, if there is one."""
    where = ".".join(path) or "at its root"
    if key.startswith("_") and key != "_target_":
        return f"{where}.{key} is no key of a configuration"
    if key not in NAMING or (key == "density" and not isinstance(value, str)):
        return None
    within = path[2:] if path[:2] == ("encoder", "built") else path
    group = "density" if key == "density" else within[0] if len(within) == 1 else None
    if isinstance(value, str) and is_trusted(value, group):
        return None
    package = str(value).partition(".")[0]
    own = "" if package == "phonaut" else (
        "; a class of your own needs --config-dir DIR, beside which its module lies, or the package's name in "
        f"{VARIABLE}: {VARIABLE}={package}"
    )  # fmt: skip
    return f"{where}: {value} cannot be imported: neither Phonaut nor a plugin of yours names it there{own}"


def is_trusted(name: str, group: str | None) -> bool:
    """True for a class that may stand in a group of a configuration, or anywhere below one (None)."""
    packages = (one.strip() for one in os.environ.get(VARIABLE, "").split(","))
    if name in _typed or any(one and name.startswith(f"{one}.") for one in packages):
        return True
    named = names(tuple(config_dirs()))
    if group in named:
        return name in named[group] or re.fullmatch(SIBLINGS.get(group, "(?!)"), name) is not None
    return name == PART or any(name in of_group for of_group in named.values())


@cache
def names(folders: tuple[Path, ...]) -> dict[str, set[str]]:
    """The classes that the files of configuration folders name, by group; `density` of all."""
    found: dict[str, set[str]] = {"density": set()}
    for folder in folders:
        for file in folder.rglob("*.yaml"):
            group = file.relative_to(folder).parts[0]
            if group in REGISTRIES:
                continue
            found.setdefault(group, set()).update(NAMED.findall(file.read_text(encoding="utf-8", errors="replace")))
    found["target_features"] = found["target_features"] | found["features"]
    found["density"] = set().union(*found.values())
    return found
