"""What the models have in common whose states emit through normalising flows: mixtures in the latents of generators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from phonaut.densities.flow import Flows, Mask, Permutation
from phonaut.densities.flow_mixture import FlowMixtures, Groups, Moments
from phonaut.densities.kmeans import nested
from phonaut.densities.reseeding import reseed
from phonaut.hmm import inference
from phonaut.hmm.base import HMM
from phonaut.hmm.chains import Array, Index
from phonaut.hmm.em import Expected, Random, dirichlet, normalized

LEAST_LEARNING_RATE = 1e-4
DECAY = 0.98  # of the learning rate, an EM step


@dataclass
class Evidence:
    """Frames, and what they are worth to each component: what gradient M-steps need in place of sums.

    Those of two parts do not add up: gradients are taken on the newer one; what is known of the older one are the
    moments that it had in the latents.
    """

    x: Tensor
    worth: Tensor
    moments: Moments | None = None

    def __add__(self, other: Evidence) -> Evidence:
        return replace(other, moments=self.moments)

    def scaled(self, factor: float) -> Evidence:
        """As if every frame counted `factor` times."""
        return Evidence(self.x, self.worth * factor, None if self.moments is None else self.moments.scaled(factor))

    def summed(self) -> Evidence:
        """Itself: what gradient M-steps sum over processes are gradients and moments."""
        return self


class FlowHMM(HMM):
    """State s emits `p(x | s) = sum_k w_sk p_f(s,k),s,k(x)`: component k of s lies in the latent of flow f(s, k).

    Sub-classes say which flow that is. Training is generalised EM: an E-step; passes of Adam up the expected complete
    log-likelihood Q, taken back where it fell; then exact M-steps of latents, weights, start and transitions.

    Args:
        n_components: states, S.
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
        startprob_prior: Dirichlet parameters, `(S,)` or one number.
        transmat_prior: Dirichlet parameters, `(S, S)` or one number.
        weights_prior: Dirichlet parameters, `(S, K)` or one number.
        algorithm: of `decode`: `viterbi` or `map`.
        random_state: a seed or a generator.
        n_iter: EM steps; 0: nothing is trained.
        tol: EM stops when the log-likelihood rises by less; negative: never.
        verbose: print each step.
        params: what is trained: s(tart), t(ransitions), w(eights), l(atents), f(lows).
        init_params: what is started anew by `fit`, even if it is set.
        n_restarts: starts; the best is kept.
        device: where densities are computed.
        dtype: of flows: `float32` or `float64`.
        checkpoint: file that `fit` writes after each step, and goes on from if it is there.

    Attributes:
        weights_: w, `(S, K)`.
        latent_means_: mu, `(S, K, D)`.
        latent_scales_: sigma, `(S, K, D)`.
        flows_: parameters of the flows, one in each row.
        shift_: mean, and stretch_: standard deviation of the frames that training began with, `(D,)`: flows see frames
            less the one, over the other.
    """

    codes: ClassVar[dict[str, str]] = {
        **HMM.codes, "w": "weights_", "l": "latent_means_", "L": "latent_scales_", "f": "flows_", "x": "shift_",
        "X": "stretch_", "r": "seed_",
    }  # fmt: skip
    weights_: Array
    latent_means_: Array
    latent_scales_: Array
    flows_: NDArray[Any]
    shift_: Array
    stretch_: Array
    seed_: NDArray[np.int64]

    def __init__(
        self,
        n_components: int = 1,
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
        startprob_prior: ArrayLike = 1.0,
        transmat_prior: ArrayLike = 1.0,
        weights_prior: ArrayLike = 1.0,
        algorithm: str = "viterbi",
        random_state: Random = None,
        n_iter: int = 10,
        tol: float = 1e-2,
        verbose: bool = False,
        params: str = "stwlf",
        init_params: str = "stwlf",
        n_restarts: int = 1,
        device: str = "cpu",
        dtype: str = "float32",
        checkpoint: str | None = None,
    ) -> None:
        self.n_components, self.n_mix = n_components, n_mix
        self.n_couplings, self.n_hidden, self.mask, self.permutation = n_couplings, n_hidden, mask, permutation
        self.early_every, self.early_size, self.bound = early_every, early_size, bound
        self.n_passes, self.learning_rate, self.batch_size = n_passes, learning_rate, batch_size
        self.flow_prior = flow_prior
        self.gamma_prior = (float(gamma_prior[0]), float(gamma_prior[1]))
        self.startprob_prior, self.transmat_prior = startprob_prior, transmat_prior
        self.weights_prior = weights_prior
        self.algorithm, self.random_state = algorithm, random_state
        self.n_iter, self.tol, self.verbose = n_iter, tol, verbose
        self.params, self.init_params = params, init_params
        self.n_restarts, self.device, self.dtype, self.checkpoint = n_restarts, device, dtype, checkpoint

    # --- what a sub-class says

    @property
    def n_flows(self) -> int:
        """How many generators there are; states and components are dealt out to them in order."""
        raise NotImplementedError

    # --- densities

    @property
    def _torch_dtype(self) -> torch.dtype:
        known = {"float32": torch.float32, "float64": torch.float64}
        if self.dtype not in known:
            raise ValueError(f"dtype is float32 or float64, got {self.dtype}")
        return known[self.dtype]

    def _flows(self) -> Flows:
        """The flows as they are at a start."""
        return Flows(
            self.n_flows, self.n_features, n_couplings=self.n_couplings, n_hidden=self.n_hidden, mask=self.mask,
            permutation=self.permutation, early_every=self.early_every, early_size=self.early_size, bound=self.bound,
            seed=int(self.seed_[0]),
        )  # fmt: skip

    def _mixtures(self) -> FlowMixtures:
        flows = self._flows()
        flows.weights.data = torch.from_numpy(self.flows_.copy()).to(self.device, self._torch_dtype)
        shape = (self.n_flows, -1, self.n_features)
        means, scales = (torch.from_numpy(v.reshape(shape)) for v in (self.latent_means_, self.latent_scales_))
        return FlowMixtures(flows, means, scales)

    def _standardized(self, x: Tensor) -> Tensor:
        shift, stretch = (torch.from_numpy(value).to(x) for value in (self.shift_, self.stretch_))
        return ((x - shift) / stretch).to(self._torch_dtype)

    def _components(self, x: Tensor) -> Tensor:
        """`log w_sk p_sk(x_t)` of standardised frames, `(N, S, K)`, float64."""
        groups = Groups.of(np.array([len(x)]))
        logs = self._mixtures().log_prob(x, groups).view(-1, self.n_components, self.n_mix).double()
        return logs + torch.from_numpy(np.log(np.maximum(self.weights_, 1e-300))).to(logs) - self._log_stretch

    @property
    def _log_stretch(self) -> float:
        return float(np.log(self.stretch_).sum())

    def _frame_log_prob(self, x: Tensor) -> Tensor:
        return self._components(self._standardized(x)).logsumexp(dim=2)

    def _expect(self, frames: NDArray[Any], lengths: Index, origin: Tensor) -> Expected:
        x = self._standardized(torch.from_numpy(frames).to(self.device))
        joint = self._components(x)
        logs = joint.logsumexp(dim=2)
        found = inference.forward_backward(logs.cpu().numpy(), self.chains, lengths)
        posterior = torch.from_numpy(found.state).to(joint)
        worth = ((joint - logs[:, :, None]).exp() * posterior[:, :, None]).nan_to_num_(0.0)
        evidence = Evidence(x, worth.view(len(x), self.n_flows, -1).to(x.dtype))
        log_prob = float(found.log_likelihood.sum())
        return Expected(log_prob, len(frames), found.start[0], found.transitions[0], evidence)

    # --- the M-step

    def _maximize_emissions(self, found: Evidence) -> None:
        mixtures = self._mixtures()
        groups = Groups.of(np.array([len(found.x)]))
        step = self.monitor_.iter
        moments = mixtures.improve(
            found.x, found.worth, groups, n_passes=self.n_passes if "f" in self.params else 0,
            learning_rate=max(self.learning_rate * DECAY**step, LEAST_LEARNING_RATE), batch_size=self.batch_size,
            seed=(int(self.seed_[0]), step), anchor=self._flows().weights.detach(), precision=self.flow_prior,
        )  # fmt: skip
        found.moments = moments if found.moments is None else found.moments + moments
        if "f" in self.params:
            self.flows_ = mixtures.flows.weights.detach().cpu().numpy()
        if "l" in self.params:
            mixtures.fit_latents(found.moments, *self.gamma_prior)
            shape = self.latent_means_.shape
            self.latent_means_, self.latent_scales_ = (
                value.numpy().reshape(shape) for value in (mixtures.means, mixtures.scales)
            )
        self._counts = found.moments.n.numpy().reshape(self.weights_.shape)
        if "w" in self.params:
            self.weights_ = normalized(self._counts, self.weights_prior, self.weights_)

    def _reseed(self) -> bool:
        if not set("wlf") <= set(self.params):
            return False
        self.weights_, self.flows_ = self.weights_.copy(), self.flows_.copy()
        self.latent_means_, self.latent_scales_ = self.latent_means_.copy(), self.latent_scales_.copy()
        own = [self.latent_scales_]
        if self.n_flows == self._counts.size:
            own.append(self.flows_.reshape(*self._counts.shape, -1))
        return reseed(self._counts, self.weights_, self.latent_means_, self.latent_scales_, own)

    def _emission_log_prior(self) -> float:
        a, b = self.gamma_prior
        of_scales = float((-(a - 1) * np.log(self.latent_scales_) - b / self.latent_scales_).sum())
        total = of_scales if "l" in self.params else 0.0
        if "w" in self.params:
            total += dirichlet(self.weights_prior, self.weights_)
        if "f" in self.params and self.flow_prior:
            away = self.flows_.astype(np.float64) - self._flows().weights.detach().numpy()
            total -= 0.5 * self.flow_prior * float(np.square(away).sum())
        return total

    # --- a start

    def _init_emissions(self, X: Array, rng: np.random.Generator, states: Index | None) -> None:
        n, m = self.n_components, self.n_mix
        if "f" in self.init_params or not hasattr(self, "flows_"):
            self.seed_ = np.array([rng.integers(2**31)])
            self.shift_, spread = X.mean(axis=0), X.std(axis=0)
            least = max(float(spread.max()) * 1e-6, 1e-150)
            self.stretch_ = np.where(spread > least, spread, max(float(spread.max()), least) if least > 1e-150 else 1.0)
            self.flows_ = self._flows().weights.detach().numpy().astype(self.dtype)
        if self._needs_init("w"):
            self.weights_ = np.full((n, m), 1.0 / m)
        if self._needs_init("l"):
            z = (X - self.shift_) / self.stretch_
            self.latent_means_, away = nested(z, n, m, rng, states)
            scale = np.sqrt(np.square(away).mean(axis=0) + 1e-4)
            self.latent_scales_ = np.broadcast_to(scale, self.latent_means_.shape).copy()

    def _check_emissions(self) -> None:
        if not all(hasattr(self, name) for name in self.codes.values()):
            raise ValueError(f"this {type(self).__name__} is not fitted: call fit first")
        n, m = self.n_components, self.n_mix
        self.n_features = len(self.shift_)
        self.weights_, self.latent_means_, self.latent_scales_ = (
            np.ascontiguousarray(value, dtype=np.float64)
            for value in (self.weights_, self.latent_means_, self.latent_scales_)
        )
        if self.weights_.shape != (n, m) or not np.allclose(self.weights_.sum(axis=1), 1) or (self.weights_ < 0).any():
            raise ValueError(f"weights_ must be ({n}, {m}), not negative, with rows that sum to 1; got {self.weights_}")
        wanted = (n, m, self.n_features)
        for name in ("latent_means_", "latent_scales_"):
            if getattr(self, name).shape != wanted:
                raise ValueError(f"{name} must be {wanted}; got {getattr(self, name).shape}")
        if not (self.latent_scales_ > 0).all():
            raise ValueError("latent_scales_ must be positive")
        if self.flows_.shape != (self.n_flows, self._flows().n_weights):
            raise ValueError(f"flows_ must be {(self.n_flows, self._flows().n_weights)}; got {self.flows_.shape}")

    # --- a fitted model

    def _sample_frames(self, path: Index, rng: np.random.Generator) -> Array:
        cumulated = np.cumsum(self.weights_, axis=1)[path]
        chosen = (rng.random(len(path))[:, None] * cumulated[:, -1:] >= cumulated).sum(axis=1)
        noise = rng.standard_normal((len(path), self.n_features))
        z = self.latent_means_[path, chosen] + self.latent_scales_[path, chosen] * noise
        flow = (path * self.n_mix + chosen) * self.n_flows // (self.n_components * self.n_mix)
        order = np.argsort(flow, kind="stable")
        sizes = np.bincount(flow, minlength=self.n_flows)
        place = np.arange(len(path)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        latents = torch.zeros(self.n_flows, int(sizes.max()), self.n_features, dtype=self._torch_dtype)
        latents[flow[order], place] = torch.from_numpy(z[order]).to(self._torch_dtype)
        x = self._mixtures().flows.cpu().inverse(latents).double().numpy()
        frames = np.empty_like(z)
        frames[order] = x[flow[order], place]
        sampled: Array = frames * self.stretch_ + self.shift_
        return sampled

    def _n_emission_parameters(self) -> int:
        n, m, d = self.n_components, self.n_mix, self.n_features
        return int(self.flows_.size) + n * (m * 2 * d + m - 1)
