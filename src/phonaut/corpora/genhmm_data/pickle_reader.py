"""Pickles read as data: NumPy arrays and built-in containers come out, and nothing in the file is ever run.

A pickle is a program for a machine with a stack. The standard machine calls whatever the program names; even one whose
names are restricted lets a program change what it was given. This one has no calls at all: a name is looked for in a
short list, and each entry of the list is a rule that makes an array, a type of numbers or bytes of what is on the
stack. What is not on the list is refused by its name. Memory follows the bytes that were read: an array that claims
another size than it brings is refused, and so is a file that unpacks to more than it may.
"""

from __future__ import annotations

import gzip
import pickletools
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from phonaut.corpora.genhmm_data.pickle_rules import (
    MOST_KEYS,
    RULES,
    Name,
    RefusedPickleError,
    Unfinished,
    array_of,
    ordered_dtype,
    set_of,
    simple,
)
from phonaut.names import excerpt

MOST_BYTES = 4 * 2**30
MOST_STEPS = 40_000_000  # of the machine: each may make an object of some 60 bytes
MOST_RATIO = 200  # of what is unpacked to what is packed; frames do not come near it
DAMAGE = (
    *(ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, EOFError, OSError, RecursionError),
    zlib.error,
)
AT_ONCE = 2**20
LONGEST_LINE = 2**16
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = {  # steps that put what they carry on the stack
    *CONSTANTS,
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


class Bounded:
    """A file of which no more is read, and kept in memory, than is there and than it may have."""

    def __init__(self, file: IO[bytes], most: int, packed: int | None) -> None:
        self.file, self.n = file, 0
        self.most = most if packed is None else min(most, MOST_RATIO * packed + AT_ONCE)

    def read(self, n: int) -> bytes:
        """`n` bytes, or fewer at the end."""
        self.count(n)
        if n <= AT_ONCE:
            return self.file.read(n)
        parts, left = [], n
        while left and (part := self.file.read(min(left, AT_ONCE))):  # what is claimed may not be there
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def readline(self) -> bytes:
        """A line."""
        line = self.file.readline(LONGEST_LINE)
        self.count(len(line))
        return line

    def count(self, n: int) -> None:
        """Refuse what is too much."""
        self.n += n
        if n < 0 or self.n > self.most:
            raise RefusedPickleError(f"it unpacks to, or claims, more than {self.most / 2**20:,.1f} MB")

    def tell(self) -> int:
        """The position in the file."""
        return self.n


def read_pickle(
    path: Path,
    *,
    most_bytes: int = MOST_BYTES,
    until: Callable[[Any], bool] | None = None,
    count: Callable[[int], object] | None = None,
) -> Any:
    """The content of a pickle, packed by gzip or not.

    Arrays are read-only and share the memory of their bytes; arrays of objects come as lists.

    Args:
        path: the file.
        most_bytes: that it may unpack to.
        until: stop at the first array for which this says yes, and give that one.
        count: is told how many bytes were unpacked.

    Raises:
        RefusedPickleError: it asks for anything but arrays and built-in containers (what it asked for is named), is too
            large, or is damaged.
        OSError: it cannot be read.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("rb"))
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file: Any = stack.enter_context(gzip.open(raw, "rb")) if packed else raw
        source = Bounded(file, most_bytes, path.stat().st_size if packed else None)
        try:
            content = Machine().run(source, until)
        except RefusedPickleError as error:
            raise RefusedPickleError(f"{path} is refused: {excerpt(str(error), 300)}") from error
        except DAMAGE as error:
            reason = f"{type(error).__name__}, {str(error)[:200]}"
            raise RefusedPickleError(f"{path} is refused: it is no whole pickle ({excerpt(reason, 300)})") from error
        if count is not None:
            count(source.n)
        return content


class Machine:
    """Stack and memo of a pickle that is read."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, source: Bounded, until: Callable[[Any], bool] | None = None) -> Any:
        """Run the pickle; the object that it leaves on the stack."""
        stack = self.stack
        for step, (opcode, arg, _) in enumerate(pickletools.genops(source)):  # type: ignore[arg-type]
            if step > MOST_STEPS:
                raise RefusedPickleError(f"it takes more than {MOST_STEPS:,} steps")
            name = opcode.name
            if name in VALUES:
                stack.append(CONSTANTS.get(name, arg))
            elif name == "STOP":
                return stack.pop()
            elif name not in STEPS:
                raise RefusedPickleError(self.asked(name, arg))
            else:
                STEPS[name](self, arg)
                if until is not None and name in ("BUILD", "REDUCE") and until(stack[-1]):
                    return stack[-1]
        raise RefusedPickleError("it has no end")

    def asked(self, opcode: str, arg: Any) -> str:
        """Describe a step that is not taken."""
        named = [f"{one.module}.{one.name}" for one in reversed(self.stack[-3:]) if isinstance(one, Name)]
        what = str(arg).replace(" ", ".") if opcode == "INST" else named[0] if named else ""
        return f"it asks to make objects by {opcode}" + (f" of {what}" if what else "")

    def since_mark(self) -> list[Any]:
        """Pop all objects since the last mark."""
        begin = self.marks.pop()
        items = self.stack[begin:]
        del self.stack[begin:]
        return items

    def remember(self, key: int | None) -> None:
        """Put what is on top into the memo."""
        key = len(self.memo) if key is None else key
        if isinstance(self.stack[-1], Unfinished):
            self.stack[-1].keys.append(key)
        self.memo[key] = self.stack[-1]

    def replace(self, value: Any) -> None:
        """Put what is finished where it was not: on top, and in the memo."""
        for key in self.stack[-1].keys:
            self.memo[key] = value
        self.stack[-1] = value

    def look_up(self, module: str, name: str) -> None:
        """Put a name on the stack."""
        if not (isinstance(module, str) and isinstance(name, str)):
            raise RefusedPickleError("it asks for something by a name that is no text")
        if (module, name) not in RULES:
            raise RefusedPickleError(f"it asks for {module[:80]}.{name[:80]}; data are arrays and containers")
        self.stack.append(Name(module, name))

    def apply(self, _: Any) -> None:
        """A rule with what it needs."""
        given, rule = self.stack.pop(), self.stack.pop()
        if not isinstance(rule, Name) or not isinstance(given, tuple):
            raise RefusedPickleError(f"it asks to call a {type(rule).__name__}")
        make = RULES[rule]
        if make is None:
            raise RefusedPickleError(f"it asks to call {rule.module}.{rule.name}")
        self.stack.append(make(*given))

    def build(self, _: Any) -> None:
        """The content of an array, or the byte order of a type."""
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Unfinished) or not isinstance(state, tuple):
            raise RefusedPickleError(f"it asks to change a {type(target).__name__}")
        if target.dtype is None and len(state) in (4, 5):
            self.replace(array_of(*state[-4:]))
        elif target.dtype is not None and len(state) in (8, 9):
            self.replace(ordered_dtype(target.dtype, state))
        else:
            raise RefusedPickleError("it asks for an array of a kind of its own")

    def set_items(self, pairs: list[Any]) -> None:
        """Add keys and values to the dictionary on top."""
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise RefusedPickleError(f"it asks to change a {type(target).__name__}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[simple(key)] = value
        if len(target) > MOST_KEYS:
            raise RefusedPickleError(f"it has a dictionary of more than {MOST_KEYS:,} entries")

    def dictionary(self, pairs: list[Any]) -> None:
        """A dictionary of keys and values."""
        self.stack.append({})
        self.set_items(pairs)

    def extend(self, items: list[Any]) -> None:
        """Add to the list or set on top."""
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif type(target) is set and len(target) + len(items) <= MOST_KEYS:
            target.update(simple(item) for item in items)
        else:
            raise RefusedPickleError(f"it asks to change a {type(target).__name__}")

    def tuple_of(self, n: int) -> None:
        """The last `n` things as one."""
        items = self.stack[-n:]
        if len(items) < n:
            raise IndexError("the stack is empty")
        self.stack[-n:] = [tuple(items)]


STEPS: dict[str, Callable[[Machine, Any], Any]] = {
    "PROTO": lambda machine, arg: None,
    "FRAME": lambda machine, arg: None,
    "MARK": lambda machine, arg: machine.marks.append(len(machine.stack)),
    "POP": lambda machine, arg: machine.stack.pop(),
    "POP_MARK": lambda machine, arg: machine.since_mark(),
    "DUP": lambda machine, arg: machine.stack.append(machine.stack[-1]),
    "EMPTY_LIST": lambda machine, arg: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, arg: machine.stack.append(()),
    "EMPTY_DICT": lambda machine, arg: machine.stack.append({}),
    "EMPTY_SET": lambda machine, arg: machine.stack.append(set()),
    "DICT": lambda machine, arg: machine.dictionary(machine.since_mark()),
    "LIST": lambda machine, arg: machine.stack.append(machine.since_mark()),
    "TUPLE": lambda machine, arg: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, arg: machine.tuple_of(1),
    "TUPLE2": lambda machine, arg: machine.tuple_of(2),
    "TUPLE3": lambda machine, arg: machine.tuple_of(3),
    "FROZENSET": lambda machine, arg: machine.stack.append(set_of(machine.since_mark())),
    "APPEND": lambda machine, arg: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, arg: machine.extend(machine.since_mark()),
    "ADDITEMS": lambda machine, arg: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, arg: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, arg: machine.set_items(machine.since_mark()),
    "GET": lambda machine, arg: machine.stack.append(machine.memo[int(arg)]),
    "BINGET": lambda machine, arg: machine.stack.append(machine.memo[arg]),
    "LONG_BINGET": lambda machine, arg: machine.stack.append(machine.memo[arg]),
    "PUT": lambda machine, arg: machine.remember(int(arg)),
    "BINPUT": lambda machine, arg: machine.remember(arg),
    "LONG_BINPUT": lambda machine, arg: machine.remember(arg),
    "MEMOIZE": lambda machine, arg: machine.remember(None),
    "GLOBAL": lambda machine, arg: machine.look_up(*arg.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, arg: machine.look_up(machine.stack.pop(-2), machine.stack.pop()),
    "REDUCE": lambda machine, arg: machine.apply(arg),
    "BUILD": lambda machine, arg: machine.build(arg),
}
