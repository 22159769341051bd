"""Training of several runs in one picture: a panel for each figure, a colour for each run."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from phonaut.plots.noise import COLOURS, DASHES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3  # panels side by side
WIDE = 30.0  # ratio of the largest to the smallest value above which an axis is logarithmic


class Curve(NamedTuple):
    """A figure of a run over its epochs.

    Attributes:
        stage: `train`, `validation`, or nothing where it is of neither, such as a learning rate.
        epochs: counted from 1, or steps.
        values: of them.
    """

    stage: str
    epochs: Sequence[float]
    values: Sequence[float]


def histories(
    panels: Mapping[str, Mapping[str, Sequence[Curve]]],
    *,
    percent: Collection[str] = (),
    linear: Collection[str] = (),
    over: str = "epoch",
) -> Figure:
    """Curves over epochs; validation drawn strongly, training thinly. The order of the runs is that of the colours.

    Args:
        panels: title -> run -> its curves, several of a stage where a run is of several folds.
        percent: titles of fractions, shown in per cent.
        linear: titles whose axis is never logarithmic; those of fractions are not either.
        over: what stands below: `epoch` or `step`.

    Raises:
        ValueError: there is nothing to draw.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    names = list(dict.fromkeys(name for panel in panels.values() for name in panel))
    if not names:
        raise ValueError("there are no curves to draw: no run has a history")
    columns = min(COLUMNS, len(panels))
    lines = math.ceil(len(panels) / columns)
    height = 0.35 * math.ceil((len(names) + 2) / 4)
    figure = Figure(figsize=(3.6 * columns, 2.7 * lines + height), layout="constrained")
    plots = figure.subplots(lines, columns, squeeze=False).flat
    for axes in plots[len(panels) :]:
        axes.set_axis_off()
    of = {name: (COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]) for i, name in enumerate(names)}
    for axes, (title, panel) in zip(plots, panels.items(), strict=False):
        for name, curves in panel.items():
            for curve in curves:
                strong = curve.stage != "train"
                axes.plot(
                    curve.epochs, curve.values, color=of[name][0], linestyle=of[name][1],
                    linewidth=1.8 if strong else 0.8, alpha=1.0 if strong else 0.6,
                    marker="." if len(curve.epochs) < 3 else None,
                )  # fmt: skip
        values = [value for curves in panel.values() for curve in curves for value in curve.values]
        if title in percent:
            axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
        elif title not in linear and min(values) > 0 and max(values) > WIDE * min(values):
            axes.set_yscale("log")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(over, fontsize=8)
        axes.tick_params(labelsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(axis="y", color="0.9", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    keys = [Line2D([], [], color=colour, ls=dash, linewidth=1.8) for colour, dash in of.values()]
    shown = {curve.stage for panel in panels.values() for curves in panel.values() for curve in curves}
    stages = {"validation": 1.8} | ({"training": 0.8} if "train" in shown else {})
    keys += [Line2D([], [], color="0.3", linewidth=width) for width in stages.values()]
    figure.legend(keys, [*names, *stages], loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure
