"""Gaussian mixtures and HMMs of them as a graph of tensors, which runtimes take."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan

from phonaut.arrays import Array
from phonaut.hmm.emissions import MixtureEmissions
from phonaut.models.generative_classifier import DURATIONS, GenerativeClassifier

NEVER = -1e30  # in place of -inf, of which differences are not numbers


def why_no_density_graph(kind: object) -> str | None:
    """Why a classifier whose states have emissions of a class has no graph, in one sentence; None where it has one."""
    if kind is not MixtureEmissions:
        return f"{getattr(kind, '__name__', kind)} are not exported: Gaussian mixtures, and HMMs of them, are"
    return None


class DensityGraph(nn.Module):
    """A trained `GenerativeClassifier` of Gaussian mixtures, `frames (1, T, D), lengths (1,) -> scores (1, C)`.

    With a state s of class c that emits `b_s(x) = sum_m w_sm N(x; mu_sm, Sigma_sm)` and W W^T the inverse of Sigma,

        log N(x; mu, Sigma) = -1/2 |W^T (x - mu)|^2 + log det W - D/2 log 2 pi
        alpha_1(s) = log pi_s + log b_s(x_1),   alpha_t(s) = log sum_r exp(alpha_{t-1}(r) + log a_rs) + log b_s(x_t)

    and `log p(x | c) = log sum_s exp alpha_T(s)`: the forward algorithm (Rabiner 1989, equations 19 to 21), in float64
    as in training. The frames are those of one recording.

    Args:
        network: trained.

    Raises:
        ValueError: its densities are no Gaussian mixtures.
    """

    def __init__(self, network: GenerativeClassifier) -> None:
        super().__init__()
        if reason := why_no_density_graph(network.density):
            raise ValueError(reason)
        emissions = [model.emissions for model in network.models]
        whole = MixtureEmissions.joined(emissions)  # type: ignore[arg-type]
        self.decision, self.acoustic_scale = network.decision, network.acoustic_scale
        self.n_classes, self.n_states, self.n_mix = network.n_classes, network.most_states, whole.n_mix
        chains = network.chains()
        means, factors, determinants = factored(whole)
        constant = np.log(np.maximum(whole.weights_, 1e-300)).reshape(-1) + determinants
        constant -= 0.5 * means.shape[1] * math.log(2 * math.pi)
        # Distances grow with the means; from their centre they need fewer digits.
        origin = means.mean(axis=0)
        self.origin, self.factors, self.constant = (
            nn.Buffer(of(origin)),
            nn.Buffer(of(factors)),
            nn.Buffer(of(constant)),
        )
        self.centres = nn.Buffer(of(projected(factors, means - origin)))
        first = np.cumsum([0, *(one.n_states for one in emissions)])
        place = np.full((self.n_classes, self.n_states), first[-1])  # the column behind the last state: never
        for c, one in enumerate(emissions):
            place[c, : one.n_states] = first[c] + np.arange(one.n_states)
        self.place = nn.Buffer(torch.from_numpy(place.reshape(-1)))
        self.start, self.transition = nn.Buffer(log_of(chains.start)), nn.Buffer(log_of(chains.transition))
        parameters = network.tensors()
        lasts = [parameters[key].double() for key in DURATIONS] if network.duration_model else None
        self.durations = None if lasts is None else nn.Buffer(torch.stack(lasts))

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores of a recording."""
        x = frames[0].double() - self.origin
        logs = self.frame_log_prob(x)
        totals = self.start[:, 0] + logs[:, :, 0].sum(dim=0) if self.n_states == 1 else self.forward_algorithm(logs)
        totals = self.acoustic_scale * totals
        if self.durations is not None:
            mean, scale = self.durations
            log_length = lengths.double().log()
            away = (log_length - mean) / scale
            totals = totals - 0.5 * away.square() - (scale * math.sqrt(2 * math.pi)).log() - log_length
        scores: Tensor = self.decision(totals[None])
        return scores.float()

    def frame_log_prob(self, x: Tensor) -> Tensor:
        """`log p(x_t | c, s)` of frames `(T, D)`, `(T, C, S)`."""
        if self.factors.ndim == 2:  # diagonal: |w x|^2 - 2 (w x)(w mu) + |w mu|^2
            distance = x.square() @ self.factors.square().T - 2 * x @ (self.factors * self.centres).T
            distance = distance + self.centres.square().sum(dim=1)
        else:
            turned = torch.einsum("td,kde->tke", x, self.factors)
            distance = (turned - self.centres).square().sum(dim=2)
        components = self.constant - 0.5 * distance
        states = components.reshape(x.shape[0], -1, self.n_mix).logsumexp(dim=2)
        never = states[:, :1] * 0 + NEVER
        return torch.cat([states, never], dim=1)[:, self.place].reshape(x.shape[0], self.n_classes, self.n_states)

    def forward_algorithm(self, logs: Tensor) -> Tensor:
        """`log p(x | c)` `(C,)` from `(T, C, S)`."""

        def step(alpha: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
            after = (alpha[:, :, None] + self.transition).logsumexp(dim=1) + row
            return after, after.sum()

        alpha, _ = scan(step, self.start + logs[0], logs[1:])
        total: Tensor = alpha.logsumexp(dim=1)
        return total


def factored(whole: MixtureEmissions) -> tuple[Array, Array, Array]:
    """Means `(K, D)`, W of each component, `(K, D)` where it is diagonal, else `(K, D, D)`, and log det W `(K,)`."""
    means, covariances = whole._flat()
    if whole.covariance_type in ("diag", "spherical"):
        wide = covariances if covariances.ndim == 2 else np.repeat(covariances[:, None], means.shape[1], axis=1)
        return means, 1 / np.sqrt(wide), -0.5 * np.log(wide).sum(axis=1)
    inverse = np.linalg.cholesky(np.linalg.inv(covariances))
    if whole.covariance_type == "tied":
        inverse = np.repeat(inverse, whole.n_mix, axis=0)
    return means, inverse, np.log(np.diagonal(inverse, axis1=1, axis2=2)).sum(axis=1)


def projected(factors: Array, x: Array) -> Array:
    """`W_k^T x_k`, `(K, D)`."""
    result: Array = factors * x if factors.ndim == 2 else np.einsum("kd,kde->ke", x, factors)
    return result


def of(array: Array) -> Tensor:
    """In float64."""
    return torch.from_numpy(np.asarray(array, dtype=np.float64).copy())


def log_of(probabilities: Array) -> Tensor:
    """Logarithms, `NEVER` for 0."""
    with np.errstate(divide="ignore"):
        return of(np.maximum(np.log(probabilities), NEVER))
