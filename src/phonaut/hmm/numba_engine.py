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
from numba import prange

from phonaut.arrays import Array, Index
from phonaut.compiled import njit

LEAST = 1e-280  # a sum of scaled probabilities below this has lost its digits
FAST = {"reassoc", "contract", "arcp", "nsz"}  # what lets sums be vectorised; infinities and NaN keep their meaning


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def through(weights: Array, transition: Array, low: Index, high: Index, out: Array) -> None:
    """`out = weights @ transition`, four rows at a time over the columns that any of them has."""
    n_states = len(weights)
    out[:] = 0.0
    for i in range(0, n_states - 3, 4):
        w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
        if w0 + w1 + w2 + w3 > 0.0:
            begin, stop = min(low[i : i + 4]), max(high[i : i + 4])
            r0, r1 = transition[i][begin:stop], transition[i + 1][begin:stop]
            r2, r3, into = transition[i + 2][begin:stop], transition[i + 3][begin:stop], out[begin:stop]
            for j in range(len(into)):
                into[j] += w0 * r0[j] + w1 * r1[j] + w2 * r2[j] + w3 * r3[j]
    for i in range(n_states - n_states % 4, n_states):
        w0 = weights[i]
        if w0 > 0.0:
            r0, into = transition[i][low[i] : high[i]], out[low[i] : high[i]]
            for j in range(len(into)):
                into[j] += w0 * r0[j]


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def forward_one(
    rows: Array, start: Array, transition: Array, low: Index, high: Index, alpha: Array, emission: Array, scale: Array
) -> float:
    """Scaled forward probabilities of one sequence; its log-likelihood, or NaN if a sum underflowed."""
    n_frames, n_states = rows.shape
    total = 0.0
    for t in range(n_frames):
        row, now, likelihood = rows[t], alpha[t], emission[t]
        peak = row[0]
        for s in range(1, n_states):
            peak = max(peak, row[s])
        if peak == -np.inf:
            return np.nan
        for s in range(n_states):
            likelihood[s] = np.exp(row[s] - peak)
        if t == 0:
            now[:] = start
        else:
            through(alpha[t - 1], transition, low, high, now)
        c = 0.0
        for s in range(n_states):
            now[s] *= likelihood[s]
            c += now[s]
        if not c > LEAST:
            return np.nan
        for s in range(n_states):
            now[s] /= c
        scale[t] = c
        total += np.log(c) + peak
    return total


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def add_outer(left: Array, right: Array, low: Index, high: Index, counts: Array) -> None:
    """`counts += left^T right` within the band, of eight frames: each count is read and written once."""
    for i in range(len(low)):
        a0, a1, a2, a3 = left[0, i], left[1, i], left[2, i], left[3, i]
        a4, a5, a6, a7 = left[4, i], left[5, i], left[6, i], left[7, i]
        if a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 > 0.0:
            begin, stop = low[i], high[i]
            b0, b1, b2, b3 = right[0][begin:stop], right[1][begin:stop], right[2][begin:stop], right[3][begin:stop]
            b4, b5, b6, b7 = right[4][begin:stop], right[5][begin:stop], right[6][begin:stop], right[7][begin:stop]
            into = counts[i][begin:stop]
            for j in range(len(into)):
                into[j] += (a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j]) + (
                    a4 * b4[j] + a5 * b5[j] + a6 * b6[j] + a7 * b7[j]
                )


@njit(nogil=True, error_model="numpy", fastmath=FAST)
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
    beta = np.empty(n_states)
    before, after = np.zeros((8, n_states)), np.zeros((8, n_states))  # of frames that `counts` still lacks
    ended = 0.0
    for s in range(n_states):
        ended += alpha[n_frames - 1, s] * end[s]
    if not ended > LEAST:
        return np.nan
    for s in range(n_states):
        beta[s] = end[s] / ended
        alpha[n_frames - 1, s] *= beta[s]
    for t in range(n_frames - 2, -1, -1):
        weights, ahead, now, likelihood = before[t % 8], after[t % 8], alpha[t], emission[t + 1]
        c = 1.0 / scale[t + 1]
        for j in range(n_states):
            ahead[j] = likelihood[j] * beta[j] * c
        whole = 0.0
        for i in range(n_states):
            row, part, reached = transition[i][low[i] : high[i]], ahead[low[i] : high[i]], 0.0
            for j in range(len(row)):
                reached += row[j] * part[j]
            beta[i] = reached
            weights[i] = now[i]
            now[i] *= reached
            whole += now[i]
        if not abs(whole - 1.0) < 1e-6:
            return np.nan
        if t % 8 == 0:
            add_outer(before, after, low, high, counts)
            before[:] = 0.0
    return float(np.log(ended))


@njit(nogil=True, parallel=True, error_model="numpy")
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
    """Posteriors `(M, S)`, transition counts `(chunks, C, S, S)` and log-likelihoods `(B,)`, NaN where it failed.

    Where no two sequences share a chain, chunks may share their counts, `(1, C, S, S)`.
    """
    n_states = log_likelihoods.shape[1]
    for k in prange(len(bounds) - 1):
        longest, part = 0, np.int64(k) if len(counts) > 1 else np.int64(0)
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
                        counts[part, c, i, j] += own[i, j] * transition[c, i, j]


@njit(nogil=True, parallel=True, error_model="numpy")
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


@njit(nogil=True, error_model="numpy")
def log_sum_exp(terms: Array) -> float:
    """`log(sum(exp(terms)))`."""
    peak = float(terms.max())
    return peak if peak == -np.inf else float(peak + np.log(np.exp(terms - peak).sum()))


@njit(nogil=True, error_model="numpy")
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


@njit(nogil=True, error_model="numpy")
def best_through(so_far: Array, log_transition: Array, low: Index, high: Index, out: Array) -> None:
    """`out[j] = max_i so_far[i] + log_transition[i, j]`, eight rows at a time over the columns that any of them has."""
    n_states = len(so_far)
    out[:] = -np.inf
    for i in range(0, n_states - 7, 8):
        v0, v1, v2, v3 = so_far[i], so_far[i + 1], so_far[i + 2], so_far[i + 3]
        v4, v5, v6, v7 = so_far[i + 4], so_far[i + 5], so_far[i + 6], so_far[i + 7]
        if max(max(v0, v1, v2, v3), max(v4, v5, v6, v7)) > -np.inf:
            begin, stop = min(low[i : i + 8]), max(high[i : i + 8])
            r0, r1 = log_transition[i][begin:stop], log_transition[i + 1][begin:stop]
            r2, r3 = log_transition[i + 2][begin:stop], log_transition[i + 3][begin:stop]
            r4, r5 = log_transition[i + 4][begin:stop], log_transition[i + 5][begin:stop]
            r6, r7, into = log_transition[i + 6][begin:stop], log_transition[i + 7][begin:stop], out[begin:stop]
            for j in range(len(into)):
                lower = max(max(v0 + r0[j], v1 + r1[j]), max(v2 + r2[j], v3 + r3[j]))
                upper = max(max(v4 + r4[j], v5 + r5[j]), max(v6 + r6[j], v7 + r7[j]))
                into[j] = max(into[j], max(lower, upper))
    for i in range(n_states - n_states % 8, n_states):
        v0, r0, into = so_far[i], log_transition[i][low[i] : high[i]], out[low[i] : high[i]]
        for j in range(len(into)):
            into[j] = max(into[j], v0 + r0[j])


@njit(nogil=True, parallel=True, error_model="numpy")
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
    """The most probable path `(M,)` of each sequence, of several the one with the lowest states, and its log.

    Where the best path to a state came from is looked for on the way back, in the states of the path alone.
    """
    n_states = log_likelihoods.shape[1]
    for b in prange(len(first)):
        n, c, begin = lengths[b], model[b], first[b]
        if n == 0:
            score[b] = 0.0
            continue
        rows, transition = log_likelihoods[begin : begin + n], log_transition[c]
        arrived, now = np.empty((n, n_states)), np.empty(n_states)  # before a frame is heard, and after
        arrived[0] = log_start[c]
        for t in range(n):
            if t > 0:
                best_through(now, transition, low[c], high[c], arrived[t])
            before, row = arrived[t], rows[t]
            for s in range(n_states):
                now[s] = before[s] + row[s]
        best = 0
        for s in range(n_states):
            now[s] += log_end[c, s]
            if now[s] > now[best]:
                best = s
        score[b] = now[best]
        for t in range(n - 1, -1, -1):
            path[begin + t] = best if score[b] > -np.inf else -1
            if t > 0:
                value, before, row = arrived[t, best], arrived[t - 1], rows[t - 1]
                for i in range(n_states):
                    if (before[i] + row[i]) + transition[i, best] == value:
                        best = i
                        break
