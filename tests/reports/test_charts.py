"""Curves show the history: every value at its place, gaps where there was none."""

import math
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonaut.reports.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Chart, charts, marks, thinned


def drawn(history: list[dict[str, float]], best: int | None = None) -> dict[str, Chart]:
    return {chart.title: chart for chart in charts(history, best)}


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_a_curve_runs_from_corner_to_corner_of_its_scale() -> None:
    chart = drawn([{"epoch": e, "train/loss": 2.0 - e} for e in range(3)])["Loss"]
    assert [tick.text for tick in chart.y_ticks] == ["0", "0.5", "1", "1.5", "2"]
    path = points(chart.curves[0].path)
    assert [x for x, _ in path] == pytest.approx([LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT])
    assert [y for _, y in path] == pytest.approx([TOP, (TOP + HEIGHT - BOTTOM) / 2, HEIGHT - BOTTOM])
    assert [(tick.text, tick.at) for tick in chart.x_ticks] == [(str(i + 1), path[i][0]) for i in range(3)]


def test_missing_and_infinite_values_are_gaps() -> None:
    history = [{"epoch": 0, "train/loss": 1.0}, {"epoch": 1, "train/loss": math.nan}, {"epoch": 2}]
    history += [{"epoch": 3, "train/loss": math.inf}, {"epoch": 4, "train/loss": 0.5, "validation/loss": 0.7}]
    chart = drawn(history)["Loss"]
    assert [curve.name for curve in chart.curves] == ["training", "validation"]
    assert len(points(chart.curves[0].path)) == 2
    assert chart.curves[0].last == "0.5"


def test_what_was_never_measured_has_no_chart() -> None:
    assert list(drawn([{"epoch": 0, "train/loss": 1.0}])) == ["Loss"]
    assert drawn([]) == {}


def test_accuracy_is_drawn_up_to_100_per_cent() -> None:
    chart = drawn([{"epoch": 0, "train/accuracy": 1.0}, {"epoch": 1, "train/accuracy": 1.0}])["Accuracy"]
    assert chart.y_ticks[-1].text == "100 %"
    assert points(chart.curves[0].path)[-1][1] == pytest.approx(TOP)


@pytest.mark.parametrize("key", ["train/loss", "train/accuracy"])
def test_a_flat_curve_looks_flat_and_the_marks_of_its_axis_differ(key: str) -> None:
    (chart,) = drawn([{"epoch": e, key: 0.3 + 1e-5 * e} for e in range(5)]).values()
    heights = [y for _, y in points(chart.curves[0].path)]
    assert max(heights) - min(heights) < 0.05 * (HEIGHT - TOP - BOTTOM)
    texts = [tick.text for tick in chart.y_ticks]
    assert len(set(texts)) == len(texts)


def test_the_epoch_that_was_kept_is_marked_where_it_is_drawn() -> None:
    history = [{"epoch": e, "train/loss": 1.0 / (e + 1)} for e in range(5)]
    chart = drawn(history, best=2)["Loss"]
    assert chart.best_x == pytest.approx(points(chart.curves[0].path)[2][0])
    assert drawn(history, best=-1)["Loss"].best_x is None


def test_every_epoch_can_be_pointed_at_and_names_its_values() -> None:
    history = [{"epoch": e, "train/loss": 1.0 + e, "validation/loss": 2.0 + e} for e in range(7)]
    readings = drawn(history)["Loss"].readings
    assert readings[3].text == "epoch 4: training 4, validation 5"
    assert sum(reading.width for reading in readings) == pytest.approx(WIDTH - LEFT - RIGHT)
    assert all(b.x == pytest.approx((a.centre + b.centre) / 2) for a, b in pairwise(readings)), "the nearest epoch"


def test_a_very_long_history_is_thinned_and_keeps_its_ends() -> None:
    chart = drawn([{"epoch": e, "train/loss": float(e)} for e in range(100_000)])["Loss"]
    path = points(chart.curves[0].path)
    assert len(path) <= 400
    assert path[0][0] == pytest.approx(LEFT)
    assert path[-1][0] == pytest.approx(WIDTH - RIGHT)
    assert len(chart.readings) <= 120


@given(st.floats(-1000, 1000), st.floats(1e-6, 1e6))
def test_marks_enclose_the_values_in_even_steps(spans_from_zero: float, span: float) -> None:
    low = spans_from_zero * span
    found = marks(low, low + span)
    steps = [b - a for a, b in pairwise(found)]
    assert 2 <= len(found) <= 12
    assert found[0] <= low + 1e-6 * span
    assert found[-1] >= low + span - 1e-6 * span
    assert max(steps) - min(steps) <= 1e-6 * span


@given(st.integers(1, 500), st.integers(2, 50))
def test_thinning_keeps_order_and_ends(n: int, most: int) -> None:
    kept = thinned(range(n), most)
    assert kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (0, n - 1)
    assert len(kept) == min(n, most)
