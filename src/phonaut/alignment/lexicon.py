"""Pronunciations of the words of a corpus: its own lexicon, a file, or the dictionary that pocketsphinx carries."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from phonaut.data.dictionary import dictionary
from phonaut.data.lexicon import entries_of, merge
from phonaut.data.phone_labels import PHONES
from phonaut.names import excerpt


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
