"""Phone alignments in NIST's CTM format: a line for each phone, `<id> 1 <start_s> <duration_s> <phone>`.

In ids, white space and % are written as in addresses, `%20` and `%25`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, unquote

from phonaut.checks import below, refuse
from phonaut.corpora.base import Corpus, target_problems
from phonaut.corpora.disk import Refused
from phonaut.corpora.options import as_list
from phonaut.data.utterance import Phone, Utterance
from phonaut.files import write_bytes

if TYPE_CHECKING:
    from phonaut.corpora.protocols.base import Divided

SILENCES = ("SIL", "SPN")  # silence, and noises of the speaker
OVERLAP_S = 0.005  # by which a phone may begin before the one before it ends: times are rounded


class Alignment:
    """The phones of every utterance; lines are read when it is asked for.

    Args:
        path: the CTM file; the lines of an utterance stand together.

    Raises:
        ValueError: there is no such file, or a line in it is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}
        check_there(path)
        digest, at, current = hashlib.sha256(), 0, ""
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                digest.update(line)
                fields = line.split()
                if fields and not line.startswith(b";;"):
                    if len(fields) < 5:
                        got = line.decode(errors="replace").strip()
                        raise ValueError(
                            f"{path}, line {number}: '<id> 1 <start> <duration> <phone>' is wanted, got {got!r}"
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

    def __contains__(self, id: str) -> bool:
        return id in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def phones(self, id: str) -> tuple[Phone, ...]:
        """The phones of an utterance, in order of time.

        Raises:
            ValueError: a time is none, or phones overlap.
        """
        first, last = self._places[id]
        with self.path.open("rb") as file:
            file.seek(first)
            lines = file.read(last - first).decode(errors="replace").splitlines()
        phones: list[Phone] = []
        for line in lines:
            fields = line.split()
            if len(fields) < 5 or unquote(fields[0]) != id:
                continue
            try:
                start_s, duration_s = float(fields[2]), float(fields[3])
            except ValueError:
                raise ValueError(f"not a time in {line!r}") from None
            append_phone(phones, Phone(fields[4], start_s, start_s + duration_s))
        return tuple(phones)


def check_there(path: Path) -> None:
    """Refuse an alignment that is not there.

    Raises:
        ValueError: it is no file.
    """
    if not path.is_file():
        raise ValueError(f"dataset.alignment={path} is not a file; phonaut align makes one")


def append_phone(phones: list[Phone], phone: Phone) -> None:
    """Add a phone to those before it.

    Raises:
        ValueError: it does not last, or begins before the last one ends.
    """
    label, start_s, end_s = phone.label, phone.start_s, phone.end_s
    if not 0 <= start_s < end_s < float("inf"):
        raise ValueError(f"a phone starts at 0 or later and lasts; {label} goes from {start_s:g} to {end_s:g} s")
    if phones and start_s < phones[-1].end_s - OVERLAP_S:
        raise ValueError(f"{label} at {start_s:g} s begins before {phones[-1].label} ends, at {phones[-1].end_s:g} s")
    phones.append(phone)


class AlignedPhones:
    """The phones of each utterance that are classes, from an alignment.

    Args:
        path: the CTM file.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole file are no classes, in no split.
    """

    def __init__(self, path: Path, drop_phones: Sequence[object], min_phone_count: int) -> None:
        self.path, self.drop_phones, self.min_phone_count = path, as_list(drop_phones), min_phone_count
        self._n_met = 0
        self._missing = ""

    @cached_property
    def alignment(self) -> Alignment:
        """The file, indexed.

        Raises:
            ValueError: there is no such file, or a line in it is none.
        """
        return Alignment(self.path)

    @cached_property
    def counts(self) -> Counter[str]:
        """Tokens of each phone in the whole file."""
        counts: Counter[str] = Counter()
        for id in self.alignment:
            try:
                counts.update(phone.label for phone in self.alignment.phones(id))
            except ValueError:
                continue  # refused by name in `phones`
        return counts

    @cached_property
    def classes(self) -> frozenset[str]:
        """The phones that are told apart.

        Raises:
            ValueError: there are fewer than two.
        """
        frequent = {
            label for label, n in self.counts.items() if n >= self.min_phone_count and label not in self.drop_phones
        }
        if len(frequent) < 2:
            some = ", ".join(f"{label} {n}" for label, n in self.counts.most_common(5)) or "none"
            raise ValueError(
                f"dataset.min_phone_count={self.min_phone_count} leaves {len(frequent)} phones of {self.path} to tell "
                f"apart; the most frequent are {some}: type a lower number"
            )
        return frozenset(frequent)

    def has(self, id: str, path: str, refused: Refused) -> bool:
        """True where the file has an utterance; one that it lacks is refused, by its path."""
        if id in self.alignment:
            self._n_met += 1
            return True
        self._missing = id
        refused.add(path, f"{self.path} does not align it")
        return False

    def phones(self, id: str, path: str, refused: Refused) -> tuple[Phone, ...] | None:
        """The classes among the phones of an utterance; None where that is refused, by its path.

        Raises:
            ValueError: the file cannot be read, or leaves nothing to tell apart.
        """
        if not self.has(id, path, refused):
            return None
        try:
            phones = self.alignment.phones(id)
        except ValueError as error:
            refused.add(path, f"{self.path}: {error}")
            return None
        return tuple(phone for phone in phones if phone.label in self.classes)

    def check_met(self) -> None:
        """Refuse a file of another corpus, once all utterances were asked for.

        Raises:
            ValueError: it has none of them.
        """
        if self._missing and not self._n_met:
            there = next(iter(self.alignment), None)
            raise ValueError(
                f"dataset.alignment={self.path} has no utterance of this corpus: it is of another one, or calls them "
                f"by other names. It has {f'{there} and so on' if there else 'none'}; the corpus has {self._missing}"
            )

    def note(self) -> str:
        """The phones that are classes, and those that are too rare, in a sentence."""
        rare = sorted(self.counts.keys() - self.classes - set(self.drop_phones))
        left_out = f" ({', '.join(f'{label} {self.counts[label]}' for label in rare)} have fewer)" if rare else ""
        return f"phones by {self.path}, those with at least {self.min_phone_count} tokens in the whole corpus{left_out}"


class AlignedCorpus(Corpus):
    """A corpus whose phones come from an alignment, with `target=phone`.

    Args:
        data_folder: of the corpus.
        target: of the run.
        alignment: a CTM file; None: the target needs none.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole file are no classes.
        problems: of the other options.

    Attributes:
        how: what makes an alignment, in words.
        aligned: the phones; None: the target needs none.

    Raises:
        ValueError: a value is not possible; all problems are named.
    """

    how: ClassVar[str] = ""

    def __init__(
        self,
        data_folder: str | Path,
        target: str,
        alignment: str | Path | None,
        drop_phones: Sequence[object],
        min_phone_count: int,
        problems: Sequence[str] = (),
    ) -> None:
        wrong = target_problems(target, type(self))
        if target == "phone" and alignment is None:
            wrong.append(f"target=phone needs the times of phones: dataset.alignment=FILE.ctm; {self.how}")
        refuse([*wrong, *below(1, **{"dataset.min_phone_count": min_phone_count}), *problems])
        self.data_folder, self.target = Path(data_folder), target
        self.aligned: AlignedPhones | None = None
        if target == "phone" and alignment is not None:
            self.aligned = AlignedPhones(Path(alignment).expanduser(), drop_phones, min_phone_count)

    def first_look(self) -> None:
        """Find the alignment.

        Raises:
            ValueError: it is not there.
        """
        if self.aligned:
            check_there(self.aligned.path)

    def with_alignment(self, utterances: Iterable[Utterance]) -> Iterator[Utterance]:
        """Those utterances that the alignment has: only they are divided, else a split might come to nothing.

        Raises:
            ValueError: it has none of them.
        """
        for utterance in utterances:
            if self.aligned is None or self.aligned.has(utterance.id, str(utterance.path), self._refused):
                yield utterance
        if self.aligned:
            self.aligned.check_met()

    def complete(self, utterance: Utterance) -> Utterance | None:
        """An utterance with its phones; None where they are refused."""
        if self.aligned is None:
            return utterance
        phones = self.aligned.phones(utterance.id, str(utterance.path), self._refused)
        return None if phones is None else replace(utterance, phones=phones)

    def select(self, divided: Divided) -> Iterator[Utterance]:
        """All utterances; where all are tested, rare phones too, for the model has classes already."""
        if self.aligned and divided.protocol.name == "all_test":
            self.aligned.min_phone_count = 1
        return super().select(divided)

    def notes(self) -> list[str]:
        """The phones that are classes."""
        return [self.aligned.note()] if self.aligned else []


def write_ctm(path: Path, alignments: Iterable[tuple[str, Iterable[Phone]]]) -> None:
    """Write the phones of utterances to a CTM file, atomically."""
    lines = (
        f"{one_field(id)} 1 {phone.start_s:.4f} {phone.end_s - phone.start_s:.4f} {phone.label}\n"
        for id, phones in alignments
        for phone in phones
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, "".join(lines).encode())


def one_field(name: str) -> str:
    """An id without white space.

    >>> one_field("my recordings/100%")
    'my%20recordings/100%25'
    """
    return re.sub(r"[\s%]", lambda match: quote(match[0]), name)
