"""Checks of a dataclass of options against its own annotations."""

from __future__ import annotations

import typing
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from phonaut.checks import fits, in_words
from phonaut.names import likest


def unknown_keys(options: type[Any], keys: Iterable[str]) -> list[str]:
    """A problem for each of `keys` that the dataclass `options` does not have, with the nearest that it has."""
    known = [field.name for field in fields(options)]
    near = {key: likest(key, known, 1, cutoff=0.6) for key in keys if key not in known}
    all_keys = f"the keys are {', '.join(known)}"
    return [f"{key}: no such key; {f'use {likely[0]}' if likely else all_keys}" for key, likely in near.items()]


def type_problems(options: Any) -> list[str]:
    """A problem for each value of the dataclass `options` that is not of its field's type."""
    problems = []
    for name, hint in typing.get_type_hints(type(options)).items():
        value = getattr(options, name)
        if not fits(value, hint):
            words = in_words(hint)
            use = "".join(f"; use {near}" for near in likest(str(value), words, 1, cutoff=0.6))
            problems.append(f"{name}={value!r}: must be {' or '.join(words)}{use}")
    return problems


def count_problems(options: Any, names: Iterable[str]) -> list[str]:
    """A problem for each of `names` whose value is below 1; names that `options` lacks are passed over."""
    return [f"{name}={getattr(options, name)}: must be >= 1" for name in names if getattr(options, name, 1) < 1]
