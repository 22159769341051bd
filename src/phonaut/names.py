"""Names as users type them: matched to those that are there, with the nearest where there is none."""

from __future__ import annotations

import difflib
import os
import shlex
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path


def same_id(asked: str, known: str) -> bool:
    """True for ids that are equal as text, or as numbers where both are numbers: 18 is 00000018."""
    if asked == known:
        return True
    return _is_number(asked) and _is_number(known) and int(asked) == int(known)


def match_ids(asked: Sequence[object], known: Collection[str], key: str) -> list[str]:
    """Speakers of the corpus by ids as the user typed them.

    Args:
        asked: ids as the user typed them.
        known: ids of the corpus.
        key: the configuration key, for the message.

    Raises:
        ValueError: some match nobody (all of them are named, with the nearest ids), or more than one speaker.
    """
    matched: list[str] = []
    missing: list[str] = []
    for name in dict.fromkeys(str(one).strip() for one in asked):
        matches = [name] if name in known else sorted(other for other in known if same_id(name, other))
        if len(matches) > 1:
            raise ValueError(f"{key}: {name} may be {' or '.join(matches)}: write the id in full")
        matched += matches
        if not matches:
            missing.append(f"{name} (nearest: {', '.join(nearest(name, known))})")
    if missing:
        some = ", ".join(sorted(known)[:10]) + (" ..." if len(known) > 10 else "")
        raise ValueError(
            f"{key} names speakers that the corpus lacks: {'; '.join(missing)}. It has {len(known)}: {some}"
        )
    return matched


def nearest(asked: str, known: Collection[str], n: int = 3) -> list[str]:
    """The `n` names of `known` that are nearest to `asked`: numbers by distance, else the likest, else the first."""
    return likest(asked, known, n) or sorted(known)[:n]


def likest(asked: str, known: Collection[str], n: int = 3, *, cutoff: float = 0.5) -> list[str]:
    """At most `n` names of `known` that `asked` may have been meant to be; none where none is as alike as `cutoff`."""
    if _is_number(asked):
        numbers = [name for name in known if _is_number(name)]
        if numbers:
            return sorted(numbers, key=lambda name: (abs(int(name) - int(asked)), name))[:n]
    folded: dict[str, str] = {}
    for name in sorted(known):
        folded.setdefault(name.casefold(), name)
    close = difflib.get_close_matches(asked.casefold(), list(folded), n, cutoff=cutoff)
    return [folded[name] for name in close]


def did_you_mean(asked: str, names: Iterable[str]) -> str:
    """`; did you mean ...?`, or nothing where no name is near.

    >>> did_you_mean("optimiser.lr", ["optimizer.lr", "seed"]), did_you_mean("x", ["seed"])
    ('; did you mean optimizer.lr?', '')
    """
    known = list(names)
    close = likest(asked, known, 1, cutoff=0.6)
    if not close:  # the right last part under another group
        ends = {name.rpartition(".")[2]: name for name in reversed(known)}
        close = [ends[near] for near in likest(asked.rpartition(".")[2], ends, 1, cutoff=0.75)]
    return f"; did you mean {close[0]}?" if close else ""


def some(names: Collection[str], most: int = 12) -> str:
    """The first few names.

    >>> some(["a", "b", "c"], 2), some([])
    ('a, b ...', 'none')
    """
    return ", ".join(list(names)[:most]) + (" ..." if len(names) > most else "") or "none"


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and len(name) < 1000  # Python reads no longer ones


def as_typed(command: str) -> str:
    """A command that begins with `phonaut`, by the path of the program where the shell finds none, or another one.

    >>> as_typed("phonaut train")  # of a program that is not called phonaut
    'phonaut train'
    """
    program = Path(sys.argv[0])
    beside = command.partition(" ")[0]
    if program.name != "phonaut" or not program.exists() or not program.with_name(beside).exists():
        return command
    found = shutil.which(beside)
    if found is not None and os.path.samefile(found, program.with_name(beside)):
        return command
    return shlex.quote(str(program.with_name(beside))) + command.removeprefix(beside)


def is_utf8(name: str) -> bool:
    """True where the bytes of a file name are UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    r"""A name out of a file of somebody else's, in quotes and escaped where it cannot be printed.

    >>> shown("norm.weight"), shown("norm\0weight")
    ('norm.weight', "'norm\\x00weight'")
    """
    return name if name.isprintable() else ascii(name)


def printable(name: str | Path) -> str:
    r"""`name` with the bytes that are no UTF-8 written as `\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def excerpt(text: str, most: int = 60) -> str:
    r"""What a file says, for a message: what cannot be printed is escaped, the end of a long text left out.

    >>> excerpt("yes\tno\x00"), excerpt("word " * 100, most=12)
    ('yes\\tno\\x00', 'word word ...')
    """
    shown = text if len(text) <= most else f"{text[:most].rstrip()} ..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)
