"""Which recordings train, which choose and which test: divisions by hash, which new recordings never disturb."""

from __future__ import annotations

import difflib
import hashlib
import math
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

BUCKETS = 2**27
MIN_TRAINING_SPEAKERS = 4  # fewer are too few to give one up for validation


def hash_percent(name: str) -> float:
    """Where `name` falls in [0, 100], for ever and on every machine.

    `(SHA-1(name) mod 2**27) * 100 / (2**27 - 1)`, the formula by which Google Speech Commands is divided
    (Warden 2018, arXiv:1804.03209, section 6).

    >>> round(hash_percent("00176480"), 2)
    69.8
    """
    digest = int.from_bytes(hashlib.sha1(name.encode(), usedforsecurity=False).digest(), "big")
    return digest % BUCKETS * (100.0 / (BUCKETS - 1))


class Cuts(NamedTuple):
    """Two points on the scale of `hash_percent`: validation below the first, test below the second, then training."""

    validation: float
    test: float

    def split(self, name: str) -> str:
        """The split of `name`."""
        position = hash_percent(name)
        return "validation" if position < self.validation else "test" if position < self.test else "train"


def wrong_shares(train_pct: float, dev_pct: float, test_pct: float) -> list[str]:
    """What is wrong with shares of a corpus."""
    shares = (train_pct, dev_pct, test_pct)
    if min(shares) > 0 and abs(sum(shares) - 100) < 1e-6:
        return []
    return [
        "dataset.train_pct, dev_pct and test_pct are shares of the corpus, each above 0, which add up to 100; "
        f"received {train_pct:g} + {dev_pct:g} + {test_pct:g} = {sum(shares):g}"
    ]


def balanced_cuts(positions: Iterable[float], dev_pct: float, test_pct: float) -> Cuts:
    """Cuts at `dev_pct` and `dev_pct + test_pct`, moved where chance is unkind to few.

    They are moved only where validation or test would get nothing, or more than twice its share (and more than one).
    Training is served first, then test: of two, none is left to validate on.

    Args:
        positions: `hash_percent` of everything that is to be divided.
        dev_pct: share of validation; 0: none is wanted.
        test_pct: share of test; 0: none is wanted.
    """
    ordered = sorted(set(positions))
    n = len(ordered)
    least_test = int(test_pct > 0 and n > 1)
    least_validation = int(dev_pct > 0 and n > 1 + least_test)

    def cut(nominal: float, low: int, high: int) -> tuple[int, float]:
        """How many lie below the cut, between `low` and `high`; and the cut."""
        index = bisect_left(ordered, nominal)
        if low <= index <= high:
            return index, nominal
        index = max(low, min(index, high))
        return index, ordered[index]

    def most(pct: float, least: int) -> int:
        return max(least, math.floor(2 * pct * n / 100)) if least else 0

    if not n:
        return Cuts(dev_pct, dev_pct + test_pct)
    most_validation = min(n - 1 - least_test, most(dev_pct, least_validation))
    n_validation, validation = cut(dev_pct, least_validation, most_validation)
    most_test = min(n - 1, n_validation + most(test_pct, least_test))
    _, test = cut(dev_pct + test_pct, n_validation + least_test, most_test)
    return Cuts(validation, test)


class WithinSpeakers:
    """Divides each speaker's recordings (or sessions) among the splits, so that every split hears every speaker.

    `add` everything first, then ask `split`. A speaker of two recordings is not validated on, of one only trained on.
    """

    def __init__(self, dev_pct: float, test_pct: float) -> None:
        self._shares = (dev_pct, test_pct)
        self._positions: dict[str, array[float]] = {}
        self._cuts: dict[str, Cuts] = {}

    def add(self, speaker: str, unit: str) -> None:
        """Announce a recording or session of `speaker`."""
        self._positions.setdefault(speaker, array("d")).append(hash_percent(f"{speaker}/{unit}"))

    def split(self, speaker: str, unit: str) -> str:
        """The split of a recording or session that was announced."""
        cuts = self._cuts.get(speaker)
        if cuts is None:
            cuts = self._cuts[speaker] = balanced_cuts(self._positions.pop(speaker), *self._shares)
        return cuts.split(f"{speaker}/{unit}")


def speakers_to_validate(training: Collection[str], testing: Collection[str], pct: float) -> set[str]:
    """Speakers to take out of the training part for validation.

    Args:
        training: speakers of the training part.
        testing: speakers of the test part.
        pct: share of the training speakers to take.

    Returns:
        At least one speaker; none where validation must be cut by recording instead: the test speakers are in training
        too, or fewer than four would be left to train.
    """
    spare = len(set(training)) - MIN_TRAINING_SPEAKERS
    if spare < 1 or set(training) & set(testing):
        return set()
    ranked = sorted(set(training), key=lambda name: (hash_percent(name), name))
    n = sum(hash_percent(name) < pct for name in ranked)
    return set(ranked[: max(1, min(n, spare))])


def same_id(asked: str, known: str) -> bool:
    """Whether two ids are equal as text, or as numbers where both are numbers: 18 is 00000018."""
    if asked == known:
        return True
    return _is_number(asked) and _is_number(known) and int(asked) == int(known)


def match_ids(asked: Sequence[object], known: Collection[str], key: str) -> list[str]:
    """The speakers of the corpus that a list in the configuration means.

    Args:
        asked: ids as the user typed them.
        known: ids of the corpus.
        key: the name of the list, for the message.

    Raises:
        ValueError: some match nobody (all of them are named, with the nearest ids), or more than one speaker.
    """
    found: list[str] = []
    missing: list[str] = []
    for wanted in dict.fromkeys(str(name).strip() for name in asked):
        matches = [wanted] if wanted in known else sorted(name for name in known if same_id(wanted, name))
        if len(matches) > 1:
            raise ValueError(f"{key}: {wanted} may be {' or '.join(matches)}: write the id in full")
        found += matches
        if not matches:
            missing.append(f"{wanted} (nearest: {', '.join(nearest(wanted, known))})")
    if missing:
        some = ", ".join(sorted(known)[:10]) + (" ..." if len(known) > 10 else "")
        raise ValueError(
            f"{key} names speakers that the corpus lacks: {'; '.join(missing)}. It has {len(known)}: {some}"
        )
    return found


def nearest(wanted: str, known: Collection[str], n: int = 3) -> list[str]:
    """The `n` names of `known` that are nearest to `wanted`: numbers by distance, else the likest, else the first."""
    return likest(wanted, known, n) or sorted(known)[:n]


def likest(wanted: str, known: Collection[str], n: int = 3) -> list[str]:
    """At most `n` names of `known` that `wanted` may have been meant to be; none where none is like it."""
    if _is_number(wanted):
        numbers = [name for name in known if _is_number(name)]
        if numbers:
            return sorted(numbers, key=lambda name: (abs(int(name) - int(wanted)), name))[:n]
    folded: dict[str, str] = {}
    for name in sorted(known):
        folded.setdefault(name.casefold(), name)
    close = difflib.get_close_matches(wanted.casefold(), list(folded), n, cutoff=0.5)
    return [folded[name] for name in close]


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def wrong_target(target: str, corpus: str, targets: Sequence[str] = ("keyword", "speaker")) -> list[str]:
    """What is wrong with `target` for a corpus that has labels for `targets`."""
    if target in targets:
        return []
    have = " and ".join(f"target={name}" for name in targets if name != "text")  # which is no label
    return [f"dataset={corpus} has labels for {have}, none for target={target}"]
