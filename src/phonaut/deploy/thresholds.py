"""What a detector finds at every threshold, from one pass of the network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from phonaut.arrays import Array, Index, spread
from phonaut.compiled import njit
from phonaut.deploy.detection import Track

MOST_HIGH, MOST_LOW = 1000, 500  # thresholds among the highest peaks, and among all below them


class Hits(NamedTuple):
    """Detections.

    Attributes:
        row: of the track, `(D,)`.
        word: `(D,)`.
    """

    row: Index
    word: Index


def joined(tracks: list[Track], begin_s: list[float]) -> Track:
    """Tracks as one that begin at given times, each with a row before it in which no word is probable.

    What a detector finds in each is what it finds there alone, if its refractory time has passed before the next.
    """
    end_s = [np.concatenate([[begin], begin + track.end_s]) for track, begin in zip(tracks, begin_s, strict=True)]
    rows = [np.concatenate([np.zeros((1, one.probabilities.shape[1])), one.probabilities]) for one in tracks]
    return Track(np.concatenate(end_s), np.concatenate(rows))


def hits(track: Track, threshold: float, refractory_s: float) -> Hits:
    """What `Detector` detects in a track at a threshold."""
    best = track.probabilities.max(axis=1)
    row, word = np.empty(len(best), np.int64), np.empty(len(best), np.int64)
    n = crossed(track.end_s, track.probabilities, best, threshold, refractory_s, row, word)
    return Hits(row[:n], word[:n])


@njit(nogil=True)
def crossed(
    end_s: Array, probabilities: Array, best: Array, threshold: float, refractory_s: float, row: Index, word: Index
) -> int:
    """Write rows and words of detections, and return their number; the rules are those of `Detector`."""
    n, ready_s = 0, 0.0
    armed = np.ones(probabilities.shape[1], dtype=np.bool_)
    for i in range(len(end_s)):
        if best[i] < threshold:
            armed[:] = True
            continue
        found, top = -1, -1.0
        for k in range(probabilities.shape[1]):
            p = probabilities[i, k]
            if p < threshold:
                armed[k] = True
            elif armed[k] and p > top:
                found, top = k, p
        if found >= 0 and end_s[i] >= ready_s - 1e-9:
            row[n], word[n] = i, found
            n += 1
            armed[found], ready_s = False, end_s[i] + refractory_s
    return n


def thresholds(track: Track) -> Array:
    """The thresholds that matter, rising: the peaks of the most probable word, and 1.

    Where a threshold passes a peak, a detection comes or goes. Of more than 1,500 peaks the highest 1,000 are taken,
    and 500 evenly spread over the others.
    """
    best = track.probabilities.max(axis=1)
    around = np.concatenate([[-1.0], best, [-1.0]])
    peaks = np.unique(best[(best >= around[:-2]) & (best >= around[2:]) & (best > 0)])
    high = peaks[-MOST_HIGH:]
    low = peaks[: len(peaks) - len(high)]
    chosen: Array = np.unique(np.concatenate([low[spread(len(low), MOST_LOW)] if len(low) else low, high, [1.0]]))
    return chosen[chosen <= 1]
