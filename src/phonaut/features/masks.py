"""Which frames and features an objective of pre-training alters: functions of a recording's key and of nothing else.

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
ZERO = -1  # in place of a frame's number


class TimeMask(NamedTuple):
    """What stands in place of each frame.

    Attributes:
        chosen: the frames that are to be predicted, `(B, T)`.
        source: the frame of the same recording that stands there, itself where nothing is altered, or `ZERO`, `(B, T)`.
    """

    chosen: NDArray[np.bool_]
    source: NDArray[np.int64]


def time_mask(
    lengths: NDArray[np.int64],
    draws: Draws,
    *,
    share: float = 0.15,
    consecutive: int = 7,
    zero_share: float = 0.8,
    random_share: float = 0.1,
) -> TimeMask:
    """Choose frames in runs, and what happens to each run (Liu et al. 2020, section 2.2).

    Of a recording of T frames, `share T / C` runs of C frames are chosen, rounded up or down by chance so that the
    expected share is exact; C is `consecutive`, or T where that is less. Runs do not overlap; of all ways to lay them
    out, each is as likely as any other. A run becomes zero, is replaced by as many consecutive frames from a random
    place of the recording, or is kept as it is, and is to be predicted in each case.

    Args:
        lengths: `(B,)`.
        draws: random numbers of each recording.
        share: of the frames that are chosen.
        consecutive: frames of a run.
        zero_share: of the runs that become zero.
        random_share: of the runs that are replaced; the rest is kept.
    """
    longest = int(lengths.max(initial=0))
    chosen = np.zeros((len(lengths), longest), dtype=bool)
    source = np.tile(np.arange(longest), (len(lengths), 1))
    places, fates, origins = (draws(stream, longest) for stream in ("place", "fate", "origin"))
    rounding = draws("number of runs", 1)[:, 0]
    for i, n_frames in enumerate(lengths.tolist()):
        run = min(consecutive, n_frames)
        n_runs = min(int(share * n_frames / run + rounding[i]), n_frames // run)
        n_slots = n_frames - n_runs * (run - 1)  # a run takes one slot, so that any choice of slots is a layout
        slots = np.sort(np.argsort(places[i, :n_slots], kind="stable")[:n_runs])
        starts = slots + np.arange(n_runs) * (run - 1)
        frames = starts[:, None] + np.arange(run)
        chosen[i, frames] = True
        origin = (origins[i, :n_runs] * (n_frames - run + 1)).astype(np.int64)[:, None] + np.arange(run)
        fate = fates[i, :n_runs, None]
        replaced = np.where(fate < zero_share + random_share, origin, frames)
        source[i, frames] = np.where(fate < zero_share, ZERO, replaced)
    return TimeMask(chosen, source)


def frequency_mask(n_items: int, n_bins: int, draws: Draws, *, share: float = 0.2) -> NDArray[np.bool_]:
    """A block of neighbouring features of each recording, `(B, D)`.

    Its width is uniform on 0 ... `share D`, its place uniform among those that it fits in (Liu et al. 2021, "TERA:
    Self-Supervised Learning of Transformer Encoder Representation for Speech", section III-B).
    """
    draw = draws("frequency", 2)
    width = (draw[:, 0] * (int(share * n_bins) + 1)).astype(np.int64)
    start = (draw[:, 1] * (n_bins - width + 1)).astype(np.int64)
    bins = np.arange(n_bins)
    hidden: NDArray[np.bool_] = (bins >= start[:, None]) & (bins < (start + width)[:, None])
    assert hidden.shape == (n_items, n_bins)
    return hidden
