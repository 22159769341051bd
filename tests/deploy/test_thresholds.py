"""What is found at every threshold, from one pass, is what the detector finds when it runs at that threshold."""

from __future__ import annotations

import numpy as np
import pytest

from phonaut.deploy.detection import Detector, Track
from phonaut.deploy.thresholds import hits, joined, thresholds

WORDS = ("a", "b", "c")


def track(seed: int, n: int = 400) -> Track:
    """Rough probabilities of three words, many of them equal, in rows of 80 ms."""
    rng = np.random.default_rng(seed)
    steps = np.cumsum(rng.normal(0, 0.3, (n, 3)), axis=0)
    odds = np.exp(steps - steps.mean(axis=0) + rng.normal(0, 1, (n, 3)))
    return Track(0.08 * np.arange(1, n + 1), np.round(odds / (1 + odds.sum(axis=1, keepdims=True)), 2))


def detected(track: Track, threshold: float, refractory_s: float) -> list[tuple[float, str]]:
    """By the detector of `phonaut listen`, in blocks."""
    detector = Detector(WORDS, window_s=1.0, threshold=threshold, refractory_s=refractory_s)
    rows = [slice(at, at + 37) for at in range(0, len(track.end_s), 37)]
    found = [one for row in rows for one in detector.step(track.end_s[row], track.probabilities[row])]
    return [(one.end_s, one.word) for one in found]


@pytest.mark.parametrize("refractory_s", [0.0, 0.24, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_at_every_threshold_the_hits_are_those_of_the_detector(seed: int, refractory_s: float) -> None:
    one = track(seed)
    at = np.concatenate([thresholds(one), [0.033, 0.5, 0.501]])
    assert len(at) > 30
    for threshold in at:
        found = hits(one, threshold, refractory_s)
        ours = [(one.end_s[row], WORDS[word]) for row, word in zip(found.row, found.word, strict=True)]
        assert ours == detected(one, threshold, refractory_s)


def test_streams_laid_end_to_end_are_heard_each_alone() -> None:
    parts = [track(seed) for seed in (5, 6)]
    parts[1].probabilities[0] = parts[0].probabilities[-1] = 0.9
    begin_s = [0.0, 100.0]
    for threshold in (0.2, 0.5, 0.8):
        found = hits(joined(parts, begin_s), threshold, 1.0)
        alone = [
            (begin + end_s, word)
            for begin, part in zip(begin_s, parts, strict=True)
            for end_s, word in detected(part, threshold, 1.0)
        ]
        times = joined(parts, begin_s).end_s[found.row]
        assert [(time, WORDS[word]) for time, word in zip(times, found.word, strict=True)] == alone


def test_between_two_thresholds_no_peak_lies_and_at_the_last_nothing_is_found_but_certainty() -> None:
    one = track(7)
    at = thresholds(one)
    best = one.probabilities.max(axis=1)
    assert at[-1] == 1.0
    assert (np.diff(at) > 0).all()
    assert np.isin(best.max(), at)
    rows = np.flatnonzero((best[1:-1] > best[:-2]) & (best[1:-1] > best[2:])) + 1
    assert np.isin(best[rows], at).all()
    ramp = Track(np.arange(1.0, 8.0), np.array([[0.1], [0.2], [0.6], [0.5], [0.3], [0.4], [0.35]]))
    assert thresholds(ramp).tolist() == [0.4, 0.6, 1.0]
