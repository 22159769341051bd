"""Labels of phones as aligners and lexicons write them, and the phones that they mean."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from phonaut.files import composed, text_lines

SILENCE, NOISE = "SIL", "SPN"
SYMBOLS = "phones.txt"
PHONES = (  # the 39 of the CMU Pronouncing Dictionary, without stress
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH", "K",
    "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
SILENT = frozenset(
    ["sil", "silence", "sp", "pau", "pause", "epi", "h#", "#", "_", "<eps>", "<p>", "<p:>", "<s>", "</s>", "<sil>",
     "<sp>", "[sil]", "(sil)", "!sil"]
)  # fmt: skip
NOISY = frozenset(
    ["spn", "nsn", "noise", "<spn>", "<nsn>", "<noise>", "[noise]", "<unk>", "[unk]", "<usb>", "<nib>", "+spn+",
     "+nsn+", "+noise+"]
)  # fmt: skip
POSITION = re.compile("(.+)_([BIES])")  # Kaldi's: begin, inside, end of a word, or all of it (singleton)


def usual(label: str) -> str:
    """`SIL` for silence, and `SPN` for noises, under all their usual names; other labels as they are, composed.

    >>> [usual(label) for label in ("sp", "<p:>", "spn", "AA")]
    ['SIL', 'SIL', 'SPN', 'AA']
    """
    folded = label.casefold()
    return SILENCE if folded in SILENT else NOISE if folded in NOISY else composed(label)


def phones_of(labels: Collection[str], path: Path) -> dict[str, str]:
    """The phone that each label of a file means.

    Numbers are looked up in the `phones.txt` beside the file, as Kaldi has one. Where most labels say the position in
    the word (`AA_B`, `AA_I`, `AA_E`, `AA_S`), that is left out.

    Raises:
        ValueError: phones are numbers, and it is not known of what.
    """
    named = dict(zip(labels, labels, strict=True))
    if labels and all(label.isascii() and label.isdecimal() for label in labels):
        symbols = symbols_beside(path)
        lacking = sorted(set(labels) - symbols.keys(), key=int)
        if lacking:
            there = f"its {SYMBOLS} has no" if symbols else f"there is no {SYMBOLS} beside it that names"
            raise ValueError(f"{path} has numbers in place of phones, and {there} {', '.join(lacking[:5])}")
        named = {label: symbols[label] for label in labels}
    marked = {label: match for label, name in named.items() if (match := POSITION.fullmatch(name))}
    spoken = [name for name in named.values() if usual(name) not in (SILENCE, NOISE)]
    if len({match[2] for match in marked.values()}) > 1 and 2 * len(marked) >= len(spoken):
        named |= {label: match[1] for label, match in marked.items()}
    return {label: usual(name) for label, name in named.items()}


def symbols_beside(path: Path) -> dict[str, str]:
    """Phones by their numbers, from lines `AA_B 17` of the `phones.txt` in a folder or beside a file."""
    places = (path / SYMBOLS, path.parent / SYMBOLS)
    there = next((place for place in places if place.is_file()), None)
    lines = (line.split() for line in text_lines(there)) if there else ()
    return {fields[1]: fields[0] for fields in lines if len(fields) == 2}


def alike(labels: Iterable[str]) -> list[str]:
    """Labels that differ in case alone, `aa and AA`; those of one letter are X-SAMPA's, of which case is a part."""
    spelled: dict[str, list[str]] = {}
    for label in sorted(labels):
        if len(label) > 1:
            spelled.setdefault(label.casefold(), []).append(label)
    return [" and ".join(spellings) for spellings in spelled.values() if len(spellings) > 1]
