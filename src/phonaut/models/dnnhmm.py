"""DNN-HMM: a network gives posteriors of HMM states for each frame, hidden Markov models score the segment."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from phonaut.checks import BELOW_ONE, below, refuse, within
from phonaut.hmm import inference
from phonaut.hmm.chains import MarkovChains
from phonaut.networks.network import Network
from phonaut.networks.padding import surrounded, without_padding


class DNNHMM(Network):
    """Scores of segments, `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    A network sees each frame with its neighbours and gives `p(c, s | x_t)` of all states s of all classes c. By Bayes'
    rule `p(x_t | c, s) = p(c, s | x_t) / p(c, s)` up to a factor that is common to all, so that with the chain of class
    c, `score_c = log p(c) + log sum_paths prod_t a(s_t | s_t-1) p(c, s_t | x_t) / p(c, s_t)`.

    Source: Bourlard and Morgan 1994, "Connectionist speech recognition: a hybrid approach", chapter 7.

    Args:
        n_features: D.
        n_classes: C.
        n_states: of each class, S.
        hidden_size: units of each hidden layer.
        n_layers: hidden layers.
        context: frames on each side that a frame is seen with, as far as they are in its segment.
        dropout: after hidden layers.
        scope: `segment`: context ends where a segment does; `recording`: it is that of the recording.

    Raises:
        ValueError: for sizes that are not positive, or another `scope`.
    """

    RULES: ClassVar = {
        "n_states": within(1, 1000),
        "hidden_size": within(1, 1e6),
        "n_layers": within(1, 1000),
        "context": within(0, 10_000),
        "dropout": BELOW_ONE,
    }

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        n_states: int = 3,
        hidden_size: int = 256,
        n_layers: int = 2,
        context: int = 4,
        dropout: float = 0.3,
        scope: Literal["segment", "recording"] = "segment",
    ) -> None:
        super().__init__()
        self.encodes_recordings = self.check_scope(scope) == "recording"
        sizes = {"n_states": n_states, "hidden_size": hidden_size, "n_layers": n_layers}
        refuse(below(1, n_features=n_features, n_classes=n_classes, **sizes) + below(0, context=context))
        self.n_classes, self.n_states = n_classes, n_states
        self.context = context
        widths = [(2 * context + 1) * n_features, *[hidden_size] * n_layers]
        layers: list[nn.Module] = []
        for i in range(n_layers):
            layers += [nn.Linear(widths[i], widths[i + 1]), nn.ReLU(), nn.Dropout(dropout)]
        self.network = nn.Sequential(*layers, nn.Linear(hidden_size, n_classes * n_states))
        self.log_state_prior: Tensor
        self.log_class_prior: Tensor
        self.chain_start: Tensor
        self.chain_transition: Tensor
        n = n_classes * n_states
        self.register_buffer("log_state_prior", torch.full((n,), -float(np.log(n))))
        self.register_buffer("log_class_prior", torch.full((n_classes,), -float(np.log(n_classes))))
        eye = torch.eye(n_states, dtype=torch.float64)
        self.register_buffer("chain_start", eye[:1].repeat(n_classes, 1))
        self.register_buffer("chain_transition", (0.5 * (eye + eye.roll(1, 1))).repeat(n_classes, 1, 1))

    def encode(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Logits of `p(c, s | x_t)`, `(B, T', C S)`, state s of class c at `c S + s`; T' is the longest length."""
        frames, mask = without_padding(frames, lengths)
        windows = surrounded(frames, self.context)
        if mask is None or torch.compiler.is_compiling():
            logits: Tensor = self.network(windows)
            return logits
        valid: Tensor = self.network(windows[mask])  # of phones most of a batch is padding
        return valid.new_zeros(*mask.shape, valid.shape[1]).masked_scatter(mask[:, :, None], valid)

    def classify(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments of logits `(B, T, C S)` with `lengths (B,)`."""
        rows = (logits.log_softmax(dim=2) - self.log_state_prior).view(*logits.shape[:2], self.n_classes, self.n_states)
        by_class = rows.transpose(1, 2).flatten(0, 1).double()  # (B C, T, S)
        chains = MarkovChains(self.chain_start.cpu().numpy(), self.chain_transition.cpu().numpy())
        which = np.tile(np.arange(self.n_classes), len(logits))
        n = lengths.repeat_interleave(self.n_classes).cpu().numpy()
        scores: Tensor = inference.log_likelihood(by_class, chains, n, chain=which).view(len(logits), self.n_classes)
        return scores.to(logits.dtype) + self.log_class_prior
