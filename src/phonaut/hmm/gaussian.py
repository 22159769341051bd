"""Hidden Markov models whose states emit Gaussians."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from phonaut.densities.gaussian import (
    COVARIANCE_TYPES,
    CovarianceType,
    Gaussians,
    Statistics,
    is_quadratic,
    statistics,
)
from phonaut.densities.kmeans import nested
from phonaut.densities.priors import GaussianPrior, as_prior, positive_definite
from phonaut.hmm.base import HMM
from phonaut.hmm.chains import Array, Index
from phonaut.hmm.em import Random


class GaussianHMM(HMM):
    """Each state emits a Gaussian.

    The names are hmmlearn's, so that a program changes its import only.

    Args:
        n_components: states.
        covariance_type: `diag`, `full`, `tied` (one for all states) or `spherical`.
        min_covar: added to the variances that training starts from.
        startprob_prior: Dirichlet parameters, `(S,)` or one number.
        transmat_prior: Dirichlet parameters, `(S, S)` or one number.
        means_prior: mean of the Gaussian prior of the means.
        means_weight: how many frames that prior is worth.
        covars_prior: scale of the inverse Gamma (Wishart) prior of the variances: a floor for them.
        covars_weight: how many frames that prior is worth, and one (D) more.
        algorithm: of `decode`: `viterbi` or `map`.
        random_state: a seed or a generator.
        n_iter: EM steps; 0: nothing is trained.
        tol: EM stops when the log-likelihood rises by less; negative: never.
        verbose: print each step.
        params: what is trained: s(tart), t(ransitions), m(eans), c(ovariances).
        init_params: what is started anew by `fit`, even if it is set.
        implementation: taken for hmmlearn's sake; the result is the same.
        n_restarts: starts; the best is kept.
        device: where densities are computed.
        checkpoint: file that `fit` writes after each step, and goes on from if it is there.

    Attributes:
        means_: `(S, D)`.
        covars_: `(S, D, D)` for every `covariance_type`, as in hmmlearn; it is set in the shape of the type.
    """

    codes: ClassVar[dict[str, str]] = {**HMM.codes, "m": "means_", "c": "_covars_"}
    means_: Array
    _covars_: Array

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: CovarianceType = "diag",
        min_covar: float = 1e-3,
        startprob_prior: ArrayLike = 1.0,
        transmat_prior: ArrayLike = 1.0,
        means_prior: ArrayLike = 0,
        means_weight: float = 0,
        covars_prior: ArrayLike = 1e-2,
        covars_weight: float = 1,
        algorithm: str = "viterbi",
        random_state: Random = None,
        n_iter: int = 10,
        tol: float = 1e-2,
        verbose: bool = False,
        params: str = "stmc",
        init_params: str = "stmc",
        implementation: str = "scaling",
        n_restarts: int = 1,
        device: str = "cpu",
        checkpoint: str | None = None,
    ) -> None:
        self.n_components, self.covariance_type = n_components, covariance_type
        self.min_covar = min_covar
        self.startprob_prior, self.transmat_prior = startprob_prior, transmat_prior
        self.means_prior, self.means_weight = means_prior, means_weight
        self.covars_prior, self.covars_weight = covars_prior, covars_weight
        self.algorithm, self.random_state = algorithm, random_state
        self.n_iter, self.tol, self.verbose = n_iter, tol, verbose
        self.params, self.init_params, self.implementation = params, init_params, implementation
        self.n_restarts, self.device, self.checkpoint = n_restarts, device, checkpoint

    @property
    def covars_(self) -> Array:
        """Covariances as full matrices, `(S, D, D)`."""
        eye, n = np.eye(self.n_features), self.n_components
        if self.covariance_type == "full":
            return self._covars_
        if self.covariance_type == "tied":
            return np.broadcast_to(self._covars_, (n, *self._covars_.shape)).copy()
        return self._variances()[:, :, None] * eye

    @covars_.setter
    def covars_(self, covars: ArrayLike) -> None:
        value = np.array(covars, dtype=np.float64)
        if self.covariance_type == "spherical":
            value = value.reshape(self.n_components, -1)[:, 0] if value.size else value
        check_covariances(value, self.covariance_type, self.n_components)
        self._covars_ = value

    def _variances(self) -> Array:
        """Diagonals, `(S, D)`."""
        if self.covariance_type == "spherical":
            return np.repeat(self._covars_[:, None], self.n_features, axis=1)
        return self._covars_

    def _gaussians(self) -> Gaussians:
        means, covariances = (
            torch.from_numpy(np.ascontiguousarray(v)).to(self.device) for v in (self.means_, self._covars_)
        )
        return Gaussians(means, covariances, self.covariance_type)

    def _frame_log_prob(self, x: Tensor) -> Tensor:
        return self._gaussians().log_prob(x)

    def _emission_statistics(self, x: Tensor, posteriors: Tensor, origin: Tensor) -> Statistics:
        return statistics(x, posteriors, origin, full=is_quadratic(self.covariance_type))

    def _prior(self) -> GaussianPrior:
        worth = max(self.covars_weight - (self.n_features if is_quadratic(self.covariance_type) else 1), 0)
        return as_prior(self.means_prior, self.means_weight, self.covars_prior, worth)

    def _tensors(self) -> tuple[Tensor, Tensor]:
        """Means `(S, D)`, and covariances as `GaussianPrior` takes them: a tied one is a group."""
        covariances = torch.from_numpy(np.ascontiguousarray(self._covars_))
        return torch.from_numpy(self.means_), covariances[None] if self.covariance_type == "tied" else covariances

    def _maximize_emissions(self, found: Statistics) -> None:
        prior, (means, covariances), found = self._prior(), self._tensors(), found.cpu()
        if "m" in self.params:
            means = prior.best_means(found, means)
            self.means_ = means.numpy()
        if "c" in self.params:
            best = prior.best_covariances(found, means, covariances, self.covariance_type)
            self._covars_ = best.reshape(self._covars_.shape).numpy()

    def _emission_log_prior(self) -> float:
        return self._prior().log_density(*self._tensors(), self.covariance_type, of_covariances="c" in self.params)

    def _init_emissions(self, X: Array, rng: np.random.Generator, states: Index | None) -> None:
        if self._needs_init("m"):
            self.means_ = nested(X, self.n_components, 1, rng, states)[0][:, 0]
        if self._needs_init("c"):
            covariance = np.atleast_2d(np.cov(X.T)) if len(X) > 1 else np.zeros((X.shape[1],) * 2)
            covariance = covariance + self.min_covar * np.eye(X.shape[1])
            covariance = positive_definite(torch.from_numpy(covariance)).numpy()
            n, variances = self.n_components, np.diagonal(covariance)
            self._covars_ = {
                "full": np.repeat(covariance[None], n, axis=0),
                "tied": covariance,
                "diag": np.repeat(variances[None], n, axis=0),
                "spherical": np.full(n, variances.mean()),
            }[self.covariance_type].copy()

    def _check_emissions(self) -> None:
        if self.covariance_type not in COVARIANCE_TYPES:
            raise ValueError(f"covariance_type is one of {', '.join(COVARIANCE_TYPES)}, got {self.covariance_type}")
        if not hasattr(self, "means_") or not hasattr(self, "_covars_"):
            raise ValueError(
                "this model is not fitted: call fit first, or set startprob_, transmat_, means_ and covars_"
            )
        self.means_ = np.asarray(self.means_, dtype=np.float64)
        if self.means_.ndim != 2 or len(self.means_) != self.n_components:
            raise ValueError(f"means_ must be ({self.n_components}, D); got {self.means_.shape}")
        self.n_features = self.means_.shape[1]
        check_covariances(self._covars_, self.covariance_type, self.n_components, self.n_features)

    def _sample_frames(self, path: Index, rng: np.random.Generator) -> Array:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        frames: Array = self._gaussians().sample(torch.from_numpy(path), generator).cpu().numpy()
        return frames

    def _n_emission_parameters(self) -> int:
        n, d = self.n_components, self.n_features
        of_type = {"full": n * d * (d + 1) // 2, "tied": d * (d + 1) // 2, "diag": n * d, "spherical": n}
        return n * d + of_type.get(self.covariance_type, 0)


def check_covariances(value: Array, kind: Any, n: int, n_features: int | None = None) -> None:
    """Refuse covariances of another shape, or that are not positive definite.

    Raises:
        ValueError: says what is wrong with which.
    """
    if kind not in COVARIANCE_TYPES:
        raise ValueError(f"covariance_type is one of {', '.join(COVARIANCE_TYPES)}, got {kind}")
    d = value.shape[-1] if n_features is None and value.ndim else n_features
    wanted = {"full": (n, d, d), "tied": (d, d), "diag": (n, d), "spherical": (n,)}[kind]
    if value.shape != wanted:
        raise ValueError(f"covars_ of type {kind} must be {wanted}; got {value.shape}")
    if is_quadratic(kind):
        matrices = torch.from_numpy(np.ascontiguousarray(value)).reshape(-1, *value.shape[-2:])
        if not torch.allclose(matrices, matrices.mT) or bool((torch.linalg.cholesky_ex(matrices)[1] > 0).any()):
            raise ValueError(f"covars_ of type {kind} must be symmetric and positive definite")
    elif not (value > 0).all():
        raise ValueError(f"covars_ of type {kind} must be positive")
