"""Hidden Markov models whose states emit Gaussian mixtures."""

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
from phonaut.densities.gmm import BLOCK_FRAMES
from phonaut.densities.kmeans import nested
from phonaut.densities.priors import GaussianPrior, as_prior, positive_definite
from phonaut.densities.reseeding import reseed
from phonaut.hmm.base import HMM
from phonaut.hmm.chains import Array, Index
from phonaut.hmm.em import Random, dirichlet, normalized

LEAST_OF_VARIANCE = 1e-3  # of that of the data: what one frame alone leaves to a component


class GMMHMM(HMM):
    """Each state s emits a mixture `p(x | s) = sum_m w_sm N(x; mu_sm, Sigma_sm)`.

    The names are hmmlearn's, so that a program changes its import only. What differs: the M-step is exact, and by
    default a prior worth one frame, with a thousandth of the variance of the data, keeps variances from vanishing.

    Args:
        n_components: states, S.
        n_mix: components of each, M.
        min_covar: added to the variances that training starts from.
        startprob_prior: Dirichlet parameters, `(S,)` or one number.
        transmat_prior: Dirichlet parameters, `(S, S)` or one number.
        weights_prior: Dirichlet parameters, `(S, M)`, `(M,)` or one number.
        means_prior: mean of the Gaussian prior of the means, `(S, M, D)` or what spreads to it.
        means_weight: how many frames that prior is worth.
        covars_prior: diag and spherical: the shape alpha of the inverse Gamma prior of the variances; full and tied:
            the scale of the inverse Wishart prior, `(D, D)` or a number for its diagonal. None: the default above.
        covars_weight: diag and spherical: the scale beta; full and tied: the degrees of freedom.
        algorithm: of `decode`: `viterbi` or `map`.
        covariance_type: `diag`, `full`, `tied` (one for all components of a state) or `spherical`.
        random_state: a seed or a generator.
        n_iter: EM steps; 0: nothing is trained.
        tol: EM stops when the log-likelihood rises by less; negative: never.
        verbose: print each step.
        params: what is trained: s(tart), t(ransitions), m(eans), c(ovariances), w(eights).
        init_params: what is started anew by `fit`, even if it is set.
        implementation: taken for hmmlearn's sake; the result is the same.
        n_restarts: starts; the best is kept.
        device: where densities are computed.
        checkpoint: file that `fit` writes after each step, and goes on from if it is there.

    Attributes:
        weights_: `(S, M)`.
        means_: `(S, M, D)`.
        covars_: `(S, M, D, D)` full, `(S, M, D)` diag, `(S, D, D)` tied, `(S, M)` spherical.
    """

    codes: ClassVar[dict[str, str]] = {
        **HMM.codes, "m": "means_", "c": "covars_", "w": "weights_", "_": "_floor"
    }  # fmt: skip
    weights_: Array
    means_: Array
    covars_: Array
    _floor: Array  # variances of the default prior, (D,)

    def __init__(
        self,
        n_components: int = 1,
        n_mix: int = 1,
        min_covar: float = 1e-3,
        startprob_prior: ArrayLike = 1.0,
        transmat_prior: ArrayLike = 1.0,
        weights_prior: ArrayLike = 1.0,
        means_prior: ArrayLike = 0.0,
        means_weight: float = 0.0,
        covars_prior: ArrayLike | None = None,
        covars_weight: float | None = None,
        algorithm: str = "viterbi",
        covariance_type: CovarianceType = "diag",
        random_state: Random = None,
        n_iter: int = 10,
        tol: float = 1e-2,
        verbose: bool = False,
        params: str = "stmcw",
        init_params: str = "stmcw",
        implementation: str = "log",
        n_restarts: int = 1,
        device: str = "cpu",
        checkpoint: str | None = None,
    ) -> None:
        self.n_components, self.n_mix, self.covariance_type = n_components, n_mix, covariance_type
        self.min_covar = min_covar
        self.startprob_prior, self.transmat_prior = startprob_prior, transmat_prior
        self.weights_prior = weights_prior
        self.means_prior, self.means_weight = means_prior, means_weight
        self.covars_prior, self.covars_weight = covars_prior, covars_weight
        self.algorithm, self.random_state = algorithm, random_state
        self.n_iter, self.tol, self.verbose = n_iter, tol, verbose
        self.params, self.init_params, self.implementation = params, init_params, implementation
        self.n_restarts, self.device, self.checkpoint = n_restarts, device, checkpoint

    # --- components of all states, side by side

    def _tensors(self) -> tuple[Tensor, Tensor]:
        """Means `(S M, D)`, and covariances as `GaussianPrior` takes them: `(S, D, D)` where tied."""
        means = torch.from_numpy(self.means_.reshape(-1, self.n_features))
        tail = () if self.covariance_type == "spherical" else self.covars_.shape[-1:]
        shape = self.covars_.shape[-2:] if is_quadratic(self.covariance_type) else tail
        return means, torch.from_numpy(np.ascontiguousarray(self.covars_)).reshape(-1, *shape)

    def _gaussians(self) -> Gaussians:
        means, covariances = (value.to(self.device) for value in self._tensors())
        if self.covariance_type == "tied":
            return Gaussians(means, covariances.repeat_interleave(self.n_mix, dim=0), "full")
        return Gaussians(means, covariances, self.covariance_type)

    def _joint(self, x: Tensor, gaussians: Gaussians) -> Tensor:
        """`log w_sm N(x_t; s, m)`, `(N, S, M)`."""
        logs = gaussians.log_prob(x).view(-1, self.n_components, self.n_mix)
        return logs.add_(torch.from_numpy(self.weights_).to(logs).log())

    def _frame_log_prob(self, x: Tensor) -> Tensor:
        gaussians = self._gaussians()
        parts = [self._joint(block, gaussians).logsumexp(dim=2) for block in torch.split(x, BLOCK_FRAMES)]
        return torch.cat(parts)

    def _emission_statistics(self, x: Tensor, posteriors: Tensor, origin: Tensor) -> Statistics:
        total: Statistics | None = None
        gaussians, full = self._gaussians(), is_quadratic(self.covariance_type)
        for block, posterior in zip(torch.split(x, BLOCK_FRAMES), torch.split(posteriors, BLOCK_FRAMES), strict=True):
            joint = self._joint(block, gaussians)
            r = torch.softmax(joint, dim=2).mul_(posterior[:, :, None]).flatten(1)
            # A frame that no component can explain counts for none.
            part = statistics(block, r.nan_to_num_(0.0), origin, full=full)
            total = part if total is None else total + part
        assert total is not None
        return total

    # --- the M-step

    def _prior(self) -> GaussianPrior:
        d, m, kind = self.n_features, self.n_mix, self.covariance_type
        mean = np.broadcast_to(np.asarray(self.means_prior, dtype=np.float64), self.means_.shape).reshape(-1, d)
        scale: Any
        if self.covars_prior is None and self.covars_weight is None:
            floor, weight = self._floor, 1.0
            scale = np.diag(floor) if is_quadratic(kind) else floor.mean() if kind == "spherical" else floor
        elif is_quadratic(kind):
            scale = 0.0 if self.covars_prior is None else self.covars_prior
            freedom = -(d + (2 if kind == "full" else m + 1)) if self.covars_weight is None else self.covars_weight
            weight = freedom + d + (2 if kind == "full" else m + 1)
        else:
            axes = d if kind == "spherical" else 1
            scale = 2 * (0.0 if self.covars_weight is None else self.covars_weight) / axes
            weight = 0.0 if self.covars_prior is None else 1 + 2 * (float(np.asarray(self.covars_prior)) + 1) / axes
        return as_prior(mean, self.means_weight, scale, weight)

    def _maximize_emissions(self, found: Statistics) -> None:
        found = found.cpu()
        self._counts = found.n.numpy().reshape(self.weights_.shape)
        if "w" in self.params:
            self.weights_ = normalized(self._counts, self.weights_prior, self.weights_)
        prior, (means, covariances) = self._prior(), self._tensors()
        if "m" in self.params:
            means = prior.best_means(found, means)
            self.means_ = means.numpy().reshape(self.means_.shape)
        if "c" in self.params:
            best = prior.best_covariances(found, means, covariances, self.covariance_type)
            self.covars_ = best.numpy().reshape(self.covars_.shape)

    def _reseed(self) -> bool:
        if not set("mcw") <= set(self.params):
            return False
        self.weights_, self.means_, self.covars_ = self.weights_.copy(), self.means_.copy(), self.covars_.copy()
        covars, kind = self.covars_, self.covariance_type
        variances = np.diagonal(covars, axis1=-2, axis2=-1) if is_quadratic(kind) else covars
        variances = {"tied": variances[:, None], "spherical": variances[..., None]}.get(kind, variances)
        spread = np.sqrt(np.broadcast_to(variances, self.means_.shape))
        own = [] if self.covariance_type == "tied" else [self.covars_]
        return reseed(self._counts, self.weights_, self.means_, spread, own)

    def _emission_log_prior(self) -> float:
        of_gaussians = self._prior().log_density(
            *self._tensors(), self.covariance_type, of_covariances="c" in self.params
        )
        return of_gaussians + (dirichlet(self.weights_prior, self.weights_) if "w" in self.params else 0.0)

    # --- a start

    def _init_emissions(self, X: Array, rng: np.random.Generator, states: Index | None) -> None:
        n, m, d = self.n_components, self.n_mix, X.shape[1]
        spread = self._spread(X)
        self._floor = LEAST_OF_VARIANCE * np.where(spread > 0, spread, max(float(spread.max()), 1e-12))
        if self._needs_init("w"):
            self.weights_ = np.full((n, m), 1.0 / m)
        centres, away = nested(X, n, m, rng, states)
        if self._needs_init("m"):
            self.means_ = centres
        if self._needs_init("c"):
            scatter = torch.from_numpy(away.T @ away / len(X) + self.min_covar * np.eye(d))
            within = positive_definite(scatter).numpy()
            self.covars_ = {
                "full": np.tile(within, (n, m, 1, 1)),
                "tied": np.tile(within, (n, 1, 1)),
                "diag": np.tile(np.diagonal(within), (n, m, 1)),
                "spherical": np.full((n, m), np.diagonal(within).mean()),
            }[self.covariance_type]

    def _check_emissions(self) -> None:
        kind, n, m = self.covariance_type, self.n_components, self.n_mix
        if kind not in COVARIANCE_TYPES:
            raise ValueError(f"covariance_type is one of {', '.join(COVARIANCE_TYPES)}, got {kind}")
        if not all(hasattr(self, name) for name in ("weights_", "means_", "covars_")):
            raise ValueError("this model is not fitted: call fit first, or set startprob_, transmat_, weights_, means_ "
                             "and covars_")  # fmt: skip
        self.weights_, self.means_, self.covars_ = (
            np.ascontiguousarray(value, dtype=np.float64) for value in (self.weights_, self.means_, self.covars_)
        )
        if self.means_.ndim != 3 or self.means_.shape[:2] != (n, m):
            raise ValueError(f"means_ must be ({n}, {m}, D); got {self.means_.shape}")
        self.n_features = d = self.means_.shape[2]
        if self.weights_.shape != (n, m) or not np.allclose(self.weights_.sum(axis=1), 1) or (self.weights_ < 0).any():
            raise ValueError(f"weights_ must be ({n}, {m}), not negative, with rows that sum to 1; got {self.weights_}")
        wanted = {"full": (n, m, d, d), "tied": (n, d, d), "diag": (n, m, d), "spherical": (n, m)}[kind]
        if self.covars_.shape != wanted:
            raise ValueError(f"covars_ of type {kind} must be {wanted}; got {self.covars_.shape}")
        if not is_quadratic(kind):
            if not (self.covars_ > 0).all():
                raise ValueError(f"covars_ of type {kind} must be positive")
        else:
            matrices = torch.from_numpy(self.covars_)
            if not torch.allclose(matrices, matrices.mT) or bool((torch.linalg.cholesky_ex(matrices)[1] > 0).any()):
                raise ValueError(f"covars_ of type {kind} must be symmetric and positive definite")

    def _sample_frames(self, path: Index, rng: np.random.Generator) -> Array:
        cumulated = np.cumsum(self.weights_, axis=1)[path]
        chosen = (rng.random(len(path))[:, None] * cumulated[:, -1:] >= cumulated).sum(axis=1)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        frames: Array = self._gaussians().sample(torch.from_numpy(path * self.n_mix + chosen), generator).cpu().numpy()
        return frames

    def _n_emission_parameters(self) -> int:
        n, m, d = self.n_components, self.n_mix, self.n_features
        covariances = {"full": m * d * (d + 1) // 2, "tied": d * (d + 1) // 2, "diag": m * d, "spherical": m}
        return n * (m * d + covariances.get(self.covariance_type, 0) + m - 1)
