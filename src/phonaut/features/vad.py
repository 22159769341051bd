"""Voice activity by level: where speech begins and ends in a recording."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HOP_S, WINDOW_S = 0.010, 0.025
LEAST_RANGE_DB = 10.0  # between the quiet and the loud frames of a recording; with less, nothing tells speech apart
SHARE = 0.3  # of that range, above the quiet frames: the threshold
RUN = 5  # frames in a row that are speech, where it begins and ends; a click is in three windows


class Activity(NamedTuple):
    """Speech in a recording.

    Attributes:
        start_s: where the first speech begins.
        end_s: where the last ends.
        speech_s: how long there is speech, pauses within not counted.
        range_db: from the quiet to the loud frames.
    """

    start_s: float
    end_s: float
    speech_s: float
    range_db: float


def activity(audio: NDArray[np.floating], sample_rate: float, margin_s: float = 0.1) -> Activity:
    """Speech in a recording, by the levels of its frames.

    The level of 25 ms, in dB, is compared with a threshold 30 % of the way from the 10 % quantile of all frames to
    their 95 % quantile. Where these are less than 10 dB apart, or no five frames in a row are above it, all of the
    recording counts.

    Args:
        audio: samples `(S,)`.
        sample_rate: Hz.
        margin_s: kept before and after, for what is softer.
    """
    hop, window = round(HOP_S * sample_rate), round(WINDOW_S * sample_rate)
    whole_s = len(audio) / sample_rate
    if len(audio) < window + RUN * hop:
        return Activity(0.0, whole_s, whole_s, 0.0)
    power = np.concatenate([np.zeros(1), np.cumsum(np.square(audio - audio.mean(), dtype=np.float64))])
    begin = np.arange(0, len(audio) - window + 1, hop)
    level = 10 * np.log10((power[begin + window] - power[begin]) / window + 1e-10)
    quiet, loud = np.quantile(level, (0.1, 0.95))
    is_speech = level > quiet + SHARE * (loud - quiet)
    # A frame counts where it and the next RUN - 1 are above, or it is in such a run.
    runs = np.convolve(is_speech, np.ones(RUN), "valid") == RUN
    if loud - quiet < LEAST_RANGE_DB or not runs.any():
        return Activity(0.0, whole_s, whole_s, float(loud - quiet))
    starts = np.flatnonzero(runs)
    start_s = max(0.0, starts[0] * HOP_S - margin_s)
    end_s = min(whole_s, (starts[-1] + RUN - 1) * HOP_S + WINDOW_S + margin_s)
    in_run = np.convolve(runs, np.ones(RUN)) > 0
    return Activity(start_s, end_s, float(in_run.sum()) * HOP_S, float(loud - quiet))
