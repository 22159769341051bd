"""A small network that tells which state a frame belongs to, in place of mixtures, for alignments."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from phonaut.arrays import Index
from phonaut.models.speakers.utterances import Utterances

BATCH = 128  # frames of a gradient step
LEARNING_RATE = 1e-3
BLOCK_FRAMES = 8192


class FrameNetwork:
    """Posteriors of states, from each frame with its neighbours; divided by priors they stand for likelihoods.

        log p(x_t | s) = log p(s | x_t) - log p(s) + constant

    Parameters are plain tensors, for a system of verification to keep among its own.

    Source: Bourlard and Morgan 1994, "Connectionist speech recognition: a hybrid approach", chapter 7.

    Args:
        hidden_size: units of each hidden layer.
        n_layers: hidden layers.
        context: frames on each side, the first and last frame repeated beyond the ends.
    """

    def __init__(self, hidden_size: int, n_layers: int, context: int) -> None:
        self.hidden_size, self.n_layers, self.context = hidden_size, n_layers, context
        self.layers: list[Tensor] = []  # weight and bias of each
        self.optimizer: torch.optim.Adam | None = None

    def begin(self, frames: NDArray[Any], labels: Index, n_states: int, seed: int) -> None:
        """Draw weights; take scales of features and priors of states from frames `(N, D)` and labels `(N,)`."""
        wide = torch.from_numpy(frames.astype(np.float64))
        self.mean, self.scale = wide.mean(dim=0), wide.std(dim=0, correction=0).clamp_min(1e-8)
        counts = torch.from_numpy(np.bincount(labels, minlength=n_states) + 1.0)  # no state is impossible
        self.log_prior = (counts / counts.sum()).log()
        widths = [(2 * self.context + 1) * frames.shape[1], *[self.hidden_size] * self.n_layers, n_states]
        generator = torch.Generator().manual_seed(seed)
        self.layers = []
        for i, (n_in, n_out) in enumerate(pairwise(widths)):
            gain = np.sqrt((2.0 if i < self.n_layers else 1.0) / n_in)
            self.layers += [gain * torch.randn(n_out, n_in, generator=generator), torch.zeros(n_out)]
        self.optimizer = None

    def _optimizer(self) -> torch.optim.Adam:
        if self.optimizer is None:
            for value in self.layers:
                value.requires_grad_(True)
            self.optimizer = torch.optim.Adam(self.layers, lr=LEARNING_RATE)
        return self.optimizer

    def epoch(self, frames: NDArray[Any], lengths: Index, labels: Index, seed: tuple[int, int]) -> float:
        """One pass over all frames, in an order that follows from `seed`; the mean cross-entropy on the way."""
        optimizer, x = self._optimizer(), self._scaled(frames)
        around, targets = self._around(lengths), torch.from_numpy(labels)
        order = torch.from_numpy(np.random.default_rng(seed).permutation(len(labels)))
        total = 0.0
        for part in torch.split(order, BATCH):
            loss = F.cross_entropy(self._logits(x, around[part]), targets[part])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += float(loss.detach()) * len(part)
        return total / len(labels)

    @torch.no_grad()
    def log_likelihoods(self, utterances: Utterances) -> Tensor:
        """Log-likelihoods of all states, up to a constant of each frame, `(N, P)`, float64."""
        x, around = self._scaled(utterances.frames), self._around(utterances.lengths)
        parts = [self._logits(x, part).double().log_softmax(dim=1) for part in torch.split(around, BLOCK_FRAMES)]
        return torch.cat(parts) - self.log_prior

    def _scaled(self, frames: NDArray[Any]) -> Tensor:
        return ((torch.from_numpy(frames.astype(np.float64)) - self.mean) / self.scale).float()

    def _around(self, lengths: Index) -> Tensor:
        """Numbers of the frames that each is seen with, `(N, 2 context + 1)`."""
        starts = np.repeat(np.cumsum(lengths) - lengths, lengths)[:, None]
        last = starts + np.repeat(lengths, lengths)[:, None] - 1
        near = np.arange(lengths.sum())[:, None] + np.arange(-self.context, self.context + 1)
        return torch.from_numpy(np.clip(near, starts, last))

    def _logits(self, x: Tensor, around: Tensor) -> Tensor:
        hidden = x[around].flatten(1)
        for i in range(0, len(self.layers), 2):
            hidden = F.linear(hidden if i == 0 else hidden.relu(), self.layers[i], self.layers[i + 1])
        return hidden

    # --- parameters

    def tensors(self) -> dict[str, Tensor]:
        """Parameters by name."""
        if not self.layers:
            return {}
        found = {"network:mean": self.mean, "network:scale": self.scale, "network:log_prior": self.log_prior}
        return found | {f"network:{i}": value.detach().clone() for i, value in enumerate(self.layers)}

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Set them; none where there are none."""
        if "network:mean" not in tensors:
            self.layers = []
            return
        self.mean, self.scale, self.log_prior = (tensors[f"network:{name}"].detach().cpu().clone() for name in
                                                 ("mean", "scale", "log_prior"))  # fmt: skip
        self.layers = [tensors[f"network:{i}"].detach().cpu().clone() for i in range(2 * self.n_layers + 2)]
        self.optimizer = None

    def training_state(self) -> dict[str, Any]:
        """State of the optimizer."""
        return {} if self.optimizer is None else self.optimizer.state_dict()

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        if state:
            self._optimizer().load_state_dict(dict(state))
