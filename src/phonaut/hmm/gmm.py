"""Gaussian mixtures with the conventions of scikit-learn's `GaussianMixture`: emissions of one state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

from phonaut.arrays import Array, Index
from phonaut.densities.kmeans import kmeans, seeds
from phonaut.densities.priors import COVARIANCE_TYPES, CovarianceType, is_quadratic
from phonaut.densities.processes import all_reduce, broadcast
from phonaut.densities.statistics import GaussianStatistics
from phonaut.hmm.em import Monitor, em
from phonaut.hmm.emissions.gaussian import tiled
from phonaut.hmm.emissions.mixture import MixtureEmissions
from phonaut.hmm.inputs import checked_frames
from phonaut.hmm.saving import Saved

BLOCK_FRAMES = 2048


def _setting(name: str) -> Any:
    """A setting that is one of the emissions."""
    return property(
        lambda self: getattr(self.emissions, name), lambda self, value: setattr(self.emissions, name, value)
    )


def _parameter(name: str) -> Any:
    """A parameter of the one state."""

    def change(self: Any, value: ArrayLike) -> None:
        setattr(self.emissions, name, np.asarray(value, dtype=np.float64)[None])

    return property(lambda self: getattr(self.emissions, name)[0], change)


class GMM(Saved):
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
        emissions: the same as emissions of one state: with MAP adaptation, splitting and statistics.
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
        self.emissions = MixtureEmissions()
        self.n_components, self.covariance_type, self.reg_covar, self.device = (
            n_components, covariance_type, reg_covar, device
        )  # fmt: skip
        self.tol, self.max_iter, self.n_init, self.init_params = tol, max_iter, n_init, init_params
        self.weights_init, self.means_init, self.precisions_init = weights_init, means_init, precisions_init
        self.random_state, self.warm_start = random_state, warm_start

    # Settings and parameters are those of the emissions; parameters without the axis of the one state.
    n_components = _setting("n_mix")
    covariance_type = _setting("covariance_type")
    reg_covar = _setting("reg_covar")
    device = _setting("device")
    weights_ = _parameter("weights_")
    means_ = _parameter("means_")
    covariances_ = _parameter("covars_")

    def parameter_names(self) -> list[str]:
        """Names of all parameters."""
        return ["weights_", "means_", "covariances_"]

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Parameters by name, as far as they are set."""
        return {name: getattr(self, name) for name in self.parameter_names() if hasattr(self, name)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set parameters."""
        for name, value in state.items():
            setattr(self, name, value)

    def check(self) -> None:
        """Refuse parameters that make no sense."""
        if not hasattr(self, "means_"):
            raise ValueError("this GMM is not fitted: call fit first, or set weights_, means_ and covariances_")
        self.emissions.check()

    # --- fitting

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit to frames `(N, D)`; `y` is ignored.

        Raises:
            ValueError: for frames or settings that make no sense.
        """
        frames = checked_frames(X)
        self._check_settings(frames)
        rng = np.random.default_rng(self.random_state)
        total = all_reduce(np.append(frames.sum(axis=0, dtype=np.float64), len(frames)))
        origin, n_frames = (total[:-1] / total[-1]).astype(frames.dtype).astype(np.float64), total[-1]
        go_on = self.warm_start and hasattr(self, "means_")
        best: dict[str, Any] | None = None
        for _ in range(1 if go_on else self.n_init):
            if not go_on:
                self._start(frames, origin, rng)
                self.load_state_dict({name: broadcast(np.array(value)) for name, value in self.state_dict().items()})
            monitor = Monitor(self.tol * n_frames, self.max_iter)
            em(self.emissions, lambda: self._expect(frames, origin), monitor, most_seedings=self.n_components)
            self.lower_bounds_ = [value / n_frames for value in monitor.history]
            self.n_iter_, self.lower_bound_ = monitor.iter, self.lower_bounds_[-1] if monitor.iter else -np.inf
            gains = np.diff(self.lower_bounds_)
            self.converged_ = bool(len(gains) and gains[-1] < self.tol and not monitor.fell)
            if best is None or self.lower_bound_ > best["lower_bound_"]:
                of_start = {name: value for name, value in vars(self).items() if name.endswith("_")}
                best = of_start | self.state_dict()
        assert best is not None
        self.load_state_dict(best)
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
            problems.append(f"n_components must be >= 1, got {self.n_components}")
        if self.covariance_type not in COVARIANCE_TYPES:
            problems.append(f"covariance_type is one of {', '.join(COVARIANCE_TYPES)}, got {self.covariance_type}")
        if self.init_params not in ("kmeans", "k-means++", "random", "random_from_data"):
            problems.append(f"init_params is kmeans, k-means++, random or random_from_data, got {self.init_params}")
        if not self.reg_covar >= 0:
            problems.append(f"reg_covar must be >= 0, got {self.reg_covar}")
        if len(frames) < self.n_components:
            problems.append(f"{self.n_components} components need as many frames, got {len(frames)}")
        if self.means_init is not None and np.shape(self.means_init) != (self.n_components, frames.shape[1]):
            problems.append(f"means_init is {(self.n_components, frames.shape[1])}, got {np.shape(self.means_init)}")
        if problems:
            raise ValueError("GMM: " + "; ".join(problems))

    def _start(self, frames: NDArray[Any], origin: Array, rng: np.random.Generator) -> None:
        """Set the parameters to start from: those that were given, the others from a first M-step."""
        k, kind = self.n_components, self.covariance_type
        self.weights_, self.means_ = np.full(k, 1 / k), np.tile(origin, (k, 1))
        self.covariances_ = tiled((self.reg_covar or 1e-6) * np.eye(len(origin)), kind, () if kind == "tied" else (k,))
        self.emissions.n_features = len(origin)
        if any(value is None for value in (self.weights_init, self.means_init, self.precisions_init)):
            import torch

            from phonaut.densities.gaussian_log_prob import statistics

            x = torch.from_numpy(frames).to(self.device)
            r = torch.from_numpy(self._first_responsibilities(frames, rng)).to(x)
            self.emissions.m_step(statistics(x, r, origin, full=is_quadratic(kind)))
        if self.weights_init is not None:
            self.weights_ = np.asarray(self.weights_init, dtype=np.float64)
        if self.means_init is not None:
            self.means_ = np.asarray(self.means_init, dtype=np.float64)
        if self.precisions_init is not None:
            precisions = np.asarray(self.precisions_init, dtype=np.float64)
            self.covariances_ = np.linalg.inv(precisions) if is_quadratic(kind) else 1.0 / precisions

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

    def _expect(self, frames: NDArray[Any], origin: Array) -> GaussianStatistics:
        """The E-step over the frames of all processes."""
        return self.emissions.statistics(frames, None, origin).reduced()

    # --- a fitted mixture

    def statistics(self, X: ArrayLike, origin: ArrayLike | None = None) -> GaussianStatistics:
        """Zeroth, first and second order statistics of the components in any frames, such as those of one speaker.

        They are about `origin (D,)`, by default the mean of the components' means, so that those of all subsets add up.
        """
        about = None if origin is None else np.asarray(origin, dtype=np.float64)
        frames = self._checked(X)
        return self.emissions.statistics(frames, None, about)

    def map_adapt(self, statistics: GaussianStatistics, relevance_factor: float = 16.0, params: str = "m") -> Self:
        """A copy adapted to the frames of `statistics`: `MixtureEmissions.map_adapt`."""
        adapted = type(self)(**self.get_params())
        adapted.emissions = self.emissions.map_adapt(statistics, relevance_factor, params)
        return adapted

    def _checked(self, X: ArrayLike) -> NDArray[Any]:
        self.check()
        return checked_frames(X, self.emissions.n_features)

    def _joint(self, X: ArrayLike) -> Iterator[Array]:
        """`log w_k N(x_t; k)`, `(n, K)`, a block of frames at a time."""
        frames = self._checked(X)
        for first in range(0, len(frames), BLOCK_FRAMES):
            yield self.emissions.component_log_prob(frames[first : first + BLOCK_FRAMES])[:, 0]

    def score_samples(self, X: ArrayLike) -> Array:
        """`log p(x_t)` of frames `(N, D)`, `(N,)`."""
        frames = self._checked(X)
        return self.emissions.log_prob(frames)[:, 0]

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean log-likelihood of a frame."""
        return float(self.score_samples(X).mean())

    def predict_proba(self, X: ArrayLike) -> Array:
        """Responsibilities `p(k | x_t)`, `(N, K)`."""
        return np.concatenate([softmax(logs, axis=1) for logs in self._joint(X)])

    def predict(self, X: ArrayLike) -> Index:
        """The component most responsible for each frame, `(N,)`."""
        return np.concatenate([logs.argmax(axis=1) for logs in self._joint(X)])

    def fit_predict(self, X: ArrayLike, y: object = None) -> Index:
        """Fit, and the component of each frame."""
        return self.fit(X).predict(X)

    def sample(self, n_samples: int = 1) -> tuple[Array, Index]:
        """Frames `(N, D)` from the mixture, and the component of each."""
        import torch

        self.check()
        rng = np.random.default_rng(self.random_state)
        components = rng.choice(len(self.weights_), size=n_samples, p=self.weights_ / self.weights_.sum())
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        frames: Array = self.emissions.gaussians().sample(torch.from_numpy(components), generator).cpu().numpy()
        return frames, components

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        return self.emissions.n_parameters

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
