"""Bands of a learned front end, beside those that it began with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from phonaut.reports.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Tick, marks, scale
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Record
from phonaut.reports.sections import Section


@dataclass(frozen=True)
class Bands:
    """Bands as vertical strokes, filter by filter, in units of a box of `WIDTH` x `HEIGHT`.

    Attributes:
        began: path of the bands at the beginning.
        learned: of those of the trained front end, a little to the right.
        ticks: marks of the frequencies.
        moved_hz: mean distance that an edge has moved.
        n: filters.
    """

    began: str
    learned: str
    ticks: list[Tick]
    moved_hz: float
    n: int


def render(record: Record) -> Section | None:
    """The section; None where no front end was learned."""
    bands = record.run.model.get("bands_hz")
    return Section(rendered("filters.html", {"bands": drawn(bands)})) if bands else None


def drawn(bands: dict[str, Any]) -> Bands:
    """The picture of `bands_hz` of `model.json`: lower and upper edges of the filters, `began` and `learned`."""
    began, learned = bands["began"], bands["learned"]
    n = len(began)
    ends = marks(0.0, max(high for _, high in [*began, *learned]))
    x = scale(0, max(1, n - 1), LEFT + 4, WIDTH - RIGHT - 4)
    y = scale(ends[0], ends[-1], HEIGHT - BOTTOM, TOP)
    step = (WIDTH - LEFT - RIGHT) / max(1, n) / 3

    def path(edges: list[list[float]], right: float) -> str:
        return "".join(f"M{x(k) + right:.1f} {y(low):.1f}V{y(high):.1f}" for k, (low, high) in enumerate(edges))

    moved = [abs(a - b) for one, other in zip(began, learned, strict=True) for a, b in zip(one, other, strict=True)]
    ticks = [Tick(y(hz), f"{hz / 1000:g}") for hz in ends]
    return Bands(path(began, 0.0), path(learned, step), ticks, sum(moved) / len(moved), n)
