"""Classifiers that EM trains, or counting: their parameters are sufficient statistics' functions, not gradients'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Index
from phonaut.checks import within
from phonaut.models.decision import BayesDecision
from phonaut.models.shaped_by_data import ShapedByData


@dataclass
class Segments:
    """Sequences, one after another.

    Attributes:
        frames: `(N, D)`.
        lengths: of the sequences, `(B,)`.
        labels: their classes, -1 unknown, `(B,)`.
        speakers: of each, `(B,)`.
    """

    frames: NDArray[Any]
    lengths: Index
    labels: Index
    speakers: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.lengths)

    def select(self, which: Index) -> Segments:
        """Some of the sequences, in the order of their numbers `which (M,)`."""
        lengths = self.lengths[which]
        # Rows of a sequence: its first row among all frames, and the place of each frame within it.
        begin = (np.cumsum(self.lengths) - self.lengths)[which]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        frames = self.frames[np.repeat(begin, lengths) + within]
        return Segments(frames, lengths, self.labels[which], self.speakers[which])


class EMClassifier(ShapedByData):
    """Scores of segments, `frames (B, T, D), lengths (B,) -> scores (B, C)`, from log-likelihoods of classes.

    Parameters live in the densities.

    Attributes:
        decision: from log-likelihoods, or what stands for them, to scores.
        is_density: `log_likelihoods` are such.
    """

    is_density: ClassVar[bool] = False

    def __init__(self, n_features: int, n_classes: int, decision: BayesDecision) -> None:
        super().__init__()
        self.n_features, self.n_classes, self.decision = n_features, n_classes, decision
        self.last_log_likelihoods: NDArray[np.float64] = np.empty((0, n_classes))

    # --- training

    def initialize(self, segments: Segments, seed: int, rank: int = 0, world_size: int = 1) -> None:
        """Start from the segments of the training split, all of which every process has.

        Raises:
            ValueError: a class has no segment.
        """
        counts = np.bincount(segments.labels[segments.labels >= 0], minlength=self.n_classes)
        if (counts == 0).any():
            raise ValueError(f"class {int(np.flatnonzero(counts == 0)[0])} has no segment to start from")
        self.decision.set_priors(torch.from_numpy(counts))

    def em_step(self, parts: Sequence[Segments]) -> list[float]:
        """An EM step on the segments of each class; the log-likelihood of each before it, over all processes."""
        return [0.0] * self.n_classes

    @property
    def done(self) -> bool:
        """More steps would change nothing."""
        return True

    def em_state(self) -> dict[str, Any]:
        """Course of EM, which a checkpoint needs besides the parameters, as plain containers and tensors."""
        return {}

    def load_em_state(self, state: dict[str, Any]) -> None:
        """Go on from an `em_state`."""

    # --- scores

    def log_likelihoods(self, x: Tensor, lengths: Index) -> NDArray[np.float64]:
        """Those of sequences one after another `(N, D)` under every class, `(B, C)`."""
        raise NotImplementedError

    def size(self, n_frames: int) -> tuple[int, int]:
        """Parameters, and multiplications with additions to score a segment of `n_frames`."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        valid = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        n = lengths.cpu().numpy()
        self.last_log_likelihoods = self.log_likelihoods(frames[valid], n)
        return self.scores(self.last_log_likelihoods, n)

    def class_log_likelihoods(self, log_likelihoods: NDArray[np.float64], lengths: Index) -> NDArray[np.float64]:
        """Log-likelihoods `(B, C)` that decide: scaled, and with those of the lengths, where a sub-class has them."""
        return log_likelihoods

    def scores(self, log_likelihoods: NDArray[np.float64], lengths: Index) -> Tensor:
        """Scores `(B, C)` from `log_likelihoods` of sequences with `lengths (B,)`, on the device of the decision."""
        scores: Tensor = self.decision(torch.from_numpy(self.class_log_likelihoods(log_likelihoods, lengths)))
        return scores

    def true_class_log_likelihood(self, labels: Index) -> NDArray[np.float64]:
        """Log-likelihoods under their classes `(B,)` of the segments that were scored last; NaN for unknown ones."""
        chosen = self.last_log_likelihoods[np.arange(len(labels)), np.maximum(labels, 0)]
        return np.where(labels >= 0, chosen, np.nan)


class Majority(EMClassifier):
    """The floor of every comparison: the shares of the classes, whatever the frames are."""

    def __init__(self, *, n_features: int, n_classes: int) -> None:
        super().__init__(n_features, n_classes, BayesDecision(n_classes))

    def tensors(self) -> dict[str, Tensor]:
        """A zero, under the name that runs have stored it."""
        return {"least:0": torch.zeros(1)}

    def log_likelihoods(self, x: Tensor, lengths: Index) -> NDArray[np.float64]:
        """Zeros: all classes are alike."""
        return np.zeros((len(lengths), self.n_classes))

    def size(self, n_frames: int) -> tuple[int, int]:
        """The shares."""
        return self.n_classes, 0


class DTWTemplates(EMClassifier):
    """Scores are minus the mean distance of the nearest `n_nearest` of `n_templates` segments of a class, by DTW.

    Args:
        n_features: D.
        n_classes: C.
        n_templates: of a class, drawn from its training segments.
        n_nearest: of these, whose distances are averaged.

    Raises:
        ValueError: a number is below 1, or there are fewer templates than nearest ones.
    """

    RULES: ClassVar = dict.fromkeys(("n_templates", "n_nearest"), within(1, 1e6))

    @classmethod
    def problems(cls, n_templates: int = 20, n_nearest: int = 3) -> list[str]:
        """Problems of the options."""
        if n_nearest <= n_templates:
            return []
        return [f"n_nearest={n_nearest} is more than n_templates={n_templates}"]

    def __init__(self, *, n_features: int, n_classes: int, n_templates: int = 20, n_nearest: int = 3) -> None:
        super().__init__(n_features, n_classes, BayesDecision(n_classes, priors="uniform"))
        if not 1 <= n_nearest <= n_templates:
            raise ValueError(f"n_nearest is from 1 to n_templates={n_templates}, got {n_nearest}")
        self.n_templates, self.n_nearest = n_templates, n_nearest
        self._tensors: dict[str, Tensor] = {}

    def initialize(self, segments: Segments, seed: int, rank: int = 0, world_size: int = 1) -> None:
        """Draw the templates."""
        super().initialize(segments, seed, rank, world_size)
        drawn = []
        for c in range(self.n_classes):
            of_class = np.flatnonzero(segments.labels == c)
            rng = np.random.default_rng((seed, c))
            drawn.append(np.sort(rng.choice(of_class, min(self.n_templates, len(of_class)), replace=False)))
        templates = segments.select(np.concatenate(drawn))
        self._tensors = {
            "templates:frames": torch.from_numpy(templates.frames.astype(np.float32)),
            "templates:lengths": torch.from_numpy(templates.lengths),
            "templates:labels": torch.from_numpy(templates.labels),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Frames, lengths and labels of the templates."""
        return self._tensors

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set the templates."""
        self._tensors = {name: value.detach().cpu().clone() for name, value in tensors.items()}

    def log_likelihoods(self, x: Tensor, lengths: Index) -> NDArray[np.float64]:
        """Minus distances `(B, C)`."""
        from phonaut.densities.dtw import distances  # which loads Numba

        frames, n, labels = (self._tensors[f"templates:{key}"].numpy() for key in ("frames", "lengths", "labels"))
        away = distances(x.cpu().numpy(), lengths, frames, n, first_weight=2.0)
        scores = np.empty((len(lengths), self.n_classes))
        for c in range(self.n_classes):
            of_class = np.sort(away[:, labels == c], axis=1)
            scores[:, c] = -of_class[:, : self.n_nearest].mean(axis=1)
        return scores

    def size(self, n_frames: int) -> tuple[int, int]:
        """Numbers in the templates; each pair of frames takes D."""
        n = self._tensors["templates:frames"].numel()
        return n, n * n_frames
