"""Pictures of windows of frames: grids, and codes of them in a plane."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from phonaut.plots.noise import COLOURS

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
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    plane = centred @ directions[:2].T
    share = np.square(spread[:2]) / max(float(np.square(spread).sum()), 1e-300)
    shown = {name: np.asarray(values) for name, values in groups.items() if any(values)}
    figure = Figure(figsize=((size + 0.9) * max(1, len(shown)), size), layout="constrained")
    plots = figure.subplots(1, max(1, len(shown)), squeeze=False)[0]
    for axes, (name, values) in zip(plots, shown.items(), strict=False):
        kinds, counts = np.unique(values[values != ""], return_counts=True)
        most = kinds[np.sort(np.argsort(-counts, kind="stable")[:MOST_COLOURS])]
        for colour, kind in zip(colours(len(most)), most, strict=True):
            points = plane[values == kind]
            axes.scatter(points[:, 0], points[:, 1], s=4, alpha=0.6, linewidths=0, color=colour, label=str(kind))
        left = f", {len(most)} of {len(kinds)}" if len(most) < len(kinds) else ""
        axes.set_title(f"by {name}{left}", fontsize=9)
        axes.legend(fontsize=7, markerscale=3, ncols=1, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    for axes in plots:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"first principal component, {100 * share[0]:.0f} % of variance", fontsize=7)
        axes.set_ylabel(f"second, {100 * share[1:].sum():.0f} %", fontsize=7)
    return figure


def colours(n: int) -> Sequence[Any]:
    """Colours of n kinds, no two alike: up to twelve of those of curves, of more from matplotlib's twenty."""
    if n <= len(COLOURS):
        return COLOURS[:n]
    from matplotlib import colormaps

    return [colormaps["tab20"](i) for i in range(n)]
