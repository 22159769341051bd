"""Checks of options: every problem is a sentence, and all of them are raised at once.

What type an option has, its constructor's annotation says.
"""

from __future__ import annotations

import collections.abc
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union

MOST = 2**63  # of whole numbers, in size
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "text", type(None): "null"}
PLURALS = {int: "whole numbers", float: "numbers"}
NAMESPACE = {**vars(collections.abc), **vars(typing)}  # for annotations whose imports are for type checkers alone


def refuse(problems: Sequence[str], where: str = "") -> None:
    """Raise all problems at once, after `where` they are.

    Raises:
        ValueError: there are some.
    """
    if problems:
        raise ValueError(where + "; ".join(problems))


def below(least: int, **values: object) -> list[str]:
    """The problems of values that are not whole numbers of at least `least`.

    >>> below(1, batch_size=0)
    ['batch_size must be >= 1, got 0']
    """
    return [
        f"{key} must be >= {least}, got {value}"
        for key, value in values.items()
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least
    ]


# --- ranges


class Rule(NamedTuple):
    """A rule of an option.

    Attributes:
        text: what it must be.
        holds: of a value that is of the right type, and not null.
        null: it may be null.
    """

    text: str
    holds: Callable[[Any], bool]
    null: bool = True


def within(low: float, high: float, *, beyond: bool = False) -> Rule:
    """From `low` to `high`; `beyond`: above `low`."""
    text = f"must be above {low:g} and at most {high:g}" if beyond else f"must be from {low:g} to {high:g}"
    return Rule(text, lambda value: all((low < x if beyond else low <= x) and x <= high for x in each(value)))


def each(value: Any) -> list[Any]:
    """A value, or those of a list."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def at_least(least: int) -> Rule:
    """Whole numbers from `least` to a thousand millions."""
    return Rule(f"must be >= {least}, and at most 1,000,000,000", lambda value: all(
        least <= x <= 10**9 for x in each(value)))  # fmt: skip


BELOW_ONE = Rule("must be >= 0 and < 1", lambda value: 0 <= value < 1)


def broken(rules: Mapping[str, Rule], options: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The rules that options break.

    >>> broken({"lr": within(0, 1, beyond=True)}, {"lr": 0, "eps": None}, "optimizer.")
    ['optimizer.lr=0: must be above 0 and at most 1']
    """
    return [
        f"{prefix}{key}={value}: {rules[key].text}"
        for key, value in options.items()
        if key in rules and not (rules[key].null if value is None else rules[key].holds(value))
    ]


# --- types


@cache
def types_of(cls: type) -> Mapping[str, Any]:
    """The options that a class takes, each with its type; `Any` where it has none that is known.

    A constructor that hands on what it does not know, by `**named`, takes what that of its base class takes.

    >>> types_of(complex)  # of C, without names
    {}
    """
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        try:
            parameters = inspect.signature(vars(base)["__init__"]).parameters
        except (TypeError, ValueError):
            break
        for name, parameter in parameters.items():
            if name != "self" and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                found.setdefault(name, hints(base).get(name, Any))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return found


def hints(cls: Any) -> dict[str, Any]:
    """The annotations of a constructor, resolved; none where one of them cannot be."""
    try:
        return typing.get_type_hints(vars(cls)["__init__"], localns=NAMESPACE)
    except (NameError, TypeError):
        return {}


def takes_others(cls: type) -> bool:
    """True for a class whose constructor takes any option, and hands it on to none that would refuse it."""
    for base in (base for base in cls.__mro__ if "__init__" in vars(base) and base is not object):
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            return False
    return True


def type_problems(cls: type, options: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The problems of values that are not of the type of their option; options that there are not are passed over.

    >>> type_problems(TimeoutError, {"x": 1})
    []
    """
    known = types_of(cls)
    return [problem for key, value in options.items() if key in known and (
        problem := type_problem(f"{prefix}{key}", known[key], value))]  # fmt: skip


def type_problem(key: str, hint: Any, value: Any) -> str | None:
    """The problem of a value that is not of a type, if there is one.

    >>> type_problem("n_mix", int, 1e9), type_problem("lr", float | None, float("nan")), type_problem("lr", float, 1)
    ('n_mix=1000000000.0 must be a whole number', 'lr=nan must be a number, or null', None)
    """
    if fits(value, hint):
        return None
    names = [word for word in dict.fromkeys(in_words(hint)) if word != "null"]
    shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
    wanted = f"must be {' or '.join(names)}{', or null' if fits(None, hint) else ''}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= MOST:
        wanted = "must be smaller than 2^63"
    is_list = len(names) == 1 and names[0].startswith("a list")
    example = f": {key}=[{shown}]" if is_list and not isinstance(value, (dict, list, type(None))) else ""
    return f"{key}={shown} {wanted}{example}"


def fits(value: Any, hint: Any) -> bool:
    """True for a value of a type; numbers are finite, and a whole one is a number. Of other types nothing is known.

    >>> fits(3, float), fits(3.0, int), fits(True, int), fits([1, 2.5], tuple[float, float]), fits(["a"], list[int])
    (True, False, False, True, False)
    """
    origin = typing.get_origin(hint)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in typing.get_args(hint))
    if origin in (Union, types.UnionType):
        return any(fits(value, member) for member in typing.get_args(hint))
    if origin is collections.abc.Callable:
        return callable(value)
    if hint in (int, float):
        is_number = isinstance(value, (int, hint)) and not isinstance(value, bool)
        return is_number and (abs(value) < MOST if isinstance(value, int) else math.isfinite(value))
    if hint in (str, Path):
        return isinstance(value, (str, Path))
    if hint in (bool, type(None)):
        return isinstance(value, hint)
    kind = origin or hint
    if isinstance(kind, type) and kind not in (Any, object) and issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    if isinstance(kind, type) and kind is not Any and issubclass(kind, Sequence):
        return isinstance(value, (list, tuple)) and items_fit(value, typing.get_args(hint), kind)
    return (
        hint in (Any, object)
        or not isinstance(hint, type)
        or isinstance(value, hint)
        or (
            isinstance(value, dict) and not hint.__module__.startswith("torch")  # a node, which will be one
        )
    )


def items_fit(values: Sequence[Any], members: tuple[Any, ...], kind: type) -> bool:
    """True for values of which each is of the type of its place."""
    if kind is tuple and Ellipsis not in members:
        return len(values) == len(members) and all(map(fits, values, members))
    return all(fits(value, members[0]) for value in values) if members and in_words(members[0]) else True


def in_words(hint: Any) -> list[str]:
    """The values of a type in words; none where nothing is known of it."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return [str(choice) for choice in typing.get_args(hint)]
    if origin in (Union, types.UnionType):
        return [word for member in typing.get_args(hint) for word in in_words(member)]
    if hint in NAMES:
        return [NAMES[hint]]
    kind = origin or hint
    if not isinstance(kind, type) or kind is Any:
        return []
    if issubclass(kind, Mapping):
        return ["keys with values: {key: value}"]
    if not issubclass(kind, Sequence):
        return []
    members = typing.get_args(hint)
    several = [PLURALS[one] for member in members for one in members_of(member) if one in PLURALS]
    n = f" {len(members)}" if kind is tuple and Ellipsis not in members else ""
    return [f"a list of{n} {several[0]}" if several else f"a list{n and f' of{n}'}"]


def is_text(hint: Any) -> bool:
    """True for types of which text is one, and numbers are none: `1.10` is a name then.

    >>> is_text(str | None), is_text(str | int), is_text(Path | str), is_text(Literal["auto"] | int)
    (True, False, True, False)
    """
    members = members_of(hint)
    return any(one in (str, Path) for one in members) and not any(one in (int, float, bool, Any) for one in members)


def is_words(hint: Any) -> bool:
    """True for types of which a list of text is one."""
    lists = [one for one in members_of(hint) if typing.get_origin(one) in (list, collections.abc.Sequence)]
    return any(is_text(one) or one is object for each in lists for one in typing.get_args(each))


def members_of(hint: Any) -> tuple[Any, ...]:
    """The types of a union; a type alone is one."""
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
