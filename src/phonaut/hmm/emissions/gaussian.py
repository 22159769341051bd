"""Emissions of one Gaussian a state."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array, Index
from phonaut.checks import refuse
from phonaut.densities.kmeans import nested
from phonaut.densities.priors import (
    COVARIANCE_TYPES,
    CovarianceType,
    GaussianPrior,
    is_positive_definite,
    is_quadratic,
    positive_definite,
)
from phonaut.densities.statistics import GaussianStatistics
from phonaut.hmm.emissions.base import Emissions, trained
from phonaut.hmm.inputs import is_number

if TYPE_CHECKING:
    from phonaut.densities.gaussian_log_prob import Gaussians


class GaussianFamily(Emissions):
    """Emissions of Gaussian components, any number of them a state."""

    covariance_type: CovarianceType
    min_covar: float
    means_weight: float
    means_: Array

    def setting_problems(self) -> list[str]:
        """Settings that make no sense, each in a sentence."""
        numbers = {"min_covar": self.min_covar, "means_weight": self.means_weight}
        return (
            super().setting_problems()
            + covariance_type_problems(self.covariance_type)
            + [
                f"{name} must be a number >= 0, got {value}"
                for name, value in numbers.items()
                if not (is_number(value) and 0 <= value < np.inf)
            ]
        )

    @abstractmethod
    def _flat(self) -> tuple[Array, Array]:
        """Means `(K, D)` of all components, and covariances as `GaussianPrior` takes them: `(G, D, D)` where tied."""

    @abstractmethod
    def _set_flat(self, means: Array, covariances: Array) -> None:
        """Set means and covariances of all components."""

    @abstractmethod
    def prior(self) -> GaussianPrior:
        """The prior of means and covariances of all components."""

    def gaussians(self, origin: Array | None = None) -> Gaussians:
        """All components, `K` of them, as torch computes them; `origin`: what features of frames are relative to."""
        import torch

        from phonaut.densities.gaussian_log_prob import Gaussians

        means, covariances = self._flat()
        kind = self.covariance_type
        if kind == "tied":
            kind, covariances = "full", np.repeat(covariances, len(means) // len(covariances), axis=0)
        values = (means, covariances) if origin is None else (means, covariances, origin)
        m, c, *about = (torch.from_numpy(np.ascontiguousarray(value)).to(self.device) for value in values)
        return Gaussians(m, c, kind, *about)

    def _tensor(self, x: NDArray[Any]) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(x)).to(self.device)

    def _component_log_prob(self, x: NDArray[Any]) -> Array:
        """`log N(x_t; mu_k, Sigma_k)`, `(N, K)`."""
        logs: Array = self.gaussians().log_prob(self._tensor(x)).double().cpu().numpy()
        return logs

    def _sample_components(self, components: Index, rng: np.random.Generator) -> Array:
        """A frame of each of `components (T,)`."""
        import torch

        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        which = torch.from_numpy(components).to(self.device)
        frames: Array = self.gaussians().sample(which, generator).cpu().numpy()
        return frames

    def m_step(self, statistics: GaussianStatistics, params: str | None = None, step: int = 0) -> None:
        """The exact M-step of means and covariances under their prior."""
        prior, (means, covariances) = self.prior(), self._flat()
        if trained(params, "m"):
            means = prior.best_means(statistics, means)
        if trained(params, "c"):
            covariances = prior.best_covariances(statistics, means, covariances, self.covariance_type)
        self._set_flat(means, covariances)

    def log_prior(self, params: str | None = None) -> float:
        """Log-density of means and covariances, up to a constant."""
        return self.prior().log_density(*self._flat(), self.covariance_type, of_covariances=trained(params, "c"))

    def macs(self) -> int:
        """Multiplications with additions of the products with quadratic features of a frame."""
        d = self.n_features
        return len(self._flat()[0]) * (d + d * (d + 1) // 2 if is_quadratic(self.covariance_type) else 2 * d)


class GaussianEmissions(GaussianFamily):
    """State s emits `N(mu_s, Sigma_s)`.

    Args:
        n_states: S.
        covariance_type: `diag`, `full`, `tied` (one for all states) or `spherical`.
        min_covar: added to the variances that training starts from.
        means_prior: mean of the Gaussian prior of the means.
        means_weight: how many frames that prior is worth.
        covars_prior: scale of the inverse Gamma (Wishart) prior of the variances: a floor for them.
        covars_weight: how many frames that prior is worth, and one (D) more.
        device: where densities are computed.

    Attributes:
        means_: `(S, D)`.
        covars_: `(S, D, D)` for every `covariance_type`, as in hmmlearn; it is set in the shape of the type.
    """

    letters: ClassVar[dict[str, str]] = {"m": "means_", "c": "_covars_"}
    means_: Array
    _covars_: Array

    def __init__(
        self,
        n_states: int = 1,
        covariance_type: CovarianceType = "diag",
        min_covar: float = 1e-3,
        means_prior: ArrayLike = 0,
        means_weight: float = 0,
        covars_prior: ArrayLike = 1e-2,
        covars_weight: float = 1,
        device: str = "cpu",
    ) -> None:
        super().__init__(n_states)
        self.covariance_type, self.min_covar = covariance_type, min_covar
        self.means_prior, self.means_weight = means_prior, means_weight
        self.covars_prior, self.covars_weight, self.device = covars_prior, covars_weight, device

    # --- components, one after another

    @property
    def covars_(self) -> Array:
        """Covariances as full matrices, `(S, D, D)`."""
        if self.covariance_type == "full":
            return self._covars_
        if self.covariance_type == "tied":
            return np.broadcast_to(self._covars_, (self.n_states, *self._covars_.shape)).copy()
        spherical = self.covariance_type == "spherical"
        d = (
            np.shape(self.means_)[-1]
            if hasattr(self, "means_")
            else self.n_features
            if spherical
            else len(self._covars_.T)
        )
        variances = self._covars_[:, None] if spherical else self._covars_
        return variances[:, :, None] * np.eye(d)

    @covars_.setter
    def covars_(self, covars: ArrayLike) -> None:
        value = of_type(np.array(covars, dtype=np.float64), self.covariance_type, self.n_states)
        check_covariances(value, self.covariance_type, self._covars_shape)
        self._covars_ = value

    @property
    def _covars_shape(self) -> tuple[int, ...]:
        """Axes of `_covars_` before those of the dimensions."""
        return () if self.covariance_type == "tied" else (self.n_states,)

    def _flat(self) -> tuple[Array, Array]:
        return self.means_, self._covars_[None] if self.covariance_type == "tied" else self._covars_

    def _set_flat(self, means: Array, covariances: Array) -> None:
        self.means_, self._covars_ = means, covariances.reshape(self._covars_.shape)

    def log_prob(self, x: NDArray[Any]) -> Array:
        """`log N(x_t; mu_s, Sigma_s)`, `(N, S)`."""
        return self._component_log_prob(x)

    def sample(self, states: Index, rng: np.random.Generator) -> Array:
        """A frame of each of `states (T,)`."""
        return self._sample_components(states, rng)

    # --- EM

    def statistics(self, x: NDArray[Any], gamma: Array, origin: Array | None = None) -> GaussianStatistics:
        """Statistics of all states; by default about the mean of their means."""
        from phonaut.densities.gaussian_log_prob import statistics

        about = self.means_.mean(axis=0) if origin is None else origin
        return statistics(self._tensor(x), self._tensor(gamma), about, full=is_quadratic(self.covariance_type))

    def prior(self) -> GaussianPrior:
        """The prior of means and covariances."""
        weight = max(self.covars_weight - (self.n_features if is_quadratic(self.covariance_type) else 1), 0)
        return GaussianPrior(self.means_prior, self.means_weight, self.covars_prior, weight)

    def initialize(
        self, x: Array, rng: np.random.Generator, states: Index | None = None, init_params: str | None = None
    ) -> None:
        """Means by k-means, or of the frames of each of `states`; the covariance of all frames."""
        self.n_features = x.shape[1]
        if self.needs_init("m", init_params):
            self.means_ = nested(x, self.n_states, 1, rng, states)[0][:, 0]
        if self.needs_init("c", init_params):
            covariance = np.atleast_2d(np.cov(x.T)) if len(x) > 1 else np.zeros((x.shape[1],) * 2)
            covariance = positive_definite(covariance + self.min_covar * np.eye(x.shape[1]))
            self._covars_ = tiled(covariance, self.covariance_type, self._covars_shape)

    def check(self) -> None:
        """Refuse means and covariances of other shapes, or that are no covariances."""
        refuse(covariance_type_problems(self.covariance_type))
        super().check()
        self.means_ = checked_means(self.means_, (self.n_states,))
        self.n_features = self.means_.shape[1]
        check_covariances(self._covars_, self.covariance_type, self._covars_shape, self.n_features)

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        n, d = self.n_states, self.n_features
        return n * d + n_covariance_parameters(self.covariance_type, n, 1, d)


def n_covariance_parameters(kind: str, n_components: int, n_groups: int, n_features: int) -> int:
    """Free parameters of covariances; tied ones have one matrix a group."""
    matrix = n_features * (n_features + 1) // 2
    sizes = {"full": n_components * matrix, "tied": n_groups * matrix, "diag": n_components * n_features}
    return sizes.get(kind, n_components)


def tiled(covariance: Array, kind: str, shape: tuple[int, ...]) -> Array:
    """One covariance `(D, D)` for all components, in the shape of the type."""
    variances = np.diagonal(covariance)
    if is_quadratic(kind):  # type: ignore[arg-type]
        return np.tile(covariance, (*shape, 1, 1))
    return np.full(shape, variances.mean()) if kind == "spherical" else np.tile(variances, (*shape, 1))


def covariance_type_problems(kind: Any) -> list[str]:
    """The problem of another type of covariances than there are."""
    known = isinstance(kind, str) and kind in COVARIANCE_TYPES
    return [] if known else [f"covariance_type is one of {', '.join(COVARIANCE_TYPES)}, got {kind}"]


def of_type(value: Array, kind: str, n_states: int) -> Array:
    """Covariances in the shape of their type, from full matrices `(S, D, D)` if these are of it.

    Raises:
        ValueError: matrices, or numbers of a state, are not of the type.
    """
    if kind in ("diag", "spherical") and value.ndim == 3 and value.shape[1] == value.shape[2]:
        diagonal = np.diagonal(value, axis1=1, axis2=2)
        if np.any(value != diagonal[:, :, None] * np.eye(value.shape[1])):
            raise ValueError(f"covars_ of type {kind} must be 0 off the diagonal")
        value = np.ascontiguousarray(diagonal)
    if kind == "spherical" and value.ndim > 1 and value.size and len(value) % n_states == 0:
        # One number a state, however often: hmmlearn gives that of each state D times after a fit.
        rows = value.reshape(n_states, -1)
        if not np.allclose(rows, rows[:, :1]):
            raise ValueError(f"covars_ of type spherical must be one number a state; got {rows[0, :5]} in state 0")
        variances: Array = rows[:, 0]
        return variances
    if kind == "tied" and value.ndim == 3 and len(value) == n_states:
        if np.any(value != value[:1]):
            raise ValueError("covars_ of type tied must be the same in all states")
        value = value[0]
    return value


def checked_means(means: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Means `(*shape, D)` of components.

    Raises:
        ValueError: they have another shape, or are not finite.
    """
    value = np.ascontiguousarray(means, dtype=np.float64)
    if value.shape[:-1] != shape or not value.size:
        raise ValueError(f"means_ must be ({', '.join(map(str, shape))}, D); got {value.shape}")
    if not np.isfinite(value).all():
        raise ValueError(f"means_ must be finite; got {value[~np.isfinite(value)][0]}")
    return value


def check_covariances(value: Array, kind: Any, shape: tuple[int, ...], n_features: int | None = None) -> None:
    """Refuse covariances of another shape, or that are not positive definite.

    Raises:
        ValueError: says what is wrong with which.
    """
    refuse(covariance_type_problems(kind))
    d = value.shape[-1] if n_features is None and value.ndim else n_features
    expected = {"full": (*shape, d, d), "tied": (*shape, d, d), "diag": (*shape, d), "spherical": shape}[kind]
    if value.shape != expected:
        raise ValueError(f"covars_ of type {kind} must be {expected}; got {value.shape}")
    if not np.isfinite(value).all():
        raise ValueError(f"covars_ of type {kind} must be finite and positive; got {value[~np.isfinite(value)][0]}")
    if not is_quadratic(kind):
        if not (value > 0).all():
            raise ValueError(f"covars_ of type {kind} must be positive; got {value[~(value > 0)][0]}")
    elif not np.allclose(value, np.swapaxes(value, -1, -2)) or not is_positive_definite(value).all():
        raise ValueError(f"covars_ of type {kind} must be symmetric and positive definite")
