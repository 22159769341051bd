"""Pronunciation lexicon: the corpus's, a file, or the dictionary that pocketsphinx carries."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from phonaut.corpora.arpabet import PHONES
from phonaut.corpora.kaldi import read
from phonaut.corpora.speechocean762 import pronunciations

Pronunciations = Mapping[str, Sequence[tuple[str, ...]]]
VARIANT = re.compile(r"\(\d+\)$")
DICTIONARY = "en-us/cmudict-en-us.dict"


def lexicon_of(own: Path | None, words: Collection[str]) -> dict[str, list[tuple[str, ...]]]:
    """Pronunciations of `words`, in upper case: those of a lexicon and, if its phones are English, of the dictionary.

    Args:
        own: lines `WORD P1 P2 ...`, with a line for each variant; None: there is none.
        words: that are looked for.

    Raises:
        ValueError: the file is not there, has no pronunciation, or neither it nor the dictionary is there.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    if own is not None:
        if not own.is_file():
            raise ValueError(f"lexicon={own} is not a file; lines WORD P1 P2 ... are wanted")
        listed = pronunciations(own)
        if not listed:
            raise ValueError(f"lexicon={own} has no line WORD P1 P2 ...")
        merge(found, ((VARIANT.sub("", word).upper(), said) for word, says in listed.items() for said in says))
    spoken = {phone for says in found.values() for said in says for phone in said}
    lacking = {word for word in words if word not in found} if spoken <= set(PHONES) else set()
    known = dictionary(lacking)
    if known is None and own is None:
        raise ValueError(
            "how words are said is not known: the corpus has no lexicon; type lexicon=FILE (lines WORD P1 P2 ...), or "
            "install the dictionary of pocketsphinx: pip install 'phonaut[align]'"
        )
    return {word: says for word, says in found.items() if word in words} | (known or {})


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
