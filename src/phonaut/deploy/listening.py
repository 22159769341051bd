"""From sound that is still coming to detections of words, and what that takes."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.deploy.detection import Detection, Detector
from phonaut.deploy.scores import Rows, Scores
from phonaut.deploy.smoothing import Smoothing


class Listener:
    """Detections in one stream, which is cut into blocks anywhere: they are the same.

    Args:
        scores: of the classes along the sound.
        smoothing: from these to probabilities of words.
        detector: of words.
        sample_rate: of the sound, Hz.

    Attributes:
        heard_s: sound, seconds.
        computing_s: time spent on it, seconds.
        longest_s: of that, the longest for one block.
        n_detections: so far.
    """

    def __init__(self, scores: Scores, smoothing: Smoothing, detector: Detector, sample_rate: int) -> None:
        self.scores, self.smoothing, self.detector, self.sample_rate = scores, smoothing, detector, sample_rate
        self.n_samples = self.n_detections = 0
        self.computing_s = self.longest_s = 0.0

    def step(self, audio: NDArray[np.float32]) -> list[Detection]:
        """Detections that are due within the next samples `(S,)`."""
        self.n_samples += len(audio)
        return self.timed(audio)

    def end(self) -> list[Detection]:
        """Detections that are due because the sound has ended."""
        return self.timed(None)

    @property
    def heard_s(self) -> float:
        """Sound, seconds."""
        return self.n_samples / self.sample_rate

    def timed(self, audio: NDArray[np.float32] | None) -> list[Detection]:
        """Detections in the next samples, or at the end, with the time they took."""
        begun = time.perf_counter()
        rows = self.scores.end() if audio is None else self.scores.step(torch.from_numpy(audio))
        found = self.detected(rows)
        took = time.perf_counter() - begun
        self.computing_s, self.longest_s = self.computing_s + took, max(self.longest_s, took)
        self.n_detections += len(found)
        return found

    def detected(self, rows: Rows) -> list[Detection]:
        """Detections in rows of scores."""
        return list(self.detector.step(rows.end_s.numpy(), self.smoothing.step(rows.scores)))
