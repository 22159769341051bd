"""Recursions over hidden states on the CPU, compiled: sequences in parallel, transitions within the band that is there.

Sequences are rows `first[b] ... first[b] + lengths[b]` of one matrix `(M, S)` of log-likelihoods: padded batches and
concatenated sequences are both that. Probabilities are scaled to sum to 1 at each frame (Rabiner 1989, section V.A):
one exponential for a state and frame, and no logarithm but one a frame. A sequence whose sums underflow is marked, and
done again in the log domain.

What is summed over sequences is summed in chunks whose number does not depend on the number of threads, so that a
result does not either.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int64]

LEAST = 1e-280  # a sum of scaled probabilities below this has lost its digits
FAST = {"reassoc", "contract", "arcp", "nsz"}  # what lets sums be vectorised; infinities and NaN keep their meaning


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def forward_one(
    rows: Array, start: Array, transition: Array, low: Index, high: Index, alpha: Array, emission: Array, scale: Array
) -> float:
    """Scaled forward probabilities of one sequence; its log-likelihood, or NaN if a sum underflowed."""
    n_frames, n_states = rows.shape
    total = 0.0
    for t in range(n_frames):
        peak = rows[t, 0]
        for s in range(1, n_states):
            peak = max(peak, rows[t, s])
        if peak == -np.inf:
            return np.nan
        for s in range(n_states):
            emission[t, s] = np.exp(rows[t, s] - peak)
        if t == 0:
            for s in range(n_states):
                alpha[0, s] = start[s]
        else:
            for s in range(n_states):
                alpha[t, s] = 0.0
            for i in range(n_states):
                weight = alpha[t - 1, i]
                if weight > 0.0:
                    for j in range(low[i], high[i]):
                        alpha[t, j] += weight * transition[i, j]
        c = 0.0
        for s in range(n_states):
            alpha[t, s] *= emission[t, s]
            c += alpha[t, s]
        if not c > LEAST:
            return np.nan
        for s in range(n_states):
            alpha[t, s] /= c
        scale[t] = c
        total += np.log(c) + peak
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath=FAST)
def backward_one(
    alpha: Array,
    emission: Array,
    scale: Array,
    end: Array,
    transition: Array,
    low: Index,
    high: Index,
    counts: Array,
) -> float:
    """Turn `alpha` into posteriors and add to `counts`, which lacks the factor of the transition matrix.

    Returns the log of how probable it is to end where the sequence does, or NaN if digits were lost; `counts` then
    holds rubbish.
    """
    n_frames, n_states = alpha.shape
    beta, ahead = np.empty(n_states), np.empty(n_states)
    ended = 0.0
    for s in range(n_states):
        ended += alpha[n_frames - 1, s] * end[s]
    if not ended > LEAST:
        return np.nan
    for s in range(n_states):
        beta[s] = end[s] / ended
        alpha[n_frames - 1, s] *= beta[s]
    for t in range(n_frames - 2, -1, -1):
        for j in range(n_states):
            ahead[j] = emission[t + 1, j] * beta[j] / scale[t + 1]
        whole = 0.0
        for i in range(n_states):
            weight, reached = alpha[t, i], 0.0
            for j in range(low[i], high[i]):
                reached += transition[i, j] * ahead[j]
            if weight > 0.0:
                for j in range(low[i], high[i]):
                    counts[i, j] += weight * ahead[j]
            beta[i] = reached
            alpha[t, i] = weight * reached
            whole += alpha[t, i]
        if not abs(whole - 1.0) < 1e-6:
            return np.nan
    return float(np.log(ended))


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def forward_backward(
    log_likelihoods: Array,
    first: Index,
    lengths: Index,
    model: Index,
    start: Array,
    transition: Array,
    end: Array,
    low: Index,
    high: Index,
    bounds: Index,
    posterior: Array,
    counts: Array,
    total: Array,
) -> None:
    """Posteriors `(M, S)`, transition counts `(chunks, C, S, S)` and log-likelihoods `(B,)`, NaN where it failed."""
    n_states = log_likelihoods.shape[1]
    for k in prange(len(bounds) - 1):
        longest = 0
        for b in range(bounds[k], bounds[k + 1]):
            longest = max(longest, lengths[b])
        emission, scale = np.empty((longest, n_states)), np.empty(longest)
        own = np.empty((n_states, n_states))
        for b in range(bounds[k], bounds[k + 1]):
            n, c, begin = lengths[b], model[b], first[b]
            if n == 0:
                total[b] = 0.0
                continue
            alpha = posterior[begin : begin + n]
            total[b] = forward_one(
                log_likelihoods[begin : begin + n], start[c], transition[c], low[c], high[c], alpha, emission, scale
            )
            if total[b] == total[b]:
                own[:] = 0.0
                total[b] += backward_one(alpha, emission, scale, end[c], transition[c], low[c], high[c], own)
            if total[b] == total[b]:
                for i in range(n_states):
                    for j in range(low[c, i], high[c, i]):
                        counts[k, c, i, j] += own[i, j] * transition[c, i, j]


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def forward(
    log_likelihoods: Array,
    first: Index,
    lengths: Index,
    model: Index,
    start: Array,
    transition: Array,
    end: Array,
    low: Index,
    high: Index,
    bounds: Index,
    filtered: Array,
    total: Array,
) -> None:
    """Posteriors given the frames up to each, `(M, S)`, and log-likelihoods `(B,)`, NaN where it failed."""
    n_states = log_likelihoods.shape[1]
    for k in prange(len(bounds) - 1):
        longest = 0
        for b in range(bounds[k], bounds[k + 1]):
            longest = max(longest, lengths[b])
        emission, scale = np.empty((longest, n_states)), np.empty(longest)
        for b in range(bounds[k], bounds[k + 1]):
            n, c, begin = lengths[b], model[b], first[b]
            if n == 0:
                total[b] = 0.0
                continue
            alpha = filtered[begin : begin + n]
            total[b] = forward_one(
                log_likelihoods[begin : begin + n], start[c], transition[c], low[c], high[c], alpha, emission, scale
            )
            ended = 0.0
            for s in range(n_states):
                ended += alpha[n - 1, s] * end[c, s]
            total[b] += np.log(ended) if ended > LEAST else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def log_sum_exp(terms: Array) -> float:
    """`log(sum(exp(terms)))`."""
    peak = float(terms.max())
    return peak if peak == -np.inf else float(peak + np.log(np.exp(terms - peak).sum()))


@njit(cache=True, nogil=True, error_model="numpy")
def forward_backward_log(
    rows: Array,
    log_start: Array,
    log_transition: Array,
    log_end: Array,
    filtered: Array,
    posterior: Array,
    counts: Array,
) -> float:
    """One sequence `(T, S)` in the log domain, where nothing underflows. Returns its log-likelihood; zeros if -inf."""
    n_frames, n_states = rows.shape
    alpha, beta = np.empty((n_frames, n_states)), np.empty((n_frames, n_states))
    alpha[0] = log_start + rows[0]
    for t in range(1, n_frames):
        for j in range(n_states):
            alpha[t, j] = log_sum_exp(alpha[t - 1] + log_transition[:, j]) + rows[t, j]
    beta[n_frames - 1] = log_end
    for t in range(n_frames - 2, -1, -1):
        for i in range(n_states):
            beta[t, i] = log_sum_exp(log_transition[i] + rows[t + 1] + beta[t + 1])
    total = log_sum_exp(alpha[n_frames - 1] + log_end)
    for t in range(n_frames):
        seen = log_sum_exp(alpha[t])
        for s in range(n_states):
            filtered[t, s] = np.exp(alpha[t, s] - seen) if seen > -np.inf else 0.0
            posterior[t, s] = np.exp(alpha[t, s] + beta[t, s] - total) if total > -np.inf else 0.0
    if total > -np.inf:
        for t in range(n_frames - 1):
            for i in range(n_states):
                for j in range(n_states):
                    counts[i, j] += np.exp(alpha[t, i] + log_transition[i, j] + rows[t + 1, j] + beta[t + 1, j] - total)
    return float(total)


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def viterbi(
    log_likelihoods: Array,
    first: Index,
    lengths: Index,
    model: Index,
    log_start: Array,
    log_transition: Array,
    log_end: Array,
    low: Index,
    high: Index,
    path: Index,
    score: Array,
) -> None:
    """The most probable path `(M,)` of each sequence, of several the one with the lowest states, and its log."""
    n_states = log_likelihoods.shape[1]
    for b in prange(len(first)):
        n, c, begin = lengths[b], model[b], first[b]
        if n == 0:
            score[b] = 0.0
            continue
        came = np.empty((n, n_states), dtype=np.int32)
        now, then = np.empty(n_states), np.empty(n_states)
        for s in range(n_states):
            now[s] = log_start[c, s] + log_likelihoods[begin, s]
        for t in range(1, n):
            now, then = then, now
            origin = came[t]
            for s in range(n_states):
                now[s] = -np.inf
                origin[s] = 0
            for i in range(n_states):
                so_far = then[i]
                for j in range(low[c, i], high[c, i]):
                    value = so_far + log_transition[c, i, j]
                    if value > now[j]:
                        now[j] = value
                        origin[j] = i
            for s in range(n_states):
                now[s] += log_likelihoods[begin + t, s]
        best = 0
        for s in range(n_states):
            now[s] += log_end[c, s]
            if now[s] > now[best]:
                best = s
        score[b] = now[best]
        for t in range(n - 1, -1, -1):
            path[begin + t] = best if score[b] > -np.inf else -1
            best = came[t, best] if t > 0 else best
