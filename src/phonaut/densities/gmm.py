"""Gaussian mixtures with the conventions of scikit-learn's `GaussianMixture`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from phonaut.densities.gaussian import (
    COVARIANCE_TYPES,
    CovarianceType,
    Gaussians,
    Statistics,
    features,
    from_features,
    is_quadratic,
    pooled,
    statistics,
)
from phonaut.densities.kmeans import kmeans, seeds
from phonaut.densities.processes import of_first, summed
from phonaut.densities.reseeding import reseed

Array = NDArray[np.float64]
BLOCK_FRAMES = 2048  # features and responsibilities of a block stay in the cache


class ObjectiveFellWarning(UserWarning):
    """EM made the model worse, and the parameters before are kept."""


@dataclass
class MixtureStatistics:
    """What EM needs of a set of frames; those of two sets add up."""

    gaussians: Statistics
    log_likelihood: float
    n_frames: int

    def __add__(self, other: MixtureStatistics) -> MixtureStatistics:
        return MixtureStatistics(
            self.gaussians + other.gaussians, self.log_likelihood + other.log_likelihood, self.n_frames + other.n_frames
        )


def checked_frames(x: ArrayLike, n_features: int | None = None) -> NDArray[Any]:
    """Frames `(N, D)` as contiguous float32 or float64.

    Raises:
        ValueError: another shape, no frames, or a value that is NaN or infinite.
    """
    frames = np.asarray(x)
    if frames.dtype != np.float32:
        frames = frames.astype(np.float64)
    if frames.ndim != 2:
        raise ValueError(f"frames must be (N, D); got {frames.shape}: write x.reshape(-1, 1) for one feature")
    if not len(frames) or not frames.shape[1]:
        raise ValueError(f"there are no frames: {frames.shape}")
    if n_features is not None and frames.shape[1] != n_features:
        raise ValueError(f"frames have {frames.shape[1]} features, the model has {n_features}")
    if not np.isfinite(frames).all():
        row, column = np.argwhere(~np.isfinite(frames))[0]
        raise ValueError(f"frames must be finite; got {frames[row, column]} in frame {row}, feature {column}")
    return np.ascontiguousarray(frames)


class GMM:
    """A mixture `p(x) = sum_k w_k N(x; mu_k, Sigma_k)`, fitted by EM.

    The names are scikit-learn's, so that a program changes its import only. Computation is in the type of the frames:
    float32 frames are multiplied in float32, sums are kept in float64.

    Args:
        n_components: K.
        covariance_type: `full`, `tied`, `diag` or `spherical`.
        tol: EM stops when the mean log-likelihood of a frame rises by less.
        reg_covar: added to all variances.
        max_iter: EM steps.
        n_init: starts; the best is kept.
        init_params: `kmeans`, `k-means++`, `random` (responsibilities) or `random_from_data`.
        weights_init: weights to start from, `(K,)`.
        means_init: means to start from, `(K, D)`.
        precisions_init: inverse covariances to start from, in the shape of `covariance_type`.
        random_state: a seed or a generator; starts differ with it.
        warm_start: `fit` goes on from the last fit.
        device: where the products are computed.

    Attributes:
        weights_: `(K,)`. means_: `(K, D)`. covariances_: in the shape of `covariance_type`.
        converged_: whether `tol` was reached. n_iter_: EM steps of the best start. lower_bound_: mean log-likelihood of
            a frame before the last M-step. lower_bounds_: of every step.
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: CovarianceType = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Literal["kmeans", "k-means++", "random", "random_from_data"] = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: int | np.random.Generator | None = None,
        warm_start: bool = False,
        device: str = "cpu",
    ) -> None:
        self.n_components = n_components
        self.covariance_type: CovarianceType = covariance_type
        self.tol, self.reg_covar, self.max_iter, self.n_init = tol, reg_covar, max_iter, n_init
        self.init_params = init_params
        self.weights_init, self.means_init, self.precisions_init = weights_init, means_init, precisions_init
        self.random_state, self.warm_start, self.device = random_state, warm_start, device

    # --- fitting

    def fit(self, X: ArrayLike, y: object = None) -> GMM:
        """Fit to frames `(N, D)`; `y` is ignored.

        Raises:
            ValueError: for frames or settings that make no sense.
        """
        frames = checked_frames(X)
        self._check_settings(frames)
        rng = np.random.default_rng(self.random_state)
        x = torch.from_numpy(frames).to(self.device)
        total = summed(torch.cat([x.sum(dim=0, dtype=torch.float64).cpu(), torch.tensor([float(len(x))]).double()]))
        origin = (total[:-1] / total[-1]).to(x.device)
        go_on = self.warm_start and hasattr(self, "means_")
        best: dict[str, Any] | None = None
        for _ in range(1 if go_on else self.n_init):
            if not go_on:
                self._start(x, frames, origin, rng)
                for name, value in self._parameters().items():
                    setattr(self, name, of_first(torch.from_numpy(np.ascontiguousarray(value))).numpy())
            self._em(x, origin)
            if best is None or self.lower_bound_ > best["lower_bound_"]:
                best = {name: value for name, value in vars(self).items() if name.endswith("_")}
        assert best is not None
        vars(self).update(best)
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(
                f"EM did not converge in {self.max_iter} steps: raise max_iter or tol, or change init_params",
                stacklevel=2,
            )
        return self

    def _check_settings(self, frames: NDArray[Any]) -> None:
        """Refuse settings that make no sense, all at once."""
        problems = []
        if self.n_components < 1:
            problems.append(f"n_components is at least 1, got {self.n_components}")
        if self.covariance_type not in COVARIANCE_TYPES:
            problems.append(f"covariance_type is one of {', '.join(COVARIANCE_TYPES)}, got {self.covariance_type}")
        if self.init_params not in ("kmeans", "k-means++", "random", "random_from_data"):
            problems.append(f"init_params is kmeans, k-means++, random or random_from_data, got {self.init_params}")
        if not self.reg_covar >= 0:
            problems.append(f"reg_covar is not negative, got {self.reg_covar}")
        if len(frames) < self.n_components:
            problems.append(f"{self.n_components} components need as many frames, got {len(frames)}")
        if self.means_init is not None and np.shape(self.means_init) != (self.n_components, frames.shape[1]):
            problems.append(f"means_init is {(self.n_components, frames.shape[1])}, got {np.shape(self.means_init)}")
        if problems:
            raise ValueError("GMM: " + "; ".join(problems))

    def _start(self, x: Tensor, frames: NDArray[Any], origin: Tensor, rng: np.random.Generator) -> None:
        """Parameters to start from: those that were given, the others from a first M-step."""
        if any(value is None for value in (self.weights_init, self.means_init, self.precisions_init)):
            r = torch.from_numpy(self._first_responsibilities(frames, rng)).to(x.device, x.dtype)
            self._maximize(statistics(x, r, origin, full=is_quadratic(self.covariance_type)))
        if self.weights_init is not None:
            self.weights_ = np.asarray(self.weights_init, dtype=np.float64)
        if self.means_init is not None:
            self.means_ = np.asarray(self.means_init, dtype=np.float64)
        if self.precisions_init is not None:
            precisions = np.asarray(self.precisions_init, dtype=np.float64)
            self.covariances_ = np.linalg.inv(precisions) if is_quadratic(self.covariance_type) else 1.0 / precisions

    def _first_responsibilities(self, frames: NDArray[Any], rng: np.random.Generator) -> Array:
        """Responsibilities `(N, K)` of the first M-step, as `init_params` says."""
        n, k = len(frames), self.n_components
        wide = frames.astype(np.float64)
        if self.init_params == "random":
            drawn: Array = rng.random((n, k))
            drawn /= drawn.sum(axis=1, keepdims=True)
            return drawn
        if self.init_params == "kmeans":
            nearest = kmeans(wide, k, rng)[1]
            rows, columns = np.arange(n), nearest
        else:
            at = seeds(wide, k, rng) if self.init_params == "k-means++" else wide[rng.choice(n, k, replace=False)]
            rows = np.array([int(np.square(wide - centre).sum(axis=1).argmin()) for centre in at])
            columns = np.arange(k)
        responsibilities = np.zeros((n, k))
        responsibilities[rows, columns] = 1.0
        return responsibilities

    def _em(self, x: Tensor, origin: Tensor) -> None:
        """EM steps until `tol` or `max_iter`."""
        self.converged_, self.n_iter_, self.lower_bound_ = False, 0, -np.inf
        self.lower_bounds_: list[float] = []
        before: dict[str, Any] = {}
        plain: dict[str, Any] = {}  # parameters before empty components were seeded anew
        chances, step = self.n_components, 0
        while step < self.max_iter:
            found = self._expect(x, origin)
            bound = found.log_likelihood / found.n_frames
            slack = 1e-6 + 1e-9 * abs(bound)  # reg_covar is no part of the likelihood, and may cost a little
            if bound < self.lower_bound_ - slack and plain:
                vars(self).update(plain)
                plain = {}
                continue
            if bound < self.lower_bound_ - slack:
                warnings.warn(
                    f"the log-likelihood fell from {self.lower_bound_:.9g} to {bound:.9g} a frame in step {step}; "
                    "the parameters before that step are kept",
                    ObjectiveFellWarning,
                    stacklevel=3,
                )
                vars(self).update(before)
                return
            before = self._parameters()
            self._maximize(found.gaussians)
            plain, step = self._parameters(), step + 1
            plain = plain if chances and self._reseed(found.gaussians.n) else {}
            chances -= bool(plain)
            rise, self.lower_bound_, self.n_iter_ = bound - self.lower_bound_, bound, step
            self.lower_bounds_.append(bound)
            if abs(rise) < self.tol:
                self.converged_ = True
                return

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("weights_", "means_", "covariances_")}

    def _reseed(self, counts: Tensor) -> bool:
        """Move a component that lost its frames, if there is one; whether there was."""
        self.weights_, self.means_, self.covariances_ = (value.copy() for value in self._parameters().values())
        k, d = self.means_.shape
        covariances, kind = self.covariances_, self.covariance_type
        variances = np.diagonal(covariances, axis1=-2, axis2=-1) if is_quadratic(kind) else covariances
        spread = np.sqrt(np.broadcast_to(variances[:, None] if kind == "spherical" else variances, (k, d)))
        own = [] if kind == "tied" else [covariances[None]]
        return reseed(counts.cpu().numpy()[None], self.weights_[None], self.means_[None], spread[None], own)

    def _expect(self, x: Tensor, origin: Tensor) -> MixtureStatistics:
        """The E-step: responsibilities, block by block, and their sums; features of a block serve for both."""
        full, about = is_quadratic(self.covariance_type), origin.to(x.dtype)
        gaussians = self._gaussians(x.device, about.double())
        theta, log_weights = gaussians.natural(), torch.from_numpy(np.log(self.weights_)).to(about.device)
        theta[0] += log_weights
        theta, log_weights = theta.to(x.dtype), log_weights.to(x.dtype)
        far = gaussians.loses_digits(x.dtype).nonzero()[:, 0]
        sums = torch.zeros(theta.shape[1], theta.shape[0], dtype=torch.float64, device=x.device)
        log_likelihood = torch.zeros((), dtype=torch.float64, device=x.device)
        for block in torch.split(x, BLOCK_FRAMES):
            phi, logs = features(block - about, full=full), x.new_empty(len(block), len(gaussians.means))
            gaussians.log_prob_of_features(phi, block, theta, far, logs)
            if len(far):
                logs[:, far] += log_weights[far]
            r = torch.softmax(logs, dim=1)
            # log sum_k exp(l_k) = max_k l_k - log max_k r_k, which is cheaper than to exponentiate again.
            log_likelihood += (logs.amax(dim=1) - r.amax(dim=1).log()).sum(dtype=torch.float64)
            sums += r.T @ phi
        counts = summed(torch.stack([log_likelihood.cpu(), torch.tensor(float(len(x)), dtype=torch.float64)]))
        found = from_features(summed(sums), gaussians.origin, x.shape[1], full=full)
        return MixtureStatistics(found, float(counts[0]), int(counts[1]))

    def _maximize(self, found: Statistics) -> None:
        """The M-step; a component that has no frame keeps a tiny weight, and the place it had."""
        tiny = 10 * torch.finfo(torch.float64).eps
        n = found.n + tiny
        means = found.origin + found.first / n[:, None]
        empty = found.n <= 0
        if bool(empty.any()) and hasattr(self, "means_"):
            means[empty] = torch.from_numpy(self.means_).to(means)[empty]
        kept = Statistics(n, found.first, found.second, found.origin)
        covariances = pooled(kept.scatter(means), n, self.covariance_type)
        if is_quadratic(self.covariance_type):
            covariances.diagonal(dim1=-2, dim2=-1).add_(self.reg_covar)
        else:
            covariances += self.reg_covar
        self.weights_ = (n / n.sum()).cpu().numpy()
        self.means_, self.covariances_ = means.cpu().numpy(), covariances.cpu().numpy()

    # --- a fitted mixture

    def _gaussians(self, device: torch.device | str, about: Tensor | None = None) -> Gaussians:
        """The components, on a device."""
        if not hasattr(self, "means_"):
            raise ValueError("this GMM is not fitted: call fit first, or set weights_, means_ and covariances_")
        means, covariances = (
            torch.from_numpy(np.ascontiguousarray(value)).to(device) for value in (self.means_, self.covariances_)
        )
        return Gaussians(means, covariances, self.covariance_type, about)

    def _joint(self, x: Tensor, gaussians: Gaussians) -> tuple[Tensor, Tensor]:
        """`log w_k N(x_t; k)`, `(N, K)`, and its log-sum, `(N,)`."""
        logs = gaussians.log_prob(x)
        logs += torch.from_numpy(np.log(self.weights_)).to(logs)
        return logs, torch.logsumexp(logs, dim=1)

    def _blocks(self, X: ArrayLike) -> list[tuple[Tensor, Tensor]]:
        gaussians = self._gaussians(self.device)
        x = torch.from_numpy(checked_frames(X, self.means_.shape[1])).to(self.device)
        return [self._joint(block, gaussians) for block in torch.split(x, BLOCK_FRAMES)]

    def score_samples(self, X: ArrayLike) -> Array:
        """`log p(x_t)` of frames `(N, D)`, `(N,)`."""
        return np.concatenate([total.double().cpu().numpy() for _, total in self._blocks(X)])

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean log-likelihood of a frame; `y` is ignored."""
        return float(self.score_samples(X).mean())

    def predict_proba(self, X: ArrayLike) -> Array:
        """Responsibilities `p(k | x_t)`, `(N, K)`."""
        return np.concatenate([(logs - total[:, None]).exp().double().cpu().numpy() for logs, total in self._blocks(X)])

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """The component most responsible for each frame, `(N,)`."""
        return np.concatenate([logs.argmax(dim=1).cpu().numpy() for logs, _ in self._blocks(X)])

    def fit_predict(self, X: ArrayLike, y: object = None) -> NDArray[np.int64]:
        """Fit, and the component of each frame."""
        return self.fit(X).predict(X)

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.int64]]:
        """Frames `(N, D)` from the mixture, and the component of each."""
        rng = np.random.default_rng(self.random_state)
        components = rng.choice(len(self.weights_), size=n_samples, p=self.weights_ / self.weights_.sum())
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        frames = self._gaussians("cpu").sample(torch.from_numpy(components), generator)
        return frames.numpy(), components

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        k, d = self.means_.shape
        of_covariance = {
            "full": k * d * (d + 1) // 2,
            "tied": d * (d + 1) // 2,
            "diag": k * d,
            "spherical": k,
        }
        return int(of_covariance[self.covariance_type] + k * d + k - 1)

    def bic(self, X: ArrayLike) -> float:
        """Bayesian information criterion `-2 log p(X) + n_parameters log N`: lower is better (Schwarz 1978)."""
        n = len(np.asarray(X))
        return -2 * self.score(X) * n + self.n_parameters * float(np.log(n))

    def aic(self, X: ArrayLike) -> float:
        """Akaike information criterion `-2 log p(X) + 2 n_parameters`: lower is better (Akaike 1974)."""
        return -2 * self.score(X) * len(np.asarray(X)) + 2 * self.n_parameters

    @property
    def precisions_(self) -> Array:
        """Inverse covariances, in the shape of `covariance_type`."""
        inverse: Array = (
            np.linalg.inv(self.covariances_) if is_quadratic(self.covariance_type) else 1 / self.covariances_
        )
        return inverse
