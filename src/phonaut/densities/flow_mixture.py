"""Mixtures of diagonal Gaussians in the latents of flows, and their generalised EM.

Component k of flow f has the density

    p_fk(x) = N(z; mu_fk, diag sigma_fk^2) |dz / dx|,   z = f(x)

A generator with a standard normal latent whose last layer is a scale and a shift is the case K = 1: that layer is held
here as sigma and mu, so that its M-step is exact. The inverse standard deviations have a Gamma(a, b) prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.densities import flow_engine
from phonaut.densities.flow import LEAST_TASKS, Flows
from phonaut.densities.processes import all_reduce, several

LEAST_SCALE = 1e-6
MOST_HALVINGS = 6


class Groups(NamedTuple):
    """Frames that each group of flows explains: rows `begin[g] ... end[g]`; answers go to rows from `into[g]` on."""

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    into: NDArray[np.int64]

    @staticmethod
    def of(lengths: NDArray[np.int64]) -> Groups:
        """Groups one after another."""
        end = np.cumsum(lengths)
        return Groups(end - lengths, end, end - lengths)

    @property
    def n_answers(self) -> int:
        """Rows of the answer."""
        return int((self.into + self.end - self.begin).max(initial=0))


@dataclass
class Moments:
    """`sum_t r_tfk (1, z, z^2)`: n `(F, K)`, first and second `(F, K, D)`; and that of log-determinants `(F,)`."""

    n: Tensor
    first: Tensor
    second: Tensor
    logdet: Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.n + other.n, self.first + other.first, self.second + other.second, self.logdet + other.logdet
        )

    def scaled(self, factor: float) -> Moments:
        """As if every frame counted `factor` times."""
        return Moments(self.n * factor, self.first * factor, self.second * factor, self.logdet * factor)

    def reduced(self) -> Moments:
        """Those of all processes."""
        return Moments(*(all_reduce(value) for value in (self.n, self.first, self.second, self.logdet)))


class FlowMixtures:
    """F flows, and K components in the latent of each.

    Attributes:
        flows: F of them.
        means: mu, `(F, K, D)`, float64.
        scales: sigma, likewise.
    """

    def __init__(self, flows: Flows, means: Tensor, scales: Tensor) -> None:
        self.flows, self.means, self.scales = flows, means, scales

    def _latents(self) -> tuple[Tensor, Tensor, Tensor]:
        """Means, inverse scales and log-constants `(F, K)` in the type of the flows; the determinants of mixing
        matrices, which are the same for all frames, are in the constants."""
        w = self.flows.weights
        d = self.means.shape[-1]
        constant = -self.scales.log().sum(dim=-1) - 0.5 * d * math.log(2 * math.pi)
        with torch.no_grad():
            constant = constant.to(w.device) + self.flows.mixing_log_determinant().double()[:, None]
        return self.means.to(w), (1 / self.scales).to(w), constant.to(w)

    @property
    def _chunks(self) -> int:
        return -(-LEAST_TASKS // self.flows.n_flows)

    def _compiled(self, x: Tensor, groups: Groups, *more: Any) -> Any:
        """The arguments of a compiled recursion: those that all begin with, and more."""
        weights = self.flows.weights.detach().numpy()
        per_group = self.flows.n_flows // len(groups.begin)
        return (x.numpy(), *groups, per_group, weights, *self.flows.architecture(), *more)

    @property
    def on_cpu(self) -> bool:
        """The compiled recursions do the work, not torch."""
        return self.flows.weights.device.type == "cpu"

    def log_prob(self, x: Tensor, groups: Groups) -> Tensor:
        """`log p_fk(x_t)` of frames `(N, D)`, `(rows, F / G, K)`: each group of flows looks at frames of its own."""
        mean, inverse, constant = self._latents()
        n_flows, n_latent, _ = mean.shape
        logs = x.new_empty(groups.n_answers, n_flows // len(groups.begin), n_latent)
        if self.on_cpu:
            latents = mean.numpy(), inverse.numpy(), constant.numpy()
            flow_engine.log_prob(*self._compiled(x, groups, *latents, self._chunks, logs.numpy()))
            return logs
        with torch.no_grad():
            return unpadded(self._torch_log_prob(padded(x, groups)), groups, logs)

    def _torch_log_prob(self, x: Tensor) -> Tensor:
        """The same of `(G, N, D)`, `(F, N, K)`, by torch and with gradients."""
        mean, inverse, constant = self._latents()
        z, logdet = self.flows(x)
        mixing = self.flows.mixing_log_determinant()  # which is in logdet, and in the constant
        precision = inverse.square()
        away = z.square() @ precision.mT - 2 * z @ (mean * precision).mT + (mean.square() * precision).sum(-1)[:, None]
        logs: Tensor = (constant - mixing.detach()[:, None])[:, None] + logdet[:, :, None] - 0.5 * away
        return logs

    def moments(self, x: Tensor, responsibilities: Tensor, groups: Groups) -> Moments:
        """Sums over frames, weighted by responsibilities `(rows, F / G, K)`."""
        n_flows, n_latent, d = self.means.shape
        with torch.no_grad():
            mixing = self.flows.mixing_log_determinant().double()
        if self.on_cpu:
            sums = np.zeros((n_flows, self._chunks, n_latent, 1 + 2 * d))
            logdet = np.zeros((n_flows, self._chunks))
            flow_engine.moments(*self._compiled(x, groups, self._chunks, responsibilities.numpy(), sums, logdet))
            of_all = torch.from_numpy(sums.sum(axis=1))
            n = of_all[:, :, 0]
            logs = torch.from_numpy(logdet.sum(axis=1)) + mixing * n.sum(dim=1)
            return Moments(n, of_all[:, :, 1 : d + 1], of_all[:, :, d + 1 :], logs)
        with torch.no_grad():
            z, logs = self.flows(padded(x, groups))
            part = by_flow(responsibilities, groups, self.flows.n_flows)
            z, part, logs = z.double(), part.double(), logs.double()
            return Moments(
                part.sum(dim=1).cpu(), (part.mT @ z).cpu(), (part.mT @ z.square()).cpu(),
                (part.sum(dim=2) * logs).sum(dim=1).cpu(),
            )  # fmt: skip

    def expected(self, moments: Moments) -> Tensor:
        """`Q_f = sum_t sum_k r_tfk log p_fk(x_t)` of each flow, `(F,)`, from moments."""
        d = self.means.shape[-1]
        scatter = moments.second - 2 * self.means * moments.first + moments.n[..., None] * self.means.square()
        constant = -self.scales.log().sum(dim=-1) - 0.5 * d * math.log(2 * math.pi)
        return moments.logdet + (moments.n * constant - 0.5 * (scatter / self.scales**2).sum(dim=-1)).sum(dim=1)

    def gradient(self, x: Tensor, responsibilities: Tensor, groups: Groups) -> Tensor:
        """Gradient of the sum of all `Q_f` with respect to the weights of the flows, `(F, P)`."""
        w = self.flows.weights
        if not self.on_cpu:
            part = by_flow(responsibilities, groups, self.flows.n_flows)
            (slope,) = torch.autograd.grad((self._torch_log_prob(padded(x, groups)) * part).sum(), w)
            return slope
        mean, inverse, constant = self._latents()
        chunks = self._chunks
        slopes, value = torch.zeros(len(w), chunks, w.shape[1], dtype=w.dtype), np.zeros((len(w), chunks))
        latents = mean.numpy(), inverse.numpy(), constant.numpy()
        flow_engine.gradients(
            *self._compiled(x, groups, *latents, chunks, responsibilities.numpy(), slopes.numpy(), value)
        )
        slope = slopes[:, 0] if chunks == 1 else slopes.sum(dim=1)
        if self.flows.n_rows[:, 2].any():
            spans = zip(groups.into.tolist(), (groups.end - groups.begin).tolist(), strict=True)
            counts = torch.cat([responsibilities[first : first + n].sum(dim=(0, 2)) for first, n in spans])
            slope += torch.autograd.grad((self.flows.mixing_log_determinant() * counts).sum(), w)[0]
        return slope

    def improve(
        self, x: Tensor, responsibilities: Tensor, groups: Groups, *, n_passes: int, learning_rate: float,
        batch_size: int, seed: tuple[int, ...], anchor: Tensor | None = None, precision: float = 0.0,
    ) -> Moments:  # fmt: skip
        """Passes of Adam up Q with the log-density of a prior, and the moments under the flows that result.

        The prior of the weights of a flow is `N(w; anchor, 1 / precision)`. A flow for which the sum fell goes back
        towards where it came from, by halves, until it did not; so it never falls.

        Args:
            x: frames `(N, D)`, in the type of the flows.
            responsibilities: of frames for components, `(rows, F / G, K)`.
            groups: which frames are whose.
            n_passes: over all frames.
            learning_rate: of Adam, which starts anew each time.
            batch_size: frames of a group in a step; 0: all.
            seed: of the order of frames.
            anchor: mean of the prior, `(F, P)`.
            precision: of the prior, one over its variance; 0: there is none.
        """
        w = self.flows.weights
        pull = precision if anchor is not None else 0.0
        anchor = w.detach() if anchor is None else anchor.to(w)

        def objective(moments: Moments) -> Tensor:
            away = (w.detach() - anchor).double().square().sum(dim=1).cpu()
            return self.expected(moments) - 0.5 * pull * away

        moments = self.moments(x, responsibilities, groups).reduced()
        if not (n_passes and self.flows.n_weights):
            return moments
        before, start = objective(moments), w.detach().clone()
        optimizer = torch.optim.Adam([w], lr=learning_rate, fused=True)
        share = 1 / float(moments.n.sum().clamp(min=1e-10))  # gradients per frame: Adam's epsilon is small beside them
        sizes = groups.end - groups.begin
        n_batches = int(-(-sizes.max(initial=1) // batch_size)) if batch_size else 1
        if several():
            n_batches = -int(-all_reduce(torch.tensor(float(n_batches))) // torch.distributed.get_world_size())
        rng = np.random.default_rng(seed)
        for _ in range(n_passes):
            frames, r = x, responsibilities
            if n_batches > 1:
                order = np.concatenate(
                    [a + rng.permutation(n) for a, n in zip(groups.begin, sizes, strict=True)]
                    or [np.empty(0, np.int64)]
                )
                frames, r = x[order], responsibilities[order]
            for b in range(n_batches):
                first, last = groups.begin + sizes * b // n_batches, groups.begin + sizes * (b + 1) // n_batches
                slope = all_reduce(self.gradient(frames, r, Groups(first, last, first)))
                w.grad = slope.sub_(w.detach() - anchor, alpha=pull / n_batches).mul_(-share)
                optimizer.step()
        w.grad = None
        end = w.detach().clone()
        moments = self.moments(x, responsibilities, groups).reduced()
        for halving in range(1, MOST_HALVINGS + 2):
            fell = ~(objective(moments) >= before)
            if not bool(fell.any()):
                break
            step = 0.5**halving if halving <= MOST_HALVINGS else 0.0
            with torch.no_grad():
                some = fell.to(w.device)
                w[some] = start[some] + step * (end[some] - start[some]) if step else start[some]
            moments = self.moments(x, responsibilities, groups).reduced()
        return moments

    def fit_latents(self, moments: Moments, a: float, b: float) -> None:
        """The exact M-step of means and scales.

        With `S = sum_t r (z - mu)^2` and n frames,

        `sigma = (b + sqrt(b^2 + 4 (n + a - 1) S)) / (2 (n + a - 1))`,

        which is where the derivative of `-(n + a - 1) log sigma - S / (2 sigma^2) - b / sigma` is 0. A component
        without frames keeps what it had.
        """
        n = moments.n[..., None]
        seen = n > 1e-10
        means = torch.where(seen, moments.first / n.clamp(min=1e-10), self.means)
        spread = (moments.second - 2 * means * moments.first + n * means.square()).clamp(min=0)
        weight = n + (a - 1)
        scales = (b + (b * b + 4 * weight * spread).sqrt()) / (2 * weight.clamp(min=1e-10))
        self.means = means
        self.scales = torch.where(seen, scales.clamp(min=LEAST_SCALE), self.scales)

    def log_prior(self, a: float, b: float) -> float:
        """Log-density of the scales, `sum -(a - 1) log sigma - b / sigma`, up to a constant."""
        return float((-(a - 1) * self.scales.log() - b / self.scales).sum())


def padded(x: Tensor, groups: Groups) -> Tensor:
    """Frames of each group, `(G, N, D)`; the first frame past the end of a group."""
    sizes = torch.from_numpy(groups.end - groups.begin)
    place = torch.arange(int(sizes.max()))[None].expand(len(sizes), -1)
    rows = torch.where(place < sizes[:, None], place + torch.from_numpy(groups.begin)[:, None], 0)
    return x[rows.to(x.device)]


def unpadded(values: Tensor, groups: Groups, out: Tensor) -> Tensor:
    """`(F, N, K)` as rows `(rows, F / G, K)`."""
    by_group = values.view(len(groups.begin), -1, *values.shape[1:])
    for g, (first, n) in enumerate(zip(groups.into, groups.end - groups.begin, strict=True)):
        out[first : first + n] = by_group[g, :, :n].transpose(0, 1)
    return out


def by_flow(responsibilities: Tensor, groups: Groups, n_flows: int) -> Tensor:
    """`(rows, F / G, K)` as `(F, N, K)`, zero past the end of a group."""
    sizes = torch.from_numpy(groups.end - groups.begin)
    place = torch.arange(int(sizes.max()))[None].expand(len(sizes), -1)
    inside = place < sizes[:, None]
    rows = torch.where(inside, place + torch.from_numpy(groups.into)[:, None], 0)
    values = responsibilities[rows.to(responsibilities.device)] * inside.to(responsibilities)[:, :, None, None]
    return values.transpose(1, 2).reshape(n_flows, place.shape[1], responsibilities.shape[2])
