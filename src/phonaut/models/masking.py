"""Masks of frames and of features for pre-training, functions of a recording's draw key and of nothing else.

Draws come from a callable `(stream, n) -> (B, n)` of uniform numbers in [0, 1), a row for each recording, so that
order, batch size, workers, processes and resuming change no mask. `lengths (B,)` are frames; what lies past them is
untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Draws = Callable[[str, int], NDArray[np.float64]]
ZERO = -1  # in place of the index of a frame


class TimeMask(NamedTuple):
    """Masked frames and their replacements.

    Attributes:
        masked: the frames that are to be predicted, `(B, T)`.
        source: index of the frame of the same recording that replaces each frame, its own where it is unchanged, or
            `ZERO`, `(B, T)`.
    """

    masked: NDArray[np.bool_]
    source: NDArray[np.int64]


def time_mask(
    lengths: NDArray[np.int64],
    draws: Draws,
    *,
    mask_prob: float = 0.15,
    mask_length: int = 7,
    mask_zero_prob: float = 0.8,
    mask_random_prob: float = 0.1,
) -> TimeMask:
    """Draw masked spans of frames and the replacement of each span (Liu et al. 2020, section 2.2).

    Of a recording of T frames, `mask_prob T / C` spans of C frames are masked, rounded up or down at random so that the
    expected number of masked frames is exact; C is `mask_length`, or T where that is less. Spans do not overlap; all
    layouts are equally likely. A span becomes zero, is replaced by as many consecutive frames from a random position
    of the recording, or is unchanged, and is to be predicted in each case.

    Args:
        lengths: `(B,)`.
        draws: random numbers of each recording.
        mask_prob: expected fraction of masked frames.
        mask_length: frames of a span.
        mask_zero_prob: probability of a span to become zero.
        mask_random_prob: probability of a span to be replaced; the others are unchanged.
    """
    longest = int(lengths.max(initial=0))
    masked = np.zeros((len(lengths), longest), dtype=bool)
    source = np.tile(np.arange(longest), (len(lengths), 1))
    places, fates, origins = (draws(stream, longest) for stream in ("place", "fate", "origin"))
    rounding = draws("number of runs", 1)[:, 0]
    for i, n_frames in enumerate(lengths.tolist()):
        length = min(mask_length, n_frames)
        n_spans = min(int(mask_prob * n_frames / length + rounding[i]), n_frames // length)
        # Shrink each span to one slot: n_spans of the remaining slots, drawn without replacement, are a layout, and
        # all layouts are equally likely. Span k then starts k (length - 1) frames after its slot.
        n_slots = n_frames - n_spans * (length - 1)
        slots = np.sort(np.argsort(places[i, :n_slots], kind="stable")[:n_spans])
        starts = slots + np.arange(n_spans) * (length - 1)
        frames = starts[:, None] + np.arange(length)
        masked[i, frames] = True
        origin = (origins[i, :n_spans] * (n_frames - length + 1)).astype(np.int64)[:, None] + np.arange(length)
        fate = fates[i, :n_spans, None]
        replaced = np.where(fate < mask_zero_prob + mask_random_prob, origin, frames)
        source[i, frames] = np.where(fate < mask_zero_prob, ZERO, replaced)
    return TimeMask(masked, source)


def frequency_mask(n_items: int, n_bins: int, draws: Draws, *, max_fraction: float = 0.2) -> NDArray[np.bool_]:
    """Mask of a block of neighbouring features of each recording, `(B, D)`.

    Its width is uniform on 0 ... `max_fraction D`, its position uniform among those where it fits in (Liu et al. 2021,
    "TERA: Self-Supervised Learning of Transformer Encoder Representation for Speech", section III-B).
    """
    draw = draws("frequency", 2)
    width = (draw[:, 0] * (int(max_fraction * n_bins) + 1)).astype(np.int64)
    start = (draw[:, 1] * (n_bins - width + 1)).astype(np.int64)
    bins = np.arange(n_bins)
    masked: NDArray[np.bool_] = (bins >= start[:, None]) & (bins < (start + width)[:, None])
    assert masked.shape == (n_items, n_bins)
    return masked
