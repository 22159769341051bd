"""Input of estimators: frames, sequences and seeds, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Index

Random = int | np.random.Generator | np.random.RandomState | None


def generator_of(random_state: Random) -> np.random.Generator:
    """A generator from a seed, from one that is drawn from, or from the system."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(int(random_state.randint(2**31)))
    return np.random.default_rng(random_state)


def checked_frames(x: ArrayLike, n_features: int | None = None) -> NDArray[Any]:
    """Frames `(N, D)` as contiguous float32 or float64.

    Raises:
        ValueError: another shape, no frames, or a value that is NaN or infinite.
    """
    frames = np.asarray(x)
    if frames.dtype != np.float32:
        frames = frames.astype(np.float64)
    if frames.ndim != 2:
        raise ValueError(f"frames must be (N, D); got {frames.shape}: write x.reshape(-1, 1) for one feature")
    if not len(frames) or not frames.shape[1]:
        raise ValueError(f"there are no frames: {frames.shape}")
    if n_features is not None and frames.shape[1] != n_features:
        raise ValueError(f"frames have {frames.shape[1]} features, the model has {n_features}")
    if not np.isfinite(frames).all():
        row, column = np.argwhere(~np.isfinite(frames))[0]
        raise ValueError(f"frames must be finite; got {frames[row, column]} in frame {row}, feature {column}")
    return np.ascontiguousarray(frames)


def sequences(
    X: ArrayLike | Sequence[ArrayLike], lengths: ArrayLike | None = None, n_features: int | None = None
) -> tuple[NDArray[Any], Index]:
    """Frames `(N, D)` of float64, checked, and the lengths of the sequences, `(B,)`.

    Raises:
        ValueError: for frames that make no sense, or lengths that do not add up to them.
    """
    if isinstance(X, list | tuple) and lengths is None and len(X) and np.ndim(X[0]) == 2:
        parts = [np.asarray(part) for part in X]
        widths = {part.shape[1] if part.ndim == 2 else None for part in parts}
        if len(widths) > 1:
            raise ValueError(
                f"sequences must be (T, D) with one D; got {sorted(map(str, {p.shape for p in parts}))[:5]}"
            )
        frames = checked_frames(np.concatenate(parts), n_features).astype(np.float64, copy=False)
        return frames, np.array([len(part) for part in parts], dtype=np.int64)
    # EM needs the digits: in float32 a step may gain less than rounding loses.
    frames = checked_frames(X, n_features).astype(np.float64, copy=False)  # type: ignore[arg-type]
    if lengths is None:
        return frames, np.array([len(frames)], dtype=np.int64)
    n = np.atleast_1d(np.asarray(lengths))
    if n.ndim != 1 or n.dtype.kind not in "iu" or (n < 1).any() or n.sum() != len(frames):
        raise ValueError(
            f"lengths must be numbers from 1 on that add up to {len(frames)} frames; they add up to {n.sum()}"
        )
    return frames, n.astype(np.int64)


def uniform_segmentation(lengths: Index, n_states: int) -> Index:
    """States `(N,)` of sequences each of which is divided evenly among 0 ... `n_states - 1`, in order: a flat start."""
    # The place of each frame in its sequence, in units of the sequence's length.
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    states: Index = within * n_states // np.repeat(lengths, lengths)
    return states
