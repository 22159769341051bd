"""From sound that is still coming to detections of words, and what that takes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.arrays import Array
from phonaut.deploy.detection import Detection, Detector, Track
from phonaut.deploy.scores import Rows, Scores
from phonaut.deploy.smoothing import Smoothing


class Listener:
    """Detections in one stream, which is cut into blocks anywhere: they are the same.

    Args:
        scores: of the classes along the sound.
        smoothing: from these to probabilities of words.
        detector: of words.
        sample_rate: of the sound, Hz.
        settings: by which it listens, for which a threshold was chosen or is to be.

    Attributes:
        heard_s: sound, seconds.
        computing_s: time spent on it, seconds.
        longest_s: of that, the longest for one block.
        n_detections: so far.
    """

    def __init__(
        self,
        scores: Scores,
        smoothing: Smoothing,
        detector: Detector,
        sample_rate: int,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.scores, self.smoothing, self.detector, self.sample_rate = scores, smoothing, detector, sample_rate
        self.settings = dict(settings or {})
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
        found = list(self.detector.step(*self.probabilities(rows)))
        took = time.perf_counter() - begun
        self.computing_s, self.longest_s = self.computing_s + took, max(self.longest_s, took)
        self.n_detections += len(found)
        return found

    def probabilities(self, rows: Rows) -> tuple[Array, Array]:
        """Times and probabilities of words, in which the detector detects, of rows of scores."""
        return rows.end_s.numpy(), self.smoothing.step(rows.scores)

    def track(self, sound: Iterable[NDArray[np.float32]]) -> Track:
        """The probabilities of words along sound, from its beginning to its end, with no threshold."""
        parts = []
        for block in sound:
            self.n_samples += len(block)
            parts.append(self.probabilities(self.scores.step(torch.from_numpy(block))))
        parts.append(self.probabilities(self.scores.end()))
        return Track(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
