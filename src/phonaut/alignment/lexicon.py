"""Pronunciation lexicon: the corpus's, a file, or the dictionary that pocketsphinx carries."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from phonaut.corpora.arpabet import PHONES
from phonaut.corpora.kaldi import read
from phonaut.corpora.phone_labels import phones_of
from phonaut.files import composed, text_lines
from phonaut.names import excerpt

Pronunciations = Mapping[str, Sequence[tuple[str, ...]]]
VARIANT = re.compile(r"\(\d+\)$")
DICTIONARY = "en-us/cmudict-en-us.dict"
DECIMAL = re.compile(r"\d*\.\d+([eE][-+]?\d+)?|\d+\.|\d+\.?[eE]-\d+", re.ASCII)  # a number that can be no phone
INTEGER = re.compile(r"\d+", re.ASCII)  # a probability of 1, or a phone of X-SAMPA
MOST_PROBABILITIES = 4  # before the phones of a line: of the word, and of silence around it
STRESSED = re.compile("(A[AEHOWXY]|AXR|E[HRY]|I[HXY]|O[WY]|U[HWX])[012]", re.IGNORECASE)
TONED = re.compile("[A-Za-z]+[3-9]")  # English has no stress of these numbers


class Entry(NamedTuple):
    """A line of a lexicon."""

    number: int
    word: str
    phones: list[str]


def lexicon_of(
    own: Path | None, words: Collection[str], tell: Callable[[str], None] | None = None
) -> dict[str, list[tuple[str, ...]]]:
    """Pronunciations of `words`, in upper case: those of a lexicon and, if its phones are English, of the dictionary.

    Args:
        own: a lexicon as Kaldi, MFA, CMU or HTK write it, with a line for each variant; None: there is none.
        words: that are looked for.
        tell: is told what was passed over.

    Raises:
        ValueError: the file is not there, has no pronunciation, a line that is none or none of the words, or neither
            it nor the dictionary is there.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    if own is not None:
        if not own.is_file():
            raise ValueError(f"lexicon={own} is not a file; lines WORD P1 P2 ... are wanted")
        entries, empty = entries_of(own)
        if not entries:
            raise ValueError(f"lexicon={own} has no line WORD P1 P2 ...")
        if empty and tell:
            tell(
                f"lines of the lexicon without phones, which are passed over: {len(empty)}, such as {excerpt(empty[0])}"
            )
        merge(found, entries)
        if words and not found.keys() & set(words):
            raise ValueError(f"lexicon={own} has none of the {len(words)} words that are spoken, such as "
                             f"{excerpt(min(words))}; its first is {excerpt(entries[0][0])}")  # fmt: skip
    spoken = {phone for says in found.values() for said in says for phone in said}
    lacking = {word for word in words if word not in found} if spoken <= set(PHONES) else set()
    known = dictionary(lacking)
    if known is None and own is None:
        raise ValueError(
            "how words are said is not known: the corpus has no lexicon; type lexicon=FILE (lines WORD P1 P2 ...), or "
            "install the dictionary of pocketsphinx: pip install 'phonaut[align]'"
        )
    if own is not None and known and tell:
        tell(f"words that the lexicon lacks, said as in pocketsphinx's dictionary: {len(known)}, such as "
             f"{excerpt(min(known))}")  # fmt: skip
    return {word: says for word, says in found.items() if word in words} | (known or {})


def entries_of(path: Path) -> tuple[list[tuple[str, tuple[str, ...]]], list[str]]:
    """Words and phones of a lexicon's lines, and the words of lines without phones.

    Comments (`;;;`, `#`), probabilities, HTK's `[output symbols]` and the stress of English vowels are left out.

    Raises:
        ValueError: it is a table, a number stands among phones, or phones are numbers without names.
    """
    lines = [Entry(number, *read) for number, line in enumerate(text_lines(path), 1) if (read := fields_of(line))]
    if lines and (mark := next((mark for mark in ",;|" if all(mark in one.word[1:] for one in lines)), "")):
        raise ValueError(
            f"{path} is a table with {mark} between its columns: lines WORD P1 P2 ... with spaces are wanted"
        )
    n_columns = n_probabilities([entry.phones for entry in lines if not all(map(is_number, entry.phones))])
    entries: list[Entry] = []
    for entry in lines:
        phones = entry.phones[n_columns:]
        n_more = next((i for i, field in enumerate(phones) if not DECIMAL.fullmatch(field)), len(phones))
        wrong = next((field for field in phones[n_more:] if DECIMAL.fullmatch(field)), None)
        if wrong or n_columns + n_more > MOST_PROBABILITIES:
            what = f"the number {excerpt(wrong or phones[0])} of {excerpt(entry.word)}"
            raise ValueError(f"{path}, line {entry.number}: {what} is no phone")
        entries.append(entry._replace(phones=phones[n_more:]))
    meant = phones_of({phone for entry in entries for phone in entry.phones}, path)
    meant |= without_stress(meant)
    said = [(entry.word, tuple(meant[phone] for phone in entry.phones)) for entry in entries if entry.phones]
    return said, [entry.word for entry in entries if not entry.phones]


def fields_of(line: str) -> tuple[str, list[str]] | None:
    """The word of a line, as texts have it, and what follows; None for a comment and an empty line.

    >>> fields_of("the(2) DH IY0 # before vowels"), fields_of(";;; a comment")
    (('THE', ['DH', 'IY0']), None)
    """
    fields = composed(line).split()
    if not fields or fields[0].startswith(";;") or not fields[0].strip("#"):
        return None
    said = fields[1:]
    if len(said) > 1 and said[0].startswith("[") and said[0].endswith("]"):
        said = said[1:]
    end = next((i for i, field in enumerate(said) if field.startswith("#")), len(said))  # also Kaldi's #1
    return composed(VARIANT.sub("", fields[0]).upper()), said[:end]


def is_number(field: str) -> bool:
    """True for a probability, and for a phone of X-SAMPA that looks like one."""
    return bool(DECIMAL.fullmatch(field) or INTEGER.fullmatch(field))


def n_probabilities(lines: Sequence[Sequence[str]]) -> int:
    """The number of columns of probabilities before the phones of all lines.

    They are numbers in every line; one with a point makes a column one of probabilities, and so does 1 throughout.
    """
    for n in range(MOST_PROBABILITIES):
        column = [fields[n] if len(fields) > n + 1 else "" for fields in lines]
        if not lines or not all(map(is_number, column)):
            return n
        if not any(map(DECIMAL.fullmatch, column)) and not (len(column) > 1 and set(column) == {"1"}):
            return n
    return MOST_PROBABILITIES


def without_stress(meant: Mapping[str, str]) -> dict[str, str]:
    """The phones of labels that say an English vowel's stress: `AH0` is AH. Numbers of tones are a part of the phone.

    Pinyin has vowels of the same names in lower case (`ao1`): there, all phones must be English.
    """
    plain = {label: phone[:-1] for label, phone in meant.items() if STRESSED.fullmatch(phone)}
    if any(TONED.fullmatch(phone) for phone in meant.values()):
        return {}
    is_english = {plain.get(label, phone).upper() for label, phone in meant.items()} <= set(PHONES)
    return {label: phone for label, phone in plain.items() if phone.isupper() or is_english}


def dictionary(words: Collection[str]) -> dict[str, list[tuple[str, ...]]] | None:
    """Pronunciations of `words` in pocketsphinx's dictionary, CMU's; None where it is not installed."""
    try:
        from pocketsphinx import get_model_path
    except ImportError:
        return None
    found: dict[str, list[tuple[str, ...]]] = {}
    if words:
        named = ((VARIANT.sub("", word).upper(), said) for word, said in read(Path(get_model_path(DICTIONARY))))
        merge(found, ((word, tuple(said.split())) for word, said in named if word in words))
    return found


def merge(found: dict[str, list[tuple[str, ...]]], more: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    """Add pronunciations that are not there yet."""
    for word, said in more:
        if said and said not in found.setdefault(word, []):
            found[word].append(said)
