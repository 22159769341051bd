"""Manner of articulation of phones, so that those that sound alike stand together."""

from __future__ import annotations

from collections.abc import Sequence

from phonaut.data.phone_labels import NOISE, SILENCE, usual

# Phones of ARPAbet and of TIMIT, with its closures and allophones: neighbours in the mouth side by side.
MANNERS = {
    "vowels": "iy ih ix ux uw uh ey eh ae ax ax-h ah er axr ao aa ow oy ay aw",
    "approximants": "y w r l el",
    "nasals": "m em n en nx ng eng",
    "fricatives": "f v th dh s z sh zh hh hv",
    "affricates": "ch jh",
    "stops": "p b t d dx k g q",
    "closures": "pcl tcl kcl cl bcl dcl gcl vcl",
    "silence": f"{SILENCE} {NOISE}",
}
PLACES = {phone: (i, j) for i, names in enumerate(MANNERS.values()) for j, phone in enumerate(names.casefold().split())}


def manners_of(names: Sequence[str]) -> list[str] | None:
    """The manner of each class; None where they are not phones, or not of English.

    >>> manners_of(["AA", "s", "sil"]), manners_of(["yes", "no"]), manners_of(["m", "4"])
    (['vowels', 'fricatives', 'silence'], None, None)
    """
    places = [PLACES.get(plain(name)) for name in names]
    kinds = list(MANNERS)
    found = [kinds[place[0]] for place in places if place is not None]
    return found if len(found) == len(names) > 0 else None


def in_order(names: Sequence[str]) -> list[int]:
    """The order of phones by manner, and within one by place.

    >>> in_order(["Z", "AA", "S"])
    [1, 2, 0]
    """
    return sorted(range(len(names)), key=lambda i: PLACES[plain(names[i])])


def plain(name: str) -> str:
    """A phone without the stress of its vowel, and silences under one name.

    >>> plain("AA1"), plain("h#")
    ('aa', 'sil')
    """
    return usual(name).rstrip("012").casefold()
