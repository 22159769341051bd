"""Input of estimators: frames, sequences, seeds and initial values, checked."""

from __future__ import annotations

import sys
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array, Index

LARGEST = 1e140  # value of a frame

Random = int | np.random.Generator | np.random.RandomState | None


class NotFittedError(ValueError, AttributeError):
    """A model is asked for what it can only say once its parameters are there."""


def not_fitted(message: str) -> ValueError:
    """A `NotFittedError`: that of scikit-learn for who has imported it, for whom else could catch it."""
    theirs = sys.modules.get("sklearn.exceptions")
    error: ValueError = (theirs or sys.modules[__name__]).NotFittedError(message)
    return error


def is_number(value: Any) -> bool:
    """Tell whether a value is a number, NaN being none."""
    return isinstance(value, Real) and bool(value == value)


def generator_of(random_state: Random) -> np.random.Generator:
    """A generator from a seed, from one that is drawn from, or from the system."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(int(random_state.randint(2**31)))
    return np.random.default_rng(random_state)


def is_tensor(value: Any) -> bool:
    """Tell whether a value is a tensor; who has not imported torch has none."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(value: Any) -> NDArray[Any]:
    """An array of what is array-like, or of a tensor on any device, with or without a gradient.

    Raises:
        ValueError: values are masked, which an array cannot say.
    """
    if np.ma.is_masked(value):
        raise ValueError("values must not be masked: leave masked ones out, or fill them with x.filled()")
    if is_tensor(value):
        value = value.detach().cpu()
        return np.asarray(value.double() if value.is_floating_point() and value.element_size() < 4 else value)
    return np.asarray(value)


def checked_frames(x: Any, n_features: int | None = None, model: str = "the_model") -> NDArray[Any]:
    """Frames `(N, D)` as contiguous float32 or float64 that may be written to, as torch wants them.

    Raises:
        ValueError: another shape, no frames, another width than `n_features` of `model`, or a value that is masked,
            complex, NaN, infinite or beyond all size.
    """
    if hasattr(x, "toarray"):
        raise ValueError("frames must be dense, not a sparse matrix: pass x.toarray()")
    frames = as_array(x)
    if frames.dtype.kind not in "biufOSU":
        raise ValueError(f"Complex data not supported, nor other types than numbers: frames are {frames.dtype}")
    if frames.dtype != np.float32:
        frames = frames.astype(np.float64, copy=False)
    if frames.ndim != 2:
        raise ValueError(
            f"frames must be (N, D); got {frames.shape}. Reshape your data: write x.reshape(-1, 1) for one feature, "
            "x.reshape(1, -1) for one frame"
        )
    if not frames.shape[1]:
        raise ValueError(f"frames have 0 feature(s) (shape={frames.shape}) while a minimum of 1 is required.")
    if not len(frames):
        raise ValueError(f"there are no frames: {frames.shape}")
    if n_features is not None and frames.shape[1] != n_features:
        raise ValueError(f"X has {frames.shape[1]} features, but {model} is expecting {n_features} features as input")
    if not np.isfinite(frames).all():
        row, column = np.argwhere(~np.isfinite(frames))[0]
        raise ValueError(
            f"frames must not be NaN or infinite; got {frames[row, column]} in frame {row}, feature {column}"
        )
    if max(float(frames.max()), -float(frames.min())) > LARGEST:
        raise ValueError(f"frames must be at most {LARGEST:g} in size, for sums of their squares; got {frames.max():g}")
    frames = np.ascontiguousarray(frames)
    return frames if frames.flags.writeable else frames.copy()


def sequences(
    X: Any, lengths: ArrayLike | None = None, n_features: int | None = None, model: str = "the_model"
) -> tuple[Array, Index]:
    """Frames `(N, D)` of float64, checked, and the lengths of the sequences, `(B,)`.

    Raises:
        ValueError: for frames that make no sense, or lengths that do not add up to them.
    """
    if isinstance(X, list | tuple) and lengths is None and len(X) and np.ndim(X[0]) == 2:
        parts = [as_array(part) for part in X]
        widths = {part.shape[1] if part.ndim == 2 else None for part in parts}
        if len(widths) > 1:
            raise ValueError(
                f"sequences must be (T, D) with one D; got {sorted(map(str, {p.shape for p in parts}))[:5]}"
            )
        X, lengths = np.concatenate(parts), [len(part) for part in parts]
    # EM needs the digits: in float32 a step may gain less than rounding loses.
    frames = checked_frames(X, n_features, model).astype(np.float64, copy=False)
    n = np.array([len(frames)]) if lengths is None else np.atleast_1d(as_array(lengths))
    if n.ndim != 1 or n.dtype.kind not in "iu" or (n < 1).any() or n.sum() != len(frames):
        is_sum = n.dtype.kind in "iu" and (n >= 1).all()
        total = f"; they add up to {n.sum()}" if is_sum else f", got {n[:5].tolist()}"
        raise ValueError(f"lengths must be whole numbers from 1 on that add up to {len(frames)} frames{total}")
    return frames, n.astype(np.int64)


def uniform_segmentation(lengths: Index, n_states: int) -> Index:
    """States `(N,)` of sequences each of which is divided evenly among 0 ... `n_states - 1`, in order: a flat start."""
    # The place of each frame in its sequence, in units of the sequence's length.
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    states: Index = within * n_states // np.repeat(lengths, lengths)
    return states
