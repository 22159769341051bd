"""Expectation-maximisation for hidden Markov models: what an E-step finds, the M-step of a chain, and how it went."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from phonaut.densities.gmm import checked_frames
from phonaut.densities.processes import summed
from phonaut.hmm.chains import Array, Index

Random = int | np.random.Generator | np.random.RandomState | None


def generator_of(random_state: Random) -> np.random.Generator:
    """A generator from a seed, from one that is drawn from, or from the system."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(int(random_state.randint(2**31)))
    return np.random.default_rng(random_state)


class Emissions(Protocol):
    """Sufficient statistics of what states emit."""

    def __add__(self, other: Any) -> Any:
        """Those of both sets of frames."""
        ...

    def scaled(self, factor: float) -> Self:
        """As if every frame counted `factor` times."""
        ...

    def summed(self) -> Self:
        """Those of all processes."""
        ...


@dataclass
class Expected:
    """What an E-step finds; those of two sets of sequences add up.

    Attributes:
        log_prob: log-likelihood of the sequences.
        n_frames: how many.
        start: expected first states, `(S,)`.
        transitions: expected transitions, `(S, S)`.
        emissions: sums over frames.
    """

    log_prob: float
    n_frames: float
    start: Array
    transitions: Array
    emissions: Any

    def __add__(self, other: Expected) -> Expected:
        return Expected(
            self.log_prob + other.log_prob,
            self.n_frames + other.n_frames,
            self.start + other.start,
            self.transitions + other.transitions,
            self.emissions + other.emissions,
        )

    def scaled(self, factor: float) -> Expected:
        """As if every sequence counted `factor` times."""
        return Expected(
            self.log_prob * factor,
            self.n_frames * factor,
            self.start * factor,
            self.transitions * factor,
            self.emissions.scaled(factor),
        )

    def summed(self) -> Expected:
        """That of all processes."""
        numbers = np.concatenate([[self.log_prob, self.n_frames], self.start, self.transitions.ravel()])
        numbers = summed(torch.from_numpy(numbers)).numpy()
        n = len(self.start)
        start, transitions = numbers[2 : 2 + n], numbers[2 + n :].reshape(n, n)
        return Expected(float(numbers[0]), float(numbers[1]), start, transitions, self.emissions.summed())


@dataclass
class Back:
    """Where EM goes back to when a step made the model worse; a checkpoint keeps it.

    Attributes:
        before: parameters before the last M-step.
        plain: those after it, if empty components were seeded anew thereafter.
        n_seeded: how often they were.
    """

    before: dict[str, Any] = field(default_factory=dict)
    plain: dict[str, Any] = field(default_factory=dict)
    n_seeded: int = 0


class Monitor:
    """How EM went.

    Attributes:
        history: the log-likelihood of the data before each M-step.
        objective: the same and the log-density of the priors, which is what EM raises.
        iter: EM steps.
        fell: the objective fell, and the parameters before were taken back.
    """

    def __init__(self, tol: float, n_iter: int, *, verbose: bool = False) -> None:
        self.tol, self.n_iter, self.verbose = tol, n_iter, verbose
        self.history: list[float] = []
        self.objective: list[float] = []
        self.fell = False

    @property
    def iter(self) -> int:
        """EM steps."""
        return len(self.history)

    def report(self, log_prob: float, objective: float) -> None:
        """Note a step; print it if `verbose`."""
        if self.verbose:
            rise = objective - self.objective[-1] if self.objective else float("nan")
            print(f"{self.iter + 1:>6d} {log_prob:>18.6f} {rise:>+16.6f}", file=sys.stderr)
        self.history.append(log_prob)
        self.objective.append(objective)

    @property
    def last(self) -> float:
        """The objective before the last M-step."""
        return self.objective[-1] if self.objective else -np.inf

    @property
    def converged(self) -> bool:
        """The last step gained less than `tol`, or it was the last that was allowed."""
        gained = len(self.history) >= 2 and self.history[-1] - self.history[-2] < self.tol
        return self.iter >= self.n_iter or (gained and self.tol >= 0)


def normalized(counts: Array, prior: ArrayLike, before: Array) -> Array:
    """Probabilities from counts with a Dirichlet prior, `(counts + prior - 1)` over its sum along the last axis.

    What was 0 stays 0; a row without any count keeps what it was.
    """
    weights = np.maximum(counts + np.asarray(prior, dtype=np.float64) - 1.0, 0.0) * (before > 0)
    total = weights.sum(axis=-1, keepdims=True)
    result: Array = np.where(total > 0, weights / np.where(total > 0, total, 1.0), before)
    return result


def dirichlet(prior: ArrayLike, value: Array) -> float:
    """Log-density of probabilities under a Dirichlet prior, up to a constant; what is 0 by structure does not count."""
    weight = np.broadcast_to(np.asarray(prior, dtype=np.float64) - 1, value.shape)
    counts = (weight != 0) & (value > 0)
    return float((weight[counts] * np.log(value[counts])).sum())


def sequences(
    X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None, n_features: int | None = None
) -> tuple[NDArray[Any], Index]:
    """Frames `(N, D)` of float64, checked, and the lengths of the sequences, `(B,)`.

    Raises:
        ValueError: for frames that make no sense, or lengths that do not add up to them.
    """
    if isinstance(X, list | tuple) and lengths is None and len(X) and np.ndim(X[0]) == 2:
        parts = [np.asarray(part) for part in X]
        widths = {part.shape[1] if part.ndim == 2 else None for part in parts}
        if len(widths) > 1:
            raise ValueError(
                f"sequences must be (T, D) with one D; got {sorted(map(str, {p.shape for p in parts}))[:5]}"
            )
        frames = checked_frames(np.concatenate(parts), n_features).astype(np.float64, copy=False)
        return frames, np.array([len(part) for part in parts], dtype=np.int64)
    # EM needs the digits: in float32 a step may gain less than rounding loses.
    frames = checked_frames(X, n_features).astype(np.float64, copy=False)  # type: ignore[arg-type]
    if lengths is None:
        return frames, np.array([len(frames)], dtype=np.int64)
    n = np.atleast_1d(np.asarray(lengths))
    if n.ndim != 1 or n.dtype.kind not in "iu" or (n < 1).any() or n.sum() != len(frames):
        raise ValueError(
            f"lengths must be numbers from 1 on that add up to {len(frames)} frames; they add up to {n.sum()}"
        )
    return frames, n.astype(np.int64)
