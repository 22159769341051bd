"""Emissions through normalising flows: mixtures in the latents of generators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from phonaut.arrays import Array, Index
from phonaut.checks import below, refuse
from phonaut.densities.flow import Flows, Mask, Permutation
from phonaut.densities.flow_mixture import FlowMixtures, Groups, Moments
from phonaut.densities.kmeans import nested
from phonaut.densities.reseeding import reseed
from phonaut.hmm.em import dirichlet_log_density, dirichlet_m_step
from phonaut.hmm.emissions.base import Emissions, trained
from phonaut.hmm.emissions.mixture import MixtureEmissions, check_weights, draw_components
from phonaut.hmm.inputs import is_number

LEAST_LEARNING_RATE = 1e-4
DECAY = 0.98  # of the learning rate, an EM step


@dataclass
class FlowStatistics:
    """Frames and their responsibilities: what gradient M-steps need in place of sums.

    Those of two sets of frames are those of both. Once an M-step has used the frames, what stays of them are the
    moments that they had in the latents: gradients are then taken on newer frames alone.

    Attributes:
        x: standardised frames, `(N, D)`.
        responsibilities: of the components of each flow, `(N, F, K)`.
        moments: in the latents, after an M-step.
    """

    x: Tensor
    responsibilities: Tensor
    moments: Moments | None = None

    def __add__(self, other: FlowStatistics) -> FlowStatistics:
        if self.moments is not None:
            return replace(other, moments=self.moments)
        both = torch.cat([self.responsibilities, other.responsibilities])
        return FlowStatistics(torch.cat([self.x, other.x]), both)

    def scaled(self, factor: float) -> FlowStatistics:
        """Those of frames that count `factor` times each."""
        moments = None if self.moments is None else self.moments.scaled(factor)
        return FlowStatistics(self.x, self.responsibilities * factor, moments)

    def reduced(self) -> FlowStatistics:
        """Itself: gradient M-steps sum gradients and moments over processes."""
        return self


class FlowEmissions(Emissions):
    """State s emits `p(x | s) = sum_k w_sk p_f(s,k),s,k(x)`: component k of s lies in the latent of flow f(s, k).

    Sub-classes say which flow that is. The M-step takes passes of Adam up the expected complete log-likelihood Q, back
    where it fell; then exact M-steps of latents and weights.

    Args:
        n_states: S.
        n_mix: components of each, K.
        n_couplings: of each flow; 0: none, and what is left are Gaussian mixtures.
        n_hidden: units of both hidden layers of a coupling's network.
        mask: `cross` or `chunk`, as in `phonaut.densities.Flows`.
        permutation: `none`, `random`, `reverse` or `conv1x1`.
        early_every: after so many couplings some dimensions leave early; 0: never.
        early_size: how many.
        bound: of the log-scales of a coupling.
        n_passes: of Adam over the frames in an EM step.
        learning_rate: in the first EM step; it decays by 0.98 a step, to 1e-4.
        batch_size: frames in a step of Adam; 0: all.
        flow_prior: precision of the normal prior of the flows' weights around those they start with, under which a
            flow is the identity; 0: none.
        gamma_prior: a and b of the Gamma prior of the inverse standard deviations in the latents; (1, 0): none.
        weights_prior: Dirichlet parameters, `(S, K)` or one number.
        device: where densities are computed.
        dtype: of flows: `float32` or `float64`.

    Attributes:
        weights_: w, `(S, K)`.
        latent_means_: mu, `(S, K, D)`.
        latent_scales_: sigma, `(S, K, D)`.
        flows_: parameters of the flows, one in each row.
        shift_: mean, and stretch_: standard deviation of the frames that training began with, `(D,)`: flows see frames
            less the one, over the other.
        seed_: of the flows' start.
    """

    letters: ClassVar[dict[str, str]] = {
        "w": "weights_", "l": "latent_means_", "L": "latent_scales_", "f": "flows_"
    }  # fmt: skip
    constants: ClassVar[tuple[str, ...]] = ("shift_", "stretch_", "seed_")
    default_params = "wlf"
    weights_: Array
    latent_means_: Array
    latent_scales_: Array
    flows_: NDArray[Any]
    shift_: Array
    stretch_: Array
    seed_: NDArray[np.int64]
    occupancies: Array

    def __init__(
        self,
        n_states: int = 1,
        n_mix: int = 1,
        n_couplings: int = 8,
        n_hidden: int = 24,
        mask: Mask = "cross",
        permutation: Permutation = "none",
        early_every: int = 0,
        early_size: int = 2,
        bound: float = 2.0,
        n_passes: int = 5,
        learning_rate: float = 4e-3,
        batch_size: int = 1024,
        flow_prior: float = 0.0,
        gamma_prior: tuple[float, float] = (2.0, 0.1),
        weights_prior: ArrayLike = 1.0,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        super().__init__(n_states)
        self.n_mix = n_mix
        self.n_couplings, self.n_hidden, self.mask, self.permutation = n_couplings, n_hidden, mask, permutation
        self.early_every, self.early_size, self.bound = early_every, early_size, bound
        self.n_passes, self.learning_rate, self.batch_size = n_passes, learning_rate, batch_size
        self.flow_prior, self.weights_prior = flow_prior, weights_prior
        self.gamma_prior = gamma_prior
        self.device, self.dtype = device, dtype

    def setting_problems(self) -> list[str]:
        """Settings that make no sense, each in a sentence; those of the flows alone are for `Flows` to refuse."""
        problems = below(1, n_mix=self.n_mix, n_hidden=self.n_hidden) + below(
            0, n_couplings=self.n_couplings, n_passes=self.n_passes, batch_size=self.batch_size,
            early_every=self.early_every, early_size=self.early_size,
        )  # fmt: skip
        if self.dtype not in ("float32", "float64"):
            problems.append(f"dtype is float32 or float64, got {self.dtype}")
        for name in ("learning_rate", "bound"):
            value = getattr(self, name)
            if not (is_number(value) and 0 < value < np.inf):
                problems.append(f"{name} must be a number > 0, got {value}")
        prior: Any = self.gamma_prior
        if not (np.shape(prior) == (2,) and all(is_number(value) and 0 <= value < np.inf for value in prior)):
            problems.append(f"gamma_prior must be two numbers >= 0, got {prior}")
        return problems + super().setting_problems()

    @property
    def n_flows(self) -> int:
        """Number of generators, F; states and components are dealt out to them in order."""
        raise NotImplementedError

    # --- densities

    @property
    def _torch_dtype(self) -> torch.dtype:
        return torch.float32 if self.dtype == "float32" else torch.float64

    def initial_flows(self) -> Flows:
        """The flows as they are at a start."""
        return Flows(
            self.n_flows, self.n_features, n_couplings=self.n_couplings, n_hidden=self.n_hidden, mask=self.mask,
            permutation=self.permutation, early_every=self.early_every, early_size=self.early_size, bound=self.bound,
            seed=int(self.seed_[0]),
        )  # fmt: skip

    def _mixtures(self) -> FlowMixtures:
        flows = self.initial_flows()
        flows.weights.data = torch.from_numpy(self.flows_.copy()).to(self.device, self._torch_dtype)
        shape = (self.n_flows, -1, self.n_features)
        means, scales = (torch.from_numpy(v.reshape(shape)) for v in (self.latent_means_, self.latent_scales_))
        return FlowMixtures(flows, means, scales)

    def _standardized(self, x: NDArray[Any]) -> Tensor:
        frames = torch.from_numpy(np.ascontiguousarray(x)).to(self.device)
        shift, stretch = (torch.from_numpy(value).to(frames) for value in (self.shift_, self.stretch_))
        return ((frames - shift) / stretch).to(self._torch_dtype)

    def _component_log_prob(self, x: Tensor) -> Tensor:
        """`log w_sk p_sk(x_t)` of standardised frames, `(N, S, K)`, float64."""
        logs = self._mixtures().log_prob(x, Groups.of(np.array([len(x)])))
        logs = logs.view(-1, self.n_states, self.n_mix).double()
        log_weights = torch.from_numpy(np.log(np.maximum(self.weights_, 1e-300))).to(logs)
        return logs + log_weights - float(np.log(self.stretch_).sum())

    def log_prob(self, x: NDArray[Any]) -> Array:
        """`log p(x_t | s)`, `(N, S)`."""
        logs: Array = self._component_log_prob(self._standardized(x)).logsumexp(dim=2).cpu().numpy()
        return logs

    def statistics(self, x: NDArray[Any], gamma: Array, origin: Array | None = None) -> FlowStatistics:
        """Standardised frames with the responsibilities of all components; an `origin` is not needed."""
        return self.e_step(x, lambda _: gamma)

    def e_step(
        self, x: NDArray[Any], posteriors: Callable[[Array], Array], origin: Array | None = None
    ) -> FlowStatistics:
        """Frames and responsibilities, each frame put through the flows once."""
        frames = self._standardized(x)
        joint = self._component_log_prob(frames)
        logs = joint.logsumexp(dim=2)
        gamma = torch.from_numpy(posteriors(logs.cpu().numpy())).to(joint)
        r = ((joint - logs[:, :, None]).exp() * gamma[:, :, None]).nan_to_num_(0.0)
        return FlowStatistics(frames, r.view(len(frames), self.n_flows, -1).to(frames.dtype))

    def sample(self, states: Index, rng: np.random.Generator) -> Array:
        """A frame of each of `states (T,)`."""
        component = draw_components(self.weights_, states, rng)
        noise = rng.standard_normal((len(states), self.n_features))
        z = self.latent_means_[states, component] + self.latent_scales_[states, component] * noise
        # Latents of each flow side by side, as many places as the flow with most of them needs.
        flow = (states * self.n_mix + component) * self.n_flows // (self.n_states * self.n_mix)
        order = np.argsort(flow, kind="stable")
        sizes = np.bincount(flow, minlength=self.n_flows)
        place = np.arange(len(states)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        latents = torch.zeros(self.n_flows, int(sizes.max()), self.n_features, dtype=self._torch_dtype)
        latents[flow[order], place] = torch.from_numpy(z[order]).to(self._torch_dtype)
        x = self._mixtures().flows.cpu().inverse(latents).double().numpy()
        frames = np.empty_like(z)
        frames[order] = x[flow[order], place]
        sampled: Array = frames * self.stretch_ + self.shift_
        return sampled

    # --- EM

    def m_step(self, statistics: FlowStatistics, params: str | None = None, step: int = 0) -> None:
        """Gradient steps of the flows, which back-track, then the exact M-step of latents and weights."""
        mixtures = self._mixtures()
        moments = mixtures.improve(
            statistics.x, statistics.responsibilities, Groups.of(np.array([len(statistics.x)])),
            n_passes=self.n_passes if trained(params, "f") else 0,
            learning_rate=max(self.learning_rate * DECAY**step, LEAST_LEARNING_RATE), batch_size=self.batch_size,
            seed=(int(self.seed_[0]), step), anchor=self.initial_flows().weights.detach(), precision=self.flow_prior,
        )  # fmt: skip
        statistics.moments = moments if statistics.moments is None else statistics.moments + moments
        if trained(params, "f"):
            self.flows_ = mixtures.flows.weights.detach().cpu().numpy()
        if trained(params, "l"):
            mixtures.fit_latents(statistics.moments, *map(float, self.gamma_prior))
            shape = self.latent_means_.shape
            self.latent_means_ = mixtures.means.numpy().reshape(shape)
            self.latent_scales_ = mixtures.scales.numpy().reshape(shape)
        self.occupancies = statistics.moments.n.numpy().reshape(self.weights_.shape)
        if trained(params, "w"):
            self.weights_ = dirichlet_m_step(self.occupancies, self.weights_prior, self.weights_)

    def reseed(self) -> bool:
        """Give the emptiest component of each state half of the heaviest one, where it lost its frames."""
        self.weights_, self.flows_ = self.weights_.copy(), self.flows_.copy()
        self.latent_means_, self.latent_scales_ = self.latent_means_.copy(), self.latent_scales_.copy()
        others = [self.latent_scales_]
        if self.n_flows == self.occupancies.size:
            others.append(self.flows_.reshape(*self.occupancies.shape, -1))
        return reseed(self.occupancies, self.weights_, self.latent_means_, self.latent_scales_, others)

    def log_prior(self, params: str | None = None) -> float:
        """Log-density of scales, weights and flows, up to a constant."""
        a, b = self.gamma_prior
        scales = float((-(a - 1) * np.log(self.latent_scales_) - b / self.latent_scales_).sum())
        total = scales if trained(params, "l") else 0.0
        if trained(params, "w"):
            total += dirichlet_log_density(self.weights_prior, self.weights_)
        if trained(params, "f") and self.flow_prior:
            away = self.flows_.astype(np.float64) - self.initial_flows().weights.detach().numpy()
            total -= 0.5 * self.flow_prior * float(np.square(away).sum())
        return total

    # --- a start

    def initialize(
        self, x: Array, rng: np.random.Generator, states: Index | None = None, init_params: str | None = None
    ) -> None:
        """Flows that are linear, and components in their latents by k-means in the frames of each state."""
        n, m = self.n_states, self.n_mix
        self.n_features = x.shape[1]
        if self.needs_init("f", init_params):
            self.seed_ = np.array([rng.integers(2**31)])
            self.shift_, spread = x.mean(axis=0), x.std(axis=0)
            least = max(float(spread.max()) * 1e-6, 1e-150)
            self.stretch_ = np.where(spread > least, spread, max(float(spread.max()), least) if least > 1e-150 else 1.0)
            self.flows_ = self.initial_flows().weights.detach().numpy().astype(self.dtype)
        if self.needs_init("w", init_params):
            self.weights_ = np.full((n, m), 1.0 / m)
        if self.needs_init("l", init_params):
            z = (x - self.shift_) / self.stretch_
            self.latent_means_, away = nested(z, n, m, rng, states)
            scale = np.sqrt(np.square(away).mean(axis=0) + 1e-4)
            self.latent_scales_ = np.broadcast_to(scale, self.latent_means_.shape).copy()

    def take_gaussians(self, mixtures: MixtureEmissions) -> None:
        """Put the components of diagonal Gaussian mixtures into the latents of flows as they start.

        Those are still linear, `z = A x`: the identity, or rotations. The latents take `A mu` and the diagonal of
        `A diag(sigma^2) A^T`, which for the identity are the mixtures themselves.
        """
        with torch.no_grad():
            eye = torch.eye(self.n_features, dtype=torch.float64)
            linear = self.initial_flows().double()(eye)[0].mT.numpy()  # (F, D, D)
        n = self.n_states * self.n_mix
        a = linear[np.arange(n) * self.n_flows // n].reshape(*mixtures.weights_.shape, *linear.shape[1:])
        means, variances = (mixtures.means_ - self.shift_) / self.stretch_, mixtures.covars_ / self.stretch_**2
        self.weights_ = mixtures.weights_
        self.latent_means_ = np.einsum("skij,skj->ski", a, means)
        self.latent_scales_ = np.sqrt(np.einsum("skij,skj->ski", a**2, variances))

    def check(self) -> None:
        """Refuse parameters of other shapes, or that make no sense."""
        refuse(self.setting_problems())
        super().check()
        n, m = self.n_states, self.n_mix
        self.shift_, self.stretch_ = (np.asarray(value, dtype=np.float64) for value in (self.shift_, self.stretch_))
        if self.shift_.ndim != 1 or self.shift_.shape != self.stretch_.shape or not self.shift_.size:
            raise ValueError(f"shift_ and stretch_ must be (D,); got {self.shift_.shape} and {self.stretch_.shape}")
        self.n_features = len(self.shift_)
        for name in ("weights_", "latent_means_", "latent_scales_"):
            setattr(self, name, np.ascontiguousarray(getattr(self, name), dtype=np.float64))
        check_weights(self.weights_, (n, m))
        shape = (n, m, self.n_features)
        for name in ("latent_means_", "latent_scales_"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must be {shape}; got {getattr(self, name).shape}")
        for name in ("latent_scales_", "stretch_"):
            if not (getattr(self, name) > 0).all():
                raise ValueError(f"{name} must be positive")
        if np.shape(self.seed_) != (1,) or np.asarray(self.seed_).dtype.kind != "i" or self.seed_[0] < 0:
            raise ValueError(f"seed_ must be one whole number >= 0; got {self.seed_}")
        # Each coupling has a square matrix of its hidden units: what is far too large is not laid out to be told so.
        least = self.n_flows * self.n_couplings * self.n_hidden**2
        flows = (self.n_flows, self.initial_flows().n_weights) if self.flows_.size >= least else (self.n_flows, "more")
        if self.flows_.shape != flows:
            raise ValueError(f"flows_ must be {flows}; got {self.flows_.shape}")
        for name in ("latent_means_", "latent_scales_", "shift_", "stretch_", "flows_"):
            if not np.isfinite(getattr(self, name)).all():
                raise ValueError(f"{name} must be finite")

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        n, m, d = self.n_states, self.n_mix, self.n_features
        return int(self.flows_.size) + n * (m * 2 * d + m - 1)

    def macs(self) -> int:
        """Multiplications with additions of the networks of all couplings, and of the Gaussians in the latents."""
        flows = self.initial_flows()
        h, (keep, change, mix) = flows.n_hidden, flows.n_rows.T
        layers = int((h * keep + h * h + 2 * h * change + change + mix**2).sum())
        return self.n_flows * layers + 2 * self.n_features * self.n_states * self.n_mix


class GenEmissions(FlowEmissions):
    """A mixture of K generators a state, `p(x | s) = sum_k w_sk p_sk(x)`, `p_sk` a flow of its own.

    The last layer of each generator, a scale and a shift, is held as standard deviation and mean of its latent.

    Source: Liu, Honore, Chatterjee and Rasmussen 2019, "Powering hidden Markov model by neural network based generative
    models", arXiv 1910.05744.
    """

    @property
    def n_flows(self) -> int:
        """S K."""
        return self.n_states * self.n_mix


class LatEmissions(FlowEmissions):
    """One generator a state, from a mixture of K diagonal Gaussians in its latent.

    `p(x | s) = sum_k w_sk N(f_s(x); mu_sk, diag sigma_sk^2) |d f_s / dx|`.
    """

    @property
    def n_flows(self) -> int:
        """S."""
        return self.n_states


class GSEmissions(FlowEmissions):
    """One generator of all states; what tells them apart is the mixture in its latent.

    `p(x | s) = sum_k w_sk N(f(x); mu_sk, diag sigma_sk^2) |d f / dx|`. `docs/generalised_em.md` derives its training.
    """

    @property
    def n_flows(self) -> int:
        """1."""
        return 1
