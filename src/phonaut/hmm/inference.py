"""Inference in hidden Markov models, from log-likelihoods of frames: it knows nothing of what emits them.

Log-likelihoods come as a padded batch `(B, T, S)`, or as sequences one after another, `(M, S)` with `sum(lengths) = M`;
what comes back has the same layout. NumPy arrays are worked on by compiled code on the CPU, torch tensors by torch on
their device, both in float64; what is found of tensors comes back in their type, and `log_likelihood` of them can be
differentiated. `filtered` and `viterbi` give arrays for both.

A frame that is missing has the log-likelihood 0 in all states, one whose label is known -inf in all states that do not
have it (`masked`). Source: Rabiner 1989, "A tutorial on hidden Markov models and selected applications in speech
recognition".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from phonaut.arrays import Array, Index
from phonaut.hmm.chains import MarkovChains, Posteriors
from phonaut.hmm.inputs import as_array, is_tensor

if TYPE_CHECKING:
    from torch import Tensor

AnyArray = TypeVar("AnyArray", bound=Any)  # an array or a tensor

CHUNKS = 16  # sums over sequences are made in as many parts, however many threads there are


class Layout(NamedTuple):
    """Sequences as rows of one matrix `(M, S)`."""

    rows: Array
    first: Index
    lengths: Index
    chain: Index

    @property
    def bounds(self) -> Index:
        """Borders of the chunks, in sequences."""
        return np.linspace(0, len(self.lengths), CHUNKS + 1).round().astype(np.int64)


def laid_out(
    log_likelihoods: Any, lengths: ArrayLike | Tensor | None, chains: MarkovChains, chain: ArrayLike | None
) -> Layout:
    """The sequences in one matrix.

    Raises:
        ValueError: shapes do not fit, or a log-likelihood is NaN or +inf.
    """
    values = np.ascontiguousarray(as_array(log_likelihoods), dtype=np.float64)
    if values.ndim not in (2, 3) or values.shape[-1] != chains.n_states:
        raise ValueError(
            f"log_likelihoods must be (B, T, {chains.n_states}) or (M, {chains.n_states}); got {values.shape}"
        )
    if lengths is None:
        n = np.full(len(values), values.shape[1]) if values.ndim == 3 else np.array([len(values)])
    else:
        n = as_array(lengths)
    if n.ndim != 1 or n.dtype.kind not in "iu" or (n < 0).any():
        raise ValueError("lengths must be whole numbers (B,), not negative")
    n = n.astype(np.int64)
    if values.ndim == 2:
        first = np.cumsum(n) - n
        if n.sum() != len(values):
            raise ValueError(f"lengths add up to {n.sum()}, but there are {len(values)} rows")
    else:
        first = np.arange(len(values), dtype=np.int64) * values.shape[1]
        if len(n) != len(values) or (n > values.shape[1]).any():
            raise ValueError(f"lengths must be {len(values)} numbers of at most {values.shape[1]}; got {n[:5]}")
    rows = values.reshape(-1, chains.n_states)
    largest = rows.max(initial=-np.inf)
    if np.isnan(largest) or largest == np.inf:
        row, state = np.argwhere(~(rows < np.inf))[0]
        raise ValueError(f"log_likelihoods must not be NaN or +inf; got {rows[row, state]} in row {row}, state {state}")
    which = np.zeros(len(n), np.int64) if chain is None else np.asarray(chain, dtype=np.int64)
    if which.shape != n.shape or (len(which) and not 0 <= which.min() <= which.max() < len(chains.start)):
        raise ValueError(f"chain must be {len(n)} numbers from 0 to {len(chains.start) - 1}")
    return Layout(rows, first, n, which)


def forward_backward(
    log_likelihoods: Any,
    chains: MarkovChains,
    lengths: Any = None,
    *,
    chain: ArrayLike | None = None,
    scaled: bool = True,
) -> Posteriors:
    """Posteriors of states and transitions.

    Args:
        log_likelihoods: `log p(x_t | s_t = i)`, `(B, T, S)` or `(M, S)`.
        chains: the hidden chains.
        lengths: of the sequences, `(B,)`; None: all of T frames, or one sequence.
        chain: which of the chains each sequence has, `(B,)`; None: the first.
        scaled: recur in scaled probabilities, in logarithms only where those underflow; False: always in logarithms.

    Raises:
        ValueError: shapes do not fit, or a log-likelihood is NaN or +inf.
    """
    if is_tensor(log_likelihoods):
        from phonaut.hmm import torch_engine

        return torch_engine.forward_backward(log_likelihoods, chains, lengths, chain)
    from phonaut.hmm import numba_engine

    x = laid_out(log_likelihoods, lengths, chains, chain)
    n_chains, n_states = chains.start.shape
    state = np.zeros_like(x.rows)
    shared = len(np.unique(x.chain)) < len(x.chain)
    counts = np.zeros((CHUNKS if shared else 1, n_chains, n_states, n_states))
    total = np.full(len(x.lengths), 0.0 if scaled else np.nan)
    if scaled:
        numba_engine.forward_backward(
            x.rows, x.first, x.lengths, x.chain, chains.start, chains.transition, chains.exit_probabilities,
            *chains.bandwidth, x.bounds, state, counts, total,
        )  # fmt: skip
    transitions = counts.sum(axis=0)
    for b in np.flatnonzero(np.isnan(total)):
        part, c = slice(x.first[b], x.first[b] + x.lengths[b]), x.chain[b]
        total[b] = in_logs(x.rows[part], chains, c, np.empty_like(x.rows[part]), state[part], transitions[c])
    start = np.zeros_like(chains.start)
    there = x.lengths > 0
    np.add.at(start, x.chain[there], state[x.first[there]])
    return Posteriors(total, state.reshape(np.shape(log_likelihoods)), transitions, start)


def in_logs(rows: Array, chains: MarkovChains, c: int, filtered: Array, posterior: Array, counts: Array) -> float:
    """One sequence in the log domain."""
    from phonaut.hmm import numba_engine

    if not len(rows):
        return 0.0
    # What all states of a frame have in common is taken out, for sums over many frames to keep their digits.
    peak = rows.max(axis=1)
    peak = np.where(peak > -np.inf, peak, 0.0)
    start, transition, end = (value[c] for value in chains.logs)
    total = numba_engine.forward_backward_log(rows - peak[:, None], start, transition, end, filtered, posterior, counts)
    return float(total + peak.sum())


def filtered(
    log_likelihoods: ArrayLike,
    chains: MarkovChains,
    lengths: ArrayLike | None = None,
    *,
    chain: ArrayLike | None = None,
    scaled: bool = True,
) -> tuple[Array, Array]:
    """Causal posteriors `p(s_t = i | x_1 ... x_t)`, and `log p(x)` `(B,)`.

    Arguments and errors are those of `forward_backward`. How a sequence may end is known at its end only: it counts in
    `log p(x)` and not in the posteriors.
    """
    from phonaut.hmm import numba_engine

    x = laid_out(log_likelihoods, lengths, chains, chain)
    state, total = np.zeros_like(x.rows), np.full(len(x.lengths), 0.0 if scaled else np.nan)
    if scaled:
        numba_engine.forward(
            x.rows, x.first, x.lengths, x.chain, chains.start, chains.transition, chains.exit_probabilities,
            *chains.bandwidth, x.bounds, state, total,
        )  # fmt: skip
    for b in np.flatnonzero(np.isnan(total)):
        part = slice(x.first[b], x.first[b] + x.lengths[b])
        rows = x.rows[part]
        total[b] = in_logs(rows, chains, x.chain[b], state[part], np.empty_like(rows), np.zeros((chains.n_states,) * 2))
    return state.reshape(np.shape(log_likelihoods)), total


def log_likelihood(
    log_likelihoods: AnyArray,
    chains: MarkovChains,
    lengths: Any = None,
    *,
    chain: ArrayLike | None = None,
    scaled: bool = True,
) -> AnyArray:
    """`log p(x)` of each sequence, `(B,)`; of tensors, with gradients. Arguments as for `forward_backward`."""
    if is_tensor(log_likelihoods):
        from phonaut.hmm import torch_engine

        return torch_engine.log_likelihood(log_likelihoods, chains, lengths, chain)  # type: ignore[return-value]
    total: Any = filtered(log_likelihoods, chains, lengths, chain=chain, scaled=scaled)[1]
    return total  # type: ignore[no-any-return]


def filter_step(
    state: Array | None, log_likelihoods: ArrayLike, chains: MarkovChains, c: int = 0
) -> tuple[Array, float]:
    """One frame of causal filtering, for audio that is still coming.

    Args:
        state: what this function returned for the frame before, `(S,)`; None at the first.
        log_likelihoods: of this frame, `(S,)`.
        chains: the hidden chains.
        c: which of them.

    Returns:
        `p(s_t = i | x_1 ... x_t)`, and `log p(x_t | x_1 ... x_t-1)`.
    """
    predicted = chains.start[c] if state is None else state @ chains.transition[c]
    with np.errstate(divide="ignore"):
        joint = np.log(predicted) + np.asarray(as_array(log_likelihoods), dtype=np.float64)
    peak = joint.max()
    if peak == -np.inf:
        return np.zeros(chains.n_states), -np.inf
    weights = np.exp(joint - peak)
    return weights / weights.sum(), float(peak + np.log(weights.sum()))


def viterbi(
    log_likelihoods: ArrayLike,
    chains: MarkovChains,
    lengths: ArrayLike | None = None,
    *,
    chain: ArrayLike | None = None,
) -> tuple[Index, Array]:
    """The most probable path of each sequence, -1 past its end and where no path is possible, and its log-probability.

    Arguments and errors are those of `forward_backward`.

    Returns:
        Paths `(B, T)` or `(M,)`, and `max_s log p(x, s)` `(B,)`.
    """
    from phonaut.hmm import numba_engine

    x = laid_out(log_likelihoods, lengths, chains, chain)
    path, score = np.full(len(x.rows), -1, dtype=np.int64), np.zeros(len(x.lengths))
    numba_engine.viterbi(x.rows, x.first, x.lengths, x.chain, *chains.logs, *chains.bandwidth, path, score)
    return path.reshape(np.shape(log_likelihoods)[:-1]), score


def sample(chains: MarkovChains, n_frames: int, rng: np.random.Generator, c: int = 0) -> Index:
    """A path of `n_frames` states, `(T,)`; how it ends is not looked at."""
    uniform = rng.random(n_frames)
    cumulated = np.cumsum(chains.transition[c], axis=1)
    path = np.empty(n_frames, dtype=np.int64)
    ahead = np.cumsum(chains.start[c])
    for t in range(n_frames):
        path[t] = np.searchsorted(ahead, uniform[t] * ahead[-1], side="right")
        ahead = cumulated[path[t]]
    return path


def masked(log_likelihoods: ArrayLike, *, missing: ArrayLike | None = None, allowed: ArrayLike | None = None) -> Array:
    """Log-likelihoods of frames of which less, or more, is known.

    Args:
        log_likelihoods: `(..., S)`.
        missing: frames that were not observed, `(...)`: all states explain them alike.
        allowed: states that a frame may have, `(..., S)`: a label that is known, or one of several.
    """
    values = np.array(as_array(log_likelihoods), dtype=np.float64)
    if missing is not None:
        values[np.asarray(missing, dtype=bool)] = 0.0
    if allowed is not None:
        values[~np.asarray(allowed, dtype=bool)] = -np.inf
    return values
