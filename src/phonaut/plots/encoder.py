"""Pictures of what a transformer encoder does with one recording: its layers, its attention, the weights of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_HEADS = 8  # that are drawn, the first ones
MOST_FRAMES = 250  # of an attention map: more than the pixels that it gets
PANEL = 1.7  # inches of an attention map
ROWS = 7  # of layers in one column


def hidden_layers(states: Sequence[ArrayLike], *, frame_shift_s: float, width: float = 9.0) -> Figure:
    """Hidden states of every layer one below the other, time to the right; each has its own scale, about 0.

    Args:
        states: what goes into the first layer and what comes out of each, `(T, H)`; features stay in their order.
        frame_shift_s: seconds between representations.
        width: inches.
    """
    from matplotlib.figure import Figure

    n_columns = -(-len(states) // ROWS)
    n_rows = -(-len(states) // n_columns)
    figure = Figure(figsize=(width, 0.6 + 1.6 * n_rows), layout="constrained")
    plots = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for plot in plots.T.flatten()[len(states) :]:
        plot.set_axis_off()
    for number, (plot, state) in enumerate(zip(plots.T.flatten(), states, strict=False)):
        frames = np.asarray(state, dtype=np.float32)
        most = max(float(np.percentile(np.abs(frames), 99)), 1e-6)
        extent = (0.0, len(frames) * frame_shift_s, -0.5, frames.shape[1] - 0.5)
        image = plot.imshow(
            frames.T, origin="lower", aspect="auto", cmap="RdBu_r", vmin=-most, vmax=most, extent=extent
        )
        figure.colorbar(image, ax=plot, pad=0.01, aspect=12)
        plot.set(title="0: into the first layer" if number == 0 else f"{number}: out of layer {number}")
    for plot in plots[:, 0]:
        plot.set_ylabel("feature")
    for column in plots.T:  # also where nothing is drawn in the last row
        [plot for plot in column if plot.axison][-1].tick_params(labelbottom=True)
    figure.supxlabel("time (s)", fontsize="medium")
    return figure


def attention_maps(maps: Sequence[ArrayLike], *, seconds: float) -> Figure:
    """Attention of the first heads, a row a layer: what each moment (downwards) attends to (to the right).

    Every map has its own scale, from 0 to the weight that 1 in 200 of its weights exceeds.

    Args:
        maps: of each layer, `(n_heads, T, T)`; rows are queries.
        seconds: that T frames take.
    """
    from matplotlib.figure import Figure

    layers = [np.asarray(layer, dtype=np.float32) for layer in maps]
    n_heads = min(MOST_HEADS, max(len(layer) for layer in layers))
    size = (0.9 + PANEL * n_heads, 0.9 + (PANEL + 0.15) * len(layers))
    figure = Figure(figsize=size, layout="constrained")
    plots = figure.subplots(len(layers), n_heads, sharex=True, sharey=True, squeeze=False)
    for number, (row, layer) in enumerate(zip(plots, layers, strict=True), 1):
        for head, (plot, weights) in enumerate(zip(row, layer, strict=False), 1):
            most = max(float(np.percentile(weights, 99.5)), 1e-6)
            extent = (0.0, seconds, seconds, 0.0)
            plot.imshow(weights, aspect="auto", cmap="magma", vmin=0.0, vmax=most, extent=extent)
            plot.set_title(f"layer {number}, head {head}", fontsize=8)
            plot.tick_params(labelsize=7)
    figure.supxlabel("attended to (s); the brighter the more, each map by its own scale", fontsize=9)
    figure.supylabel("time (s)", fontsize=9)
    return figure


def coarse(weights: ArrayLike, most: int = MOST_FRAMES) -> NDArray[np.float32]:
    """Attention maps of no more than `most` frames: neighbouring queries averaged, neighbouring keys added up.

    Rows add up to 1 as before.

    Args:
        weights: `(H, T, T)`.
        most: frames to keep.

    >>> coarse([[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]], 2).tolist()
    [[[1.0, 0.0], [0.5, 0.5]]]
    """
    array = np.asarray(weights, dtype=np.float32)
    n = -(-array.shape[1] // most)
    if n <= 1:
        return array
    starts = np.arange(0, array.shape[1], n)
    queries = np.add.reduceat(array, starts, axis=1) / np.diff([*starts, array.shape[1]])[:, None]
    pooled: NDArray[np.float32] = np.add.reduceat(queries, starts, axis=2, dtype=np.float32)
    return pooled


def layer_weights(weights: ArrayLike) -> Figure:
    """Weights of the layers in a weighted sum, as bars.

    Args:
        weights: of what goes into the first layer and of what comes out of each, `(L + 1,)`; they add up to 1.
    """
    from matplotlib.figure import Figure

    shares = np.asarray(weights, dtype=np.float64)
    figure = Figure(figsize=(max(4.0, 1.4 + 0.5 * len(shares)), 3.0), layout="constrained")
    plot = figure.subplots()
    bars = plot.bar(range(len(shares)), shares, color="#0072B2")
    plot.bar_label(bars, [f"{share:.3f}" for share in shares], fontsize=8)
    plot.axhline(1 / len(shares), color="0.5", linewidth=0.8, linestyle="--", label="all alike")
    plot.set_xticks(range(len(shares)))
    plot.set(xlabel="layer (0: into the first)", ylabel="weight", ylim=(0.0, 1.15 * max(shares.max(), 1 / len(shares))))
    plot.spines[["top", "right"]].set_visible(False)
    plot.legend(frameon=False, fontsize=8)
    return figure
