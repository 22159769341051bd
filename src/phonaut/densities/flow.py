"""Normalising flows, many side by side: RealNVP couplings, each an affine map whose scale and shift a network gives.

A coupling leaves a part a of the dimensions alone and changes the others, b:

    h = leaky(W2 leaky(W1 a + c1) + c2);   (o, t) = W3 h + c3;   s = bound tanh(o / bound)
    b' = b exp(s) + t;                     log |det| = sum s

Sources: Dinh, Sohl-Dickstein, Bengio 2017, "Density estimation using Real NVP"; Kingma and Dhariwal 2018, "Glow" (the
invertible 1 x 1 convolution, here a matrix over the dimensions); Prenger, Valle, Catanzaro 2019, "WaveGlow" (dimensions
that leave early).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.01  # of the leaky rectifier
LEAST_TASKS = 16  # flows times chunks of frames: enough for the threads to share, however many there are

Mask = Literal["cross", "chunk"]
Permutation = Literal["none", "random", "reverse", "conv1x1"]


class Flows(nn.Module):
    """F flows of one architecture from frames x to latents z of the same D dimensions.

    They start as the identity, and differ in their hidden layers. All parameters of a flow lie in one row of `weights`.

    Args:
        n_flows: F.
        n_features: D.
        n_couplings: of each flow.
        n_hidden: units of both hidden layers.
        mask: which half conditions the other: `cross` (even, odd) or `chunk` (first, second).
        permutation: of the dimensions between couplings: `none` (the halves take turns), `random` (drawn once, the same
            in all flows), `reverse`, or `conv1x1`: a matrix a coupling, trained, that starts as a rotation.
        early_every: after so many couplings some dimensions leave to the latent; 0: never.
        early_size: how many.
        bound: of the log-scales of one coupling.
        seed: of weights, permutations and rotations.

    Raises:
        ValueError: for settings that make no sense.
    """

    def __init__(
        self,
        n_flows: int,
        n_features: int,
        *,
        n_couplings: int = 8,
        n_hidden: int = 24,
        mask: Mask = "cross",
        permutation: Permutation = "none",
        early_every: int = 0,
        early_size: int = 2,
        bound: float = 2.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        problems = []
        if mask not in ("cross", "chunk"):
            problems.append(f"mask is cross or chunk, got {mask}")
        if permutation not in ("none", "random", "reverse", "conv1x1"):
            problems.append(f"permutation is none, random, reverse or conv1x1, got {permutation}")
        if min(n_flows, n_features, n_hidden) < 1 or n_couplings < 0:
            problems.append(f"n_flows, n_features, n_hidden are at least 1, got {(n_flows, n_features, n_hidden)}")
        if not 0 < bound <= 4:
            problems.append(f"bound is above 0 and at most 4, got {bound}")
        if early_every and n_features - early_size * ((n_couplings - 1) // early_every) < 2:
            problems.append(
                f"of {n_features} dimensions fewer than 2 would be left: lower early_size or raise early_every"
            )
        if problems:
            raise ValueError("Flows: " + "; ".join(problems))
        self.n_flows, self.n_features, self.n_hidden, self.bound = n_flows, n_features, n_hidden, bound
        self.n_couplings = n_couplings
        rng = np.random.default_rng(seed)
        self._lay_out(mask, permutation, early_every, early_size, rng)
        self.weights = nn.Parameter(self._start(torch.Generator().manual_seed(int(rng.integers(2**62)))))

    def _lay_out(
        self, mask: Mask, permutation: Permutation, early_every: int, early_size: int, rng: np.random.Generator
    ) -> None:
        """Lay out the dimensions that each coupling keeps, changes and mixes, and its parameters in a row."""
        d, h, c = self.n_features, self.n_hidden, self.n_couplings
        self.keep, self.change, self.mix = (np.zeros((c, d), np.int64) for _ in range(3))
        self.n_rows, self.at = np.zeros((c, 3), np.int64), np.zeros((c, 7), np.int64)
        order, last, end = np.arange(d), None, 0
        for i in range(c):
            if early_every and i and i % early_every == 0:
                order = order[early_size:]
            if permutation in ("random", "reverse") and i:
                order = order[::-1] if permutation == "reverse" else rng.permutation(order)
            # The middle one of an odd number is kept and changed in turns.
            half = (len(order) + (permutation != "reverse" or i % 2 == 0)) // 2
            kept, changed = (order[0::2], order[1::2]) if mask == "cross" else (order[:half], order[half:])
            if not len(changed) or (last is not None and set(kept) == last and len(kept) < len(order)):
                kept, changed = changed, kept
            last = set(kept.tolist())
            mixed = order if permutation == "conv1x1" else order[:0]
            for table, dimensions in ((self.keep, kept), (self.change, changed), (self.mix, mixed)):
                table[i, : len(dimensions)] = dimensions
            self.n_rows[i] = len(kept), len(changed), len(mixed)
            sizes = [h * len(kept), h, h * h, h, 2 * len(changed) * h, 2 * len(changed), len(mixed) ** 2]
            self.at[i] = end + np.cumsum([0, *sizes[:-1]])
            end += sum(sizes)
        self.n_weights = end

    def _start(self, generator: torch.Generator) -> Tensor:
        """Parameters `(F, P)`: hidden layers as `nn.Linear` draws them, the last one zero, matrices rotations."""
        weights = torch.zeros(self.n_flows, self.n_weights)
        for c in range(self.n_couplings):
            at, (n_keep, _, n_mix) = self.at[c], self.n_rows[c]
            for first, last, fan_in in ((at[0], at[2], n_keep), (at[2], at[4], self.n_hidden)):
                bound = 1 / math.sqrt(max(fan_in, 1))
                weights[:, first:last].uniform_(-bound, bound, generator=generator)
            if n_mix:
                noise = torch.randn(self.n_flows, n_mix, n_mix, generator=generator)
                weights[:, at[6] : at[6] + n_mix**2] = torch.linalg.qr(noise)[0].flatten(1)
        return weights

    def _coupling(self, c: int) -> tuple[list[Tensor], Tensor | None, tuple[Any, Any, Any]]:
        """Weights and biases of a coupling, its mixing matrix, and the dimensions it keeps, changes and mixes."""
        at, h = self.at[c], self.n_hidden
        n_keep, n_change, n_mix = (int(n) for n in self.n_rows[c])
        shapes = [(h, n_keep), (h, 1), (h, h), (h, 1), (2 * n_change, h), (2 * n_change, 1)]
        layers = [
            self.weights[:, first : first + shape[0] * shape[1]].view(self.n_flows, *shape)
            for first, shape in zip(at[:6].tolist(), shapes, strict=True)
        ]
        matrix = self.weights[:, at[6] : at[6] + n_mix**2].view(self.n_flows, n_mix, n_mix) if n_mix else None
        rows = tuple(
            torch.from_numpy(table[c, :n]).to(self.weights.device)
            for table, n in ((self.keep, n_keep), (self.change, n_change), (self.mix, n_mix))
        )
        return layers, matrix, rows  # type: ignore[return-value]

    def _scale_and_shift(self, layers: list[Tensor], a: Tensor) -> tuple[Tensor, Tensor]:
        """`s` and `t`, `(F, change, N)`, of what is kept, `(F, keep, N)`."""
        one, c1, two, c2, three, c3 = layers
        hidden = functional.leaky_relu(torch.baddbmm(c1, one, a), SLOPE)
        hidden = functional.leaky_relu(torch.baddbmm(c2, two, hidden), SLOPE)
        s, t = torch.baddbmm(c3, three, hidden).chunk(2, dim=1)
        return self.bound * torch.tanh(s / self.bound), t

    def _spread(self, x: Tensor) -> Tensor:
        """Frames as columns a flow, `(F, D, N)`.

        Raises:
            ValueError: another shape.
        """
        if x.ndim not in (2, 3) or x.shape[-1] != self.n_features or (x.ndim == 3 and self.n_flows % len(x)):
            raise ValueError(
                f"frames must be (N, {self.n_features}), or (G, N, {self.n_features}) with G a divisor of the "
                f"{self.n_flows} flows; got {tuple(x.shape)}"
            )
        groups = x.mT if x.ndim == 3 else x.mT[None]
        return groups.repeat_interleave(self.n_flows // len(groups), dim=0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Latents `(F, N, D)` and `log |dz / dx|` `(F, N)`, with gradients.

        Args:
            x: frames for all flows, `(N, D)`; or `(G, N, D)`: frames for the first F / G flows, for the next ...
        """
        z = self._spread(x)
        logdet = z.new_zeros(self.n_flows, z.shape[2])
        for c in range(self.n_couplings):
            layers, matrix, (keep, change, mix) = self._coupling(c)
            if matrix is not None:
                z = z.index_copy(1, mix, matrix @ z[:, mix])
                logdet = logdet + torch.linalg.slogdet(matrix)[1][:, None]
            s, t = self._scale_and_shift(layers, z[:, keep])
            z = z.index_copy(1, change, z[:, change] * s.exp() + t)
            logdet = logdet + s.sum(dim=1)
        return z.mT, logdet

    @torch.no_grad()
    def inverse(self, z: Tensor) -> Tensor:
        """Frames `(F, N, D)` of latents `(F, N, D)`."""
        x = z.mT.clone()
        for c in reversed(range(self.n_couplings)):
            layers, matrix, (keep, change, mix) = self._coupling(c)
            s, t = self._scale_and_shift(layers, x[:, keep])
            x[:, change] = (x[:, change] - t) * (-s).exp()
            if matrix is not None:
                x[:, mix] = torch.linalg.solve(matrix, x[:, mix])
        return x.mT

    def log_prob(self, x: Tensor) -> Tensor:
        """`log p_f(x_t)` with a standard normal latent, `(F, N)`, with gradients."""
        z, logdet = self(x)
        density: Tensor = logdet - 0.5 * (z.square().sum(dim=-1) + self.n_features * math.log(2 * math.pi))
        return density

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Frames `(F, N, D)` of standard normal latents."""
        z = torch.randn(self.n_flows, n, self.n_features, generator=generator, dtype=self.weights.dtype)
        return self.inverse(z.to(self.weights.device))

    def mixing_log_determinant(self) -> Tensor:
        """`sum log |det|` of the mixing matrices, `(F,)`."""
        logs = self.weights.new_zeros(self.n_flows)
        for c in range(self.n_couplings):
            matrix = self._coupling(c)[1]
            logs = logs if matrix is None else logs + torch.linalg.slogdet(matrix)[1]
        return logs

    def architecture(self) -> tuple[Any, ...]:
        """Arguments of the compiled recursions after the weights."""
        kind = np.float32 if self.weights.dtype == torch.float32 else np.float64
        return (self.at, self.keep, self.change, self.mix, self.n_rows, self.n_hidden, kind(SLOPE), kind(self.bound))
