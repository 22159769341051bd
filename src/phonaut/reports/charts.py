"""Curves over epochs as geometry: what a template needs to draw an SVG whose colours follow the page's theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from phonaut.reports.text import figure, percent

WIDTH, HEIGHT = 360.0, 224.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 12.0, 10.0, 42.0
# What an axis spans at least, so that a flat curve looks flat: a share of what it shows, and of fractions this much.
FLAT, FLAT_FRACTION = 0.01, 0.05
MAX_POINTS = 400  # of a curve
MAX_READINGS = 120  # places to point at

History = Sequence[dict[str, float]]
T = TypeVar("T")


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Curve:
    """One curve.

    Attributes:
        name: as the legend has it.
        path: of the SVG.
        last: the last value, as text.
        end: the last point.
    """

    name: str
    path: str
    last: str
    end: tuple[float, float]


@dataclass(frozen=True)
class Reading:
    """A strip of the chart to point at, and the figures of its epoch."""

    x: float
    width: float
    centre: float
    text: str


@dataclass(frozen=True)
class Chart:
    """One quantity over epochs, in units of a box of `WIDTH` x `HEIGHT`.

    Attributes:
        title: the quantity.
        curves: what is drawn.
        x_ticks: marks of the epochs.
        y_ticks: marks of the values.
        readings: strips to point at.
        best_x: abscissa of the epoch of the best checkpoint.
        description: the chart in words.
        unit: of the quantity; it may be none.
        over: what it is drawn against, `epoch`, `EM step` or `step`.
    """

    title: str
    curves: list[Curve]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    readings: list[Reading]
    best_x: float | None
    description: str
    unit: str = ""
    over: str = "epoch"


def charts(
    history: History, best_epoch: int | None, figures: Mapping[str, str] | None = None, over: str = "epoch"
) -> list[Chart]:
    """Figures of both stages, accuracy and learning rate; a quantity that was not recorded has no chart.

    Args:
        history: a line per epoch.
        best_epoch: epoch of the best checkpoint, counted from 0.
        figures: name in the history -> unit; None: the loss.
        over: as of `chart`.
    """

    def drawn(name: str, unit: str = "") -> Chart | None:
        keys = {"training": f"train/{name}", "validation": f"validation/{name}"}
        return chart(in_words(name), history, keys, percent if name == "accuracy" else figure, best_epoch, over, unit)

    shown = [drawn(name, unit) for name, unit in ({"loss": ""} if figures is None else figures).items()]
    rate = chart("Learning rate", history, {"learning rate": "lr"}, figure, best_epoch, over)
    return [one for one in (*shown, drawn("accuracy"), rate) if one is not None]


def in_words(term: str) -> str:
    """A term of a loss as a title.

    >>> in_words("log_variance"), in_words("kl"), in_words("log_likelihood")
    ('Log variance', 'KL', 'Log-likelihood of a frame')
    """
    if term == "log_likelihood":
        return "Log-likelihood of a frame"
    return term.upper() if len(term) < 4 else term.replace("_", " ").capitalize()


def chart(
    title: str,
    history: History,
    keys: dict[str, str],
    text: Callable[[float], str],
    best_epoch: int | None,
    over: str = "epoch",
    unit: str = "",
) -> Chart | None:
    """One chart; None where the history has none of its figures.

    Args:
        title: of the chart.
        history: a line per epoch.
        keys: name of a curve -> key of the history.
        text: how a value is written; `percent` makes the axis end at 100 %.
        best_epoch: epoch of the best checkpoint, counted from 0.
        over: what it is drawn against: `epoch`, `EM step`, which is one, or `step`.
        unit: of the quantity.
    """
    points = {name: finite_points(history, key, over) for name, key in keys.items()}
    points = {name: series for name, series in points.items() if series}
    if not points:
        return None
    epochs = [epoch for series in points.values() for epoch, _ in series]
    values = [value for series in points.values() for _, value in series]
    first, last = min(epochs), max(epochs)
    low, high = opened(min(values), max(values), FLAT_FRACTION if text is percent else 0.0)
    from_zero = not 0 < high < 2 * low  # a log-likelihood far from 0 would be a flat line
    if text is percent:  # to 100 %, unless that left all of it at the bottom
        y_marks = marks(min(0.9, low), 1.0) if high > 0.5 else marks(max(0.0, low), high)
    else:
        y_marks = marks(min(0.0, low) if from_zero else low, high)
    x = scale(first, last, LEFT, WIDTH - RIGHT)
    y = scale(y_marks[0], y_marks[-1], HEIGHT - BOTTOM, TOP)
    whole_epochs = [mark for mark in marks(first, last) if first <= mark <= last and mark == int(mark)]
    in_words = (f"{name} from {text(series[0][1])} to {text(series[-1][1])}" for name, series in points.items())
    return Chart(
        title=title,
        curves=[curve(name, [(x(e), y(v)) for e, v in series], text(series[-1][1])) for name, series in points.items()],
        x_ticks=[Tick(x(mark), f"{mark:.0f}") for mark in whole_epochs],
        y_ticks=[Tick(y(mark), label) for mark, label in zip(y_marks, labels(y_marks, text is percent), strict=True)],
        readings=readings(points, x, text, over),
        best_x=next((x(place(line, over)) for line in history if line["epoch"] == best_epoch), None),
        description=f"{title}{', ' * bool(unit)}{unit} over {over}s {first:.0f} to {last:.0f}: {'; '.join(in_words)}",
        unit=unit,
        over=over,
    )


def opened(low: float, high: float, least: float = 0.0) -> tuple[float, float]:
    """The ends of an axis, apart by no less than `least`, nor a hundredth of what it shows.

    >>> opened(142.0, 142.01), opened(0.1, 0.9), opened(0.0, 0.0), opened(0.5, 0.5, 0.25)
    ((141.29495, 142.71505), (0.1, 0.9), (0.0, 0.0), (0.375, 0.625))
    """
    lacking = max(least, FLAT * max(abs(low), abs(high))) - (high - low)
    return (low, high) if lacking <= 0 else (round(low - lacking / 2, 12), round(high + lacking / 2, 12))


def labels(at: Sequence[float], percent: bool) -> list[str]:
    """What stands beside the marks of an axis: as many decimals as tell them apart.

    >>> labels([0.21, 0.215, 0.22], True), labels([0.0, 0.5], False)
    (['21.0 %', '21.5 %', '22.0 %'], ['0', '0.5'])
    """
    if not percent:
        return [f"{mark:g}" for mark in at]
    step = 100 * (at[1] - at[0])
    decimals = max(0, math.ceil(-math.log10(step) - 1e-9))
    return [f"{100 * mark:.{decimals}f} %" for mark in at]


def place(line: dict[str, float], over: str) -> float:
    """Abscissa of a line of the history: its epoch counted from 1, or its step."""
    return line["step"] if over == "step" else line["epoch"] + 1


def finite_points(history: History, key: str, over: str = "epoch") -> list[tuple[float, float]]:
    """Places and their values; where there was none, or it was not finite, there is a gap."""
    pairs = ((place(line, over), line.get(key, math.nan)) for line in history)
    return [(at, value) for at, value in pairs if math.isfinite(value)]


def curve(name: str, points: list[tuple[float, float]], last: str) -> Curve:
    """A line through points; of very many, some."""
    shown = thinned(points, MAX_POINTS)
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in shown)
    return Curve(name, path, last, points[-1])


def readings(
    points: dict[str, list[tuple[float, float]]],
    x: Callable[[float], float],
    text: Callable[[float], str],
    over: str = "epoch",
) -> list[Reading]:
    """A strip for every epoch (of very many, for some), as wide as the space that it has."""
    at: dict[float, list[str]] = {}
    for name, series in points.items():
        for epoch, value in series:
            at.setdefault(epoch, []).append(f"{name} {text(value)}")
    epochs = thinned(sorted(at), MAX_READINGS)
    centres = [x(epoch) for epoch in epochs]
    borders = [LEFT, *((a + b) / 2 for a, b in pairwise(centres)), WIDTH - RIGHT]
    return [
        Reading(borders[i], borders[i + 1] - borders[i], centres[i], f"{over} {epoch:.0f}: {', '.join(at[epoch])}")
        for i, epoch in enumerate(epochs)
    ]


def thinned(items: Sequence[T], most: int) -> list[T]:
    """At most `most` items, evenly, the first and the last among them.

    >>> thinned(range(10), 4)
    [0, 3, 6, 9]
    """
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The straight line that takes `low` to `start` and `high` to `end`; the middle, where those are one."""
    if low == high:
        return lambda value: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def marks(low: float, high: float) -> list[float]:
    """About five round numbers in steps of 1, 2 or 5 that enclose `low` and `high`.

    >>> marks(0.03, 2.2)
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    >>> marks(0.001, 0.001)
    [0.0, 0.0005, 0.001, 0.0015, 0.002]
    """
    if math.isclose(low, high, rel_tol=1e-9):
        around = min(0.5, abs(low)) or 0.5
        low, high = (low - around, high + around) if low else (0.0, 1.0)
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
