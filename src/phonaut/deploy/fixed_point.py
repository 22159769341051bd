"""Arithmetic of a front end in whole numbers of 32 and 64 bits: transform, sums of bands, logarithms, slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array

Whole = NDArray[Any]  # int64

TWIDDLE_BITS = 30
WEIGHT_BITS = 15  # of bands
LOG_BITS = 16
LOG_PARTS = 6  # bits of the table's index
REACH = 2  # frames to either side of a slope


def power_of(frames: Whole, n_fft: int) -> Whole:
    """`|rfft(x) / n_fft|^2` of frames `(T, win_length)` of 31 bits, filled up with zeros: `(T, n_fft / 2 + 1)`."""
    padded = np.zeros((len(frames), n_fft), np.int64)
    padded[:, : frames.shape[1]] = frames
    re, im = halving_fft(padded[:, ::2], padded[:, 1::2], n_fft)
    n = n_fft // 2
    k = np.arange(n + 1)
    here, there = k % n, (n - k) % n
    w_re, w_im = twiddles(n_fft)
    w_re, w_im = np.append(w_re, -w_re[0]), np.append(w_im, -w_im[0])
    even_re, even_im = re[:, here] + re[:, there], im[:, here] - im[:, there]
    odd_re, odd_im = im[:, here] + im[:, there], re[:, there] - re[:, here]
    x_re = shifted((even_re << TWIDDLE_BITS) + w_re * odd_re - w_im * odd_im, TWIDDLE_BITS + 2)
    x_im = shifted((even_im << TWIDDLE_BITS) + w_re * odd_im + w_im * odd_re, TWIDDLE_BITS + 2)
    power: Whole = x_re * x_re + x_im * x_im
    return power


def twiddles(n_fft: int) -> tuple[Whole, Whole]:
    """`exp(-2 pi i k / n_fft)` for the first half of the circle, Q30."""
    angle = 2 * np.pi * np.arange(n_fft // 2) / n_fft
    return to_whole(np.cos(angle) * 2**TWIDDLE_BITS), to_whole(-np.sin(angle) * 2**TWIDDLE_BITS)


def halving_fft(re: Whole, im: Whole, n_fft: int) -> tuple[Whole, Whole]:
    """The transform of `n_fft / 2` complex numbers over their number, radix 2, decimated in time.

    Every butterfly halves: `(a + w b) / 2` and `(a - w b) / 2`, so that the modulus never grows.
    """
    n = re.shape[1]
    order = reversed_bits(n)
    re, im = re[:, order], im[:, order]
    all_re, all_im = twiddles(n_fft)
    size = 1
    while size < n:
        w_re, w_im = (one[:: n // size][:size] for one in (all_re, all_im))
        a_re, b_re = np.moveaxis(re.reshape(len(re), -1, 2, size), 2, 0)
        a_im, b_im = np.moveaxis(im.reshape(len(im), -1, 2, size), 2, 0)
        t_re = shifted(b_re * w_re - b_im * w_im, TWIDDLE_BITS + 1)
        t_im = shifted(b_re * w_im + b_im * w_re, TWIDDLE_BITS + 1)
        a_re, a_im = (a_re + 1) >> 1, (a_im + 1) >> 1
        re = np.stack([a_re + t_re, a_re - t_re], axis=2).reshape(len(re), n)
        im = np.stack([a_im + t_im, a_im - t_im], axis=2).reshape(len(im), n)
        size *= 2
    return re, im


def reversed_bits(n: int) -> Whole:
    """The numbers below a power of two, each with its bits in reverse."""
    order = np.zeros(1, np.int64)
    while len(order) < n:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def band_sums(power: Whole, bands: Whole) -> Whole:
    """Sums of power `(T, K)` times weights in Q15 `(K, B)`: in two halves, as 64 bits hold no product."""
    high, low = (power >> 32) @ bands, (power & 0xFFFFFFFF) @ bands
    sums: Whole = (high << 32 - WEIGHT_BITS) + (low >> WEIGHT_BITS)
    return sums


def log_table() -> Whole:
    """`log2(1 + i / 64)`, i = 0 ... 64, Q16."""
    n = 1 << LOG_PARTS
    return to_whole(np.log2(1 + np.arange(n + 1) / n) * 2**LOG_BITS)


def log2_of(x: Whole) -> Whole:
    """`log2` of whole numbers of up to 63 bits, Q16; 0 of 0. Largest error 6.1e-5."""
    exponent, rest = np.zeros_like(x), x
    for bits in (32, 16, 8, 4, 2, 1):
        over = rest >> bits > 0
        exponent, rest = exponent + over * bits, np.where(over, rest >> bits, rest)
    fraction = np.where(exponent > 31, x >> np.maximum(exponent - 31, 0), x << np.maximum(31 - exponent, 0))
    fraction = fraction & 0x7FFFFFFF
    table, below = log_table(), 31 - LOG_PARTS
    i, between = fraction >> below, (fraction & (1 << below) - 1) >> (below - 15)
    log: Whole = (exponent << LOG_BITS) + table[i] + ((table[i + 1] - table[i]) * between >> 15)
    return log


def slopes(c: Whole, *, causal: bool) -> Whole:
    """Ten times the slopes `(T, C)` over five frames, around each or up to it; the ends are repeated."""
    t = np.arange(len(c))[:, None] + np.arange(-REACH, REACH + 1) - (REACH if causal else 0)
    c0, c1, _, c3, c4 = np.moveaxis(c[t.clip(0, len(c) - 1)], 1, 0)
    slope: Whole = c3 - c1 + 2 * (c4 - c0)
    return slope


def shifted(x: Whole, places: int) -> Whole:
    """`x / 2^places`, rounded half up."""
    result: Whole = (x + (1 << places >> 1)) >> places
    return result


def to_whole(x: Array) -> Whole:
    """The nearest whole numbers."""
    return np.rint(x).astype(np.int64)
