"""Words of a command line become the typed options of a command."""

from __future__ import annotations

import inspect
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, make_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from phonaut.config.plugins import registry
from phonaut.files import expanded

CORPUS = {  # words by which commands choose a corpus
    "dataset=NAME": "the corpus; phonaut --help lists them",
    "dataset.KEY=VALUE": "how it is read, such as dataset.data_folder=recordings",
    "protocol=NAME": "how it is divided; protocol.KEY=VALUE are options of that",
    "protocol.KEY=VALUE": "such as protocol.fold=1",
}


def print_progress(text: str) -> None:
    """Print a line of progress, beside the output of a command."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Command:
    """A command of `phonaut`: its options are the fields of a frozen dataclass, each declared by `option`.

    The first line of a command's docstring stands in `phonaut --help`, all of it in the help of the command.

    Attributes:
        paths: files and folders that were named.
        overrides: words for the configuration.
        usage: what may follow the command's name, a form each; by default it follows from the rest.
        arguments: path -> meaning: `RUN`, `[FOLDER]` may be left out, `RUN ...` is one or more.
        composes: words for the configuration -> meaning; they are recognised by what precedes the first capital:
            `dataset.KEY=VALUE` stands for all that begin with `dataset.`.
        examples: words after the command's name -> meaning.
        stopped: what Ctrl-C leaves, and how to go on.
        place: the key that says where it writes, with its sign; empty: there is none.
    """

    paths: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()

    usage: ClassVar[Sequence[str]] = ()
    arguments: ClassVar[Mapping[str, str]] = {}
    composes: ClassVar[Mapping[str, str]] = {}
    examples: ClassVar[Mapping[str, str]] = {}
    place: ClassVar[str] = ""
    stopped: ClassVar[str] = "nothing was changed; the same command starts again"

    @classmethod
    def configuration(cls) -> Mapping[str, Sequence[str]]:
        """Words for the configuration -> lines of help."""
        return {word: [meaning] for word, meaning in cls.composes.items()}

    def given(self, *keys: str) -> list[str]:
        """Those of `keys` that are not at their default."""
        return [key for key in keys if getattr(self, key) != getattr(type(self), key)]

    def run(self) -> int:
        """Do it, and return the exit code.

        Raises:
            ValueError: a mistake of the user, said in a sentence.
        """
        raise NotImplementedError


def option(
    default: Any,
    meaning: str,
    *,
    least: int | None = None,
    otherwise: str = "",
    flags: Sequence[str] = (),
    group: str = "",
) -> Any:
    """A field of a command: `key=value`, or flags in its place.

    Args:
        default: its value where it is not given.
        meaning: for the help.
        least: the smallest number.
        otherwise: the default in words, for the help.
        flags: such as `-m`; of `-c job`, the second word is dropped.
        group: a registry whose names are its values, such as `metric`.
    """
    metadata = {"help": meaning, "least": least, "otherwise": otherwise, "flags": flags, "group": group}
    return field(default=default, metadata=metadata)


def options_of(command: type[Command]) -> dict[str, Field[Any]]:
    """The options of a command by name."""
    return {one.name: one for one in fields(command) if one.name not in ("paths", "overrides")}


def types_of(command: type[Command]) -> dict[str, Any]:
    """The type of each option; of one with a registry, its names."""
    types = get_type_hints(command)
    for key, group in ((key, one.metadata.get("group")) for key, one in options_of(command).items()):
        if group:
            types[key] = Literal[tuple(registry(group))]
    return types


def command_of(target: Any) -> type[Command]:
    """A command from what a `_target_` names: a class, or a function `(*paths, key=default) -> exit code`."""
    if isinstance(target, type) and issubclass(target, Command):
        return target
    if not inspect.isfunction(target):
        raise ValueError(f"{target} is neither a function nor a subclass of phonaut.cli.options.Command")
    taken = inspect.signature(target).parameters.values()
    types = get_type_hints(target)
    keys = [
        (one.name, types.get(one.name, str), option(one.default, "")) for one in taken if one.default is not one.empty
    ]
    several = [one.name.upper() for one in taken if one.kind is one.VAR_POSITIONAL]

    def run(self: Command) -> int:
        return int(target(*self.paths, **{name: getattr(self, name) for name, *_ in keys}) or 0)

    namespace = {"run": run, "arguments": {f"[{name} ...]": "" for name in several}, "__doc__": target.__doc__ or ""}
    return make_dataclass(target.__name__, keys, bases=(Command,), frozen=True, namespace=namespace)


def parse(name: str, command: type[Command], words: Iterable[str]) -> Command:
    """A command with the options that `words` give it.

    Raises:
        ValueError: an option that there is not, a value of another type, or too few or too many paths.
    """
    options = options_of(command)
    flags = {flag.split()[0]: (key, flag) for key, one in options.items() for flag in one.metadata.get("flags", ())}
    keys = {key: one for key, one in options.items() if not one.metadata.get("flags")}
    types = types_of(command)
    beginnings = tuple(beginning(text) for text in command.composes)
    values: dict[str, Any] = {}
    paths, overrides, typed = list[str](), list[str](), list[str]()
    remaining = iter(words)
    for word in remaining:
        key, sign, text = word.partition("=")
        if command.arguments and os.path.exists(word):
            paths.append(word)
        elif key in flags:
            values[flags[key][0]] = True
            expected = flags[key][1].partition(" ")[2]
            given = text if sign or not expected else next(remaining, "")
            if given != expected:
                raise ValueError(f"{key} must be followed by {expected}, got {given or 'nothing'}" if expected else
                                 f"{key} takes no value, got {given}")  # fmt: skip
        elif key in keys and sign:
            typed.append(word)
            values[key] = converted(key, text, types[key], keys[key].metadata.get("least"))
        elif word.startswith("-") and word != "-":  # a single one is standard input
            known = ", ".join([*(flag for _, flag in flags.values()), "--config-dir DIR", "--help"])
            from phonaut.config.aliases import successor

            hint = successor(word.lstrip("-").partition("=")[0]) if beginnings else ""
            raise ValueError(f"{word} is not a flag of {name}{hint}; it knows {known}, and key=value")
        elif (sign or word.startswith("~")) and beginnings and word.startswith(beginnings):
            overrides.append(word)
        elif sign:
            from phonaut.names import did_you_mean

            known = f"takes {', '.join(f'{key}=' for key in sorted(keys))}" if keys else "has no options"
            raise ValueError(f"{name} {known}; it got {key}{did_you_mean(key, keys)}")
        elif command.arguments:
            paths.append(word)
        else:
            hint = f": dataset.data_folder={word} names recordings" if beginnings else ""
            raise ValueError(f"{word} is not key=value; {name} takes no files{hint}")
    if typed or overrides:
        from phonaut.config.aliases import check_once

        check_once([*typed, *overrides])
    check_paths(name, command, paths)
    return command(paths=tuple(paths), overrides=tuple(overrides), **values)


def beginning(word: str) -> str:
    """The part of a word before its first capital.

    >>> beginning("dataset.KEY=VALUE"), beginning("GROUP=CHOICE")
    ('dataset.', '')
    """
    return re.split("[A-Z]", word, maxsplit=1)[0]


def check_paths(name: str, command: type[Command], paths: Sequence[str]) -> None:
    """Refuse too few or too many paths.

    Raises:
        ValueError: with the usage, or with what is too much.
    """
    least = sum(not argument.startswith("[") for argument in command.arguments)
    if len(paths) < least:
        raise ValueError(f"usage: {' or '.join(usage(name, command))}")
    if len(paths) > len(command.arguments) and not any("..." in argument for argument in command.arguments):
        takes = " and ".join(argument.replace("[", "one ").strip("]") for argument in command.arguments)
        raise ValueError(f"{name} takes {takes}; it got {len(paths)} paths: {', '.join(paths)}")


def usage(name: str, command: type[Command]) -> list[str]:
    """The forms of a command."""
    words = [*command.arguments, *(["[KEY=VALUE ...]"] if options_of(command) or command.composes else [])]
    return [f"phonaut {name} {form}".rstrip() for form in command.usage or [" ".join(words)]]


def converted(key: str, text: str, kind: Any, least: int | None = None) -> Any:
    """The value of an option.

    Raises:
        ValueError: it is of another type; what is expected is said.

    >>> converted("snr_db", "[5, 10]", tuple[float, ...])
    (5.0, 10.0)
    """
    for one in members(kind):
        try:
            return convert(text, one, least)
        except (ValueError, KeyError):
            continue
    from phonaut.names import did_you_mean

    named = [name for one in members(kind) if get_origin(one) is Literal for name in get_args(one)]
    raise ValueError(f"{key} must be {described(kind, least)}, got {text or 'nothing'}{did_you_mean(text, named)}")


def members(kind: Any) -> list[Any]:
    """The types that a value may be of, but for None."""
    several = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return [one for one in several if one is not NoneType]


def convert(text: str, kind: Any, least: int | None) -> Any:
    """A value of one type; ValueError or KeyError where it is none."""
    if kind is bool:
        return {"true": True, "false": False}[text]
    if get_origin(kind) is Literal:
        return {name: name for name in get_args(kind)}[text]
    if get_origin(kind) is tuple:
        parts = text.strip().removeprefix("[").removesuffix("]").split(",")
        return tuple(convert(part.strip(), get_args(kind)[0], least) for part in parts)
    if not text:
        raise ValueError
    value = expanded(text) if kind is Path else kind(text)
    if least is not None and not least <= float(text) < math.inf:  # NaN is no number
        raise ValueError
    return value


def described(kind: Any, least: int | None = None) -> str:
    """A type in words.

    >>> described(int | None, 1), described(Literal["unigram", "bpe", "char"])
    ('a whole number >= 1', 'unigram, bpe or char')
    """
    *first, last = [text for one in members(kind) for text in expected(one, least)]
    return f"{', '.join(first)} or {last}" if first else last


def expected(kind: Any, least: int | None) -> list[str]:
    """The values of one type: their names, or a phrase."""
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if get_origin(kind) is tuple:
        return [f"{described(get_args(kind)[0]).removeprefix('a ')}s, with commas between"]
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a name", Path: "a path"}
    return [names.get(kind, f"a {getattr(kind, '__name__', kind)}") + ("" if least is None else f" >= {least}")]


def split_config_dirs(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folders of `--config-dir DIR`, or `hydra.searchpath=[DIR,...]`, and all other words.

    Raises:
        ValueError: the folder is missing, or is to be found in a package.

    >>> split_config_dirs(["train", "--config-dir", "mine", "model=toy", "--config-dir=yours"])
    (['mine', 'yours'], ['train', 'model=toy'])
    >>> split_config_dirs(["train", "hydra.searchpath=[file://mine, yours]"])
    (['mine', 'yours'], ['train'])
    """
    folders, rest = list[str](), list[str]()
    remaining = iter(words)
    for word in remaining:
        flag, _, value = word.partition("=")
        if flag.lstrip("+") == "hydra.searchpath":
            paths = [path.strip(" '\"").removeprefix("file://") for path in value.strip("[]").split(",")]
            if packages := [path for path in paths if "://" in path]:
                raise ValueError(f"hydra.searchpath={packages[0]}: must be a folder; an installed package is found by "
                                 "its entry point (docs/extend.md)")  # fmt: skip
            folders += filter(None, paths)
        elif flag in ("--config-dir", "-cd"):
            value = value or next(remaining, "")
            if not value:
                raise ValueError("--config-dir needs a folder")
            folders.append(value)
        else:
            rest.append(word)
    return folders, rest
