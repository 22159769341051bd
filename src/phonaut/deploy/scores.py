"""Scores of a classifier along sound that is still coming, hop by hop or over the last window again and again."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from phonaut.deploy.streaming import StreamingModel
from phonaut.models.speech_model import SpeechModel

BATCH = 32  # windows at once
LEAST_S = 0.1  # a whole recording that is shorter has no score


class Rows(NamedTuple):
    """Scores of the sound up to several times.

    Attributes:
        end_s: seconds that were heard, `(N,)`, float64.
        scores: of each class, `(N, C)`.
    """

    end_s: Tensor
    scores: Tensor


class Scores(Protocol):
    """Scores along one stream, which is cut into parts anywhere: the rows are the same.

    Attributes:
        shift_s: from one row to the next, seconds.
    """

    shift_s: float

    def step(self, audio: Tensor) -> Rows:
        """Rows that are due within the next samples `(S,)`, S >= 0."""

    def end(self) -> Rows:
        """Rows that are due because the sound has ended."""


class StatefulScores:
    """Scores of a causal model, which goes on where it stood.

    Args:
        stream: the model.
    """

    def __init__(self, stream: StreamingModel) -> None:
        self.stream, self.state, self.shift_s = stream, stream.initial_state(), stream.score_shift_s
        self.n_rows = 0

    def step(self, audio: Tensor) -> Rows:
        """Rows that are due within the next samples `(S,)`."""
        scores, self.state = self.stream.step(audio[None], self.state)
        n = scores.shape[1]
        numbers = torch.arange(self.n_rows, self.n_rows + n, dtype=torch.float64)
        self.n_rows += n
        return Rows(self.stream.first_score_s + self.shift_s * numbers, scores[0])

    def end(self) -> Rows:
        """No more: what is left is shorter than a hop."""
        return self.step(torch.zeros(0))


class WindowedScores:
    """Scores of any classifier, which hears the last window again at each hop.

    Row m is that of the samples `m hop ... m hop + window`. The last one ends where the sound ends; where that is
    shorter than a window, it is all of it.

    Args:
        model: in evaluation mode, from audio.
        window_ms: that it hears, as long as the clips of training.
        hop_ms: from one window to the next.

    Raises:
        ValueError: a time is out of range.
    """

    def __init__(self, model: SpeechModel, *, window_ms: float, hop_ms: float) -> None:
        self.model, self.rate = model.eval(), int(model.front_end.sample_rate)
        if not 1 <= hop_ms <= window_ms:
            raise ValueError(f"hop_ms={hop_ms:g}: must be from 1 to window_ms={window_ms:g}")
        self.window, self.hop = (max(1, round(ms / 1000 * self.rate)) for ms in (window_ms, hop_ms))
        self.shift_s = self.hop / self.rate
        self.kept = torch.zeros(0)  # from one hop before the next window on
        self.start, self.at = 0, 0  # of the next window, in what is kept and in all samples

    def step(self, audio: Tensor) -> Rows:
        """Rows of the windows that end within the next samples `(S,)`."""
        kept = torch.cat([self.kept, audio])
        n = max(0, (len(kept) - self.start - self.window) // self.hop + 1)
        ends = self.at + self.window + self.hop * torch.arange(n)
        rows = self.rows(kept[self.start :].unfold(0, self.window, self.hop)[:n], ends) if n else Rows(ends, ends)
        self.at, self.start = self.at + n * self.hop, self.start + n * self.hop
        cut = max(0, self.start - self.hop)
        self.kept, self.start = kept[cut:].clone(), self.start - cut
        return rows if n else self.none()

    def end(self) -> Rows:
        """The window that ends with the sound, if there is sound that none has heard."""
        total = self.at - self.start + len(self.kept)
        heard = self.at - self.hop + self.window if self.at else 0
        if total <= heard or total < LEAST_S * self.rate:
            return self.none()
        return self.rows(self.kept[None, -self.window :], torch.tensor([total]))

    @torch.inference_mode()
    def rows(self, windows: Tensor, ends: Tensor) -> Rows:
        """Scores of windows `(N, S)` that end after so many samples, `(N,)`."""
        batches = (part.contiguous() for part in torch.split(windows, BATCH))
        scores = [self.model(part, torch.full((len(part),), part.shape[1])).float() for part in batches]
        return Rows(ends.double() / self.rate, torch.cat(scores))

    def none(self) -> Rows:
        """No row."""
        return Rows(torch.zeros(0, dtype=torch.float64), torch.zeros(0, 0))
