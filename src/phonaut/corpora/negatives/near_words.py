"""Words that sound nearly like others, by their phones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Index
from phonaut.corpora.hashing import hash_percent

Phones = tuple[str, ...]
MOST_EDITS = 2
PAST, STRANGE = -1, -2  # codes: behind the last phone, and of phones that no word has
# Vowels that many say alike: the second of "seven", and those of "cot" and "caught".
ALIKE = {"IH": "AH", "AO": "AA"}


class Sounds:
    """Words as rows of phones, to be compared with others all at once.

    Args:
        said: phones of each.
    """

    def __init__(self, said: Sequence[Phones]) -> None:
        self.lengths = np.array([len(phones) for phones in said], dtype=np.int64)
        self.number = {phone: n for n, phone in enumerate(sorted({phone for phones in said for phone in phones}))}
        self.codes = np.full((len(said), int(self.lengths.max(initial=0))), PAST, dtype=np.int16)
        places = np.arange(self.codes.shape[1]) < self.lengths[:, None]
        self.codes[places] = [self.number[phone] for phones in said for phone in phones]

    def coded(self, phones: Phones) -> list[int]:
        """The numbers of phones."""
        return [self.number.get(phone, STRANGE) for phone in phones]

    def edits(self, phones: Phones) -> Index:
        """The least number of phones to put in, leave out or replace between `phones` and each word, `(N,)`.

        d(i, j) = min(d(i-1, j) + 1, d(i, j-1) + 1, d(i-1, j-1) + [a_i != b_j]) (Levenshtein 1966).

        >>> Sounds([("B", "AE", "D"), ("B", "EH", "D", "Z"), ("EH", "D", "AH")]).edits(("B", "EH", "D")).tolist()
        [1, 1, 2]
        """
        steps = np.arange(self.codes.shape[1] + 1, dtype=np.int16)
        row = np.tile(steps, (len(self.codes), 1))
        for i, code in enumerate(self.coded(phones)):
            taken = np.minimum(row[:, 1:] + 1, row[:, :-1] + (self.codes != code))
            row = np.concatenate([np.full((len(row), 1), i + 1, dtype=np.int16), taken], axis=1)
            row = np.minimum.accumulate(row - steps, axis=1) + steps  # what is put in, from the left
        return row[np.arange(len(row)), self.lengths].astype(np.int64)

    def hold(self, phones: Phones) -> NDArray[np.bool_]:
        """Whether each word has all of `phones` in it, one after the other, `(N,)`.

        >>> Sounds([("EH", "V", "AH", "N", "Z"), ("V", "AH")]).hold(("V", "AH", "N")).tolist()
        [True, False]
        """
        n = len(phones)
        if n > self.codes.shape[1]:
            return np.zeros(len(self.codes), dtype=bool)
        windows = np.lib.stride_tricks.sliding_window_view(self.codes, n, axis=1)
        found: NDArray[np.bool_] = (windows == np.array(self.coded(phones), dtype=np.int16)).all(axis=2).any(axis=1)
        return found


def most_edits(phones: Phones) -> int:
    """The number of phones that may differ: two, but of a word of two or three phones one.

    >>> most_edits(("G", "OW")), most_edits(("S", "EH", "V", "AH", "N"))
    (1, 2)
    """
    return min(MOST_EDITS, len(phones) // 2)


def alike(phones: Phones) -> Phones:
    """Phones with one name for vowels that many say alike.

    >>> alike(("S", "EH", "V", "IH", "N"))
    ('S', 'EH', 'V', 'AH', 'N')
    """
    return tuple(ALIKE.get(phone, phone) for phone in phones)


def near_words(wanted: Mapping[str, Collection[Phones]], said: Mapping[str, Sequence[Phones]]) -> dict[str, list[str]]:
    """Words that sound nearly like each wanted one, the nearest first; of equals, in the order of a hash.

    They differ by at most `most_edits` phones. None has a wanted word in it, or is one, where vowels that many say
    alike are the same.

    Args:
        wanted: the ways to say each.
        said: a dictionary.

    Returns:
        Words of the dictionary for each wanted one; a word may be near to several.
    """
    longest = MOST_EDITS + max((len(phones) for ways in wanted.values() for phones in ways), default=0)
    rows = [(word, phones) for word, ways in said.items() for phones in ways if len(phones) <= longest]
    sounds, names = Sounds([phones for _, phones in rows]), np.array([word for word, _ in rows], dtype=np.str_)
    every = [(word, alike(phones)) for word, ways in said.items() for phones in ways]  # a wanted one may be in any
    merged, all_names = Sounds([phones for _, phones in every]), np.array([word for word, _ in every], dtype=np.str_)
    distance = {text: np.full(len(rows), MOST_EDITS + 1) for text in wanted}
    taken: set[str] = set()
    for text, ways in wanted.items():
        for phones in ways:
            taken.update(all_names[merged.hold(alike(phones))].tolist())
            edits = sounds.edits(phones)
            near = edits <= most_edits(phones)
            distance[text][near] = np.minimum(distance[text][near], edits[near])
    found = {}
    for text, of_row in distance.items():
        least: dict[str, int] = {}
        for row in np.flatnonzero(of_row <= MOST_EDITS).tolist():
            word = str(names[row])
            if word not in taken:
                least[word] = min(int(of_row[row]), least.get(word, MOST_EDITS))
        found[text] = sorted(least, key=lambda word: (least[word], hash_percent(word), word))
    return found


def halves(text: str) -> list[str]:
    """The halves of a phrase; of an odd number of words, both ways to part them.

    >>> halves("hey snips"), halves("turn it on"), halves("stop")
    (['hey', 'snips'], ['turn', 'it on', 'turn it', 'on'], [])
    """
    words = text.split()
    cuts = sorted({len(words) // 2, (len(words) + 1) // 2} - {0, len(words)})
    return [" ".join(part) for cut in cuts for part in (words[:cut], words[cut:])]


def replaced(text: str, near: Mapping[str, Sequence[str]]) -> list[str]:
    """A phrase with one of its words replaced by a word that is near to it, each in turn.

    >>> replaced("hey snips", {"hey": ["hay", "they"], "snips": ["ships"]})
    ['hay snips', 'hey ships', 'they snips']
    """
    words = text.split()
    found = []
    for nth in range(max((len(near.get(word, ())) for word in words), default=0)):
        for place, word in enumerate(words):
            if nth < len(near.get(word, ())):
                found.append(" ".join([*words[:place], near[word][nth], *words[place + 1 :]]))
    return found
