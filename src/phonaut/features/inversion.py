"""From frames back to audio: front ends undone step by step, and the phase found by Griffin and Lim."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from phonaut.features.front_end import FrontEnd, check, full_precision
from phonaut.features.functional import length_mask
from phonaut.features.griffin_lim import Method, Reconstruction, griffin_lim
from phonaut.features.spectral import MFCC, MelSpectrogram, Spectrogram

INVERTIBLE = (Spectrogram, MelSpectrogram, MFCC)
N_ITERATIONS = 32
N_FILTER_ITERATIONS = 50  # of `unfiltered`: spectra of speech come back to 0.03 dB through 40 to 80 filters
MOST_PREEMPHASIS = 0.99  # of which the inverse filter forgets a frame in a frame's time


def invert(
    front_end: FrontEnd,
    frames: Tensor,
    lengths: Tensor,
    *,
    audio_lengths: Tensor | None = None,
    phase_of: Tensor | None = None,
    seed: int | None = None,
    n_iterations: int = N_ITERATIONS,
    method: Method = "accelerated",
) -> Reconstruction:
    """Audio `(B, S)` in [-1, 1] or near it whose frames are `frames`, as nearly as there is such audio.

    The steps of `Spectrogram`, `MelSpectrogram` and `MFCC` are undone from the last to the first: the DCT (its missing
    coefficients are 0), the logarithm and its offset, the filters (`unfiltered`), the power, window and phase
    (`griffin_lim`), pre-emphasis (the inverse filter over the recording) and scale. What a front end has thrown away
    does not come back: the phase, what lies below the floors `amin` and `top_db`, above `f_max`, within a filter, and
    with `remove_dc_offset` the mean of each window. Values louder than any audio in [-1, 1] are taken as the loudest
    there is. Normalised frames are to be denormalised first.

    Args:
        front_end: that computed the frames.
        frames: `(B, T, D)`, with deltas, which are not used, or without.
        lengths: frames of each recording `(B,)`.
        audio_lengths: samples of each recording `(B,)`; None: the fewest that have that many frames.
        phase_of: recordings `(B, S)` from which the first phases come, and the lengths where `audio_lengths` is None.
        seed: see `griffin_lim`, as are the arguments that follow.
        n_iterations: of Griffin and Lim.
        method: `plain`, `fast` or `accelerated`.

    Raises:
        ValueError: the front end is none of the three, or shapes, lengths or values do not fit it.

    >>> spectrogram = Spectrogram(n_fft=512, win_length=400)
    >>> frames, lengths = spectrogram(torch.randn(1, 16000) / 10, torch.tensor([16000]))
    >>> invert(spectrogram, frames, lengths).audio.shape
    torch.Size([1, 16000])
    """
    if type(front_end) not in INVERTIBLE:
        raise ValueError(
            f"{type(front_end).__name__} cannot be turned back into audio: Spectrogram, MelSpectrogram and MFCC can"
        )
    assert isinstance(front_end, Spectrogram)
    o = front_end.options
    n_statics = front_end.n_features // (1 + o.deltas)
    if frames.ndim != 3 or frames.shape[2] not in (n_statics, front_end.n_features):
        with_deltas = f" or {front_end.n_features} with deltas" if o.deltas else ""
        raise ValueError(f"frames must be (B, T, {n_statics}{with_deltas}), got {tuple(frames.shape)}")
    inside = length_mask(lengths, frames.shape[1])
    if not bool(frames[inside].isfinite().all()):
        raise ValueError("frames must be finite; a value is NaN or infinite")
    if audio_lengths is None:
        audio_lengths = (
            _n_samples(front_end, lengths) if phase_of is None else lengths.new_full(lengths.shape, phase_of.shape[1])
        )
    if not torch.equal(front_end.n_frames(audio_lengths), lengths):
        raise ValueError(
            f"recordings of {audio_lengths.tolist()} samples have {front_end.n_frames(audio_lengths).tolist()} frames; "
            f"lengths says {lengths.tolist()}"
        )
    if phase_of is not None:
        check(phase_of, audio_lengths)
    with torch.no_grad(), full_precision(frames):
        statics = frames[:, : int(lengths.max()), :n_statics]
        statics = statics.to(torch.promote_types(frames.dtype, torch.float32))
        if phase_of is not None:
            phase_of = _preemphasised(phase_of[:, : int(audio_lengths.max())].to(statics.dtype), o.preemphasis)
        magnitude = magnitudes(front_end, statics).masked_fill(~inside[:, : statics.shape[1], None], 0.0)
        found = griffin_lim(
            magnitude,
            front_end.layout,
            front_end.window,
            audio_lengths,
            phase_of=phase_of,
            seed=seed,
            n_iterations=n_iterations,
            method=method,
        )
        audio = _deemphasised(found.audio, o.preemphasis)
        audio = audio.masked_fill(~length_mask(audio_lengths, audio.shape[1]), 0.0)
        return Reconstruction(audio, found.convergence)


def magnitudes(front_end: Spectrogram, frames: Tensor) -> Tensor:
    """Magnitudes `(B, T, n_fft // 2 + 1)` of the windowed spectra behind frames without deltas `(B, T, D)`."""
    o = front_end.options
    loudest = float(front_end.window.abs().sum()) * (1 + o.preemphasis)  # of a bin, for audio in [-1, 1]
    most = loudest**o.power
    if isinstance(front_end, MFCC):
        frames = frames @ torch.linalg.pinv(front_end.dct).to(frames)
    if isinstance(front_end, MelSpectrogram):
        most *= float(front_end.filters.sum(dim=0).max())
    if o.log is None:
        spectra = frames
    else:
        nepers = frames if o.log == "natural" else frames * (math.log(10) * o.power / 20)
        spectra = nepers.clamp(max=math.log(most + o.log_offset)).exp()
        spectra = spectra - o.log_offset if o.log_offset else spectra
    spectra = spectra.clamp(0.0, most)
    if isinstance(front_end, MelSpectrogram):
        filters = front_end.filters[:, : o.n_mels].to(frames)  # type: ignore[attr-defined]
        spectra = unfiltered(spectra, filters)
        spectra = torch.nn.functional.pad(spectra, (0, o.n_fft // 2 + 1 - front_end.n_bins))
    spectra = spectra.clamp(max=loudest**o.power)
    return spectra.sqrt() if o.power == 2 else spectra


def unfiltered(filtered: Tensor, filters: Tensor, *, n_iterations: int = N_FILTER_ITERATIONS) -> Tensor:
    r"""Non-negative spectra `x (..., K)` that the filters `F (K, M)` turn into `m (..., M)`, as nearly as there are.

    From a smooth start, `x <- x * (F (m / (F^T x))) / (F 1)`, which never raises the divergence
    `sum m log(m / F^T x) - m + F^T x` (Richardson 1972; Lee and Seung 2000). Where some non-negative spectrum gives
    `m` exactly, as for all frames of recordings, its limit is one, as is the solution of non-negative least squares;
    but errors are relative to each filter's own level, and quiet bands beside loud ones come back at once. Bins that
    no filter reads are 0.
    """
    reads = filters.sum(dim=1)
    shares = torch.where(reads[:, None] > 0, filters / reads.clamp(min=torch.finfo(filters.dtype).tiny)[:, None], 0.0)
    tiny = 1e-30
    x = (filtered / filters.sum(dim=0)) @ shares.T
    for _ in range(n_iterations):
        x *= (filtered / (x @ filters).clamp_(min=tiny)) @ shares.T
    return x


def _n_samples(front_end: FrontEnd, lengths: Tensor) -> Tensor:
    """The fewest samples of recordings of `lengths (B,)` frames; without framing=center, their windows end there."""
    f = front_end.layout
    if f.mode == "center":
        return ((lengths - 1) * f.hop_length + f.n_fft % 2).clamp(min=1)
    return (lengths - 1) * f.hop_length + f.first_sample + f.win_length


def _preemphasised(audio: Tensor, a: float) -> Tensor:
    """`x[n] - a x[n-1]`, with `x[-1] = x[0]`."""
    return audio - a * torch.cat([audio[:, :1], audio[:, :-1]], dim=1) if a else audio


def _deemphasised(audio: Tensor, a: float) -> Tensor:
    """`y[n] = x[n] + a y[n-1]` from silence, which undoes pre-emphasis; with `a` at most 0.99, errors fade."""
    if not a:
        return audio
    from scipy.signal import lfilter

    filtered = lfilter([1.0], [1.0, -min(a, MOST_PREEMPHASIS)], audio.double().cpu().numpy(), axis=1)
    return torch.from_numpy(np.ascontiguousarray(filtered)).to(audio)
