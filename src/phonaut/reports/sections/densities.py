"""Densities by class: log-likelihood of frames over EM steps, and frames drawn from the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.reports.charts import scale, thinned
from phonaut.reports.html import render as rendered
from phonaut.reports.media import data_uri, png, read_samples
from phonaut.reports.record import Record
from phonaut.reports.sections import Section
from phonaut.runs.run import Run

WIDTH, HEIGHT = 120.0, 24.0  # of a curve beside its class
MAX_POINTS = 60


@dataclass(frozen=True)
class Curve:
    """Log-likelihood of one class over EM steps.

    Attributes:
        name: of the class.
        n_states: of its hidden Markov model.
        path: of the log-likelihood of a frame over EM steps, as an SVG path; empty where there are not two of them.
        first: the log-likelihood of a frame at the start, nats.
        last: at the end.
        steps: EM steps until convergence.
    """

    name: str
    n_states: int
    path: str
    first: float
    last: float
    steps: int


@dataclass(frozen=True)
class Samples:
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


def render(record: Record) -> Section | None:
    """The section; None where the model is no density."""
    classes = curves(record.run)
    if not classes:
        return None
    return Section(rendered("densities.html", {"learned": classes, "sampled": read_samples(record.run, pictures)}))


def curves(run: Run) -> list[Curve]:
    """The classes of a density in the order of the run; none for other models."""
    stored = run.model.get("log_likelihood_curves")
    if not stored or not stored["per_frame"]:
        return []
    by_class = zip(*stored["per_frame"], strict=True)
    rows = zip(stored["classes"], run.model["states"], by_class, strict=True)
    return [row(name, states, [float(v) for v in values]) for name, states, values in rows]


def row(name: str, n_states: int, values: list[float]) -> Curve:
    """The curve of one class; it is constant after convergence.

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
        path = "M" + "L".join(f"{x(i):.1f} {y(v):.1f}" for i, v in thinned(points, MAX_POINTS))
    return Curve(name, n_states, path, values[0], values[-1], steps)


def pictures(arrays: dict[str, NDArray[Any]]) -> list[Samples]:
    """Pictures of the arrays of `samples.npz`."""
    parts = np.split(arrays["frames"], np.cumsum(arrays["lengths"].ravel())[:-1])
    low, span = arrays["low"], np.maximum(arrays["high"] - arrays["low"], 1e-9)
    names, lengths = arrays["classes"].tolist(), arrays["lengths"].tolist()
    images = [data_uri("image/png", png(np.clip((part - low) / span, 0, 1).T[::-1])) for part in parts]
    by_class = zip(names, images[::3], images[1::3], images[2::3], lengths, strict=True)
    return [Samples(str(name), real, drawn, turn, tuple(n)) for name, real, drawn, turn, n in by_class]
