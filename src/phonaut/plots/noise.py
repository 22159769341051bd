"""Figures against signal-to-noise ratio: a line for each model, a panel for each kind of noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's seven on white, and five between them; markers and dashes tell lines apart without colour.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9",
    "#000000", "#8C564B", "#7F7F7F", "#6A3D9A", "#999933", "#882255",
)  # fmt: skip
MARKERS = "osD^vPX<>*hp"
DASHES = ("-", "--", "-.", ":")
SPREAD_DB = 1.2  # over which the lines of one SNR are moved apart, so that their bars do not cover one another

Level = tuple[float, float, float]  # value, low, high
Panels = Mapping[str, Mapping[str, Mapping[float, Level]]]


def against_snr(
    panels: Panels, clean: Mapping[str, Level], *, ylabel: str = "accuracy", percent: bool = True
) -> Figure:
    """Curves of figures in noise; the bars are their intervals.

    Args:
        panels: kind of noise -> model -> SNR in dB -> figure.
        clean: model -> figure without noise, drawn at the right of each panel; the order is that of the colours.
        ylabel: name of the figure.
        percent: the figures are fractions, shown in per cent.

    Raises:
        ValueError: there is nothing to draw.
    """
    from matplotlib.figure import Figure

    panels = {kind: panel for kind, panel in panels.items() if any(panel.values())}
    if not panels:
        raise ValueError("there are no curves to draw: no model was tested in noise")
    names = [name for name in clean if any(panel.get(name) for panel in panels.values())]
    size = (1.2 + 4.3 * len(panels) + 2.2, max(3.8, 1.2 + 0.3 * len(names)))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    lines: dict[str, Any] = {}
    for plot, (kind, panel) in zip(axes, panels.items(), strict=True):
        lines |= draw(plot, panel, clean, names)
        plot.set(title=f"{kind} noise", xlabel="signal-to-noise ratio (dB)")
    axes[0].set_ylabel(ylabel)
    if percent:
        drawn = [level for panel in panels.values() for name in names for level in panel.get(name, {}).values()]
        lowest = min(low for _, low, _ in [*drawn, *(clean[name] for name in names)])
        axes[0].set_ylim(bottom=np.floor(10 * lowest) / 10)
        axes[0].yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    best_first = sorted(lines, key=lambda name: -mean_level(panels, name))
    figure.legend(
        [lines[name] for name in best_first], best_first, loc="outside right upper", frameon=False, fontsize=9
    )
    return figure


def draw(
    plot: Any, panel: Mapping[str, Mapping[float, Level]], clean: Mapping[str, Level], names: Sequence[str]
) -> Any:
    """One panel; the lines by name."""
    levels = sorted({snr for curve in panel.values() for snr in curve})
    step = min(np.diff(levels), default=5.0)
    at_clean = levels[-1] + 1.4 * step
    spread = min(SPREAD_DB, 0.4 * step) if len(names) > 1 else 0.0
    lines = {}
    for i, name in enumerate(names):
        if not panel.get(name):
            continue
        moved = spread * (i / max(len(names) - 1, 1) - 0.5)
        x = np.array([*panel[name], at_clean]) + moved
        values, low, high = np.array([*panel[name].values(), clean[name]]).T
        colour = COLOURS[i % len(COLOURS)]
        style = {"color": colour, "marker": MARKERS[i % len(MARKERS)], "markersize": 4.5}
        dash = DASHES[(i // 3 + i // len(COLOURS)) % len(DASHES)]  # no two of 48 lines are alike
        bars = np.maximum([values - low, high - values], 0.0)
        plot.errorbar(x, values, yerr=bars, fmt="none", ecolor=colour, elinewidth=1.0, alpha=0.45)
        (lines[name],) = plot.plot(x[:-1], values[:-1], linestyle=dash, linewidth=1.6, **style)
        plot.plot(x[-1:], values[-1:], linestyle="none", **style)
    plot.set_xticks([*levels, at_clean], [*(f"{level:g}" for level in levels), "clean"])
    plot.axvline(levels[-1] + 0.7 * step, color="0.8", linewidth=0.8)
    plot.grid(axis="y", color="0.9", linewidth=0.8)
    plot.set_axisbelow(True)
    plot.spines[["top", "right"]].set_visible(False)
    return lines


def mean_level(panels: Panels, name: str) -> float:
    """The mean of a model's curves: what the legend is sorted by."""
    return float(np.mean([level[0] for panel in panels.values() for level in panel.get(name, {}).values()]))
