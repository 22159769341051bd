"""Checks of options, which name what to type instead."""

from __future__ import annotations

import re
from collections.abc import Sequence

from phonaut.names import nearest


def choice_problems(key: str, value: str, choices: Sequence[str]) -> list[str]:
    """The problem of a value that is not among `choices`."""
    if value in choices:
        return []
    near = nearest(value, choices, 1)[0]
    return [f"dataset.{key} is one of {', '.join(choices)}; received {value}: type dataset.{key}={near}"]


def pattern_problems(key: str, pattern: str | None) -> list[str]:
    """The problem of a regular expression whose one group is to be read."""
    if pattern is None:
        return []
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        return [f"dataset.{key}='{pattern}' is not a regular expression: {error}"]
    if groups == 1:
        return []
    return [
        f"dataset.{key}='{pattern}' has {groups} groups; it needs one, in parentheses, around what to read. For what "
        "stands before the first _: '^([^_]+)_'"
    ]


def as_list(names: object) -> list[str]:
    """Names as a user may give them: a list, one name or number, `15,16`."""
    if names is None:
        return []
    if isinstance(names, str):
        names = names.strip("[]").split(",")
    listed = names if isinstance(names, Sequence) else [names]
    return [text for name in listed if (text := str(name).strip())]
