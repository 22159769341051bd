"""Misses against false alarms an hour, of words in long sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from phonaut.plots.noise import COLOURS, DASHES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PER_HOUR = 100.0  # that is drawn, where a curve has points below


def misses_per_hour(
    curves: Mapping[str, tuple[ArrayLike, ArrayLike]],
    points: Mapping[str, tuple[float, float]],
    *,
    hours: float,
    size: tuple[float, float] = (5.2, 3.9),
) -> Figure:
    """A DET curve for rare events: false alarms an hour to the right, logarithmic, misses upwards.

    Args:
        curves: name -> false alarms an hour and parts missed, at all thresholds, `(H,)` each.
        points: name -> those at the threshold in use, a dot.
        hours: of negatives; what has no false alarm is drawn at the left edge, at half of one.
        size: inches.

    Raises:
        ValueError: there are no curves.
    """
    from matplotlib.figure import Figure

    if not curves:
        raise ValueError("there are no curves to draw")
    left = 0.5 / hours
    figure = Figure(figsize=size, layout="constrained")
    plot = figure.subplots()
    right = 2.0 / hours
    for i, (name, (per_hour, missed)) in enumerate(curves.items()):
        # At equal misses the fewest false alarms, so that a detector that falls silent does not double back.
        alarms, misses = np.asarray(per_hour, dtype=np.float64), np.asarray(missed, dtype=np.float64)
        order = np.lexsort((misses, alarms))
        best = np.minimum.accumulate(misses[order])
        x = np.maximum(alarms[order], left)
        right = max(right, float(x[x <= max(MOST_PER_HOUR, x.min())].max()))
        style: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": DASHES[i // len(COLOURS) % len(DASHES)],
        }
        plot.step(x, 100 * best, where="post", linewidth=1.5, label=name, **style)
        if name in points:
            at, miss = points[name]
            fill = "white" if at == 0 else style["color"]
            plot.plot(max(at, left), 100 * miss, marker="o", color=style["color"], markerfacecolor=fill, clip_on=False)
    plot.set(xscale="log", xlim=(left, 1.1 * right), ylim=(0, 100), xlabel="false alarms an hour", ylabel="misses (%)")
    ticks = [10.0**power for power in range(int(np.ceil(np.log10(2 * left))), int(np.floor(np.log10(1.1 * right))) + 1)]
    plot.set_xticks([left, *ticks], ["0", *(f"{tick:g}" for tick in ticks)])
    plot.minorticks_off()
    plot.grid(color="0.9", linewidth=0.8)
    plot.set_axisbelow(True)
    plot.spines[["top", "right"]].set_visible(False)
    plot.legend(frameon=False, fontsize=8, title="dot: threshold in use (hollow: no false alarm)", title_fontsize=8)
    return figure


def alarms_by_threshold(
    threshold: ArrayLike,
    per_hour: ArrayLike,
    in_use: tuple[float, float],
    *,
    hours: float,
    size: tuple[float, float] = (5.2, 3.9),
) -> Figure:
    """False alarms an hour against the threshold, upwards and logarithmic, where nothing can be missed.

    Args:
        threshold: rising, `(H,)`.
        per_hour: at each, `(H,)`.
        in_use: the threshold in use and what it has, a dot.
        hours: of negatives; what has no false alarm is drawn at the lower edge, at half of one.
        size: inches.
    """
    from matplotlib.figure import Figure

    figure, low = Figure(figsize=size, layout="constrained"), 0.5 / hours
    plot = figure.subplots()
    rates = np.maximum(np.asarray(per_hour, dtype=np.float64), low)
    plot.step(threshold, rates, where="post", color=COLOURS[0], linewidth=1.5)
    at, rate = in_use
    fill = "white" if rate == 0 else COLOURS[0]
    plot.plot(at, max(rate, low), marker="o", color=COLOURS[0], markerfacecolor=fill, clip_on=False)
    plot.set(yscale="log", xlim=(0, 1), ylim=(low, max(2.0 / hours, 1.2 * float(rates.max(initial=low)))),
             xlabel="threshold", ylabel="false alarms an hour")  # fmt: skip
    plot.set_title("dot: threshold in use (hollow: no false alarm)", fontsize=8)
    plot.grid(color="0.9", linewidth=0.8)
    plot.set_axisbelow(True)
    plot.spines[["top", "right"]].set_visible(False)
    return figure
