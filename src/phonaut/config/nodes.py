"""Nodes of a configuration: plain dictionaries with a `_target_`, and the objects that are built from them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from inspect import Parameter
from typing import Any

from phonaut.checks import types_of

Node = dict[str, Any]
# Options of corpora that say where files lie.
PLACES = ("data_folder", "frames_folder", "alignment", "train", "test", "validation", "codebook", "path")


def load_target(name: str) -> Any:
    """The class or function that a `_target_` names; Hydra's `get_object`, without its import time.

    Raises:
        ValueError: there is no such module, or nothing of that name in it.

    >>> load_target("pathlib.Path").__name__
    'Path'
    """
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        hint = "; a class of your own needs --config-dir DIR, beside which its module lies"
        hint = "" if name.startswith("phonaut.") else hint
        raise ValueError(f"{name} cannot be imported: {error}{hint}") from error


def class_of(node: Node) -> Any:
    """The class, or function, that a node names.

    Raises:
        ValueError: there is none of this name.
    """
    return load_target(str(node["_target_"]))


def options_of(node: Node) -> Node:
    """The options of a node, without the name of its class.

    >>> options_of({"_target_": "fractions.Fraction", "numerator": 3})
    {'numerator': 3}
    """
    return {key: value for key, value in node.items() if key != "_target_"}


def option_types(node: Node) -> Mapping[str, Any]:
    """The options that the class of a node takes, with their types; those of a density among them.

    Raises:
        ValueError: there is no such class.

    >>> option_types({"_target_": "phonaut.features.CMVN"})
    {'mean': <class 'bool'>, 'variance': <class 'bool'>, 'ddof': <class 'int'>}
    """
    cls = class_of(node)
    if isinstance(node.get("density"), str):
        from phonaut.models.generative_classifier import density_of

        return {**types_of(density_of(node["density"])), **types_of(cls)}
    return types_of(getattr(cls, "Options", cls))  # a front end's stand together


def instantiate(node: Node, *arguments: Any, **more: Any) -> Any:
    """The object of a node; nodes within it are built first.

    Args:
        node: with a `_target_`, and the options of its constructor.
        *arguments: handed to the constructor before the options.
        **more: options that replace those of the node.

    Raises:
        ValueError: there is no such class, or its constructor refuses the options.

    >>> instantiate({"_target_": "fractions.Fraction", "numerator": 3}, denominator=6)
    Fraction(1, 2)
    """
    options = {key: _built(value) for key, value in options_of(node).items()}
    return class_of(node)(*arguments, **{**options, **more})


def partial(node: Node, **more: Any) -> Any:
    """The constructor of a node with its options filled in: `(*arguments) -> object`."""
    import functools

    return functools.partial(instantiate, node, **more)


def _built(value: Any) -> Any:
    if isinstance(value, list):
        return [_built(item) for item in value]
    return instantiate(value) if isinstance(value, dict) and "_target_" in value else value


def as_before(old: Node, new: Node) -> Node:
    """A stored configuration with the options of `new` that it lacks, as the classes that it names have them.

    The default of a constructor means "as before this option was there"; a configuration file may choose another.

    >>> as_before({"_target_": "fractions.Fraction", "numerator": 3}, {"numerator": 1, "denominator": 2})
    {'_target_': 'fractions.Fraction', 'numerator': 3, 'denominator': None}
    """
    filled = {key: _as_before(value, new.get(key)) for key, value in old.items()}
    lacking = [key for key in new if key not in old] if "_target_" in old else []
    taken = inspect.signature(class_of(old)).parameters if lacking else {}
    defaults = {key: taken[key].default for key in lacking if key in taken}
    return filled | {
        key: list(value) if isinstance(value, tuple) else value  # as a file would have it
        for key, value in defaults.items()
        if value is not Parameter.empty
    }


def _as_before(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return as_before(old, new)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_as_before(*pair) for pair in zip(old, new, strict=True)]
    return old


def without_places(config: Node) -> Node:
    """A configuration that does not say where the files of its corpus lie.

    >>> without_places({"dataset": {"data_folder": "/a", "corpora": [{"corpus": {"data_folder": "/b", "seed": 0}}]}})
    {'dataset': {'corpora': [{'corpus': {'seed': 0}}]}}
    """

    def placeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placeless(one) for key, one in value.items() if key not in PLACES}
        return [placeless(one) for one in value] if isinstance(value, list) else value

    return {key: placeless(value) if key == "dataset" else value for key, value in config.items()}


def flat(config: Any, prefix: str = "") -> Node:
    """Nested keys as `a.b.c`; an empty dictionary is a value.

    >>> flat({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    result: Node = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            result |= flat(value, f"{prefix}{key}.")
        else:
            result[f"{prefix}{key}"] = value
    return result
