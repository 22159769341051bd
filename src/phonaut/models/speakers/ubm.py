"""Universal background model: a Gaussian mixture of the frames of everybody, trained by EM, a step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.hmm.em import Monitor, RollbackState, em_step
from phonaut.hmm.emissions import MixtureEmissions

SAMPLE_FRAMES = 20_000  # that k-means starts from
WIDE_FRAMES = 2**17  # that are float64 at once


class UBM:
    """A mixture of K Gaussians.

    Args:
        n_components: K.
        covariance_type: `diag` or `full`.
        em_steps: at most so many.
        tol: EM is done when the mean log-likelihood of a frame rises by less.

    Attributes:
        emissions: the mixture, as emissions of one state.
    """

    def __init__(self, n_components: int, covariance_type: Literal["diag", "full"], em_steps: int, tol: float) -> None:
        self.emissions = MixtureEmissions(1, n_components, covariance_type=covariance_type)
        self.em_steps, self.tol = em_steps, tol
        self.monitor, self.rollback = Monitor(tol, em_steps), RollbackState()

    def begin(self, frames: NDArray[np.float32], seed: int) -> None:
        """Take the frames `(N, D)`, and start from k-means on a sample of them.

        Raises:
            ValueError: there are fewer frames than components.
        """
        k, rng = self.emissions.n_mix, np.random.default_rng(seed)
        if len(frames) < k:
            raise ValueError(f"a background model of {k} components needs as many frames, got {len(frames)}")
        sample = frames[np.sort(rng.choice(len(frames), min(SAMPLE_FRAMES, len(frames)), replace=False))]
        self.emissions.initialize(sample.astype(np.float64), rng)
        self.frames = frames
        self.monitor, self.rollback = Monitor(self.tol * len(frames), self.em_steps), RollbackState()

    def step(self) -> float:
        """One step of EM; the mean log-likelihood of a frame before it."""
        em_step(self.emissions, self._expect, self.monitor, self.rollback, most_seedings=self.emissions.n_mix)
        return self.monitor.history[-1] / len(self.frames)

    def _expect(self) -> Any:
        origin = self.frames.mean(axis=0, dtype=np.float64)
        blocks = (self.frames[first : first + WIDE_FRAMES] for first in range(0, len(self.frames), WIDE_FRAMES))
        first, *others = (self.emissions.statistics(block.astype(np.float64), None, origin) for block in blocks)
        return sum(others, first)

    @property
    def done(self) -> bool:
        """EM converged, took its last step, or was stopped by a fall."""
        return self.monitor.done

    def state(self) -> dict[str, Any]:
        """Course of training."""
        return {
            "history": list(self.monitor.history),
            "objective": list(self.monitor.objective),
            "fell": self.monitor.fell,
            "n_seeded": self.rollback.n_seeded,
            "before": as_tensors(self.rollback.before),
            "unseeded": as_tensors(self.rollback.unseeded),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.monitor.history, self.monitor.objective = list(state["history"]), list(state["objective"])
        self.monitor.fell = state["fell"]
        before, unseeded = ({k: v.numpy() for k, v in state[name].items()} for name in ("before", "unseeded"))
        self.rollback = RollbackState(before, unseeded, state["n_seeded"])

    def tensors(self) -> dict[str, Tensor]:
        """Parameters by name; none before training."""
        return as_tensors(self.emissions.state_dict())

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set parameters.

        Raises:
            ValueError: some are missing, or make no sense.
        """
        if missing := [name for name in self.emissions.letters.values() if name not in tensors]:
            raise ValueError(f"the background model has no {', '.join(missing)}")
        self.emissions.load_state_dict({k: v.detach().cpu().numpy().copy() for k, v in tensors.items()})
        self.emissions.check()


def as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    """Copies of arrays as tensors."""
    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
