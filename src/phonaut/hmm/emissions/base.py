"""Protocol of emissions: parameters of all states' densities, and how EM trains them; chains are no part of it."""

from __future__ import annotations

import copy
import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array, Index
from phonaut.hmm.inputs import not_fitted

log = logging.getLogger(__name__)


class Emissions(ABC):
    """Densities `p(x | s)` of S states over frames of D dimensions.

    To add a density, write a sub-class: its constructor's arguments are its settings, kept as attributes of the same
    names; `letters` names its trained parameters, attributes that end with an underscore.

    Args:
        n_states: S.

    Attributes:
        letters: letter of `params` and `init_params` -> name of a trained parameter.
        constants: names of arrays that belong to the parameters and that no M-step changes.
        n_features: D, once there are parameters.
        device: where densities are computed, for those that need one.
    """

    letters: ClassVar[Mapping[str, str]] = {}
    constants: ClassVar[tuple[str, ...]] = ()
    default_params: ClassVar[str | None] = None  # letters that are trained by default; None: all
    n_states: int
    n_features: int
    device: str = "cpu"

    def __init__(self, n_states: int = 1) -> None:
        self.n_states = n_states

    # --- densities

    @abstractmethod
    def log_prob(self, x: NDArray[Any]) -> Array:
        """`log p(x_t | s)` of frames `(N, D)`: `(N, S)`."""

    @abstractmethod
    def statistics(self, x: NDArray[Any], gamma: Array, origin: Array | None = None) -> Any:
        """Sufficient statistics of frames `(N, D)` in the states that posteriors `gamma (N, S)` give them.

        They add up (`+`), and have `scaled(factor)` and `reduced()`, which sums over processes. Sums are taken about
        `origin (D,)`, by default one that follows from the parameters.
        """

    def e_step(self, x: NDArray[Any], posteriors: Callable[[Array], Array], origin: Array | None = None) -> Any:
        """Statistics of frames whose `gamma` is `posteriors(log_prob)`; costly densities keep what they computed."""
        return self.statistics(x, posteriors(self.log_prob(x)), origin)

    @abstractmethod
    def sample(self, states: Index, rng: np.random.Generator) -> Array:
        """A frame of each of `states (T,)`: `(T, D)`."""

    # --- EM

    @abstractmethod
    def m_step(self, statistics: Any, params: str | None = None, step: int = 0) -> None:
        """Raise the expected complete log-likelihood, with the priors, as far as it goes.

        Args:
            statistics: of all frames.
            params: letters of the parameters that are trained; None: all.
            step: EM steps before this one, for learning rates that decay.
        """

    def log_prior(self, params: str | None = None) -> float:
        """Log-density of the parameters that are trained, up to a constant."""
        return 0.0

    def reseed(self) -> bool:
        """Move components that lost their frames; return whether there were any."""
        return False

    @abstractmethod
    def initialize(
        self, x: Array, rng: np.random.Generator, states: Index | None = None, init_params: str | None = None
    ) -> None:
        """Set the parameters that training starts from: those that `init_params` names, and those that are not set.

        Args:
            x: frames `(N, D)`.
            rng: draws what is random.
            states: which state each frame belongs to, `(N,)`; None: that is for clustering to find out.
            init_params: letters; None: all.
        """

    def needs_init(self, letter: str, init_params: str | None) -> bool:
        """Tell whether a parameter has to be started."""
        return init_params is None or letter in init_params or not hasattr(self, self.letters[letter])

    # --- parameters

    def setting_problems(self) -> list[str]:
        """Settings that make no sense, each in a sentence."""
        return device_problems(self.device)

    def check(self) -> None:
        """Refuse parameters that make no sense.

        Raises:
            ValueError: says which, and how they should be; a `NotFittedError` where some are not set.
        """
        needed = (*self.letters.values(), *(name for name in self.constants if not name.startswith("_")))
        if not all(hasattr(self, name) for name in needed):
            names = ", ".join(name.removeprefix("_") for name in needed)
            raise not_fitted(f"these {type(self).__name__} are not fitted: call fit first, or set {names}")

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        return sum(np.size(getattr(self, name)) for name in self.letters.values())

    def macs(self) -> int:
        """Multiplications with additions to score a frame, about."""
        return self.n_parameters

    def settings(self) -> dict[str, Any]:
        """Arguments of the constructor, but `n_states`."""
        names = list(inspect.signature(type(self).__init__).parameters)[2:]
        return {name: getattr(self, name) for name in names}

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Parameters and constants by name, as far as they are set."""
        names = (*self.letters.values(), *self.constants)
        return {name: getattr(self, name) for name in names if hasattr(self, name)}

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Set parameters and constants.

        Raises:
            ValueError: there is no such parameter.
        """
        for name, value in state.items():
            if name not in self.letters.values() and name not in self.constants:
                raise ValueError(f"{name} is no parameter of {type(self).__name__}")
            setattr(self, name, value)

    def copy(self) -> Self:
        """The same, with arrays of its own."""
        return copy.deepcopy(self)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self | None:
        """The states of several emissions with the same settings in one, for speed; None: there is no such way."""
        return None


def trained(params: str | None, letter: str) -> bool:
    """Tell whether a parameter is trained."""
    return params is None or letter in params


def device_problems(device: Any) -> list[str]:
    """The problem of a device that PyTorch does not have here.

    >>> device_problems("cpu"), device_problems("tpu")[0].endswith(", got tpu")
    ([], True)
    """
    if device == "cpu":
        return []
    import torch

    try:
        torch.zeros(1, dtype=torch.float64, device=device).item()
    except (RuntimeError, AssertionError, TypeError):  # which of them depends on how PyTorch was built
        there = ", ".join(["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))])
        return [f"device is one that PyTorch has here ({there}), got {device}"]
    return []
