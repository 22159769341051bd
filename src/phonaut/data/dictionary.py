"""The pronouncing dictionary that pocketsphinx carries: CMU's, of 125,000 English words, in phones without stress."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from phonaut.data.lexicon import VARIANT, merge
from phonaut.files import composed, text_lines

DICTIONARY = "en-us/cmudict-en-us.dict"


def dictionary(words: Collection[str] | None = None) -> dict[str, list[tuple[str, ...]]] | None:
    """Pronunciations by word, in upper case; None where pocketsphinx is not installed.

    Args:
        words: in upper case, of those that are looked for; None: all that there are.
    """
    try:
        from pocketsphinx import get_model_path
    except ImportError:
        return None
    found: dict[str, list[tuple[str, ...]]] = {}
    if words is None or words:
        lines = (composed(line).split() for line in text_lines(Path(get_model_path(DICTIONARY))))
        named = ((VARIANT.sub("", fields[0]).upper(), tuple(fields[1:])) for fields in lines if fields)
        merge(found, ((word, said) for word, said in named if words is None or word in words))
    return found
