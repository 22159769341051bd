"""Pages of help, from the fields of a command."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from phonaut.cli.options import Command, described, options_of, types_of, usage

WIDTH = 80  # columns of a page of help
COMMON = [("--config-dir DIR", ["also look for configuration files in DIR, and for modules beside it"])]


def help_page(name: str, command: type[Command]) -> str:
    """The help of a command."""
    types = types_of(command)
    options = []
    for key, one in options_of(command).items():
        flags, default = one.metadata.get("flags", ()), one.metadata.get("otherwise") or shown(one.default)
        kind = [] if flags else [f"{described(types[key], one.metadata.get('least'))}; default: {default}"]
        options.append((", ".join(flags) or f"{key}=", [one.metadata.get("help", ""), *kind]))
    return "\n".join(
        [
            *(line for text in inspect.cleandoc(command.__doc__ or "").splitlines() for line in wrapped(text) or [""]),
            *("", "Usage"),
            *(f"  {line}" for form in usage(name, command) for line in wrapped(form, "    ")),
            *section("Paths", [(path.strip("[]"), [meaning]) for path, meaning in command.arguments.items()]),
            *section("Options", [*options, *COMMON]),
            *section("Configuration", [*command.configuration().items()]),
            *example_lines({f"phonaut {name} {words}": meaning for words, meaning in command.examples.items()}),
            "",
        ]
    )


def section(title: str, rows: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """A heading and rows of two columns; nothing where there are no rows."""
    if rows:
        yield from ("", title)
    column = max((len(key) for key, _ in rows), default=0) + 4
    for key, texts in rows:
        first, *rest = [line for text in texts for line in wrapped(text, width=WIDTH - column)] or [""]
        yield f"  {key}".ljust(column) + first
        yield from (" " * column + line for line in rest)


def example_lines(examples: Mapping[str, str]) -> Iterator[str]:
    """Commands, the meaning of each below it."""
    if examples:
        yield from ("", "Examples")
    for command, meaning in examples.items():
        yield from (f"  {command}".rstrip(), f"      {meaning}")


def wrapped(text: str, indent: str = "", *, width: int = WIDTH - 2) -> list[str]:
    """Lines of a page of help; `indent` stands before those after the first."""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def shown(default: Any) -> str:
    """A default as it would be typed.

    >>> shown(None), shown(False), shown((5.0, 10.0))
    ('none', 'false', '5,10')
    """
    if default is None or default == ():
        return "none"
    if isinstance(default, tuple):
        return ",".join(shown(one) for one in default)
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)
