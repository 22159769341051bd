"""Mel-cepstral distortion of whole recordings that a generator has rebuilt."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.arrays import Array, Index
from phonaut.data.frame_windows import FrameWindows
from phonaut.densities import dtw
from phonaut.features.functional import dct_matrix
from phonaut.features.mel import mel_filters
from phonaut.features.spectral import MelSpectrogram, Spectrogram
from phonaut.metrics.generation import mel_cepstral_distortion
from phonaut.models.window_model import WindowModel

N_CEPSTRA = 13  # beside C0, which is the level
N_MELS = 40  # of linear spectra


def distortions(model: WindowModel, windows: FrameWindows, recordings: Index, decibels: float) -> dict[str, Array]:
    """`mcd_db`, frame by frame, and `mcd_db/dtw`, along the cheapest path: sums over frames and their number.

    Args:
        model: with an encoder.
        windows: of a split.
        recordings: numbers of windows, one of each recording that is measured, `(R,)`.
        decibels: the factor that brings features to dB.

    Returns:
        By name, `(R, 2)`.
    """
    sums: dict[str, list[tuple[float, float]]] = {"mcd_db": [], "mcd_db/dtw": []}
    for w in recordings.tolist():
        frames = np.array(windows.frames[windows.begin[w] : windows.end[w]])
        heard = model.condition(*map(torch.from_numpy, shared(windows, w)))[0]
        made = model.rebuilt(torch.from_numpy(frames), heard=heard).numpy()
        a, b = (cepstra(model.front_end, one, decibels) for one in (frames, made))  # type: ignore[arg-type]
        path = dtw.path(a[:, 1:], b[:, 1:])[0]
        for name, cells in (("mcd_db", None), ("mcd_db/dtw", path)):
            n = len(a if cells is None else cells)
            sums[name].append((mel_cepstral_distortion(a, b, cells) * n, n))
    return {name: np.array(pairs) for name, pairs in sums.items()}


def shared(windows: FrameWindows, w: int) -> tuple[Index, Index]:
    """Class and speaker of a window's recording, `(1,)` each; -1 for a class that not all of its windows have."""
    labels = windows.labels[windows.begin == windows.begin[w]]
    label = labels[0] if (labels == labels[0]).all() else -1
    return np.array([label], np.int64), windows.speakers[w : w + 1]


def cepstra(front_end: Spectrogram, frames: NDArray[np.floating], decibels: float) -> Array:
    """Mel-cepstra `(T, 14)` of log spectra `(T, D)`, as `mel_cepstral_distortion` takes them.

    Linear spectra first go through 40 mel filters, so that they are compared with others.

    Args:
        front_end: that computed the frames.
        frames: without deltas.
        decibels: the factor that brings features to dB.
    """
    levels = np.asarray(frames, np.float64) * decibels
    if not isinstance(front_end, MelSpectrogram):
        o = front_end.options
        filters = mel_filters(
            sample_rate=o.sample_rate, n_fft=o.n_fft, n_mels=N_MELS, f_min=0.0, f_max=o.sample_rate / 2
        )
        filters = filters[:, filters.any(axis=0)]  # of short transforms, some read no bin
        levels = 10 * np.log10(np.maximum(10 ** (levels / 10) @ filters, 1e-30))
    n = levels.shape[1]
    found: Array = levels @ dct_matrix(min(N_CEPSTRA + 1, n), n).numpy()
    return found / (math.sqrt(2 * n) * 10 / math.log(10))
