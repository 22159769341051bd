"""Couplings of many flows on the CPU, compiled: tile by tile, from frame to gradient without leaving the cache.

A tile is `(D, TILE)`: a dimension of 64 frames is one run of memory, so that products, which are small here
(24 x 24), are vectorised over frames. Each tile goes through all couplings of a flow and back; nothing but the sums of
gradients is written to memory. What the arrays hold is said at `Flows`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from phonaut.arrays import Index
from phonaut.compiled import njit

Array = NDArray[Any]  # of float32 or float64

TILE = 64
FAST = {"reassoc", "contract", "arcp", "nsz"}


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def affine(weight: Array, bias: Array, x: Array, rows: Index, y: Array, slope: float) -> None:
    """`y = leaky(W x[rows] + b)`; a slope of 1 leaves it linear."""
    n_in = len(rows)
    even = n_in - n_in % 4
    for o in range(len(bias)):
        out = y[o]
        for j in range(TILE):
            out[j] = bias[o]
        for i in range(0, even, 4):
            w0, w1, w2, w3 = weight[o, i], weight[o, i + 1], weight[o, i + 2], weight[o, i + 3]
            x0, x1, x2, x3 = x[rows[i]], x[rows[i + 1]], x[rows[i + 2]], x[rows[i + 3]]
            for j in range(TILE):
                out[j] += w0 * x0[j] + w1 * x1[j] + w2 * x2[j] + w3 * x3[j]
        for i in range(even, n_in):
            w0, x0 = weight[o, i], x[rows[i]]
            for j in range(TILE):
                out[j] += w0 * x0[j]
        if slope != 1:
            for j in range(TILE):
                out[j] = max(out[j], slope * out[j])


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def back(weight: Array, g: Array, n_out: int, x: Array, rows: Index) -> None:
    """`x[rows] += W^T g`."""
    even = n_out - n_out % 4
    for i in range(len(rows)):
        out = x[rows[i]]
        for o in range(0, even, 4):
            w0, w1, w2, w3 = weight[o, i], weight[o + 1, i], weight[o + 2, i], weight[o + 3, i]
            g0, g1, g2, g3 = g[o], g[o + 1], g[o + 2], g[o + 3]
            for j in range(TILE):
                out[j] += w0 * g0[j] + w1 * g1[j] + w2 * g2[j] + w3 * g3[j]
        for o in range(even, n_out):
            w0, g0 = weight[o, i], g[o]
            for j in range(TILE):
                out[j] += w0 * g0[j]


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def outer(g: Array, n_out: int, x: Array, rows: Index, of_weight: Array) -> None:
    """`gradient of W += g x[rows]^T`."""
    n_in = len(rows)
    even = n_in - n_in % 4
    zero = g.dtype.type(0)
    for o in range(n_out):
        go = g[o]
        for i in range(0, even, 4):
            x0, x1, x2, x3 = x[rows[i]], x[rows[i + 1]], x[rows[i + 2]], x[rows[i + 3]]
            a0, a1, a2, a3 = zero, zero, zero, zero
            for j in range(TILE):
                v = go[j]
                a0 += v * x0[j]
                a1 += v * x1[j]
                a2 += v * x2[j]
                a3 += v * x3[j]
            of_weight[o, i] += a0
            of_weight[o, i + 1] += a1
            of_weight[o, i + 2] += a2
            of_weight[o, i + 3] += a3
        for i in range(even, n_in):
            x0, a0 = x[rows[i]], zero
            for j in range(TILE):
                a0 += go[j] * x0[j]
            of_weight[o, i] += a0


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def total(g: Array, n_out: int, of_bias: Array) -> None:
    """`gradient of b += sum of g over frames`."""
    for o in range(n_out):
        go, a = g[o], g.dtype.type(0)
        for j in range(TILE):
            a += go[j]
        of_bias[o] += a


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def gate(g: Array, y: Array, slope: float) -> None:
    """The derivative of the leaky rectifier, from its output."""
    for o in range(len(y)):
        go, yo = g[o], y[o]
        for j in range(TILE):
            go[j] *= slope if yo[j] < 0 else g.dtype.type(1)


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def tanh_exp(s: Array, e: Array, bound: float) -> None:
    """`s = bound tanh(s / bound)` and `e = exp(s)` in place, of one row.

    In float32 by a rational function (that of Eigen) and a Taylor series of exp(s / 8), which vectorise and are right
    to some units of the last place for bounds up to 4; in float64 by the library.
    """
    if s.itemsize == 8:
        for j in range(TILE):
            s[j] = bound * np.tanh(s[j] / bound)
            e[j] = np.exp(s[j])
        return
    f = np.float32
    for j in range(TILE):
        x = min(max(s[j] / bound, f(-7.905311)), f(7.905311))
        q = x * x
        above = f(2.00018790482477e-13) - q * f(2.76076847742355e-16)
        above = f(5.12229709037114e-08) + q * (f(-8.60467152213735e-11) + q * above)
        above = f(6.37261928875436e-04) + q * (f(1.48572235717979e-05) + q * above)
        above = x * (f(4.89352455891786e-03) + q * above)
        below = f(1.18534705686654e-04) + q * f(1.19825839466702e-06)
        below = f(4.89352518554385e-03) + q * (f(2.26843463243900e-03) + q * below)
        v = bound * (above / below)
        s[j] = v
        u = v * f(0.125)
        p = f(1 / 24) + u * (f(1 / 120) + u * (f(1 / 720) + u * f(1 / 5040)))
        p = f(1) + u * (f(1) + u * (f(0.5) + u * (f(1 / 6) + u * p)))
        p = p * p
        p = p * p
        e[j] = p * p


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def up(
    z: Array, logdet: Array, w: Array, at: Index, keep: Index, change: Index, mix: Index, n_rows: Index, n_hidden: int,
    slope: float, bound: float, save: int, h1: Array, h2: Array, st: Array, e: Array, before: Array, every: Index,
) -> None:  # fmt: skip
    """A tile from frame to latent, in place; what the way back needs is saved a coupling if `save` is 1."""
    for j in range(TILE):
        logdet[j] = 0
    for c in range(len(at)):
        k = c * save
        n_keep, n_change, n_mix = n_rows[c]
        if n_mix:
            matrix = w[at[c, 6] : at[c, 6] + n_mix * n_mix].reshape(n_mix, n_mix)
            for i in range(n_mix):
                before[k, i] = z[mix[c, i]]
            zero = w[:n_mix] * 0
            affine(matrix, zero, before[k], every[:n_mix], st[k], 1.0)
            for i in range(n_mix):
                z[mix[c, i]] = st[k, i]
        one = w[at[c, 0] : at[c, 1]].reshape(n_hidden, n_keep)
        two = w[at[c, 2] : at[c, 3]].reshape(n_hidden, n_hidden)
        three = w[at[c, 4] : at[c, 5]].reshape(2 * n_change, n_hidden)
        affine(one, w[at[c, 1] : at[c, 2]], z, keep[c, :n_keep], h1[k], slope)
        affine(two, w[at[c, 3] : at[c, 4]], h1[k], every[:n_hidden], h2[k], slope)
        affine(three, w[at[c, 5] : at[c, 6]], h2[k], every[:n_hidden], st[k], w.dtype.type(1))
        for r in range(n_change):
            s, t, scale, b = st[k, r], st[k, n_change + r], e[k, r], z[change[c, r]]
            tanh_exp(s, scale, bound)
            for j in range(TILE):
                b[j] = b[j] * scale[j] + t[j]
                logdet[j] += s[j]


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def down(
    z: Array, g: Array, gl: Array, w: Array, gw: Array, at: Index, keep: Index, change: Index, mix: Index,
    n_rows: Index, n_hidden: int, slope: float, bound: float, h1: Array, h2: Array, st: Array, e: Array, before: Array,
    every: Index, go: Array, gh1: Array, gh2: Array,
) -> None:  # fmt: skip
    """The way back: `g` is the gradient with respect to the latent, `gl` that to the log-determinant."""
    one = w.dtype.type(1)
    for c in range(len(at) - 1, -1, -1):
        n_keep, n_change, n_mix = n_rows[c]
        for r in range(n_change):
            s, t, scale, b = st[c, r], st[c, n_change + r], e[c, r], z[change[c, r]]
            of_s, of_t, gb = go[r], go[n_change + r], g[change[c, r]]
            for j in range(TILE):
                stretched = b[j] - t[j]
                b[j] = stretched / scale[j]
                of_t[j] = gb[j]
                tanh = s[j] / bound
                of_s[j] = (gb[j] * stretched + gl[j]) * (one - tanh * tanh)
                gb[j] *= scale[j]
        first = w[at[c, 0] : at[c, 1]].reshape(n_hidden, n_keep)
        second = w[at[c, 2] : at[c, 3]].reshape(n_hidden, n_hidden)
        third = w[at[c, 4] : at[c, 5]].reshape(2 * n_change, n_hidden)
        hidden = every[:n_hidden]
        outer(go, 2 * n_change, h2[c], hidden, gw[at[c, 4] : at[c, 5]].reshape(2 * n_change, n_hidden))
        total(go, 2 * n_change, gw[at[c, 5] : at[c, 6]])
        gh2[:] = 0
        back(third, go, 2 * n_change, gh2, hidden)
        gate(gh2, h2[c], slope)
        outer(gh2, n_hidden, h1[c], hidden, gw[at[c, 2] : at[c, 3]].reshape(n_hidden, n_hidden))
        total(gh2, n_hidden, gw[at[c, 3] : at[c, 4]])
        gh1[:] = 0
        back(second, gh2, n_hidden, gh1, hidden)
        gate(gh1, h1[c], slope)
        outer(gh1, n_hidden, z, keep[c, :n_keep], gw[at[c, 0] : at[c, 1]].reshape(n_hidden, n_keep))
        total(gh1, n_hidden, gw[at[c, 1] : at[c, 2]])
        back(first, gh1, n_hidden, g, keep[c, :n_keep])
        if n_mix:
            matrix = w[at[c, 6] : at[c, 6] + n_mix * n_mix].reshape(n_mix, n_mix)
            for i in range(n_mix):
                go[i] = g[mix[c, i]]
                g[mix[c, i]] = 0
                z[mix[c, i]] = before[c, i]
            of_matrix = gw[at[c, 6] : at[c, 6] + n_mix * n_mix].reshape(n_mix, n_mix)
            outer(go, n_mix, before[c], every[:n_mix], of_matrix)
            back(matrix, go, n_mix, g, mix[c, :n_mix])


@njit(nogil=True, error_model="numpy", fastmath=FAST)
def load(x: Array, first: int, last: int, z: Array) -> None:
    """Frames `first ... last` as columns; the last one again past its end."""
    for j in range(TILE):
        row = x[min(first + j, last - 1)]
        for d in range(len(row)):
            z[d, j] = row[d]


@njit(nogil=True, error_model="numpy")
def widest_of(n_rows: Index) -> int:
    """Rows of a tile that some coupling needs at once."""
    widest = 1
    for c in range(len(n_rows)):
        widest = max(widest, 2 * n_rows[c, 1], n_rows[c, 2])
    return widest


@njit(nogil=True, parallel=True, error_model="numpy", fastmath=FAST)
def log_prob(
    x: Array, begin: Index, end: Index, into: Index, per_group: int, weights: Array, at: Index, keep: Index,
    change: Index, mix: Index, n_rows: Index, n_hidden: int, slope: float, bound: float, means: Array, inverse: Array,
    constant: Array, chunks: int, found: Array,
) -> None:  # fmt: skip
    """`constant + log-determinant - |(z - mean) inverse|^2 / 2`, `found (rows, flows of a group, K)`."""
    n_flows, n_latent, d = means.shape
    widest = widest_of(n_rows)
    every = np.arange(max(n_hidden, d))
    for task in prange(n_flows * chunks):
        f, chunk = task // chunks, task % chunks
        group, own = f // per_group, f % per_group
        z, logdet, acc = np.empty((d, TILE), x.dtype), np.empty(TILE, x.dtype), np.empty(TILE, x.dtype)
        h1, h2 = np.empty((1, n_hidden, TILE), x.dtype), np.empty((1, n_hidden, TILE), x.dtype)
        st, e = np.empty((1, widest, TILE), x.dtype), np.empty((1, widest, TILE), x.dtype)
        before = np.empty((1, d, TILE), x.dtype)
        for first in range(begin[group] + chunk * TILE, end[group], chunks * TILE):
            load(x, first, end[group], z)
            up(z, logdet, weights[f], at, keep, change, mix, n_rows, n_hidden, slope, bound, 0,
               h1, h2, st, e, before, every)  # fmt: skip
            n = min(TILE, end[group] - first)
            row = into[group] + first - begin[group]
            for k in range(n_latent):
                for j in range(TILE):
                    acc[j] = 0
                for i in range(d):
                    m, v = means[f, k, i], inverse[f, k, i]
                    for j in range(TILE):
                        away = (z[i, j] - m) * v
                        acc[j] += away * away
                for j in range(n):
                    found[row + j, own, k] = constant[f, k] + logdet[j] - acc[j] / 2


@njit(nogil=True, parallel=True, error_model="numpy", fastmath=FAST)
def gradients(
    x: Array, begin: Index, end: Index, into: Index, per_group: int, weights: Array, at: Index, keep: Index,
    change: Index, mix: Index, n_rows: Index, n_hidden: int, slope: float, bound: float, means: Array, inverse: Array,
    constant: Array, chunks: int, gamma: Array, of_weights: Array, value: Array,
) -> None:  # fmt: skip
    """`sum_t sum_k r_tfk log p_fk(x_t)`, `value (flows, chunks)`, and its gradient `(flows, chunks, P)`."""
    n_flows, n_latent, d = means.shape
    n_couplings = len(at)
    widest = widest_of(n_rows)
    every = np.arange(max(n_hidden, d))
    for task in prange(n_flows * chunks):
        f, chunk = task // chunks, task % chunks
        group, own = f // per_group, f % per_group
        z, g = np.empty((d, TILE), x.dtype), np.empty((d, TILE), x.dtype)
        logdet, gl, acc = np.empty(TILE, x.dtype), np.empty(TILE, x.dtype), np.empty(TILE, x.dtype)
        h1, h2 = np.empty((n_couplings, n_hidden, TILE), x.dtype), np.empty((n_couplings, n_hidden, TILE), x.dtype)
        st, e = np.empty((n_couplings, widest, TILE), x.dtype), np.empty((n_couplings, widest, TILE), x.dtype)
        before, go = np.empty((n_couplings, d, TILE), x.dtype), np.empty((widest, TILE), x.dtype)
        gh1, gh2 = np.empty((n_hidden, TILE), x.dtype), np.empty((n_hidden, TILE), x.dtype)
        part = np.empty(TILE, x.dtype)
        gw = of_weights[f, chunk]
        objective = 0.0
        for first in range(begin[group] + chunk * TILE, end[group], chunks * TILE):
            row = into[group] + first - begin[group]
            n = min(TILE, end[group] - first)
            some = False
            for j in range(n):
                for k in range(n_latent):
                    some |= gamma[row + j, own, k] > 0
            if not some:
                continue
            load(x, first, end[group], z)
            up(z, logdet, weights[f], at, keep, change, mix, n_rows, n_hidden, slope, bound, 1,
               h1, h2, st, e, before, every)  # fmt: skip
            g[:] = 0
            gl[:] = 0
            for k in range(n_latent):
                for j in range(TILE):
                    part[j] = gamma[row + j, own, k] if j < n else x.dtype.type(0)
                    acc[j] = 0
                    gl[j] += part[j]
                for i in range(d):
                    m, v = means[f, k, i], inverse[f, k, i]
                    for j in range(TILE):
                        away = (z[i, j] - m) * v
                        acc[j] += away * away
                        g[i, j] -= part[j] * away * v
                for j in range(n):
                    objective += part[j] * (constant[f, k] + logdet[j] - acc[j] / 2)
            down(z, g, gl, weights[f], gw, at, keep, change, mix, n_rows, n_hidden, slope, bound,
                 h1, h2, st, e, before, every, go, gh1, gh2)  # fmt: skip
        value[f, chunk] = objective


@njit(nogil=True, parallel=True, error_model="numpy", fastmath=FAST)
def moments(
    x: Array, begin: Index, end: Index, into: Index, per_group: int, weights: Array, at: Index, keep: Index,
    change: Index, mix: Index, n_rows: Index, n_hidden: int, slope: float, bound: float, chunks: int, gamma: Array,
    sums: Array, of_logdet: Array,
) -> None:  # fmt: skip
    """`sum_t r_tfk (1, z, z^2)`, `(flows, chunks, K, 1 + 2 D)`, and `sum_t sum_k r_tfk log-determinant`."""
    d, n_latent = x.shape[1], gamma.shape[2]
    widest = widest_of(n_rows)
    every = np.arange(max(n_hidden, d))
    for task in prange(len(weights) * chunks):
        f, chunk = task // chunks, task % chunks
        group, own = f // per_group, f % per_group
        z, logdet, part = np.empty((d, TILE), x.dtype), np.empty(TILE, x.dtype), np.zeros(TILE, x.dtype)
        h1, h2 = np.empty((1, n_hidden, TILE), x.dtype), np.empty((1, n_hidden, TILE), x.dtype)
        st, e = np.empty((1, widest, TILE), x.dtype), np.empty((1, widest, TILE), x.dtype)
        before = np.empty((1, d, TILE), x.dtype)
        found, logs = sums[f, chunk], 0.0
        for first in range(begin[group] + chunk * TILE, end[group], chunks * TILE):
            load(x, first, end[group], z)
            up(z, logdet, weights[f], at, keep, change, mix, n_rows, n_hidden, slope, bound, 0,
               h1, h2, st, e, before, every)  # fmt: skip
            n = min(TILE, end[group] - first)
            row = into[group] + first - begin[group]
            for k in range(n_latent):
                whole = 0.0
                for j in range(TILE):
                    part[j] = gamma[row + j, own, k] if j < n else x.dtype.type(0)
                    whole += part[j]
                found[k, 0] += whole
                for j in range(n):
                    logs += part[j] * logdet[j]
                for i in range(d):
                    a, b = 0.0, 0.0
                    for j in range(TILE):
                        a += part[j] * z[i, j]
                        b += part[j] * z[i, j] * z[i, j]
                    found[k, 1 + i] += a
                    found[k, 1 + d + i] += b
        of_logdet[f, chunk] = logs
