"""Phone alignments in NIST's CTM format: a line for each phone, `<cut id> 1 <start_s> <duration_s> <phone>`.

In ids, white space and % are written as in addresses, `%20` and `%25`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from phonaut.corpora.base import Phone
from phonaut.files import write_bytes

SILENCES = ("SIL", "SPN")  # silence, and noises of the speaker
OVERLAP_S = 0.005  # by which a phone may begin before the one before it ends: times are rounded


class Alignment:
    """The phones of every cut; lines are read when their cut is asked for.

    Args:
        path: the CTM file; the lines of a cut stand together.

    Raises:
        ValueError: there is no such file, or a line in it is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}
        if not path.is_file():
            raise ValueError(f"dataset.alignment={path} is not a file; phonaut align makes one")
        digest, at, current = hashlib.sha256(), 0, ""
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                digest.update(line)
                fields = line.split()
                if fields and not line.startswith(b";;"):
                    if len(fields) < 5:
                        got = line.decode(errors="replace").strip()
                        raise ValueError(
                            f"{path}, line {number}: '<cut id> 1 <start> <duration> <phone>' is wanted, got {got!r}"
                        )
                    name = unquote(fields[0].decode(errors="replace"))
                    if name != current and name in self._places:
                        raise ValueError(f"{path}, line {number}: the lines of {name} do not stand together")
                    first, _ = self._places.get(name, (at, at))
                    self._places[name] = (first, at + len(line))
                    current = name
                at += len(line)
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, cut: str) -> bool:
        return cut in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def phones(self, cut: str) -> tuple[Phone, ...]:
        """The phones of a cut, in order of time.

        Raises:
            ValueError: a time is none, or phones overlap.
        """
        first, last = self._places[cut]
        with self.path.open("rb") as file:
            file.seek(first)
            lines = file.read(last - first).decode(errors="replace").splitlines()
        found: list[Phone] = []
        for line in lines:
            fields = line.split()
            if len(fields) < 5 or unquote(fields[0]) != cut:
                continue
            try:
                start_s, duration_s = float(fields[2]), float(fields[3])
            except ValueError:
                raise ValueError(f"not a time in {line!r}") from None
            if not (start_s >= 0 and duration_s > 0):
                raise ValueError(f"a phone must start at 0 or later and last: {line!r}")
            if found and start_s < found[-1].end_s - OVERLAP_S:
                raise ValueError(f"{fields[4]} at {start_s:g} s begins before {found[-1].label} ends")
            found.append(Phone(fields[4], start_s, start_s + duration_s))
        return tuple(found)


def write_ctm(path: Path, alignments: Iterable[tuple[str, Iterable[Phone]]]) -> None:
    """Write the phones of cuts to a CTM file, atomically."""
    lines = (
        f"{one_field(cut)} 1 {phone.start_s:.4f} {phone.end_s - phone.start_s:.4f} {phone.label}\n"
        for cut, phones in alignments
        for phone in phones
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, "".join(lines).encode())


def one_field(name: str) -> str:
    """An id without white space.

    >>> one_field("my recordings/100%")
    'my%20recordings/100%25'
    """
    return re.sub(r"[\s%]", lambda found: quote(found[0]), name)
