"""Division by hash, which new recordings never disturb."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

BUCKETS = 2**27
MIN_TRAINING_SPEAKERS = 4  # fewer are too few to give one up for validation


def hash_percent(name: str) -> float:
    """Position of `name` in [0, 100], for ever and on every machine.

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


@dataclass(frozen=True)
class Shares:
    """Per cent of the corpus for each split.

    Attributes:
        train: per cent.
        dev: for validation.
        test: per cent.
        of_training: of the training part where validation alone is cut from it; None: `dev` of `train + dev`.
    """

    train: float = 80
    dev: float = 10
    test: float = 10
    of_training: float | None = None

    def problems(self) -> list[str]:
        """All problems of the shares."""
        shares = (self.train, self.dev, self.test)
        if min(shares) > 0 and abs(sum(shares) - 100) < 1e-6:
            return []
        return [
            "protocol.train_pct, dev_pct and test_pct are shares of the corpus, each above 0, which add up to 100; "
            f"received {self.train:g} + {self.dev:g} + {self.test:g} = {sum(shares):g}"
        ]

    def dev_of_training(self) -> float:
        """Per cent of the training part that becomes validation, where the test part is given."""
        return 100 * self.dev / (self.train + self.dev) if self.of_training is None else self.of_training

    def by_split(self) -> dict[str, float]:
        """Per cent by split."""
        return {"train": self.train, "validation": self.dev, "test": self.test}

    def __str__(self) -> str:
        return f"{self.train:g} / {self.dev:g} / {self.test:g} %"


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
        """The number of positions below the cut, between `low` and `high`; and the cut."""
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
    ranked = by_hash(training)
    n = sum(hash_percent(name) < pct for name in ranked)
    return set(ranked[: max(1, min(n, spare))])


def by_hash(names: Collection[str]) -> list[str]:
    """Names in the order of their hashes, which tells nothing about them."""
    return sorted(set(names), key=lambda name: (hash_percent(name), name))
