"""Detections in probabilities of words along time: a threshold, and a time in which nothing more is detected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from phonaut.arrays import Array


@dataclass(frozen=True)
class Detection:
    """A word that was heard.

    Attributes:
        word: its class.
        start_s: of what was heard for it, the window and what is smoothed, seconds from the beginning of the sound.
        end_s: of that: all that was heard when the word was detected.
        probability: of the word, smoothed.
    """

    word: str
    start_s: float
    end_s: float
    probability: float


class Track(NamedTuple):
    """Probabilities of words along sound.

    Attributes:
        end_s: seconds of sound that were heard, `(N,)`.
        probabilities: of words, smoothed, `(N, K)`.
    """

    end_s: Array
    probabilities: Array


class Detector:
    """Detections along one stream, which is cut into parts anywhere.

    A word is detected where its probability reaches the threshold, `refractory_s` after the last detection at the
    earliest, and again only after its probability has been below. Of several words at once it is the most probable.

    Args:
        words: names `(K,)`.
        window_s: that a smoothed score hears.
        threshold: of probabilities.
        refractory_s: seconds.

    Raises:
        ValueError: a setting is out of range.
    """

    def __init__(self, words: Sequence[str], *, window_s: float, threshold: float, refractory_s: float) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold={threshold:g}: must be above 0 and at most 1")
        if not refractory_s >= 0:
            raise ValueError(f"refractory_ms={1000 * refractory_s:g}: must not be negative")
        self.words, self.window_s, self.threshold, self.refractory_s = words, window_s, threshold, refractory_s
        self.ready_s = 0.0
        self.armed = np.ones(len(words), dtype=bool)  # words that were below the threshold since they were detected

    def step(self, end_s: Array, probabilities: Array) -> Iterator[Detection]:
        """Detections in the next rows, `(N,)` and `(N, K)`."""
        while len(end_s):
            above = probabilities >= self.threshold
            armed = np.logical_or.accumulate(~above, axis=0) | self.armed
            hits = np.flatnonzero((above & armed).any(axis=1) & (end_s >= self.ready_s - 1e-9))
            row = int(hits[0]) if len(hits) else len(end_s) - 1
            self.armed = armed[row].copy()
            if len(hits):
                word = int(np.where(above[row] & armed[row], probabilities[row], -1.0).argmax())
                end = float(end_s[row])
                self.armed[word], self.ready_s = False, end + self.refractory_s
                yield Detection(self.words[word], max(0.0, end - self.window_s), end, float(probabilities[row, word]))
            end_s, probabilities = end_s[row + 1 :], probabilities[row + 1 :]
