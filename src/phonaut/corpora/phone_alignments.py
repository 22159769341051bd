"""Phones and their times from alignments, whoever made them, joined to the utterances of a corpus."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from urllib.parse import quote

import numpy as np

from phonaut.arrays import Index
from phonaut.checks import below, refuse
from phonaut.corpora.alignment_files import intervals_in, passed_over
from phonaut.corpora.base import Corpus, target_problems
from phonaut.corpora.disk import Refused, is_audio
from phonaut.corpora.options import as_list
from phonaut.corpora.phone_labels import NOISE, POSITION, SILENCE, alike, phones_of, usual
from phonaut.data.utterance import Phone, Utterance
from phonaut.files import expanded, write_bytes
from phonaut.names import excerpt

if TYPE_CHECKING:
    from phonaut.corpora.protocols.base import Divided

SILENCES = (SILENCE, NOISE)  # noises of the speaker
OVERLAP_S = 0.0105  # by which a phone may begin before the one before it ends: times are rounded, by lhotse to 10 ms
SHORTEST_S, LONGEST_S = 0.002, 3.0  # of the median phone, whoever speaks
MOST_COMPARED = 20  # utterances, to tell phones from words


class Place(NamedTuple):
    """Where an utterance is aligned: its number in the alignment, and its part of what that number names."""

    number: int
    start_s: float = 0.0
    end_s: float = float("inf")


class Alignment:
    """The phones of every utterance, or recording; 24 bytes a phone are held.

    Args:
        path: a file, or a folder of files, of a format that `alignment_files` reads.
        tier: of TextGrids; None: the one that is named like phones.
        has_words: labels are words, and taken as they are.

    Attributes:
        labels: the phones, sorted.
        has_positions: labels said the position of phones in words.

    Raises:
        ValueError: there is no such file, or a line in it is none; or times are no seconds.
    """

    def __init__(self, path: Path, tier: str | None = None, *, has_words: bool = False) -> None:
        check_there(path)
        self.path = path
        self._numbers: dict[str, dict[str, int]] = {}  # name -> channel -> number
        self._problems: dict[int, str] = {}
        self._claimed: dict[str, str] = {}
        codes: dict[str, int] = {}
        owners, labels, starts, ends = array("q"), array("q"), array("d"), array("d")
        n = 0
        for name, channel, start_s, end_s, label, problem in intervals_in(path, tier):
            of_name = self._numbers.setdefault(name, {})
            if channel not in of_name:
                of_name[channel] = n
                n += 1
            if problem:
                self._problems.setdefault(of_name[channel], problem)
            elif label:
                owners.append(of_name[channel])
                labels.append(codes.setdefault(label, len(codes)))
                starts.append(start_s)
                ends.append(end_s)
        meant = dict(zip(codes, codes, strict=True)) if has_words else phones_of(codes.keys(), path)
        self.has_positions = any(POSITION.fullmatch(label) and label != phone for label, phone in meant.items())
        self.labels = sorted(set(meant.values()))
        number = {label: i for i, label in enumerate(self.labels)}
        owner, start, end = np.array(owners, np.int64), np.array(starts, np.float64), np.array(ends, np.float64)
        order = np.lexsort((start, owner))
        label_of = np.array([number[meant[name]] for name in codes], np.int64)
        self._label: Index = label_of[np.array(labels, np.int64)[order]]
        self._start_s, self._end_s = start[order], end[order]
        self._first = np.searchsorted(owner[order], np.arange(n + 1))
        if not has_words:
            self._check_unit()
        self._is_from_0 = any("0" in channels for channels in self._numbers.values())
        self._longer: dict[str, list[str]] = {}  # names with folders or suffixes, by what is left without
        for name in self._numbers:
            bare = name.rpartition("/")[2]
            bare = bare.rpartition(".")[0] if is_audio(bare) else bare
            if bare != name:
                self._longer.setdefault(bare, []).append(name)

    def _check_unit(self) -> None:
        """Refuse times that are milliseconds, frames or samples."""
        is_spoken = ~np.isin(self._label, [code for code, label in enumerate(self.labels) if label in SILENCES])
        length_s = (self._end_s - self._start_s)[is_spoken]
        typical_s = float(np.median(length_s)) if len(length_s) else 0.0
        if 0 < typical_s < SHORTEST_S or LONGEST_S < typical_s < np.inf:
            raise ValueError(
                f"{self.path}: phones last {typical_s:g} s in the median: its times are no seconds, or no units "
                "of 100 ns in a .lab file of HTK"
            )

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, id: str) -> bool:
        return id in self._numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def place(self, utterance: Utterance) -> Place | None:
        """Where an utterance is aligned: under its id, or as a part of its recording; None: nowhere.

        Names may lack the folders and the suffix of the corpus's; times under the name of a recording are those in the
        recording, and its channels are told apart.

        Raises:
            ValueError: several channels are aligned and the utterance has none, or two recordings have one name.
        """
        if utterance.id in self._numbers:
            return self._of_channel(utterance.id, utterance.channel if len(self._numbers[utterance.id]) > 1 else None)
        recording = utterance.recording or utterance.id
        stem = re.sub(r"\.\w+$", "", recording)
        bare = stem.rpartition("/")[2]
        longer = self._longer.get(bare, [])
        known = next(
            (name for name in (recording, stem, recording.rpartition("/")[2], bare) if name in self._numbers), None
        )
        name = known or (longer[0] if len(longer) == 1 else None)
        if name is None:
            return None
        if self._claimed.setdefault(name, stem) != stem:
            raise ValueError(
                f"{self.path} calls an alignment {name}, and the corpus has {self._claimed[name]} and {stem}: give "
                "alignments the names of utterances, or of recordings with their folders"
            )
        number = self._of_channel(name, utterance.channel)
        if number is None:
            return None
        end_s = float("inf") if utterance.duration_s is None else utterance.start_s + utterance.duration_s
        return number._replace(start_s=utterance.start_s, end_s=end_s)

    def _of_channel(self, name: str, wanted: int | None) -> Place | None:
        """The place of a channel of what is called `name`."""
        channels = self._numbers[name]
        if wanted is None:
            if len(channels) > 1:
                raise ValueError(
                    f"{self.path} has channels {' and '.join(sorted(channels))} of {name}, and the corpus does not say "
                    "which is meant"
                )
            return Place(next(iter(channels.values())))
        first = 0 if self._is_from_0 else 1
        return next(
            (
                Place(number)
                for channel, number in channels.items()
                if not channel
                or wanted == (int(channel) - first if channel.isdecimal() else ord(channel[0].upper()) - 65)
            ),
            None,
        )

    def phones(self, where: str | Place) -> tuple[Phone, ...]:
        """The phones of an utterance, by its name or place, in order of time, from its beginning on.

        Raises:
            ValueError: a time is none, or phones overlap.
        """
        place = self._of_channel(where, None) if isinstance(where, str) else where
        assert place is not None
        if place.number in self._problems:
            raise ValueError(self._problems[place.number])
        first, last = self._first[place.number : place.number + 2]
        phones: list[Phone] = []
        rows = zip(*(column[first:last].tolist() for column in (self._label, self._start_s, self._end_s)), strict=True)
        for label, start_s, end_s in rows:
            append_phone(phones, Phone(self.labels[label], start_s, end_s))
        if place.start_s == 0 and place.end_s == float("inf"):
            return tuple(phones)
        return tuple(
            Phone(
                one.label, max(one.start_s, place.start_s) - place.start_s, min(one.end_s, place.end_s) - place.start_s
            )
            for one in phones
            if min(one.end_s, place.end_s) - max(one.start_s, place.start_s) > OVERLAP_S
        )

    def counts(self) -> Counter[str]:
        """Tokens of each phone, but for those of utterances that are refused."""
        usable = ~np.isin(self._owner(), self._wrong())
        n = np.bincount(self._label[usable], minlength=len(self.labels))
        return Counter({label: int(k) for label, k in zip(self.labels, n, strict=True) if k})

    def unusable(self) -> tuple[int, str]:
        """The number of utterances that are refused, and the first with its reason."""
        wrong = self._wrong()
        if not len(wrong):
            return 0, ""
        name = next(name for name, channels in self._numbers.items() if wrong[0] in channels.values())
        try:
            self.phones(Place(int(wrong[0])))
        except ValueError as error:
            return len(wrong), f"{name}: {error}"
        raise AssertionError(name)

    def _owner(self) -> Index:
        """The number that each row belongs to."""
        return np.repeat(np.arange(len(self._first) - 1), np.diff(self._first))

    def _wrong(self) -> Index:
        """The numbers of utterances of which a time cannot be."""
        own, start_s, end_s = self._owner(), self._start_s, self._end_s
        is_wrong = ~((start_s >= 0) & (start_s < end_s) & (end_s < np.inf))
        is_wrong[1:] |= (own[1:] == own[:-1]) & (start_s[1:] < end_s[:-1] - OVERLAP_S)
        return np.union1d(own[is_wrong], np.array(list(self._problems), np.int64))


def check_there(path: Path) -> None:
    """Refuse an alignment that is not there.

    Raises:
        ValueError: it is no file and no folder.
    """
    if not path.exists():
        raise ValueError(f"dataset.alignment={path} is not there; phonaut align makes one")


def append_phone(phones: list[Phone], phone: Phone) -> None:
    """Add a phone to those before it.

    Raises:
        ValueError: it does not last, or begins before the last one ends.
    """
    label, start_s, end_s = excerpt(phone.label), phone.start_s, phone.end_s
    if not 0 <= start_s < end_s < float("inf"):
        raise ValueError(f"a phone starts at 0 or later and lasts; {label} goes from {start_s:g} to {end_s:g} s")
    if phones and start_s < phones[-1].end_s - OVERLAP_S:
        raise ValueError(
            f"{label} at {start_s:g} s begins before {excerpt(phones[-1].label)} ends, at {phones[-1].end_s:g} s"
        )
    phones.append(phone)


class AlignedPhones:
    """The phones of each utterance that are classes, from an alignment.

    Args:
        path: of the alignment.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole file are no classes, in no split.
        tier: of TextGrids.
    """

    def __init__(
        self, path: Path, drop_phones: Sequence[object], min_phone_count: int, tier: str | None = None
    ) -> None:
        self.path, self.min_phone_count, self.tier = path, min_phone_count, tier
        self.drop_phones = [usual(str(label)) for label in as_list(drop_phones)]
        self._n_met = 0
        self._missing = ""
        self._are_words: list[bool] = []

    @cached_property
    def alignment(self) -> Alignment:
        """The file, read.

        Raises:
            ValueError: there is no such file, or a line in it is none.
        """
        return Alignment(self.path, self.tier)

    @cached_property
    def counts(self) -> Counter[str]:
        """Tokens of each phone in the whole file, but for those of utterances that are refused."""
        return self.alignment.counts()

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
            n_wrong, reason = self.alignment.unusable()
            n = len(self.alignment)
            if n_wrong and not self.counts:
                raise ValueError(f"dataset.alignment={self.path}: none of its {n} utterances can be used; {reason}")
            wrong = f", and {n_wrong} of its {n} utterances cannot be used ({reason})" if n_wrong else ""
            some = ", ".join(f"{label} {n}" for label, n in self.counts.most_common(5)) or "none"
            raise ValueError(
                f"dataset.min_phone_count={self.min_phone_count} leaves {len(frequent)} phones of {self.path} to tell "
                f"apart; the most frequent are {some}{wrong}: type a lower number{' or mend them' * bool(n_wrong)}"
            )
        return frozenset(frequent)

    def has(self, utterance: Utterance, refused: Refused) -> bool:
        """True where the file has an utterance; one that it lacks is refused, by its path.

        Raises:
            ValueError: there is no telling whether it has it.
        """
        place = self.alignment.place(utterance)
        if place is not None:
            self._n_met += 1
            if len(self._are_words) < MOST_COMPARED:
                self._compare(utterance.text or "", place)
            return True
        self._missing = utterance.id
        refused.add(str(utterance.path), f"{self.path} does not align it")
        return False

    def _compare(self, text: str, place: Place) -> None:
        """Note whether labels are the words that are said."""
        words = [word for word in text.casefold().split() if any(map(str.isalnum, word))]
        if len("".join(words)) < 5:  # a short word may be a phone
            return
        with suppress(ValueError):
            labels = [phone.label for phone in self.alignment.phones(place) if phone.label not in SILENCES]
            self._are_words.append([label.casefold() for label in labels] == words)

    def phones(self, utterance: Utterance, refused: Refused) -> tuple[Phone, ...] | None:
        """The classes among the phones of an utterance; None where that is refused, by its path.

        Raises:
            ValueError: the file cannot be read, or leaves nothing to tell apart.
        """
        if not self.has(utterance, refused):
            return None
        place = self.alignment.place(utterance)
        assert place is not None
        try:
            phones = self.alignment.phones(place)
        except ValueError as error:
            refused.add(str(utterance.path), f"{self.path}: {error}")
            return None
        return tuple(phone for phone in phones if phone.label in self.classes)

    def check_met(self) -> None:
        """Refuse a file of another corpus, or of words, once all utterances were asked for.

        Raises:
            ValueError: it has none of them, or their words.
        """
        if self._are_words and all(self._are_words):
            raise ValueError(
                f"dataset.alignment={self.path} has the words of utterances: target=phone needs the times of phones"
            )
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
        note = f"phones by {self.path}, those with at least {self.min_phone_count} tokens in the whole corpus{left_out}"
        if self.alignment.has_positions:
            note += "; positions in words (_B, _I, _E, _S) are left out"
        if others := passed_over(self.path):
            note += f"; {others} beside them are not read"
        if pairs := alike(self.classes):
            note += f"; {', '.join(pairs)} differ in case alone, and are classes of their own"
        return note


class AlignedCorpus(Corpus):
    """A corpus whose phones come from an alignment, with `target=phone`.

    Args:
        data_folder: of the corpus.
        target: of the run.
        alignment: a file, or a folder of files; None: the target needs none.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole file are no classes.
        alignment_tier: of phones, in TextGrids; None: the one that is named so.
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
        alignment_tier: str | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        wrong = target_problems(target, type(self))
        if target == "phone" and alignment is None:
            wrong.append(f"target=phone needs the times of phones: dataset.alignment=FILE; {self.how}")
        refuse([*wrong, *below(1, **{"dataset.min_phone_count": min_phone_count}), *problems])
        self.data_folder, self.target = Path(data_folder), target
        self.aligned: AlignedPhones | None = None
        if target == "phone" and alignment is not None:
            self.aligned = AlignedPhones(expanded(alignment), drop_phones, min_phone_count, alignment_tier)

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
            if self.aligned is None or self.aligned.has(utterance, self._refused):
                yield utterance
        if self.aligned:
            self.aligned.check_met()

    def complete(self, utterance: Utterance) -> Utterance | None:
        """An utterance with its phones; None where they are refused."""
        if self.aligned is None:
            return utterance
        phones = self.aligned.phones(utterance, self._refused)
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
