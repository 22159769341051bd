"""The curve of misses against false alarms an hour shows what was measured, also where there was no false alarm."""

from __future__ import annotations

import numpy as np
import pytest

from phonaut.plots.spotting import misses_per_hour


def test_the_curve_falls_through_the_best_points_and_begins_where_there_is_no_false_alarm() -> None:
    alarms, missed = np.array([9.0, 3.0, 3.0, 0.0, 0.0]), np.array([0.1, 0.2, 0.3, 0.4, 1.0])
    figure = misses_per_hour({"ours": (alarms, missed)}, {"ours": (0.0, 0.4)}, hours=2.0)
    line, dot = figure.axes[0].lines
    assert line.get_xdata().tolist() == [0.25, 0.25, 3.0, 3.0, 9.0]
    assert line.get_ydata() == pytest.approx([40, 40, 20, 20, 10])
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (0.25, 40.0)
    assert dot.get_markerfacecolor() == "white"
    assert next(label.get_text() for label in figure.axes[0].get_xticklabels()) == "0"


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(ValueError, match="there are no curves to draw"):
        misses_per_hour({}, {}, hours=1.0)
