"""Classifiers that are fitted to segments by counting and summing, not by descent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phonaut.densities.dtw import distances
from phonaut.models.decision import Decision

Index = NDArray[np.int64]


@dataclass
class Segments:
    """Sequences, one after another.

    Attributes:
        frames: `(N, D)`.
        lengths: of the sequences, `(B,)`.
        labels: their classes, -1 unknown, `(B,)`.
        speakers: whose each is.
    """

    frames: NDArray[Any]
    lengths: Index
    labels: Index
    speakers: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.lengths)

    def chosen(self, which: Index) -> Segments:
        """Some of the sequences, in the order of their numbers `which (M,)`."""
        lengths = self.lengths[which]
        begin = (np.cumsum(self.lengths) - self.lengths)[which]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        frames = self.frames[np.repeat(begin, lengths) + within]
        return Segments(frames, lengths, self.labels[which], self.speakers[which])


class Fitted(nn.Module):
    """Scores of segments, `frames (B, T, D), lengths (B,) -> scores (B, C)`, by what a sub-class says of them.

    Fitted tensors are registered under names with a colon, which no other part of a network has.

    Attributes:
        decision: from log-likelihoods, or what stands for them, to scores.
        is_density: whether `log_likelihoods` are such.
    """

    is_density = False

    def __init__(self, n_features: int, n_classes: int, decision: Decision) -> None:
        super().__init__()
        self.n_features, self.n_classes, self.decision = n_features, n_classes, decision
        self.heard: NDArray[np.float64] = np.empty((0, n_classes))

    def begin(self, segments: Segments, seed: int, rank: int = 0, world_size: int = 1) -> None:
        """Start from the segments of the training split, all of which every process has."""
        counts = np.bincount(segments.labels[segments.labels >= 0], minlength=self.n_classes)
        if (counts == 0).any():
            raise ValueError(f"class {int(np.flatnonzero(counts == 0)[0])} has no segment to start from")
        self.decision.set_priors(torch.from_numpy(counts))

    def em_step(self, parts: Sequence[Segments]) -> list[float]:
        """An EM step on the segments of each class; the log-likelihood of each before it, over all processes."""
        return [0.0] * self.n_classes

    @property
    def done(self) -> bool:
        """Whether more steps would change nothing."""
        return True

    def progress(self) -> dict[str, Any]:
        """What a checkpoint needs besides the tensors, as plain containers and tensors."""
        return {}

    def take_up(self, progress: dict[str, Any]) -> None:
        """Go on from what `progress` said."""

    def log_likelihoods(self, x: Tensor, lengths: Index) -> NDArray[np.float64]:
        """Of sequences one after another `(N, D)` under every class, `(B, C)`."""
        raise NotImplementedError

    def size(self, n_frames: int) -> tuple[int, int]:
        """Parameters, and multiplications with additions to score a segment of `n_frames`."""
        raise NotImplementedError

    @torch.no_grad()
    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        valid = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        n = lengths.cpu().numpy()
        self.heard = self.log_likelihoods(frames[valid], n)
        return self.scores(self.heard, n)

    def evidence(self, found: NDArray[np.float64], lengths: Index) -> NDArray[np.float64]:
        """What the decision is made from, `(B, C)`: `log_likelihoods` of sequences, and what their lengths say."""
        return found

    def scores(self, found: NDArray[np.float64], lengths: Index) -> Tensor:
        """Scores `(B, C)` from `log_likelihoods` of sequences with `lengths (B,)`, where the decision is."""
        scores: Tensor = self.decision(torch.from_numpy(self.evidence(found, lengths)))
        return scores

    def true_class_log_likelihood(self, labels: Index) -> NDArray[np.float64]:
        """What `log_likelihoods` said of the segments that were scored last, under their own classes `(B,)`."""
        own = self.heard[np.arange(len(labels)), np.maximum(labels, 0)]
        return np.where(labels >= 0, own, np.nan)

    # --- fitted tensors, whose shapes follow from the data

    def put(self, key: str, value: Tensor) -> None:
        """Keep a tensor by a name with a colon."""
        if key in self._parameters and self._parameters[key].shape == value.shape:  # type: ignore[union-attr]
            self._parameters[key].data.copy_(value)  # type: ignore[union-attr]
            return
        self._parameters.pop(key, None)
        self._buffers.pop(key, None)
        if value.is_floating_point():
            self.register_parameter(key, nn.Parameter(value))
        else:
            self.register_buffer(key, value)

    def adopt(self, weights: dict[str, Tensor], prefix: str = "") -> None:
        """Take the fitted tensors of a trained model, with their shapes.

        Raises:
            ValueError: some are missing, or make no sense.
        """
        for key, value in weights.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and ":" in name and "." not in name:
                self.put(name, value)
        self.read_back()

    def fitted(self) -> dict[str, Tensor]:
        """The fitted tensors by name."""
        return {k: v for k, v in {**self._parameters, **self._buffers}.items() if ":" in k and v is not None}

    def read_back(self) -> None:
        """Take up what the fitted tensors say."""

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *arguments: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *arguments)
        self.read_back()


class Majority(Fitted):
    """The floor of every comparison: the shares of the classes, whatever is heard."""

    def __init__(self, *, n_features: int, n_classes: int) -> None:
        super().__init__(n_features, n_classes, Decision(n_classes))
        self.put("least:0", torch.zeros(1))  # Lightning's ddp wants something to train

    def log_likelihoods(self, x: Tensor, lengths: Index) -> NDArray[np.float64]:
        """All alike."""
        return np.zeros((len(lengths), self.n_classes))

    def size(self, n_frames: int) -> tuple[int, int]:
        """The shares."""
        return self.n_classes, 0


class Templates(Fitted):
    """Scores are minus the mean distance of the nearest `n_nearest` of `n_templates` segments of a class, by DTW.

    Args:
        n_features: D.
        n_classes: C.
        n_templates: of a class, drawn from its training segments.
        n_nearest: of these, whose distances are averaged.

    Raises:
        ValueError: a number is below 1, or there are fewer templates than nearest ones.
    """

    def __init__(self, *, n_features: int, n_classes: int, n_templates: int = 20, n_nearest: int = 3) -> None:
        super().__init__(n_features, n_classes, Decision(n_classes, priors="uniform"))
        if not 1 <= n_nearest <= n_templates:
            raise ValueError(f"n_nearest is from 1 to n_templates={n_templates}, got {n_nearest}")
        self.n_templates, self.n_nearest = n_templates, n_nearest

    def begin(self, segments: Segments, seed: int, rank: int = 0, world_size: int = 1) -> None:
        """Draw the templates."""
        super().begin(segments, seed, rank, world_size)
        chosen = []
        for c in range(self.n_classes):
            own = np.flatnonzero(segments.labels == c)
            rng = np.random.default_rng((seed, c))
            chosen.append(np.sort(rng.choice(own, min(self.n_templates, len(own)), replace=False)))
        found = segments.chosen(np.concatenate(chosen))
        self.put("templates:frames", torch.from_numpy(found.frames.astype(np.float32)))
        self.put("templates:lengths", torch.from_numpy(found.lengths))
        self.put("templates:labels", torch.from_numpy(found.labels))

    def log_likelihoods(self, x: Tensor, lengths: Index) -> NDArray[np.float64]:
        """Minus distances `(B, C)`."""
        frames, own, labels = (
            self.fitted()[f"templates:{k}"].detach().cpu().numpy() for k in ("frames", "lengths", "labels")
        )
        away = distances(x.cpu().numpy(), lengths, frames, own)
        found = np.empty((len(lengths), self.n_classes))
        for c in range(self.n_classes):
            of_class = np.sort(away[:, labels == c], axis=1)
            found[:, c] = -of_class[:, : self.n_nearest].mean(axis=1)
        return found

    def size(self, n_frames: int) -> tuple[int, int]:
        """Numbers in the templates; each pair of frames takes D."""
        frames = self.fitted()["templates:frames"]
        return frames.numel(), frames.numel() * n_frames
