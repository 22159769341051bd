"""Universal background model: a Gaussian mixture of the frames of everybody, trained by EM, a step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Array
from phonaut.densities.adapted_mixtures import Background
from phonaut.densities.statistics import GaussianStatistics
from phonaut.hmm.em import Monitor, RollbackState, em_step
from phonaut.hmm.emissions import MixtureEmissions
from phonaut.hmm.gmm import COARSE_EXTENT, COARSE_GAIN

SAMPLE_FRAMES = 20_000  # k-means needs no more, up to SAMPLE_A_COMPONENT of each component
SAMPLE_A_COMPONENT = 30
WIDE_FRAMES = 2**17  # that are float64 at once


class UBM:
    """A mixture of K Gaussians that EM trains on float32 frames.

    Its first steps are in float32, as long as each gains much and the digits of the sums suffice, as those of
    `phonaut.hmm.GMM`; a thousandth of the variance of the frames, worth one frame, keeps variances from vanishing.

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
        self.monitor, self.rollback, self.coarse = Monitor(tol, em_steps), RollbackState(), False

    @property
    def n_components(self) -> int:
        """K."""
        return self.emissions.n_mix

    # --- training

    def begin(self, frames: NDArray[np.float32], seed: int) -> None:
        """Take the frames `(N, D)`, and start from k-means on a sample of them.

        Raises:
            ValueError: there are fewer frames than components.
        """
        if len(frames) < self.n_components:
            raise ValueError(
                f"a background model of {self.n_components} components needs as many frames, got {len(frames)}"
            )
        self.frames, rng = frames, np.random.default_rng(seed)
        n = max(SAMPLE_FRAMES, SAMPLE_A_COMPONENT * self.n_components)
        sample = frames if len(frames) <= n else frames[np.sort(rng.choice(len(frames), n, replace=False))]
        wide: Array = sample.astype(np.float64)
        self.emissions.initialize(wide, rng)
        self.monitor, self.rollback = Monitor(self.tol * len(frames), self.em_steps), RollbackState()
        mean, reach = wide.mean(axis=0), COARSE_EXTENT * wide.std(axis=0)
        self.coarse = bool((frames.max(axis=0) <= mean + reach).all() and (frames.min(axis=0) >= mean - reach).all())

    def step(self) -> float:
        """One step of EM; the mean log-likelihood of a frame before it."""
        em_step(self.emissions, self._expect, self.monitor, self.rollback, most_seedings=self.n_components)
        return self.monitor.history[-1] / len(self.frames)

    @property
    def done(self) -> bool:
        """EM converged, took its last step, or was stopped by a fall."""
        return self.monitor.done

    def _expect(self) -> GaussianStatistics:
        """The E-step over all frames, about one of float32 near their mean."""
        origin = self.frames.mean(axis=0, dtype=np.float64).astype(np.float32).astype(np.float64)
        if self.coarse:
            found = self.emissions.statistics(self.frames, None, origin)
            gained = found.log_prob - (self.monitor.history or [-np.inf])[-1]
            if gained >= COARSE_GAIN * len(self.frames) and found.keeps_digits(self.emissions.covariance_type, 0.0):
                return found
            self.coarse = False
            self.monitor.objective[-1:] = [-np.inf] * bool(self.monitor.objective)  # rounding is no fall
        blocks = range(WIDE_FRAMES, len(self.frames), WIDE_FRAMES)
        found = self.emissions.statistics(self.frames[:WIDE_FRAMES].astype(np.float64), None, origin)
        for first in blocks:
            wide = self.frames[first : first + WIDE_FRAMES].astype(np.float64)
            found = found + self.emissions.statistics(wide, None, origin)
        return found

    def state(self) -> dict[str, Any]:
        """Course of training."""
        return {
            "history": list(self.monitor.history),
            "objective": list(self.monitor.objective),
            "fell": self.monitor.fell,
            "coarse": self.coarse,
            "n_seeded": self.rollback.n_seeded,
            "before": as_tensors(self.rollback.before),
            "unseeded": as_tensors(self.rollback.unseeded),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state`."""
        self.monitor.history, self.monitor.objective = list(state["history"]), list(state["objective"])
        self.monitor.fell, self.coarse = state["fell"], state["coarse"]
        before, unseeded = ({k: v.numpy() for k, v in state[name].items()} for name in ("before", "unseeded"))
        self.rollback = RollbackState(before, unseeded, state["n_seeded"])

    # --- parameters

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

    # --- the trained mixture

    def background(self, offset: NDArray[Any] | None = None) -> Background:
        """The components, ready for many recordings; with means that lie `offset (K, D)` away."""
        emissions = self.emissions if offset is None else self.shifted(offset)
        return Background(emissions.gaussians(), emissions.weights_[0])

    def shifted(self, offset: NDArray[Any]) -> MixtureEmissions:
        """The mixture with means that lie `offset (K, D)` away."""
        shifted = self.emissions.copy()
        shifted.means_ = shifted.means_ + offset
        return shifted


def as_tensors(arrays: Mapping[str, Array]) -> dict[str, Tensor]:
    """Copies of arrays as tensors."""
    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
