"""Gaussian mixtures with the conventions of scikit-learn's `GaussianMixture`: emissions of one state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array, Index
from phonaut.checks import below, refuse
from phonaut.densities.kmeans import kmeans, seeds
from phonaut.densities.priors import CovarianceType, is_positive_definite, is_quadratic
from phonaut.densities.processes import all_reduce, broadcast
from phonaut.densities.statistics import GaussianStatistics
from phonaut.hmm.em import Monitor, em
from phonaut.hmm.emissions.base import device_problems
from phonaut.hmm.emissions.gaussian import covariance_type_problems, tiled
from phonaut.hmm.emissions.mixture import MixtureEmissions
from phonaut.hmm.inputs import Random, checked_frames, generator_of, is_number, not_fitted
from phonaut.hmm.saving import Saved

BLOCK_FRAMES = 2048
COARSE_CELLS = 2**17  # frames times components from which on float32 saves time worth having
COARSE_GAIN = 1e-2  # nats a frame: a step in float32 that gains less may be one of rounding
COARSE_EXTENT = 20.0  # standard deviations from the mean: of frames farther away float32 cannot tell components apart


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

    The names are scikit-learn's, so that a program changes its import only. Computation is in float64. Of many float32
    frames the first steps are in float32, as long as each gains much and the digits of variances suffice.

    Args:
        n_components: K.
        covariance_type: `full`, `tied`, `diag` or `spherical`.
        tol: EM stops when the mean log-likelihood of a frame rises by less; negative: never.
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
        random_state: Random = None,
        warm_start: bool = False,
        device: str = "cpu",
    ) -> None:
        self._emissions = MixtureEmissions()
        self.n_components, self.covariance_type, self.reg_covar, self.device = (
            n_components, covariance_type, reg_covar, device
        )  # fmt: skip
        self.tol, self.max_iter, self.n_init, self.init_params = tol, max_iter, n_init, init_params
        self.weights_init, self.means_init, self.precisions_init = weights_init, means_init, precisions_init
        self.random_state, self.warm_start = random_state, warm_start

    @property
    def emissions(self) -> MixtureEmissions:
        """The mixture as emissions of one state."""
        return self._emissions

    @property
    def n_features_in_(self) -> int:
        """Features of a frame, D, once there are parameters."""
        return self.emissions.n_features

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

    def _course(self) -> str:
        if not hasattr(self, "lower_bound_"):
            return ""
        how = "converged" if self.converged_ else "not converged"
        return f": log-likelihood {self.lower_bound_:.6g} per frame after {self.n_iter_} EM steps, {how}"

    def check(self) -> None:
        """Refuse parameters that make no sense."""
        if not hasattr(self, "means_"):
            raise not_fitted("this GMM is not fitted: call fit first, or set weights_, means_ and covariances_")
        self.emissions.check()

    # --- fitting

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Fit to frames `(N, D)`; `y` is ignored.

        Raises:
            ValueError: for frames or settings that make no sense.
        """
        self._check_settings()
        frames = checked_frames(X, model="GMM")
        self._check_start(frames)
        rng = generator_of(self.random_state)
        total = all_reduce(np.append(frames.sum(axis=0, dtype=np.float64), len(frames)))
        origin, n_frames = (total[:-1] / total[-1]).astype(frames.dtype).astype(np.float64), total[-1]
        go_on = self.warm_start and hasattr(self, "means_")
        before = [vars(self)["lower_bound_"]] if go_on and "lower_bound_" in vars(self) else []
        best: dict[str, Any] | None = None
        for _ in range(1 if go_on else self.n_init):
            if not go_on:
                self._start(frames, origin, rng)
                self.load_state_dict({name: broadcast(np.array(value)) for name, value in self.state_dict().items()})
            self.check()
            history, fell = self._em(frames, origin, n_frames)
            self.lower_bounds_ = [value / n_frames for value in history]
            self.n_iter_, self.lower_bound_ = len(history), (self.lower_bounds_ or [-np.inf])[-1]
            gains = np.diff(before + self.lower_bounds_)
            self.converged_ = bool(len(gains) and abs(gains[-1]) < self.tol and not fell)
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

    def _check_settings(self) -> None:
        """Refuse settings that make no sense, all at once."""
        problems = below(1, n_components=self.n_components, n_init=self.n_init) + below(0, max_iter=self.max_iter)
        problems += covariance_type_problems(self.covariance_type) + device_problems(self.device)
        if not is_number(self.tol):
            problems.append(f"tol must be a number, got {self.tol}")
        if self.init_params not in ("kmeans", "k-means++", "random", "random_from_data"):
            problems.append(f"init_params is kmeans, k-means++, random or random_from_data, got {self.init_params}")
        if not (is_number(self.reg_covar) and 0 <= self.reg_covar < np.inf):
            problems.append(f"reg_covar must be a number >= 0, got {self.reg_covar}")
        refuse(problems, "GMM: ")

    def _check_start(self, frames: NDArray[Any]) -> None:
        """Refuse too few frames, and values to start from that are not those of a mixture, all at once."""
        k, d, kind = self.n_components, frames.shape[1], self.covariance_type
        problems = []
        if len(frames) < k:
            problems.append(f"{k} components need as many frames, got {len(frames)}")
        shapes = {
            "weights_init": (k,),
            "means_init": (k, d),
            "precisions_init": {"full": (k, d, d), "tied": (d, d), "diag": (k, d), "spherical": (k,)}[kind],
        }
        for name, shape in shapes.items():
            if getattr(self, name) is None:
                continue
            value = np.asarray(getattr(self, name), dtype=np.float64)
            if value.shape != shape:
                problems.append(f"{name} must be {shape}, got {value.shape}")
            elif not np.isfinite(value).all():
                problems.append(f"{name} must be finite, got {value[~np.isfinite(value)][0]}")
            elif name == "weights_init" and not (np.isclose(value.sum(), 1) and (value >= 0).all()):
                problems.append(f"weights_init must sum to 1 and must not be negative, got {value}")
            elif name == "precisions_init" and is_quadratic(kind):
                if not np.allclose(value, np.swapaxes(value, -1, -2)) or not is_positive_definite(value).all():
                    problems.append("precisions_init must be symmetric and positive definite")
            elif name == "precisions_init" and not (value > 0).all():
                problems.append(f"precisions_init must be positive, got {value.min()}")
        if self.warm_start and hasattr(self, "means_") and self.means_.shape != (k, d):
            problems.append(f"the last fit, to go on from, has means {self.means_.shape}, not {(k, d)}")
        refuse(problems, "GMM: ")

    def _start(self, frames: NDArray[Any], origin: Array, rng: np.random.Generator) -> None:
        """Set the parameters to start from: those that were given, the others from a first M-step."""
        k, kind = self.n_components, self.covariance_type
        self.weights_, self.means_ = np.full(k, 1 / k), np.tile(origin, (k, 1))
        self.covariances_ = tiled((self.reg_covar or 1e-6) * np.eye(len(origin)), kind, () if kind == "tied" else (k,))
        self.emissions.n_features = len(origin)
        if any(value is None for value in (self.weights_init, self.means_init, self.precisions_init)):
            import torch

            from phonaut.densities.gaussian_log_prob import statistics

            x = torch.from_numpy(frames).to(self.device, torch.float64)
            r = torch.from_numpy(self._first_responsibilities(frames, rng)).to(x)
            self.emissions.m_step(statistics(x, r, origin, full=is_quadratic(kind)))
        if self.weights_init is not None:
            self.weights_ = np.asarray(self.weights_init, dtype=np.float64)
        if self.means_init is not None:
            self.means_ = np.asarray(self.means_init, dtype=np.float64)
        if self.precisions_init is not None:
            precisions = np.asarray(self.precisions_init, dtype=np.float64)
            inverse = np.linalg.inv(precisions) if is_quadratic(kind) else 1.0 / precisions
            self.covariances_ = (inverse + np.swapaxes(inverse, -1, -2)) / 2 if is_quadratic(kind) else inverse

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

    def _em(self, frames: NDArray[Any], origin: Array, n_frames: float) -> tuple[list[float], bool]:
        """EM from the parameters of now: the log-likelihood before each step, and whether the objective fell."""
        coarse = self._coarse_steps(frames, origin, n_frames) if self._is_coarse(frames, origin, n_frames) else []
        monitor = Monitor(self.tol * n_frames, self.max_iter - len(coarse))
        if not monitor.done:
            wide = frames.astype(np.float64, copy=False)
            em(self.emissions, lambda: self._expect(wide, origin), monitor, most_seedings=self.n_components)
        return coarse + monitor.history, monitor.fell

    def _is_coarse(self, frames: NDArray[Any], origin: Array, n_frames: float) -> bool:
        """Tell whether to begin in float32: where that saves time, and no frame is so far away that it cannot do."""
        if frames.dtype != np.float32 or n_frames * self.n_components < COARSE_CELLS:
            return False
        far = np.abs(frames - origin.astype(np.float32)).max(axis=0)
        spread = np.sqrt(all_reduce(np.square(frames - origin).sum(axis=0)) / n_frames)
        return not all_reduce(np.array([float((far > COARSE_EXTENT * spread).any())]))[0]

    def _coarse_steps(self, frames: NDArray[Any], origin: Array, n_frames: float) -> list[float]:
        """EM steps in float32, as long as each gains much more than rounding may; the log-likelihood before each."""
        history: list[float] = []
        while len(history) < self.max_iter:
            statistics = self._expect(frames, origin)
            gained = statistics.log_prob - (history or [-np.inf])[-1]
            if not gained >= COARSE_GAIN * n_frames or not statistics.keeps_digits(
                self.covariance_type, self.reg_covar
            ):
                break
            self.emissions.m_step(statistics)
            history.append(statistics.log_prob)
        return history

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
        adapted._emissions = self.emissions.map_adapt(statistics, relevance_factor, params)
        return adapted

    def _checked(self, X: ArrayLike) -> NDArray[Any]:
        self.check()
        return checked_frames(X, self.emissions.n_features, "GMM").astype(np.float64, copy=False)

    def _joint(self, X: ArrayLike) -> Iterator[Array]:
        """`log w_k N(x_t; k)`, `(n, K)`, a block of frames at a time."""
        frames = self._checked(X)
        for first in range(0, len(frames), BLOCK_FRAMES):
            yield self.emissions.component_log_prob(frames[first : first + BLOCK_FRAMES])[:, 0]

    def score_samples(self, X: ArrayLike) -> Array:
        """`log p(x_t)` of frames `(N, D)`, `(N,)`."""
        return self.emissions.log_prob(self._checked(X))[:, 0]

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Mean log-likelihood of a frame."""
        return float(self.score_samples(X).mean())

    def predict_proba(self, X: ArrayLike) -> Array:
        """Responsibilities `p(k | x_t)`, `(N, K)`."""
        from scipy.special import softmax  # a fifth of a second, which verifying one recording need not wait

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
        rng = generator_of(self.random_state)
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
        scores = self.score_samples(X)
        return -2 * float(scores.sum()) + self.n_parameters * float(np.log(len(scores)))

    def aic(self, X: ArrayLike) -> float:
        """Akaike information criterion `-2 log p(X) + 2 n_parameters`: lower is better (Akaike 1974)."""
        return -2 * float(self.score_samples(X).sum()) + 2 * self.n_parameters

    @property
    def precisions_(self) -> Array:
        """Inverse covariances, in the shape of `covariance_type`."""
        inverse: Array = (
            np.linalg.inv(self.covariances_) if is_quadratic(self.covariance_type) else 1 / self.covariances_
        )
        return inverse
