"""Markov chains of hidden states, and the posteriors that inference gives."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from phonaut.arrays import Array, Index


class Posteriors(NamedTuple):
    """Results of forward and backward recursions, as arrays or tensors like the log-likelihoods that went in.

    Attributes:
        log_likelihood: `log p(x)` of each sequence, `(B,)`; -inf where no path is possible.
        state: `p(s_t = i | x)`, in the layout of the log-likelihoods; 0 past the end, and where no path is possible.
        transitions: expected transitions, summed over all sequences of a chain, `(C, S, S)`.
        start: expected first states, likewise, `(C, S)`.
    """

    log_likelihood: Any
    state: Any
    transitions: Any
    start: Any


@dataclass(frozen=True)
class MarkovChains:
    """Hidden chains of S states each: one, or C of them for sequences that do not share one.

    Args:
        start: `p(s_1 = i)`, `(S,)` or `(C, S)`.
        transition: `p(s_t+1 = j | s_t = i)`, `(S, S)` or `(C, S, S)`.
        end: `p(the sequence ends | s_T = i)` up to a factor, `(S,)` or `(C, S)`; None: it may end anywhere.

    Raises:
        ValueError: shapes do not fit, or a value is negative or not finite.
    """

    start: Array
    transition: Array
    end: Array | None = None

    def __post_init__(self) -> None:
        transition = np.asarray(self.transition, dtype=np.float64)
        n_states = transition.shape[-1]
        transition = transition.reshape(-1, n_states, n_states)
        start = np.asarray(self.start, dtype=np.float64).reshape(-1, n_states)
        end = np.ones_like(start) if self.end is None else np.asarray(self.end, dtype=np.float64).reshape(-1, n_states)
        if not len(start) == len(transition) == len(end):
            raise ValueError(
                f"start {start.shape}, transition {transition.shape}, end {end.shape}: different numbers of chains"
            )
        for name, value in (("start", start), ("transition", transition), ("end", end)):
            if not (np.isfinite(value).all() and (value >= 0).all()):
                raise ValueError(f"{name} must be finite and not negative; got {value[~(value >= 0)][:3]}")
            object.__setattr__(self, name, np.ascontiguousarray(value))

    @property
    def n_states(self) -> int:
        """S."""
        return int(self.transition.shape[-1])

    @property
    def exit_probabilities(self) -> Array:
        """`end`, ones where it may end anywhere, `(C, S)`."""
        assert self.end is not None
        return self.end

    @cached_property
    def bandwidth(self) -> tuple[Index, Index]:
        """First column that is not 0 of each row of the transitions, and the one after the last, `(C, S)` each."""
        there = self.transition > 0
        low, high = there.argmax(axis=-1), self.n_states - there[..., ::-1].argmax(axis=-1)
        empty = ~there.any(axis=-1)
        low[empty] = high[empty] = 0
        return low.astype(np.int64), high.astype(np.int64)

    @cached_property
    def logs(self) -> tuple[Array, Array, Array]:
        """Logarithms of start, transition and end; -inf for 0."""
        with np.errstate(divide="ignore"):
            return np.log(self.start), np.log(self.transition), np.log(self.exit_probabilities)
