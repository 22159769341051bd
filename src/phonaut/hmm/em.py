"""Expectation-maximisation: one loop with one guard, for estimators, classifiers and the aligner."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from phonaut.arrays import Array

TOLERANCE = 1e-7  # of the objective: less is rounding
TOLERANCE_A_FRAME = 1e-9  # nats


class ObjectiveFellWarning(UserWarning):
    """EM made the model worse, and the parameters before are kept."""


class Trainable(Protocol):
    """A model as EM sees it."""

    def state_dict(self) -> dict[str, Any]:
        """All parameters; none of the arrays is changed in place by an M-step."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set all parameters."""
        ...

    def m_step(self, statistics: Any) -> None:
        """Raise the objective; gradient steps back-track by themselves."""
        ...

    def log_prior(self) -> float:
        """Log-density of the parameters, up to a constant."""
        ...

    def reseed(self) -> bool:
        """Move components that lost their frames; return whether there were any."""
        ...


@dataclass
class RollbackState:
    """Parameters that EM goes back to when a step made the model worse; checkpoints keep them.

    Attributes:
        before: parameters before the last M-step.
        unseeded: those after it, if empty components were seeded anew thereafter.
        n_seeded: how often they were.
    """

    before: dict[str, Any] = field(default_factory=dict)
    unseeded: dict[str, Any] = field(default_factory=dict)
    n_seeded: int = 0


class Monitor:
    """Course of EM.

    Args:
        tol: gain of log-likelihood below which EM has converged; negative: never.
        n_iter: most EM steps.
        verbose: print each step.

    Attributes:
        history: the log-likelihood of the data before each M-step.
        objective: the same and the log-density of the priors, which is what EM raises.
        fell: the objective fell, and the parameters before were restored.
    """

    _template = "{iter:>10d} {log_prob:>16.8f} {delta:>+16.8f}"

    def __init__(self, tol: float, n_iter: int, verbose: bool = False) -> None:
        self.tol, self.n_iter, self.verbose = tol, n_iter, verbose
        self._reset()

    def _reset(self) -> None:
        """Forget the course, before another fit."""
        self.history: list[float] = []
        self.objective: list[float] = []
        self.fell = False

    @property
    def iter(self) -> int:
        """Number of EM steps."""
        return len(self.history)

    def report(self, log_prob: float, objective: float | None = None) -> None:
        """Note a step; print it if `verbose`: its number, the log-likelihood and what was gained."""
        if self.verbose:
            delta = log_prob - self.history[-1] if self.history else float("nan")
            print(self._template.format(iter=self.iter + 1, log_prob=log_prob, delta=delta), file=sys.stderr)
        self.history.append(log_prob)
        self.objective.append(log_prob if objective is None else objective)

    @property
    def last(self) -> float:
        """The objective before the last M-step."""
        return self.objective[-1] if self.objective else -np.inf

    def is_fall(self, objective: float, n_frames: float) -> bool:
        """Tell whether an objective is less than the last one by more than rounding; NaN is."""
        return not objective >= self.last - TOLERANCE * max(1.0, abs(self.last)) - TOLERANCE_A_FRAME * n_frames

    @property
    def converged(self) -> bool:
        """The last step gained less than `tol`, or it was the last that was allowed."""
        gained = len(self.history) >= 2 and self.history[-1] - self.history[-2] < self.tol
        return self.iter >= self.n_iter or (gained and self.tol >= 0)

    @property
    def done(self) -> bool:
        """No step will follow: EM converged, or it was stopped by a fall."""
        return self.converged or self.fell


class FollowedMonitor(Monitor):
    """The course of EM where somebody's own monitor, such as one of hmmlearn's, says when it has converged.

    Args:
        theirs: has `report(log_prob)`, `converged` and `_reset()`.
        n_iter: most EM steps.
    """

    def __init__(self, theirs: Any, n_iter: int) -> None:
        super().__init__(0.0, n_iter)
        self.theirs, self.stopped = theirs, False
        theirs._reset()

    def report(self, log_prob: float, objective: float | None = None) -> None:
        """Note a step, there too."""
        super().report(log_prob, objective)
        self.theirs.report(log_prob)
        self.stopped = bool(self.theirs.converged)

    @property
    def converged(self) -> bool:
        """Theirs has, or the last step was the last that was allowed."""
        return self.stopped or self.iter >= self.n_iter


def em(
    model: Trainable,
    e_step: Callable[[], Any],
    monitor: Monitor,
    rollback: RollbackState | None = None,
    *,
    most_seedings: int = 0,
    after_step: Callable[[], None] | None = None,
) -> None:
    """EM steps until `monitor` says that they are done.

    An M-step after which the objective (log-likelihood and priors) fell is undone: the parameters before it are
    restored, an `ObjectiveFellWarning` names the step, and EM stops. Components that lost their frames are seeded anew
    at most `most_seedings` times, each of which is undone where the objective fell after it.

    Args:
        model: what is trained.
        e_step: statistics of all frames under the parameters of now, summed over all processes; `log_prob` and
            `n_frames` are theirs.
        monitor: notes the course.
        rollback: of a fit that goes on; None: one that begins.
        most_seedings: how often components may be seeded anew.
        after_step: called after each M-step that stays.

    Source: Dempster, Laird and Rubin 1977, "Maximum likelihood from incomplete data via the EM algorithm".
    """
    rollback = RollbackState() if rollback is None else rollback
    while not monitor.done:
        em_step(model, e_step, monitor, rollback, most_seedings=most_seedings)
        if after_step is not None and not monitor.fell:
            after_step()


def em_step(
    model: Trainable,
    e_step: Callable[[], Any],
    monitor: Monitor,
    rollback: RollbackState,
    *,
    most_seedings: int = 0,
) -> None:
    """One step of `em`: E-step, guard, M-step."""
    statistics = e_step()
    objective = statistics.log_prob + model.log_prior()
    fell = monitor.is_fall(objective, statistics.n_frames)
    if fell and rollback.unseeded:  # seeding made it worse: without that
        model.load_state_dict(rollback.unseeded)
        rollback.unseeded = {}
        statistics = e_step()
        objective = statistics.log_prob + model.log_prior()
        fell = monitor.is_fall(objective, statistics.n_frames)
    if fell:
        warnings.warn(
            f"the objective fell from {monitor.last:.9g} to {objective:.9g} in step {monitor.iter} of EM; the "
            "parameters before that step are kept",
            ObjectiveFellWarning,
            stacklevel=4,
        )
        model.load_state_dict(rollback.before)
        monitor.fell = True
        return
    rollback.before = model.state_dict()
    model.m_step(statistics)
    unseeded = model.state_dict()
    rollback.unseeded = unseeded if rollback.n_seeded < most_seedings and model.reseed() else {}
    rollback.n_seeded += bool(rollback.unseeded)
    monitor.report(statistics.log_prob, objective)


def dirichlet_m_step(counts: Array, prior: ArrayLike, before: Array) -> Array:
    """Probabilities from counts with a Dirichlet prior, `(counts + prior - 1)` over its sum along the last axis.

    What was 0 stays 0; a row without any count keeps what it was.
    """
    weights = np.maximum(counts + np.asarray(prior, dtype=np.float64) - 1.0, 0.0) * (before > 0)
    total = weights.sum(axis=-1, keepdims=True)
    result: Array = np.where(total > 0, weights / np.where(total > 0, total, 1.0), before)
    return result


def dirichlet_log_density(prior: ArrayLike, value: Array) -> float:
    """Log-density of probabilities under a Dirichlet prior, up to a constant; structural zeros do not count."""
    weight = np.broadcast_to(np.asarray(prior, dtype=np.float64) - 1, value.shape)
    counts = (weight != 0) & (value > 0)
    return float((weight[counts] * np.log(value[counts])).sum())
