"""Pictures of frames and of confusions. Figures are made without pyplot, so nothing global is changed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERED = 16  # up to this many classes, cells of a confusion matrix carry their counts


def spectrogram(
    frames: ArrayLike,
    *,
    frame_shift_s: float,
    title: str = "",
    size: tuple[float, float] = (4.0, 1.8),
) -> Figure:
    """Frames as a picture, time to the right.

    Args:
        frames: `(T, D)`.
        frame_shift_s: seconds between frames.
        title: above the picture.
        size: inches.
    """
    from matplotlib.figure import Figure

    picture = np.asarray(frames).T
    figure = Figure(figsize=size, layout="constrained")
    plot = figure.subplots()
    plot.set(xlabel="time (s)", ylabel="feature", title=title)
    low, high = np.percentile(picture, [2, 99.5]) if picture.size else (0.0, 1.0)
    extent = (0.0, picture.shape[1] * frame_shift_s, -0.5, picture.shape[0] - 0.5)
    plot.imshow(
        picture, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=max(high, low + 1e-6), extent=extent
    )
    return figure


def spectrograms(
    pictures: Mapping[str, ArrayLike],
    chosen: ArrayLike = (),
    *,
    frame_shift_s: float,
    size: tuple[float, float] = (5.0, 4.5),
) -> Figure:
    """Pictures of the same frames one above the other, time to the right; a line marks the frames that count.

    Args:
        pictures: title -> frames `(T, D)`. Those of as many features have one scale, so that they can be compared.
        chosen: the frames that count, `(T,)`.
        frame_shift_s: seconds between frames.
        size: inches.
    """
    from matplotlib.figure import Figure

    arrays = {title: np.asarray(frames, dtype=np.float32) for title, frames in pictures.items()}
    figure = Figure(figsize=size, layout="constrained")
    plots = figure.subplots(len(arrays), 1, sharex=True, squeeze=False)[:, 0]
    marked = np.flatnonzero(np.asarray(chosen))
    for plot, (title, frames) in zip(plots, arrays.items(), strict=True):
        alike = [other for other in arrays.values() if other.shape[1] == frames.shape[1]]
        low, high = np.percentile(np.concatenate(alike), [1, 99.5]) if frames.size else (0.0, 1.0)
        extent = (0.0, len(frames) * frame_shift_s, -0.5, frames.shape[1] - 0.5)
        plot.imshow(
            frames.T, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=max(high, low + 1e-6), extent=extent
        )
        plot.set(title=title, ylabel="feature")
        plot.hlines(
            np.full(len(marked), -0.5), marked * frame_shift_s, (marked + 1) * frame_shift_s,
            colors="tab:cyan", linewidth=5, clip_on=False,
        )  # fmt: skip
    plots[-1].set(xlabel="time (s)")
    return figure


def row_fractions(counts: ArrayLike) -> NDArray[np.float64]:
    """Counts `(C, C)` of a confusion matrix as fractions of their rows; 0 in an empty row."""
    matrix = np.asarray(counts, dtype=np.float64)
    fractions: NDArray[np.float64] = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return fractions


def confusion_matrix(matrix: ArrayLike, classes: Sequence[str]) -> Figure:
    """Confusion matrix, true classes by rows and predicted ones by columns, shaded by the fraction of the row.

    Args:
        matrix: counts, `(C, C)`.
        classes: names, `(C,)`.
    """
    from matplotlib.figure import Figure

    counts = np.asarray(matrix)
    n = len(classes)
    inches = min(12.0, 1.6 + 0.36 * n)
    figure = Figure(figsize=(inches, inches), layout="constrained")
    plot = figure.subplots()
    fractions = row_fractions(counts)
    plot.imshow(fractions, cmap="Blues", vmin=0.0, vmax=1.0)
    plot.set_xticks(range(n), classes, rotation=90, fontsize=8)
    plot.set_yticks(range(n), classes, fontsize=8)
    plot.set(xlabel="predicted", ylabel="true")
    if n <= NUMBERED:
        for row, column in np.argwhere(counts > 0):
            colour = "white" if fractions[row, column] > 0.5 else "black"
            plot.text(column, row, counts[row, column], ha="center", va="center", fontsize=7, color=colour)
    return figure


def png(figure: Figure, *, dpi: int = 100) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
