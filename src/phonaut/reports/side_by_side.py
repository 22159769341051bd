"""What every page of several runs shows: settings that differ, a figure against its cost, learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from phonaut.metrics import Estimate, Metric
from phonaut.plots import Point, png, trade_off
from phonaut.reports.histories import curves_picture
from phonaut.reports.media import data_uri
from phonaut.runs.differing import differing
from phonaut.runs.folds import Folds
from phonaut.runs.run import Run
from phonaut.runs.sweeps.goals import front

CSS_DPI, SHARPNESS = 90, 2  # pixels of the page to an inch of a picture, and of the picture to one of the page
COSTS = {"macs": "multiply-accumulates (MACs)", "parameters": "parameters"}


class Picture(NamedTuple):
    """A picture of a page: its cost in words, and itself as data URI; `width` in pixels of the page."""

    cost: str
    image: str
    width: int


def side_by_side(
    runs: Mapping[str, Run | Folds], rates: Mapping[str, Estimate | None], metric: Metric
) -> dict[str, Any]:
    """Content of `settings.html`, `costs.html` and `curves.html`.

    Args:
        runs: by the names that tell them apart.
        rates: a figure of each, where it has it.
        metric: of the figure.
    """
    return {
        "names": list(runs),
        "settings": differing(list(runs.values())),
        "costs": cost_pictures(runs, rates, metric),
        "curves": curves_picture(runs),
    }


def cost_pictures(
    runs: Mapping[str, Run | Folds], rates: Mapping[str, Estimate | None], metric: Metric
) -> list[Picture]:
    """A figure against each cost of which at least two runs have different amounts."""
    drawn = []
    sign = -1 if metric.direction == "higher" else 1
    for key, words in COSTS.items():
        known = [
            (name, float(run.model[key]), rate)
            for name, run in runs.items()
            if (rate := rates.get(name)) is not None and run.model.get(key) is not None
        ]
        if len({cost for _, cost, _ in known}) < 2:
            continue
        best = set(front([[cost, sign * rate.value] for _, cost, rate in known]))
        points = [
            Point(cost, *rate[:3], "best" if i in best else "other", name) for i, (name, cost, rate) in enumerate(known)
        ]
        figure = trade_off(points, xlabel=words, ylabel=metric.label, percent=metric.format == "percent", what="run")
        image = png(figure, dpi=SHARPNESS * CSS_DPI)
        drawn.append(Picture(words, data_uri("image/png", image), width_of(image)))
    return drawn


def width_of(image: bytes) -> int:
    """Width of a PNG in pixels of the page."""
    return int.from_bytes(image[16:20]) // SHARPNESS
