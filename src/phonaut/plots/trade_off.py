"""A figure against a cost, a point for each of several models, and the line of those that nothing beats in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BEST, OTHER, OUTSIDE = "#0072B2", "#7F7F7F", "#D55E00"
# Of a name beside its point, the first that is free: alignment, and distance in points.
SIDES = (
    ("left", "bottom", 6, 3), ("left", "top", 6, -3), ("right", "bottom", -6, 3), ("right", "top", -6, -3),
    ("left", "bottom", 6, 13), ("left", "top", 6, -13), ("right", "bottom", -6, 13), ("right", "top", -6, -13),
)  # fmt: skip
LOG_FROM = 5  # times as large as the least: the cost has a logarithmic axis


@dataclass(frozen=True)
class Point:
    """A model in the picture.

    Attributes:
        x: cost.
        y: figure.
        low: of its 95 % interval.
        high: likewise.
        kind: `best`, which nothing beats in both, `other`, or `outside` of the limits.
        name: written beside it, and its interval drawn; empty: it is a point among many.
    """

    x: float
    y: float
    low: float
    high: float
    kind: str
    name: str = ""


def trade_off(
    points: Sequence[Point],
    *,
    xlabel: str,
    ylabel: str,
    percent: bool = False,
    joined: bool = True,
    what: str = "trial",
) -> Figure:
    """Points with bars for the intervals of those that are named.

    Args:
        points: at least one.
        xlabel: the cost, with its unit.
        ylabel: the figure.
        percent: the figure is a fraction, shown in per cent.
        joined: draw a line through the best, in the order of their cost.
        what: a point is, for the legend.

    Raises:
        ValueError: there is nothing to draw.
    """
    from matplotlib.figure import Figure

    if not points:
        raise ValueError("there is nothing to draw: no trial has finished")
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    plot = figure.subplots()
    looks: dict[str, dict[str, Any]] = {
        "other": {"color": OTHER, "marker": "o", "ms": 5, "alpha": 0.8, "label": what},
        "outside": {"color": OUTSIDE, "marker": "x", "ms": 6, "label": "outside of a limit"},
        "best": {"color": BEST, "marker": "D", "ms": 6, "label": "none is better in both" if joined else "the best"},
    }
    for kind, look in looks.items():
        of = sorted((point for point in points if point.kind == kind), key=lambda point: point.x)
        if not of:
            continue
        if named := [point for point in of if point.name]:
            bars = [[point.y - point.low for point in named], [point.high - point.y for point in named]]
            x, y = [p.x for p in named], [p.y for p in named]
            plot.errorbar(x, y, yerr=bars, fmt="none", ecolor=look["color"], capsize=3, lw=1, alpha=0.8)
        if kind == "best" and joined and len(of) > 1:
            plot.plot([p.x for p in of], [p.y for p in of], color=BEST, lw=1)
        plot.plot([p.x for p in of], [p.y for p in of], linestyle="none", **look)
    costs = [point.x for point in points]
    if min(costs) > 0 and max(costs) > LOG_FROM * min(costs):
        plot.set_xscale("log")
    plot.set(xlabel=xlabel, ylabel=ylabel)
    if percent:
        plot.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    plot.xaxis.set_major_formatter(lambda value, _: shortened(value))
    if plot.get_xscale() == "log":
        plot.xaxis.set_minor_formatter(lambda value, _: shortened(value) * (leading(value) in (2, 5)))
    plot.grid(alpha=0.25)
    plot.legend(frameon=False, fontsize=9)
    write_names(figure, points)
    return figure


def write_names(figure: Figure, points: Sequence[Point]) -> None:
    """Write each name beside its point, on the side where it covers least of other names, points and the legend."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.transforms import Bbox

    (plot,) = figure.axes
    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    figure.draw_without_rendering()
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in plot.transData.transform([(p.x, p.y) for p in points])]
    if legend := plot.get_legend():
        taken.append(legend.get_window_extent(renderer))
    for point in (point for point in points if point.name):
        text = plot.annotate(point.name, (point.x, point.y), (0, 0), textcoords="offset points", fontsize=8)

        def covered(side: tuple[str, str, int, int]) -> float:
            text.set(ha=side[0], va=side[1], position=side[2:])  # noqa: B023
            box = text.get_window_extent(renderer)  # noqa: B023
            shared = [Bbox.intersection(box, other) for other in [*taken, plot.bbox]]
            inside = shared.pop()
            outside = box.width * box.height - (inside.width * inside.height if inside else 0)
            return 3 * outside + sum(one.width * one.height for one in shared if one)

        covered(min(SIDES, key=covered))
        taken.append(text.get_window_extent(renderer))


def leading(number: float) -> int:
    """The leading digit of a number >= 1 with no other digit but zeros.

    >>> leading(5e5), leading(20)
    (5, 2)
    """
    return round(float(number / 10 ** int(log10(number) + 1e-9)))


def shortened(number: float) -> str:
    """A cost on an axis.

    >>> shortened(1_500_000), shortened(65_000), shortened(12)
    ('1.5 M', '65 k', '12')
    """
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"
