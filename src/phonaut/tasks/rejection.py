"""None of these: the probability below which a classifier's best word is no answer, and the rates of error at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array
from phonaut.data.classes import is_word
from phonaut.data.utterance import SILENCE
from phonaut.metrics import Estimate, accuracy
from phonaut.metrics.verification import det_curve
from phonaut.models.prototypes import UNKNOWN, threshold_of
from phonaut.tasks.predictions import Predictions

RIGHT_REJECTED = 0.05  # share of right answers, where no other words are there to choose on
LEAST_OTHERS, LEAST_RIGHT = 20, 10  # recordings, to choose a threshold on
LEAST = 1e-6  # threshold


Mask = NDArray[np.bool_]


class Sides(NamedTuple):
    """Recordings, by what ought to become of them.

    Attributes:
        score: what a threshold is compared with, `(N,)`: the probability of the answer, 0 where that is no word; of
            prototypes the greatest cosine.
        word: one of the words of the model was said, `(N,)`.
        other: something else was said, and not nothing, `(N,)`.
        right: a word was said, and is the answer, whatever the threshold, `(N,)`.
    """

    score: Array
    word: Mask
    other: Mask
    right: Mask


def sides(predictions: Predictions, scale: float | None = None) -> Sides:
    """Predictions as words and others.

    Args:
        predictions: of a classifier of words.
        scale: of prototypes, whose scores are cosines times it.
    """
    p = predictions
    words = np.array([is_word(str(name)) for name in p.classes] + [False])  # of label -1
    best = p.predicted
    if scale is None:
        score = np.where(words[best], p.probabilities().max(axis=1), 0.0)
    else:
        best = np.where(words[:-1], p.scores, -np.inf).argmax(axis=1)
        score = np.take_along_axis(p.scores, best[:, None], axis=1)[:, 0].astype(np.float64) / scale
    word = words[p.label]
    other = ~word & (p.label_name != "") & (p.label_name != SILENCE)
    return Sides(score, word, other, word & (best == p.label))


def choose(predictions: Predictions, of: str) -> dict[str, Any] | None:
    """The threshold that a run keeps in `model.json`, and what it was chosen on; None: on too few recordings.

    With 20 recordings or more of other words, it is the one with the least sum of the share of words that are rejected
    and the share of others that are accepted. Else 5 % of the right answers are below it.

    Args:
        predictions: of recordings that the model was not trained on, nor is tested on.
        of: what they are, in words.
    """
    s = sides(predictions)
    if s.other.sum() >= LEAST_OTHERS and s.word.any():
        rule, threshold = "others", least_sum(s.score[s.word], s.score[s.other])
    elif s.right.sum() >= LEAST_RIGHT:
        rule, threshold = "right", -threshold_of(-s.score[s.right], RIGHT_REJECTED)
    else:
        return None
    threshold = max(threshold, LEAST)
    wrong = s.word & ~s.right
    shares = {"words": s.word, "others": s.other, "right": s.right, "wrong": wrong}
    counts = {name: {"n": int(mask.sum()), "rejected": int((s.score[mask] < threshold).sum())}
              for name, mask in shares.items()}  # fmt: skip
    return {"threshold": threshold, "rule": rule, "of": of, **counts}


def least_sum(words: Array, others: Array) -> float:
    """The threshold with the least sum of words below it and others at or above it, as shares.

    It is halfway between two scores; of several that are equal, the lowest.

    >>> least_sum(np.array([0.4, 0.8, 0.9]), np.array([0.1, 0.2, 0.3, 0.85]))
    0.35
    """
    scores = np.concatenate([words, others])
    curve = det_curve(scores, np.arange(len(scores)) < len(words))
    at = float(curve.threshold[np.argmin(curve.miss + curve.false_alarm)])
    if np.isnan(at):  # nothing is better than to accept nothing
        return float(scores.max()) + LEAST
    below = scores[scores < at]
    return float(at + below.max()) / 2 if len(below) else at


def rates(predictions: Predictions, rejection: Mapping[str, Any], scale: float | None = None) -> dict[str, Estimate]:
    """The shares of words that are rejected, and of others that are accepted, with their intervals.

    That of words is over speakers; that of others over them as well, or where several others are told apart, over
    those, for one word passes nearly always and another never.

    Args:
        predictions: of a split or a folder.
        rejection: of `model.json`.
        scale: see `sides`.
    """
    s = sides(predictions, scale)
    rejected = s.score < rejection["threshold"]
    several = len(np.unique(predictions.label_name[s.other])) > 1
    found = {
        "words_rejected": (s.word, rejected, predictions.speaker),
        "others_accepted": (s.other, ~rejected, predictions.label_name if several else predictions.speaker),
    }
    return {
        name: accuracy(np.ones(int(mask.sum()), np.int64), one[mask].astype(np.int64), groups[mask])
        for name, (mask, one, groups) in found.items()
        if mask.any()
    }


def scale_of(rejection: Mapping[str, Any], model: Mapping[str, Any]) -> float | None:
    """The scale of the scores of prototypes, whose threshold is a cosine; None of others.

    Args:
        rejection: of `model.json`.
        model: the node of the configuration.
    """
    return float(model["scale"]) if "false_accepts" in rejection else None


def is_none(label: str, probability: float, threshold: float | None) -> bool:
    """Whether an answer is none of the words.

    >>> is_none("yes", 0.4, 0.5), is_none("yes", 0.4, None), is_none("_unknown_", 0.9, None)
    (True, False, True)
    """
    return label == UNKNOWN or (threshold is not None and is_word(label) and probability < threshold)
