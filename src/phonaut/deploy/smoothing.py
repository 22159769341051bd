"""Probabilities of words along time, from the scores of single windows, whose neighbours hear almost the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from phonaut.arrays import Array
from phonaut.hmm import inference
from phonaut.hmm.chains import MarkovChains
from phonaut.hmm.topology import bakis, graph
from phonaut.networks.pooling import moving_mean

STATES = 3  # of a word
WORD_S = 0.5  # that a word is expected to last, seconds
FILLER_S = 2.0  # likewise, what is between words


class Smoothing(Protocol):
    """Probabilities of words along one stream, which is cut into parts anywhere."""

    def step(self, scores: Tensor) -> Array:
        """Probabilities `(N, K)` of the words after each of the next scores `(N, C)`."""


class MovingAverage:
    """Mean of the last `smoothing_s` of the softmax of scores; at the beginning, of as many as there are.

    Args:
        words: which classes are words, `(K,)`.
        shift_s: from one score to the next, seconds.
        smoothing_s: over which the mean is taken; one score at least.
    """

    def __init__(self, words: Sequence[int], *, shift_s: float, smoothing_s: float) -> None:
        self.words, self.window = list(words), max(1, round(smoothing_s / shift_s))
        self.past: dict[str, Tensor] = {}

    def step(self, scores: Tensor) -> Array:
        """Probabilities `(N, K)` of the words after each of the next scores `(N, C)`."""
        if not len(scores):
            return np.zeros((0, len(self.words)))
        means: Array = moving_mean(scores.double().softmax(dim=1)[None], self.window, self.past)[0].numpy()
        return means[:, self.words]


class WordChain:
    """Causal posteriors of a hidden Markov chain in which words stand between fillers.

    A word is a left-to-right chain of three states that takes `WORD_S` in the mean, a filler a state that takes
    `FILLER_S`; after it each word is as probable. With the classes as probable as each other in training,

        log p(x_t | word k) = a log(C p(k | x_t)),    log p(x_t | filler) = a log(C / F sum_f p(f | x_t))

    up to what states share; F classes are no words, and where there are none it is 0. Neighbouring scores hear
    almost the same sound, and those of `smoothing_s` count as one: `a = min(1, shift_s / smoothing_s)`.

    Args:
        words: which classes are words, `(K,)`.
        n_classes: C.
        shift_s: from one score to the next, seconds.
        smoothing_s: as above.
    """

    def __init__(self, words: Sequence[int], n_classes: int, *, shift_s: float, smoothing_s: float) -> None:
        self.words, n_words = list(words), len(words)
        self.others = [c for c in range(n_classes) if c not in set(words)]
        self.weight = min(1.0, shift_s / smoothing_s) if smoothing_s else 1.0
        n_states = max(1, min(STATES, int(WORD_S / shift_s)))
        stay = [max(0.0, 1 - n * shift_s / lasts) for n, lasts in ((1, FILLER_S), (n_states, WORD_S))]
        nodes = [bakis(1, self_loop=stay[0]), *[bakis(n_states, self_loop=stay[1])] * n_words]
        arcs = [(None, 0, 1.0), *((0, k + 1, 1 / n_words) for k in range(n_words))]
        self.topology = graph(nodes, [*arcs, *((k + 1, 0, 1.0) for k in range(n_words))])
        self.state: Array | None = None

    def log_likelihoods(self, scores: Tensor) -> Array:
        """Those of filler and words, `(N, 1 + K)`, of scores `(N, C)`."""
        logs = scores.double().log_softmax(dim=1) + np.log(scores.shape[1])
        filler = logs[:, :0].new_zeros(len(logs), 1)
        if self.others:
            filler = logs[:, self.others].logsumexp(dim=1, keepdim=True) - np.log(len(self.others))
        return np.asarray(self.weight * torch.cat([filler, logs[:, self.words]], dim=1).numpy())

    def step(self, scores: Tensor) -> Array:
        """Posteriors `(N, K)` of the words after each of the next scores `(N, C)`, given all scores up to it."""
        if not len(scores):
            return np.zeros((0, len(self.words)))
        chain = self.topology
        start = chain.start if self.state is None else self.state @ chain.transition
        rows = self.log_likelihoods(scores)[:, chain.node]
        states, _ = inference.filtered(rows, MarkovChains(start, chain.transition))
        self.state = states[-1]
        return np.add.reduceat(states, np.flatnonzero(np.diff(chain.node, prepend=-1)), axis=1)[:, 1:]
