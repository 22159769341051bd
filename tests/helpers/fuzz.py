"""Damaged files for every reader: whatever the bytes are, it reads them or refuses them in one sentence.

The law: a reader returns, or it raises a `ValueError` by a `raise` of ours, with one clear sentence that names the
file; in bounded memory and time. All else is a finding: other exceptions, messages of other libraries, `MemoryError`.

Readers are entries of the tables `READERS` in the modules of `helpers.fuzzed`, one table for each room.
"""

from __future__ import annotations

import contextlib
import importlib
import linecache
import pkgutil
import random
import re
import signal
import struct
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

LEAST_ROOM = 512 << 20  # bytes of memory that one reading may take
LONGEST_S = 5.0  # of processor time
LONGEST_MESSAGE = 1000  # characters


class Reader(NamedTuple):
    """One entry of a table.

    Attributes:
        seeds: writes small whole files into a folder, which may hold others that they need, and returns them. Each of
            them is damaged in its place.
        read: reads one of them, as users do: to the end.
        names_file: its messages name the file; else whoever calls it does.
    """

    seeds: Callable[[Path], Sequence[Path]]
    read: Callable[[Path], object]
    names_file: bool = True


class Finding(NamedTuple):
    """A breach of the law.

    Attributes:
        what: the error, or what is wrong with its message.
        place: file and line that raised it; one finding for each is kept.
        file: the damaged file that shows it.
        trace: of the error.
    """

    what: str
    place: str
    file: Path
    trace: str


class Result(NamedTuple):
    """Counts of a fuzzing, and what it found."""

    n_read: int
    n_refused: int
    findings: list[Finding]


class TookTooLongError(BaseException):
    """More processor time than allowed; no `Exception`, so that no reader takes it for one of its own."""


def readers() -> dict[str, Reader]:
    """All readers, by name."""
    import helpers.fuzzed

    table: dict[str, Reader] = {}
    for module in pkgutil.iter_modules(helpers.fuzzed.__path__):
        of_room = importlib.import_module(f"helpers.fuzzed.{module.name}").READERS
        if twice := table.keys() & of_room.keys():
            raise ValueError(f"two readers are called {', '.join(twice)}")
        table |= of_room
    return table


def fuzz(reader: Reader, folder: Path, *, seconds: float, most: int | None = None, seed: int = 0) -> Result:
    """Read damaged files for a time.

    Args:
        reader: that is tried.
        folder: empty; damaged files that show a finding are kept in `folder/findings`.
        seconds: to go on for.
        most: files to read; None: as many as the time allows.
        seed: of the damage; the same seed and number give the same file.
    """
    work, kept = folder / "files", folder / "findings"
    work.mkdir(parents=True)
    files = list(reader.seeds(work))
    whole = {file: file.read_bytes() for file in files}
    for file in files:
        if breach := _breach(reader, file):
            raise AssertionError(f"the whole file {file.name} is not read:\n{breach.trace or breach.what}")
    found: dict[str, Finding] = {}
    counts = {True: 0, False: 0}
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until and (most is None or number < most):
        draw = random.Random(f"{seed}/{number}")
        file = files[number % len(files)]
        number += 1
        file.write_bytes(damaged(whole[file], list(whole.values()), draw))
        breach = _breach(reader, file, counts)
        if breach and breach.place not in found:
            kept.mkdir(exist_ok=True)
            copy = kept / f"{len(found)}-{file.name}"
            copy.write_bytes(file.read_bytes())
            found[breach.place] = breach._replace(file=copy)
        file.write_bytes(whole[file])
    return Result(counts[True], counts[False], list(found.values()))


def _breach(reader: Reader, file: Path, counts: dict[bool, int] | None = None) -> Finding | None:
    """Read a file; None where the law is kept."""
    try:
        with _bounded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(file)
    except ValueError as error:
        if counts is not None:
            counts[False] += 1
        wrong = _wrong_with(error, file, reader.names_file)
        if wrong is None and counts is not None:
            return None
        return Finding(wrong or f"refused: {error}", _place(error), file, _trace(error))
    except (Exception, TookTooLongError) as error:
        return Finding(f"{type(error).__name__}: {error}", _place(error), file, _trace(error))
    if counts is not None:
        counts[True] += 1
    return None


def _wrong_with(error: ValueError, file: Path, names_file: bool) -> str | None:
    """The fault of a refusal: it is no sentence of ours."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    message = str(error)
    if "phonaut" not in frame.filename or not (frame.line or "").startswith("raise"):
        return f"not raised by us: {type(error).__name__}: {message}"
    if not message.strip() or not message.isprintable() or len(message) > LONGEST_MESSAGE:
        return f"not one clear sentence: {message!r}"
    if re.search(r"malloc|out of memory", message, re.IGNORECASE):
        return f"it took all memory: {message}"
    if names_file and file.name not in message:
        return f"the file is not named: {message}"
    return None


def _place(error: BaseException) -> str:
    """The innermost line of ours in an error, and the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/phonaut/" in frame.filename]
    return "; ".join(f"{frame.filename}:{frame.lineno}" for frame in (*ours[-1:], frames[-1]))


def _trace(error: BaseException) -> str:
    linecache.checkcache()
    return "".join(traceback.format_exception(error))


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Little more memory than the process has, and little time; where the system can bound them."""
    import resource

    def stop(*_: object) -> None:
        raise TookTooLongError(f"more than {LONGEST_S:g} s of processor time")

    limits = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if statm.exists():
        resource.setrlimit(resource.RLIMIT_AS, (int(statm.read_text().split()[0]) * 4096 + LEAST_ROOM, limits[1]))
    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        resource.setrlimit(resource.RLIMIT_AS, limits)


# --- damage -----------------------------------------------------------------------------------------------------------

Damage = Callable[[bytearray, random.Random], bytearray]

INTEGERS = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, 65535, 1 << 20, 10**9, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
            10**12, (1 << 63) - 1, (1 << 64) - 1)  # fmt: skip
NUMBERS = ("0", "-1", "1", "00", "1e9", "1e999", "-1e999", "nan", "NaN", "inf", "-inf", "4294967295", "2147483648",
           "999999999999", "9" * 400, "1_000", "0x10", "1,5", "1.5.2", "+", "-", "", "٣", "²", "1e-320")  # fmt: skip
TEXTS = ("", "\0", "\n", "\r", "\r\n", "\n\n\n", "\t", " ", ",", ";", '"', "'", '"""', "=", ":", "#", "\\", "/", "..",
         "../../etc/passwd", "\ufeff", "\xff", "\u2028", "\x1b[31m", "ÄÖ€", "\U0001f600", "[", "{", "(", "]", "}", ")",
         "null", "true", "None", "{}", "[]", "<a>", "%s", "%n", "{x}", "${x}", "a" * 70000, "[" * 3000,
         "x," * 2000)  # fmt: skip


def damaged(data: bytes, others: Sequence[bytes], draw: random.Random) -> bytes:
    """The bytes of a file after one to four kinds of damage."""
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 2, 4))):
        if draw.random() < 0.03:
            content = _spliced(content, draw.choice(others), draw)
        else:
            content = draw.choice(DAMAGES)(content, draw)
    return bytes(content)


def _place_in(content: bytearray, draw: random.Random) -> int:
    """A place, every other time near the beginning, where headers are."""
    if not content:
        return 0
    return draw.randrange(min(len(content), 128) if draw.random() < 0.5 else len(content))


def _flip(content: bytearray, draw: random.Random) -> bytearray:
    for _ in range(draw.choice((1, 1, 2, 8))):
        if content:
            content[_place_in(content, draw)] ^= 1 << draw.randrange(8)
    return content


def _overwrite(content: bytearray, draw: random.Random) -> bytearray:
    at = _place_in(content, draw)
    n = draw.choice((1, 2, 4, 16, 64))
    content[at : at + n] = draw.choice((b"\0" * n, b"\xff" * n, draw.randbytes(n)))
    return content


def _truncate(content: bytearray, draw: random.Random) -> bytearray:
    del content[_place_in(content, draw) :]
    return content


def _cut_out(content: bytearray, draw: random.Random) -> bytearray:
    at = _place_in(content, draw)
    del content[at : at + draw.choice((1, 2, 3, 4, 8, 100, 1000))]
    return content


def _duplicate(content: bytearray, draw: random.Random) -> bytearray:
    at = _place_in(content, draw)
    piece = bytes(content[at : at + draw.choice((1, 4, 10, 100, 1000, len(content) or 1))])
    content[at:at] = piece * draw.choice((1, 1, 2, 50))
    return content


def _integer(content: bytearray, draw: random.Random) -> bytearray:
    width = draw.choice((1, 2, 4, 4, 4, 8))
    value = draw.choice(INTEGERS) & ((1 << 8 * width) - 1)
    at = _place_in(content, draw)
    at -= at % 2 if draw.random() < 0.8 else 0
    content[at : at + width] = value.to_bytes(width, draw.choice(("little", "big")))
    return content


def _float(content: bytearray, draw: random.Random) -> bytearray:
    at = _place_in(content, draw) // 4 * 4
    value = draw.choice((float("nan"), float("inf"), -float("inf"), 1e30, -1e-40, 0.0))
    content[at : at + 4] = struct.pack("<f", value)
    return content


def _number(content: bytearray, draw: random.Random) -> bytearray:
    """Another number in place of one that stands there as text."""
    numbers = list(re.finditer(rb"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?", content[: 1 << 16]))
    if not numbers:
        return _integer(content, draw)
    match = draw.choice(numbers)
    content[match.start() : match.end()] = draw.choice(NUMBERS).encode()
    return content


def _insert(content: bytearray, draw: random.Random) -> bytearray:
    at = _place_in(content, draw)
    text = draw.choice((*TEXTS, *NUMBERS))
    content[at:at] = text.encode(draw.choice(("utf-8", "utf-8", "utf-8", "utf-16")))
    return content


def _lines(content: bytearray, draw: random.Random) -> bytearray:
    """A line twice, elsewhere, missing, shortened, or a thousand times."""
    lines = bytes(content).split(b"\n")
    i, j = draw.randrange(len(lines)), draw.randrange(len(lines))
    kind = draw.randrange(5)
    if kind == 0:
        lines.insert(j, lines[i])
    elif kind == 1:
        lines[i], lines[j] = lines[j], lines[i]
    elif kind == 2:
        del lines[i]
    elif kind == 3:
        lines[i] = lines[i][: draw.randrange(len(lines[i]) + 1)]
    elif len(lines[i]) < 1000:
        lines[i:i] = [lines[i]] * 1000
    return bytearray(b"\n".join(lines))


def _fields(content: bytearray, draw: random.Random) -> bytearray:
    """A field of a line missing, twice or swapped with another one."""
    lines = bytes(content).split(b"\n")
    i = draw.randrange(len(lines))
    mark = draw.choice((b",", b"\t", b" ", b";", b"="))
    fields = lines[i].split(mark)
    j, k = draw.randrange(len(fields)), draw.randrange(len(fields))
    kind = draw.randrange(3)
    if kind == 0:
        del fields[j]
    elif kind == 1:
        fields.insert(j, fields[k])
    else:
        fields[j], fields[k] = fields[k], fields[j]
    lines[i] = mark.join(fields)
    return bytearray(b"\n".join(lines))


def _encoding(content: bytearray, draw: random.Random) -> bytearray:
    """The text in another encoding, or with other ends of lines."""
    text = bytes(content).decode("latin-1")
    kind = draw.randrange(4)
    if kind == 0:
        return bytearray(text.encode(draw.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32"))))
    if kind == 1:
        return bytearray(b"\xef\xbb\xbf" + content)
    return bytearray(content.replace(b"\n", draw.choice((b"\r\n", b"\r", b"\n\n"))))


def _empty(content: bytearray, draw: random.Random) -> bytearray:
    return bytearray(draw.choice((b"", b"\n", b"\0" * 100, content[:1])))


def _spliced(content: bytearray, other: bytes, draw: random.Random) -> bytearray:
    """The beginning of one file before the end of another."""
    return content[: _place_in(content, draw)] + other[draw.randrange(len(other) + 1) :]


DAMAGES: tuple[Damage, ...] = (_flip, _flip, _overwrite, _truncate, _cut_out, _duplicate, _integer, _integer, _float,
                               _number, _number, _insert, _insert, _lines, _fields, _encoding, _empty)  # fmt: skip
