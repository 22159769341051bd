"""Figures of words that are detected in long sound: what is missed of what was said, and what is heard beside it.

A detection is matched with at most one event, and an event with at most one detection, of the same word and at a time
from the event's beginning, or `NEAR_S` before its end where that is earlier, to `NEAR_S` after its end. Of all such
matchings one with the most pairs is taken. Detections without an event are false alarms, a second detection of one
event and the wrong word for another among them; events without a detection are missed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array, Index
from phonaut.compiled import njit
from phonaut.metrics.intervals import Estimate, bootstrap, by_group, estimate, ratio

NEAR_S = 0.75
PIECE_S = 60.0  # of the bootstrap over time
RULE_OF_THREE = 3.0  # events that were never seen in a time occur less than three times in it (95 %)


class Events(NamedTuple):
    """What was said.

    Attributes:
        word: index of the word, `(E,)`.
        start_s: `(E,)`.
        end_s: `(E,)`.
        speaker: ids, `(E,)`.
    """

    word: Index
    start_s: Array
    end_s: Array
    speaker: NDArray[np.str_]


class Time(NamedTuple):
    """Time in which no word was said, in pieces of a minute.

    Attributes:
        hours: of each piece, `(P,)`.
    """

    hours: Array

    @property
    def total(self) -> float:
        """Hours."""
        return float(self.hours.sum())


class Curve(NamedTuple):
    """Errors at rising thresholds, `(H,)` each.

    Attributes:
        threshold: of probabilities.
        missed: events.
        false: detections.
    """

    threshold: Array
    missed: Index
    false: Index


def matched(time_s: Array, word: Index, events: Events, near_s: float = NEAR_S) -> Index:
    """The event of each detection, -1 for a false alarm, `(D,)`: a matching with as many pairs as there can be.

    In the order of time, each detection takes of the free events that it may have the one whose time ends first, which
    is best for intervals (Glover 1967).

    Args:
        time_s: of detections, rising, `(D,)`.
        word: of detections, `(D,)`.
        events: in any order.
        near_s: as above.

    >>> events = Events(np.array([0, 0]), np.array([1.0, 1.2]), np.array([1.5, 3.0]), np.array(["a", "b"]))
    >>> matched(np.array([2.1, 2.2, 9.0]), np.array([0, 0, 0]), events).tolist()
    [0, 1, -1]
    """
    first = np.minimum(events.start_s, events.end_s - near_s) - 1e-9
    last = events.end_s + near_s + 1e-9
    order = np.argsort(last, kind="stable")
    taken = assigned(time_s, word, events.word[order], first[order], last[order])
    return np.where(taken >= 0, order[taken], -1) if len(order) else taken


@njit(nogil=True)
def assigned(time_s: Array, word: Index, of_event: Index, first: Array, last: Array) -> Index:
    """The number of the event of each detection, or -1; events in the order of `last`."""
    taken = np.full(len(time_s), -1, dtype=np.int64)
    free = np.ones(len(last), dtype=np.bool_)
    begin = 0
    for i in range(len(time_s)):
        while begin < len(last) and last[begin] < time_s[i]:
            begin += 1
        for j in range(begin, len(last)):
            if free[j] and of_event[j] == word[i] and first[j] <= time_s[i]:
                taken[i], free[j] = j, False
                break
    return taken


def time_without(sound: tuple[Array, Array], said: tuple[Array, Array]) -> Time:
    """The time of sound in which nothing was said.

    Args:
        sound: where there is sound, beginnings and ends in seconds, without overlap.
        said: beginnings and ends of words, which may overlap.

    >>> time = time_without((np.array([0.0]), np.array([90.0])), (np.array([10.0]), np.array([40.0])))
    >>> (3600 * time.hours).round().tolist()
    [30.0, 30.0]
    """
    edges = np.arange(0.0, float(sound[1].max(initial=0.0)) + PIECE_S, PIECE_S)
    hours = np.diff(covered(*sound, edges) - covered(*said, edges)) / 3600
    return Time(np.maximum(hours, 0.0))


def covered(start_s: Array, end_s: Array, at_s: Array) -> Array:
    """Seconds up to each time that lie in one interval at least."""
    if not len(start_s):
        return np.zeros(len(at_s))
    order = np.argsort(start_s, kind="stable")
    start, end = start_s[order], np.maximum.accumulate(end_s[order])
    start = np.maximum(start, np.concatenate([[-np.inf], end[:-1]]))
    lengths = np.maximum(end - start, 0.0)
    done = np.concatenate([[0.0], np.cumsum(lengths)])
    n = np.searchsorted(start, at_s, side="right")
    within = np.where(n > 0, np.clip(at_s - start[n - 1], 0.0, lengths[n - 1]), 0.0)
    result: Array = np.where(n > 0, done[np.maximum(n - 1, 0)] + within, 0.0)
    return result


def misses(missed: NDArray[np.bool_], speaker: NDArray[np.str_]) -> Estimate:
    """The part of events that is missed; its interval is a bootstrap over speakers, or Wilson's where that is wider."""
    value = float(missed.mean())
    sums = by_group(np.stack([missed, np.ones(len(missed))], axis=1).astype(np.float64), speaker)
    low, high = bootstrap(sums, lambda drawn: ratio(drawn[..., 0], drawn[..., 1]))
    return estimate(value, len(missed), n_independent=len(missed), low=float(low), high=float(high))


def false_alarms_per_hour(time_s: Array, time: Time) -> Estimate:
    """False alarms an hour; the wider of Poisson's exact interval (Garwood 1936) and a bootstrap over minutes.

    Args:
        time_s: when they were, `(D,)`.
        time: in which nothing was said.
    """
    n, hours = len(time_s), time.total
    low, high = poisson(n, hours)
    n_pieces = len(time.hours)
    if n and n_pieces > 1:
        counts = np.bincount(np.minimum(time_s // PIECE_S, n_pieces - 1).astype(np.int64), minlength=n_pieces)
        ends = bootstrap(np.stack([counts, time.hours], axis=1), lambda drawn: ratio(drawn[..., 0], drawn[..., 1]))
        if ends[1] - ends[0] > high - low:
            low, high = min(float(ends[0]), n / hours), max(float(ends[1]), n / hours)
    return Estimate(n / hours, low, high, int((time.hours > 0).sum()), f"{n} in {hours:.3g} h; n: minutes")


def poisson(n: int, hours: float) -> tuple[float, float]:
    """Garwood's interval (1936) of 95 % of a rate: `n` events in some hours.

    >>> [round(x, 2) for x in poisson(0, 1.0)], [round(x, 2) for x in poisson(10, 1.0)]
    ([0.0, 3.69], [4.8, 18.39])
    """
    from scipy.special import gammaincinv

    low = float(gammaincinv(n, 0.025)) if n else 0.0
    return low / hours, float(gammaincinv(n + 1, 0.975)) / hours


def chosen(curve: Curve, n_false: float) -> int | None:
    """The threshold with the fewest misses of those with at most `n_false` false alarms; None: there is none.

    Of several, it is that in the middle of their log-odds: farthest from more false alarms and from more misses.
    """
    may = np.flatnonzero(curve.false <= n_false)
    if not len(may):
        return None
    best = may[curve.missed[may] == curve.missed[may].min()]
    p = np.clip(curve.threshold[best], 1e-9, 1 - 1e-9)
    odds = np.log(p / (1 - p))
    return int(best[np.abs(odds - (odds[0] + odds[-1]) / 2).argmin()])
