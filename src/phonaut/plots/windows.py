"""Pictures of windows of frames: grids, and codes of them in a plane."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLOURS = 20
INCH = 0.9  # of a window


def window_grid(
    rows: Mapping[str, Sequence[ArrayLike] | ArrayLike],
    *,
    titles: Sequence[str] = (),
    columns: int = 12,
    by_feature: bool = False,
) -> Figure:
    """Windows as pictures, time to the right and features upwards, all on one scale of time and of values.

    Args:
        rows: name -> windows `(T, D)`, T of each its own. One name: the windows fill a grid. Several: the same window
            of each stands one above the other.
        titles: of the windows, above the first row.
        columns: windows side by side.
        by_feature: each feature has a scale of its own, for those that are no spectra.
    """
    from matplotlib.figure import Figure

    arrays = {name: [np.asarray(one, dtype=np.float32) for one in windows] for name, windows in rows.items()}  # type: ignore[union-attr]
    n = max(len(windows) for windows in arrays.values())
    columns = min(columns, max(n, 1))
    blocks = math.ceil(n / columns)
    lines = blocks * len(arrays)
    every = [one for windows in arrays.values() for one in windows]
    longest = max((len(one) for one in every), default=1)
    low, high = np.percentile(np.concatenate(every), [1, 99.5], axis=0 if by_feature else None) if every else (0.0, 1.0)
    span = np.maximum(high - low, 1e-9)
    figure = Figure(figsize=(INCH * columns + 0.8, INCH * lines + 0.3), layout="constrained")
    plots = figure.subplots(lines, columns, squeeze=False)
    for axes in plots.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_frame_on(False)
    for r, (name, windows) in enumerate(arrays.items()):
        for i, window in enumerate(windows):
            axes = plots[i // columns * len(arrays) + r, i % columns]
            axes.imshow(((window - low) / span).T, origin="lower", aspect="auto", vmin=0, vmax=1, cmap="magma")
            axes.set_xlim(-0.5, longest - 0.5)
            if r == 0 and i < len(titles):
                axes.set_title(titles[i], fontsize=7, pad=2)
            if i % columns == 0 and name:
                axes.set_ylabel(name, fontsize=7)
    return figure


def code_map(codes: ArrayLike, groups: Mapping[str, Sequence[str]], *, size: float = 3.6) -> Figure:
    """Codes by their first two principal components, a picture for each way to colour them.

    Args:
        codes: `(n, Z)`.
        groups: name of the attribute -> its value of each code; empty where it is not known.
        size: of a picture, inches.
    """
    from matplotlib.figure import Figure

    x = np.asarray(codes, dtype=np.float64)
    centred = x - x.mean(axis=0)
    plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    shown = {name: np.asarray(values) for name, values in groups.items() if any(values)}
    figure = Figure(figsize=(size * max(1, len(shown)), size), layout="constrained")
    plots = figure.subplots(1, max(1, len(shown)), squeeze=False)[0]
    for axes, (name, values) in zip(plots, shown.items(), strict=False):
        kinds, counts = np.unique(values[values != ""], return_counts=True)
        most = kinds[np.argsort(-counts)[:MOST_COLOURS]]
        for kind in most:
            points = plane[values == kind]
            axes.scatter(points[:, 0], points[:, 1], s=4, alpha=0.5, linewidths=0, label=str(kind))
        left = f", {len(most)} of {len(kinds)}" if len(most) < len(kinds) else ""
        axes.set_title(f"by {name}{left}", fontsize=9)
        axes.legend(fontsize=5, markerscale=2, ncols=2 if len(most) > 8 else 1, frameon=False)
    for axes in plots:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel("first principal component", fontsize=7)
        axes.set_ylabel("second", fontsize=7)
    return figure
