"""How many clips of other words and of silence each split gets, as fractions of its wanted clips."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator

from phonaut.corpora.hashing import hash_percent
from phonaut.corpora.protocols import Divided
from phonaut.data.utterance import SPLITS, Utterance

UNKNOWN = "_unknown_"


class Quotas:
    """The clips of a divided corpus that are used: all wanted ones, and of `_unknown_` those with the smallest hashes.

    So further words displace some unknown clips, and reshuffle none. Fractions are rounded up, as in Google's code.

    Args:
        divided: the corpus.
        unknown: clips of other words, as a fraction of the wanted ones of each split; None: all there are.
        silence: clips of silence, likewise.
        seed: of the choice.

    Attributes:
        n_silence: clips of silence by split.
    """

    def __init__(self, divided: Divided, *, unknown: float | None, silence: float, seed: int) -> None:
        self.divided, self.seed = divided, seed
        n_keywords: Counter[str] = Counter()
        positions: dict[str, array[float]] = {split: array("d") for split in SPLITS}
        for clip in divided.assigned():
            if clip.word == UNKNOWN:
                positions[str(clip.split)].append(self.position(clip))
            else:
                n_keywords[str(clip.split)] += 1

        def count(fraction: float, split: str) -> int:
            return math.ceil(round(n_keywords[split] * fraction, 6))

        self.n_silence = {split: count(silence, split) for split in SPLITS}
        self.thresholds: dict[str, tuple[float, int]] = {}
        for split in SPLITS:
            there = len(positions[split])
            n = there if unknown is None else min(count(unknown, split), there)
            self.thresholds[split] = (sorted(positions[split])[n - 1] if n else 0.0, n)

    def position(self, clip: Utterance) -> float:
        """The hash by which unknown clips are chosen."""
        return hash_percent(f"{self.seed}/{clip.id}")

    def used(self) -> Iterator[Utterance]:
        """The clips, in the order of the corpus."""
        left = {split: n for split, (_, n) in self.thresholds.items()}
        for clip in self.divided.assigned():
            split = str(clip.split)
            if clip.word == UNKNOWN:
                if not left[split] or self.position(clip) > self.thresholds[split][0]:
                    continue
                left[split] -= 1
            yield clip
