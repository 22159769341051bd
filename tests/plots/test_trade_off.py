"""Figure against cost: every trial is a point, the best are joined and named."""

import pytest

from phonaut.plots import Point, trade_off

POINTS = [
    Point(1e6, 0.9, 0.85, 0.93, "best", "4"),
    Point(2e6, 0.95, 0.9, 0.97, "best", "7"),
    Point(1.5e6, 0.88, 0.8, 0.9, "other"),
    Point(9e6, 0.97, 0.9, 0.99, "outside"),
]


def test_every_trial_is_a_point_and_the_best_are_named() -> None:
    (plot,) = trade_off(POINTS, xlabel="MACs", ylabel="accuracy", percent=True).axes
    drawn = [(x, y) for line in plot.get_lines() if line.get_linestyle() == "None" for x, y in line.get_xydata()]
    for point in POINTS:
        assert (point.x, point.y) in drawn
    assert [text.get_text() for text in plot.texts] == ["4", "7"]
    assert plot.get_xscale() == "log"
    assert [text.get_text() for text in plot.get_legend().get_texts()] == [
        "trial", "outside of a limit", "none is better in both"
    ]  # fmt: skip


def test_names_of_points_that_lie_close_do_not_cover_one_another() -> None:
    close = [Point(1e6 * (1 + 0.01 * i), 0.9 + 0.001 * i, 0.88, 0.93, "other", f"a long name {i}") for i in range(4)]
    close.append(Point(9e6, 0.2, 0.1, 0.3, "other", "far away"))
    figure = trade_off(close, xlabel="MACs", ylabel="accuracy", what="run")
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_no_trial_is_no_picture() -> None:
    with pytest.raises(ValueError, match="no trial has finished"):
        trade_off([], xlabel="MACs", ylabel="accuracy")
