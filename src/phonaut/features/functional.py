"""The arithmetic of front ends: functions of tensors, without state.

`frames` are `(B, T, D)` with `lengths (B,)`; frames past a recording's length never enter a result.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from phonaut.features.batch_norm import is_shared, normalized_by_valid

Window = Literal["hann", "hamming", "blackman", "povey", "rectangular"]
Log = Literal["db", "natural"]
DeltaKind = Literal["htk", "librosa"]

_COSINE_TERMS = {"hann": (0.5, 0.5), "povey": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08)}


def length_mask(lengths: Tensor, n_frames: int) -> Tensor:
    """Mask of the valid ones of `n_frames` frames, `(B, T)`, given `lengths (B,)`."""
    return torch.arange(n_frames, device=lengths.device) < lengths[:, None]


@cache
def whole(n: int) -> Tensor:
    """`n` as a tensor, for states of streams: one for all, as its making takes as long as a small convolution."""
    return torch.tensor(n)


def window_function(name: Window, win_length: int, *, periodic: bool = True) -> Tensor:
    r"""A window `(win_length,)`, in float64: `sum_k (-1)^k a_k cos(2 pi k n / N)`.

    `N` is `win_length` for a periodic window (torch, librosa), one less for a symmetric one (Kaldi). `povey` is Hann's
    to the power of 0.85 (Kaldi).

    >>> [round(w, 3) for w in window_function("hann", 4).tolist()]
    [0.0, 0.5, 1.0, 0.5]
    """
    if name == "rectangular":
        return torch.ones(win_length, dtype=torch.float64)
    phase = 2 * math.pi * torch.arange(win_length, dtype=torch.float64) / max(1, win_length - (not periodic))
    window = torch.zeros_like(phase)
    for k, amplitude in enumerate(_COSINE_TERMS[name]):
        window += (-1) ** k * amplitude * torch.cos(k * phase)
    return torch.pow(window.clamp(min=0), 0.85) if name == "povey" else window


def windowed(frames: Tensor, window: Tensor, *, win_length: int, remove_dc_offset: bool, preemphasis: float) -> Tensor:
    """Frames `(..., n_fft)` times a window `(n_fft,)`, after Kaldi's DC removal and pre-emphasis.

    `w[n] (y[n] - a y[n-1])` with `y[-1] = y[0]`; `y` is the frame, less the mean of its first `win_length` samples if
    `remove_dc_offset`. Multiplied out, so that nothing as large as the frames is made twice.
    """
    result = frames * window
    if preemphasis:
        result[..., 1:].addcmul_(frames[..., :-1], window[1:], value=-preemphasis)
        result[..., 0].addcmul_(frames[..., 0], window[0], value=-preemphasis)
    if remove_dc_offset:
        mean = frames[..., :win_length].mean(dim=-1, keepdim=True)
        result.addcmul_(mean, window, value=preemphasis - 1)
    return result


def power_spectrum(frames: Tensor, n_bins: int | None = None) -> Tensor:
    """`|rfft(frame)|^2` of the first `n_bins` bins: `(..., n_fft) -> (..., n_bins)`."""
    spectrum = torch.fft.rfft(frames)[..., :n_bins]
    # abs() takes square roots, and a sum over view_as_real is not vectorised: both are four times slower than this.
    power: Tensor = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
    return power


def log_compress(
    power: Tensor,
    lengths: Tensor,
    *,
    log: Log = "db",
    amin: float = 1e-10,
    top_db: float | None = 80.0,
    offset: float = 0.0,
    exponent: float = 2.0,
) -> Tensor:
    r"""Logarithm of spectra, with a floor: `log(max(x, amin, peak / 10^{top_db / 10}) + offset)`.

    Args:
        power: `(B, T, D)`, amplitudes to the power of `exponent`.
        lengths: `(B,)`; `peak` is the largest value of each recording's own frames.
        log: `db` for decibels (`20 / exponent * log10`), `natural` for `ln`.
        amin: floor of the values.
        top_db: floor below each recording's peak, in dB; None: `amin` alone.
        offset: what is added before the logarithm.
        exponent: 2 for power spectra, 1 for magnitudes.
    """
    if top_db is None:
        floored = power.clamp(min=amin)
    else:
        peak = power.amax(dim=-1).masked_fill(~length_mask(lengths, power.shape[1]), 0.0).amax(dim=-1)
        floor = (peak * 10 ** (-top_db * exponent / 20)).clamp(min=amin)
        floored = torch.maximum(power, floor[:, None, None])
    floored = floored + offset if offset else floored
    return floored.log() if log == "natural" else floored.log10() * (20 / exponent)


def dct_matrix(n_mfcc: int, n_mels: int, *, cepstral_lifter: float = 0.0) -> Tensor:
    r"""The orthonormal DCT-II `(n_mels, n_mfcc)`, in float64, its columns weighted by `1 + L / 2 sin(pi k / L)`.

    The lifter `L` is Kaldi's and HTK's (22 by custom; 0: none); it leaves C0 as it is.
    """
    k = torch.arange(n_mfcc, dtype=torch.float64)
    n = torch.arange(n_mels, dtype=torch.float64)[:, None]
    matrix = torch.cos(math.pi / n_mels * (n + 0.5) * k) * math.sqrt(2 / n_mels)
    matrix[:, 0] = math.sqrt(1 / n_mels)
    if cepstral_lifter:
        matrix *= 1 + cepstral_lifter / 2 * torch.sin(math.pi * k / cepstral_lifter)
    return matrix


def deltas(frames: Tensor, lengths: Tensor, *, causal: bool = False, kind: DeltaKind = "htk", order: int = 1) -> Tensor:
    r"""Deltas of each feature: its slope over five frames (`htk`), or derivatives of a fit to nine (`librosa`).

    `htk`: `d_t = sum_{n=1,2} n (c_{t+n} - c_{t-n}) / 10`; before the first frame stands the first, after the last
    *valid* one the last (HTK book, eq. 5.16). `librosa`: the derivative of the polynomial of degree `order` that fits
    the nine frames around `t` best (Savitzky and Golay, 1964); the first and last four frames take that of the first
    and last nine. A recording below nine frames has its ends repeated. `causal` gives the values of the window that
    ends at `t`: the same, two or four frames later.

    Args:
        frames: `(B, T, D)`.
        lengths: `(B,)`.
        causal: no frame after `t` is seen.
        kind: `htk` or `librosa`.
        order: of the derivative, 1 or 2, for `librosa`; that of `htk` is the delta of deltas.

    Returns:
        `(B, T, D)`; frames past `lengths` are arbitrary.
    """
    reach, n_frames = (2 if kind == "htk" else 4), frames.shape[1]
    last = frames.gather(1, (lengths - 1)[:, None, None].expand(-1, 1, frames.shape[2]))
    # The last valid frame is repeated in the padding, and both ends are outside, so that frames t - reach ... t + reach
    # (with `causal`: t - 2 reach ... t) are c[:, t : t + 2 reach + 1].
    held = torch.where(length_mask(lengths, n_frames)[:, :, None], frames, last)
    before, after = (2 * reach, 0) if causal else (reach, reach)
    c = torch.cat([held[:, :1].expand(-1, before, -1), held, held[:, -1:].expand(-1, after, -1)], dim=1)
    if kind == "htk":
        c0, c1, c3, c4 = (c[:, i : i + n_frames] for i in (0, 1, 3, 4))
        return (c3 - c1) / 10 + (c4 - c0) / 5
    n = torch.arange(-reach, reach + 1, dtype=frames.dtype, device=frames.device)
    term = n if order == 1 else n.square() - n.square().mean()  # of the fit, orthogonal to all terms below it
    weights = order * term / term.square().sum()
    fitted = torch.einsum("btdn,n->btd", c.unfold(1, 2 * reach + 1, 1), weights)
    if causal:
        return fitted
    t = torch.arange(n_frames, device=frames.device).expand(len(lengths), -1)
    inner = torch.minimum(t.clamp(min=reach), (lengths - reach - 1)[:, None])
    inner = torch.where((lengths > 2 * reach)[:, None], inner, t)
    return fitted.gather(1, inner[:, :, None].expand_as(fitted))


def cmvn(frames: Tensor, lengths: Tensor, *, mean: bool = True, variance: bool = True, ddof: int = 0) -> Tensor:
    """Subtract each feature's mean over the recording, and divide by its standard deviation (with divisor T - `ddof`).

    A feature that does not vary becomes 0 where its mean is subtracted. Frames past `lengths` become 0.
    """
    inside = length_mask(lengths, frames.shape[1])[:, :, None]
    count = lengths[:, None, None].to(frames.dtype)
    average = frames.masked_fill(~inside, 0.0).sum(dim=1, keepdim=True) / count
    centred = (frames - average).masked_fill(~inside, 0.0)
    result = centred if mean else frames.masked_fill(~inside, 0.0)
    if variance:
        squares = centred.square().sum(dim=1, keepdim=True)
        result = result * (squares / (count - ddof).clamp(min=1)).clamp(min=1e-10).rsqrt()
    return result


def relaxed_frequency_norm(frames: Tensor, lengths: Tensor, *, relaxation: float = 0.5) -> Tensor:
    """`r LN(x) + (1 - r) FIN(x)`, of log-mel: what recordings share within a frequency is not lost wholly.

    LN normalises a recording by its mean and deviation over all frames and features, FIN each of its features by those
    over its frames. (Kim et al. 2022, arXiv:2206.12513, eq. 5.) Frames past `lengths` become 0.
    """
    inside = length_mask(lengths, frames.shape[1])[:, :, None]
    count = lengths[:, None, None].to(frames.dtype) * frames.shape[2]
    mean = frames.masked_fill(~inside, 0.0).sum(dim=(1, 2), keepdim=True) / count
    centred = (frames - mean).masked_fill(~inside, 0.0)
    deviation = (centred.square().sum(dim=(1, 2), keepdim=True) / count).clamp(min=1e-10).sqrt()
    return relaxation * centred / deviation + (1 - relaxation) * cmvn(frames, lengths)


def subtract_gain(frames: Tensor, lengths: Tensor) -> Tensor:
    """Subtract each recording's mean of C0, the first feature, from it alone; frames past `lengths` become 0."""
    inside = length_mask(lengths, frames.shape[1])[:, :, None]
    level = frames[:, :, :1].masked_fill(~inside, 0.0).sum(dim=1, keepdim=True) / lengths[:, None, None]
    return (frames - pad(level, (0, frames.shape[2] - 1))).masked_fill(~inside, 0.0)


def batch_normalized(norm: nn.BatchNorm1d, frames: Tensor, lengths: Tensor) -> Tensor:
    """Frames `(B, T, D)` batch-normalised by `norm`, in training by the valid frames alone; there, 0 past `lengths`."""
    if not norm.training:
        rows: Tensor = norm(frames.flatten(0, 1))
        return rows.view_as(frames)
    inside = length_mask(lengths, frames.shape[1])
    result = torch.zeros_like(frames)
    rows = frames[inside]
    shared = is_shared(norm)
    result[inside] = (normalized_by_valid(norm, rows, rows.new_ones(1, len(rows))) if shared else norm(rows)).to(
        frames.dtype
    )
    return result


def fixed_point(x: Tensor) -> Tensor:
    """`round(x * 128 / 256) / 128`, clamped to `[-1, 1 - 1/128]`: eight bits for values of `[-256, 256)`.

    The gradient passes straight through the rounding, and is 0 where the value is clamped.

    >>> fixed_point(torch.tensor([-300.0, 3.1, 300.0])).tolist()
    [-1.0, 0.015625, 0.9921875]
    """
    scaled = (x / 256).clamp(-1.0, 1 - 1 / 128)
    # The difference is exactly 0, so that the value stays an exact multiple of 1/128.
    return (scaled.detach() * 128).round() / 128 + (scaled - scaled.detach())
