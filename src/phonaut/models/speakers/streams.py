"""Feature streams of utterances: statics alone, normalised or with their level; scores may come of different ones."""

from __future__ import annotations

import numpy as np

from phonaut.models.speakers.utterances import Utterances

STREAMS = ("as_is", "cmvn", "static", "static_cmvn")


def stream(utterances: Utterances, name: str, n_static: int | None = None) -> Utterances:
    """The utterances in a stream.

    Frames that keep their level tell speakers apart, normalised ones (`cmvn`) phrases.

    Args:
        utterances: frames with their deltas behind the statics.
        name: `as_is`, `cmvn`, `static` or `static_cmvn`.
        n_static: columns that are no deltas; None: all.

    Raises:
        ValueError: there is no such stream.
    """
    if name not in STREAMS:
        raise ValueError(f"stream must be one of {', '.join(STREAMS)}, got {name}")
    chosen = utterances
    if name.startswith("static") and n_static is not None:
        chosen = utterances.replaced(np.ascontiguousarray(utterances.frames[:, :n_static]))
    return cmvn(chosen) if name.endswith("cmvn") else chosen


def cmvn(utterances: Utterances) -> Utterances:
    """Each utterance with mean 0 and variance 1 in every feature; what is constant becomes 0."""
    if not len(utterances.frames):
        return utterances
    filled = np.flatnonzero(utterances.lengths)  # `reduceat` would take the next utterance's frame for an empty one
    n, starts = utterances.lengths[filled, None], utterances.starts[filled]
    repeats = utterances.lengths[filled]
    wide = utterances.frames.astype(np.float64)
    wide -= np.repeat(np.add.reduceat(wide, starts, axis=0) / n, repeats, axis=0)
    deviation = np.sqrt(np.add.reduceat(np.square(wide), starts, axis=0) / n)
    wide /= np.repeat(np.where(deviation > 1e-8, deviation, 1.0), repeats, axis=0)
    return utterances.replaced(wide.astype(np.float32))
