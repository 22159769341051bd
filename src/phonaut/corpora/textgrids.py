"""Tiers of Praat's TextGrid files, in the long and in the short text format, and which of them is that of phones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from phonaut.files import text_lines
from phonaut.names import excerpt

LARGEST = 2**26  # bytes
# Praat reads strings, free-standing numbers and flags in their order, and skips all other text and what follows a !.
TOKEN = re.compile(
    r'"(?P<string>[^"]*(?:""[^"]*)*)"|(?<!\S)(?:(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)|(?P<flag><\w+>)|!.*)',
    re.ASCII,
)
PHONES = re.compile(r"\b(phones?|phonemes?|phonetic|phn|monophones?|segments?|sounds?|mau)\b", re.IGNORECASE)
WORDS = re.compile(r"words?\b|\b(ort|kan|kas|mas|trn)\b|transcript|text|utteran|sentence|phrase|syll", re.IGNORECASE)


class Tier(NamedTuple):
    """An interval tier: `(start_s, end_s, text)` of each interval with a text."""

    name: str
    intervals: list[tuple[float, float, str]]


def read_textgrid(path: Path) -> list[Tier]:
    """The interval tiers of a file; tiers of points have no phones.

    Source: Praat's manual, "TextGrid file formats".

    Raises:
        ValueError: it is no TextGrid, or damaged.
    """
    try:
        with path.open("rb") as file:
            is_binary = file.read(12) == b"ooBinaryFile"
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    if is_binary:
        raise ValueError(f"{path} is binary; in Praat, Save as text file writes one that is read")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has more than {LARGEST:,} bytes: no TextGrid of a recording is that long")
    tokens = Tokens(path)
    tokens.header()
    tiers = []
    for _ in range(tokens.count()):
        kind, name = tokens.string(), tokens.string()
        tokens.number(), tokens.number()
        if kind not in ("IntervalTier", "TextTier"):
            raise ValueError(f"{path}: a tier is an IntervalTier or a TextTier, not {excerpt(kind)!r}")
        intervals = []
        for _ in range(tokens.count()):
            if kind == "TextTier":
                tokens.number(), tokens.string()
                continue
            start_s, end_s, text = tokens.number(), tokens.number(), " ".join(tokens.string().split())
            if text:
                intervals.append((start_s, end_s, text))
        if kind == "IntervalTier":
            tiers.append(Tier(name, intervals))
    return tiers


class Tokens:
    """What Praat reads in a text, one after another.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = "\n".join(text_lines(path))
        self._text = text
        self._matches: Iterator[re.Match[str]] = TOKEN.finditer(text)

    def header(self) -> None:
        """Pass over what stands before the number of tiers."""
        if self.string().split()[:1] != ["ooTextFile"] or self.string() != "TextGrid":
            raise ValueError(f'{self.path} is no TextGrid: it does not begin with "ooTextFile" and "TextGrid"')
        self.number(), self.number()
        if self._next("flag", "<exists>") != "<exists>":
            raise ValueError(f"{self.path} has no tiers")

    def string(self) -> str:
        """The next one, a string."""
        return self._next("string", "a text in quotes").replace('""', '"')

    def number(self) -> float:
        """The next one, a number."""
        return float(self._next("number", "a number"))

    def count(self) -> int:
        """The next one, a number of tiers or intervals."""
        number = self.number()
        if not 0 <= number <= LARGEST:
            raise ValueError(f"{self.path}: {number:g} is no number of tiers or intervals")
        return int(number)

    def _next(self, kind: str, what: str) -> str:
        for match in self._matches:
            if match.lastgroup == kind:
                return match[kind]
            if match.lastgroup:
                line = self._text.count("\n", 0, match.start()) + 1
                raise ValueError(f"{self.path}, line {line}: {what} is wanted, got {excerpt(match[0])}")
        raise ValueError(f"{self.path} ends where {what} is wanted: it was cut off")


def phone_tier(path: Path, tiers: Sequence[Tier], asked: str | None) -> Tier:
    """The tier of phones: the one that is asked for, that is named like phones, or the only one.

    Raises:
        ValueError: there is none, or several; the message names those that are there.
    """
    names = ", ".join(excerpt(tier.name, 30) or '""' for tier in tiers[:20]) or "none of intervals"
    choose = f"{path.name} has the tiers {names}; type dataset.alignment_tier=NAME"
    if asked is not None:
        found = [tier for tier in tiers if tier.name == asked] or [
            tier for tier in tiers if tier.name.casefold() == asked.casefold()
        ]
        if len(found) != 1:
            raise ValueError(f"dataset.alignment_tier={asked} is {'several' if found else 'none'} of them: {choose}")
        return found[0]
    others = [tier for tier in tiers if not WORDS.search(tier.name)]
    found = [tier for tier in others if PHONES.search(tier.name)] or (others if len(tiers) == 1 else [])
    if len(found) != 1:
        raise ValueError(f"{'several tiers' if found else 'no tier'} may be that of phones: {choose}")
    sentence = next((text for *_, text in found[0].intervals if " " in text), None)
    if sentence:
        raise ValueError(f"the tier {excerpt(found[0].name)} has no phones, but {excerpt(sentence)!r}: {choose}")
    return found[0]
