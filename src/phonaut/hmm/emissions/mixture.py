"""Emissions of a Gaussian mixture a state; a GMM is one state."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array, Index
from phonaut.checks import below, refuse
from phonaut.densities.kmeans import nested
from phonaut.densities.priors import CovarianceType, GaussianPrior, is_quadratic, positive_definite
from phonaut.densities.processes import all_reduce
from phonaut.densities.reseeding import reseed
from phonaut.densities.statistics import GaussianStatistics
from phonaut.hmm.em import dirichlet_log_density, dirichlet_m_step
from phonaut.hmm.emissions.base import trained
from phonaut.hmm.emissions.gaussian import (
    GaussianFamily,
    check_covariances,
    checked_means,
    covariance_type_problems,
    n_covariance_parameters,
    tiled,
)
from phonaut.hmm.map_adaptation import map_adapted

LEAST_OF_VARIANCE = 1e-3  # of that of the data: what one frame alone leaves to a component
NEGLIGIBLE = 1e-10  # probability of a state at a frame


class MixtureEmissions(GaussianFamily):
    """State s emits `p(x | s) = sum_m w_sm N(x; mu_sm, Sigma_sm)`.

    Args:
        n_states: S.
        n_mix: components of each, M.
        min_covar: added to the variances that training starts from.
        weights_prior: Dirichlet parameters, `(S, M)`, `(M,)` or one number.
        means_prior: mean of the Gaussian prior of the means, `(S, M, D)` or what spreads to it.
        means_weight: how many frames that prior is worth.
        covars_prior: diag and spherical: the shape alpha of the inverse Gamma prior of the variances; full and tied:
            the scale of the inverse Wishart prior, `(D, D)` or a number for its diagonal. None, with `covars_weight`: a
            prior worth one frame, with a thousandth of the variance of the data.
        covars_weight: diag and spherical: the scale beta; full and tied: the degrees of freedom.
        covariance_type: `diag`, `full`, `tied` (one for all components of a state) or `spherical`.
        device: where densities are computed.

    Attributes:
        weights_: `(S, M)`.
        means_: `(S, M, D)`.
        covars_: `(S, M, D, D)` full, `(S, M, D)` diag, `(S, D, D)` tied, `(S, M)` spherical.
        occupancies: frames of each component in the last M-step, `(S, M)`.
    """

    letters: ClassVar[dict[str, str]] = {"m": "means_", "c": "covars_", "w": "weights_"}
    constants: ClassVar[tuple[str, ...]] = ("_floor",)
    weights_: Array
    means_: Array
    covars_: Array
    _floor: Array  # variances of the default prior, (D,)
    occupancies: Array
    reg_covar: float | None = None  # in place of the prior: added to variances after each M-step

    def __init__(
        self,
        n_states: int = 1,
        n_mix: int = 1,
        min_covar: float = 1e-3,
        weights_prior: ArrayLike = 1.0,
        means_prior: ArrayLike = 0.0,
        means_weight: float = 0.0,
        covars_prior: ArrayLike | None = None,
        covars_weight: float | None = None,
        covariance_type: CovarianceType = "diag",
        device: str = "cpu",
    ) -> None:
        super().__init__(n_states)
        self.n_mix, self.min_covar, self.weights_prior = n_mix, min_covar, weights_prior
        self.means_prior, self.means_weight = means_prior, means_weight
        self.covars_prior, self.covars_weight = covars_prior, covars_weight
        self.covariance_type, self.device = covariance_type, device

    def setting_problems(self) -> list[str]:
        """Settings that make no sense, each in a sentence."""
        return below(1, n_mix=self.n_mix) + super().setting_problems()

    # --- components of all states, one after another

    @property
    def _covars_shape(self) -> tuple[int, ...]:
        return (self.n_states,) if self.covariance_type == "tied" else (self.n_states, self.n_mix)

    def _flat(self) -> tuple[Array, Array]:
        tail = self.covars_.shape[1:] if self.covariance_type == "tied" else self.covars_.shape[2:]
        return self.means_.reshape(-1, self.n_features), self.covars_.reshape(-1, *tail)

    def _set_flat(self, means: Array, covariances: Array) -> None:
        self.means_, self.covars_ = means.reshape(self.means_.shape), covariances.reshape(self.covars_.shape)

    @property
    def log_weights(self) -> Array:
        """`log w_sm`, `(S, M)`; -inf for 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.weights_)

    def component_log_prob(self, x: NDArray[Any]) -> Array:
        """`log w_sm N(x_t; s, m)`, `(N, S, M)`."""
        logs = self._component_log_prob(x).reshape(len(x), *self.weights_.shape)
        logs += self.log_weights
        return logs

    def log_prob(self, x: NDArray[Any]) -> Array:
        """`log p(x_t | s)`, `(N, S)`, a block of frames at a time."""
        import torch

        from phonaut.densities.gaussian_log_prob import BLOCK_FRAMES

        gaussians, weights = self.gaussians(), self._tensor(self.log_weights)
        parts = [
            gaussians.log_prob(block).view(len(block), *weights.shape).add_(weights.to(block)).logsumexp(dim=2)
            for block in torch.split(self._tensor(x), BLOCK_FRAMES)
        ]
        logs: Array = torch.cat(parts).double().cpu().numpy()
        return logs

    def sample(self, states: Index, rng: np.random.Generator) -> Array:
        """A frame of each of `states (T,)`: of a component that is drawn first."""
        return self._sample_components(states * self.n_mix + draw_components(self.weights_, states, rng), rng)

    # --- EM

    def statistics(self, x: NDArray[Any], gamma: Array | None, origin: Array | None = None) -> GaussianStatistics:
        """Statistics of all components `s M + m`; by default about the mean of their means.

        With `gamma` None, there is one state, and the statistics tell the log-likelihood of the frames.
        """
        from phonaut.densities.gaussian_log_prob import mixture_statistics

        about = self._flat()[0].mean(axis=0) if origin is None else origin
        posteriors = None if gamma is None else self._tensor(gamma)
        return mixture_statistics(
            self._tensor(x), self.gaussians(np.asarray(about)), self._tensor(self.log_weights), posteriors
        )

    def sparse_statistics(self, x: Array, joint: Array, gamma: Array, origin: Array) -> GaussianStatistics:
        """The same where most states are out of the question at a frame, from `component_log_prob`."""
        import torch
        from scipy.sparse import csr_array

        from phonaut.densities.gaussian_log_prob import features, from_features

        # Pairs of frames and states; each pair has M responsibilities, in the rows s M ... s M + M - 1 of the matrix.
        frame, state = np.nonzero(gamma > NEGLIGIBLE)
        logs = torch.from_numpy(joint[frame, state])
        r = torch.softmax(logs, dim=1).mul_(torch.from_numpy(gamma[frame, state])[:, None]).numpy()
        component = state[:, None] * self.n_mix + np.arange(self.n_mix)
        where = (component.ravel(), np.repeat(frame, self.n_mix))
        weights = csr_array((r.ravel(), where), shape=(self.weights_.size, len(x)))
        full = is_quadratic(self.covariance_type)
        return from_features(weights @ features(torch.from_numpy(x - origin), full=full).numpy(), origin, full=full)

    def prior(self) -> GaussianPrior:
        """The prior of means and covariances of all components."""
        if self.reg_covar is not None:
            return GaussianPrior(0.0, 0.0, 0.0, 0.0, self.reg_covar)
        d, m, kind = self.n_features, self.n_mix, self.covariance_type
        mean = np.broadcast_to(np.asarray(self.means_prior, dtype=np.float64), self.means_.shape).reshape(-1, d)
        scale: Any
        if self.covars_prior is None and self.covars_weight is None:
            scale, weight = self._floor, 1.0
            scale = np.diag(scale) if is_quadratic(kind) else scale.mean() if kind == "spherical" else scale
        elif is_quadratic(kind):
            scale = 0.0 if self.covars_prior is None else self.covars_prior
            freedom = -(d + (2 if kind == "full" else m + 1)) if self.covars_weight is None else self.covars_weight
            weight = freedom + d + (2 if kind == "full" else m + 1)
        else:
            axes = d if kind == "spherical" else 1
            scale = 2 * (0.0 if self.covars_weight is None else np.asarray(self.covars_weight)) / axes
            weight = 0.0 if self.covars_prior is None else 1 + 2 * (float(np.asarray(self.covars_prior)) + 1) / axes
        return GaussianPrior(mean, self.means_weight, scale, weight)

    def m_step(self, statistics: GaussianStatistics, params: str | None = None, step: int = 0) -> None:
        """The exact M-step of weights, means and covariances under their priors."""
        self.occupancies = statistics.n.reshape(self.weights_.shape)
        if trained(params, "w"):
            self.weights_ = dirichlet_m_step(self.occupancies, self.weights_prior, self.weights_)
        super().m_step(statistics, params)

    def map_adapt(self, statistics: GaussianStatistics, relevance_factor: float = 16.0, params: str = "m") -> Self:
        """A copy adapted to the frames of `statistics`; see `phonaut.hmm.map_adaptation`."""
        adapted: Self = map_adapted(self, statistics, relevance_factor, params)
        return adapted

    def split(self, distance: float = 0.2, min_frames: float | Array = 0.0) -> Self:
        """Emissions of twice as many components: each becomes two, `distance` standard deviations to each side.

        One with fewer than `min_frames`, a number or one a component, in the last M-step stays alone, beside an empty
        one.

        Source: Young et al. 2006, "The HTK book", section 10.6.
        """
        full = self.copy()
        full.n_mix = 2 * self.n_mix
        every = np.broadcast_to(True, self.weights_.shape)
        two = self.occupancies >= min_frames if np.any(np.asarray(min_frames) > 0) else every
        away = distance * self._deviations() * two[..., None]
        half = np.where(two, 0.5, 1.0)
        full.weights_ = np.concatenate([self.weights_ * half, self.weights_ * (1 - half)], axis=1)
        full.means_ = np.concatenate([self.means_ - away, self.means_ + away], axis=1)
        if self.covariance_type != "tied":
            full.covars_ = np.concatenate([self.covars_, self.covars_], axis=1)
        return full

    def _deviations(self) -> Array:
        """Standard deviations of all components, `(S, M, D)`."""
        kind = self.covariance_type
        variances = np.diagonal(self.covars_, axis1=-2, axis2=-1) if is_quadratic(kind) else self.covars_
        variances = {"tied": variances[:, None], "spherical": variances[..., None]}.get(kind, variances)
        return np.sqrt(np.broadcast_to(variances, self.means_.shape))

    def reseed(self) -> bool:
        """Give the emptiest component of each state half of the heaviest one, where it lost its frames."""
        self.weights_, self.means_, self.covars_ = self.weights_.copy(), self.means_.copy(), self.covars_.copy()
        others = [] if self.covariance_type == "tied" else [self.covars_]
        return reseed(self.occupancies, self.weights_, self.means_, self._deviations(), others)

    def log_prior(self, params: str | None = None) -> float:
        """Log-density of weights, means and covariances, up to a constant."""
        weights = dirichlet_log_density(self.weights_prior, self.weights_) if trained(params, "w") else 0.0
        return super().log_prior(params) + weights

    def initialize(
        self, x: Array, rng: np.random.Generator, states: Index | None = None, init_params: str | None = None
    ) -> None:
        """Components by k-means in the frames of each state; the covariance within them."""
        n, m, d = self.n_states, self.n_mix, x.shape[1]
        self.n_features = d
        self.set_floor(x)
        if self.needs_init("w", init_params):
            self.weights_ = np.full((n, m), 1.0 / m)
        of_means, of_covars = self.needs_init("m", init_params), self.needs_init("c", init_params)
        if not (of_means or of_covars):
            return
        centres, away = nested(x, n, m, rng, states)
        if of_means:
            self.means_ = centres
        if of_covars:
            within = positive_definite(away.T @ away / len(x) + self.min_covar * np.eye(d))
            self.covars_ = tiled(within, self.covariance_type, self._covars_shape)

    def set_floor(self, x: Array) -> None:
        """Take the default prior of variances from frames `(N, D)`, of all processes."""
        count = np.array([float(len(x))])
        mean = all_reduce(np.append(x.sum(axis=0), count))
        mean = mean[:-1] / mean[-1]
        total = all_reduce(np.append(np.square(x - mean).sum(axis=0), count))
        variance = total[:-1] / total[-1]
        self._floor = LEAST_OF_VARIANCE * np.where(variance > 0, variance, max(float(variance.max()), 1e-12))

    def check(self) -> None:
        """Refuse weights, means and covariances of other shapes, or that are none."""
        kind, n, m = self.covariance_type, self.n_states, self.n_mix
        refuse(covariance_type_problems(kind))
        super().check()
        for name in self.letters.values():
            setattr(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        self.means_ = checked_means(self.means_, (n, m))
        self.n_features = self.means_.shape[2]
        check_weights(self.weights_, (n, m))
        check_covariances(self.covars_, kind, self._covars_shape, self.n_features)

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        n, m, d = self.n_states, self.n_mix, self.n_features
        return n * (m * d + m - 1) + n_covariance_parameters(self.covariance_type, n * m, n, d)

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """The states of several emissions in one, for one product."""
        whole = cls(sum(part.n_states for part in parts), **parts[0].settings())
        for name in cls.letters.values():
            setattr(whole, name, np.concatenate([getattr(part, name) for part in parts]))
        whole.n_features = parts[0].n_features
        return whole


def draw_components(weights: Array, states: Index, rng: np.random.Generator) -> Index:
    """A component of each of `states (T,)`, drawn by `weights (S, M)`."""
    cumulated = np.cumsum(weights, axis=1)[states]
    drawn: Index = (rng.random(len(states))[:, None] * cumulated[:, -1:] >= cumulated).sum(axis=1)
    return drawn


def check_weights(weights: Array, shape: tuple[int, int]) -> None:
    """Refuse weights of components of another shape, or that are no probabilities.

    Raises:
        ValueError: says how they should be.
    """
    if weights.shape != shape or not np.allclose(weights.sum(axis=1), 1) or not (weights >= 0).all():
        raise ValueError(f"weights_ must be {shape}, not negative, with rows that sum to 1; got {weights.tolist()}")
