"""What densities have learned, class by class: how likely frames became, and what the model makes of its states."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.reports.charts import scale, thinned
from phonaut.reports.media import data_uri, kept_samples, png
from phonaut.runs.run import Run

WIDTH, HEIGHT = 120.0, 24.0  # of a curve beside its class
MOST_POINTS = 60


@dataclass(frozen=True)
class Learned:
    """A class of a density.

    Attributes:
        name: of the class.
        n_states: of its hidden Markov model.
        path: of the log-likelihood of a frame over EM steps, as an SVG path; empty where there are not two of them.
        first: the log-likelihood of a frame at the start, nats.
        last: at the end.
        steps: EM steps until nothing changed any more.
    """

    name: str
    n_states: int
    path: str
    first: float
    last: float
    steps: int


@dataclass(frozen=True)
class Sampled:
    """Pictures of frames, the first feature at the bottom: of a real segment, a drawn one, and of the states in turn.

    Attributes:
        name: of the class.
        real: a segment of the training split, as a PNG in a data URI.
        drawn: one that the model draws, of the same length.
        in_turn: the states one after another, each for its expected time.
        n_frames: of the three.
    """

    name: str
    real: str
    drawn: str
    in_turn: str
    n_frames: tuple[int, int, int]


def learned(run: Run) -> list[Learned]:
    """The classes of a density in the order of the run; none for other models."""
    curves = run.model.get("log_likelihood_curves")
    if not curves or not curves["per_frame"]:
        return []
    by_class = zip(*curves["per_frame"], strict=True)
    rows = zip(curves["classes"], run.model["states"], by_class, strict=True)
    return [row(name, states, [float(v) for v in values]) for name, states, values in rows]


def row(name: str, n_states: int, values: list[float]) -> Learned:
    """One class; after it was done its value stays the same.

    >>> row("a", 3, [-9.0, -8.0, -8.0, -8.0]).steps
    2
    """
    steps = len(values)
    while steps > 1 and values[steps - 1] == values[steps - 2]:
        steps -= 1
    points = [(i, v) for i, v in enumerate(values) if math.isfinite(v)]
    path = ""
    if len(points) > 1:
        x = scale(0, len(values) - 1, 1, WIDTH - 1)
        y = scale(min(v for _, v in points), max(v for _, v in points), HEIGHT - 2, 2)
        path = "M" + "L".join(f"{x(i):.1f} {y(v):.1f}" for i, v in thinned(points, MOST_POINTS))
    return Learned(name, n_states, path, values[0], values[-1], steps)


def sampled(run: Run) -> list[Sampled]:
    """Pictures of what the run kept in `samples.npz`; none for models that make nothing.

    Raises:
        ValueError: the file is damaged.
    """
    return kept_samples(run, pictured) or []


def pictured(kept: dict[str, NDArray[Any]]) -> list[Sampled]:
    """Pictures of arrays that are kept."""
    parts = np.split(kept["frames"], np.cumsum(kept["lengths"].ravel())[:-1])
    low, span = kept["low"], np.maximum(kept["high"] - kept["low"], 1e-9)
    names, lengths = kept["classes"].tolist(), kept["lengths"].tolist()
    pictures = [data_uri("image/png", png(np.clip((part - low) / span, 0, 1).T[::-1])) for part in parts]
    by_class = zip(names, pictures[::3], pictures[1::3], pictures[2::3], lengths, strict=True)
    return [Sampled(str(name), real, drawn, turn, tuple(n)) for name, real, drawn, turn, n in by_class]
