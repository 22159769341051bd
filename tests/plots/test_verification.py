"""DET curves lie where the probits of their rates are; histograms have the shares of their bins."""

import numpy as np
import pytest

from phonaut.plots import det_curves, png, score_histograms

CURVES = {"dtw": ([1.0, 0.4, 0.1, 0.0], [0.0, 0.02, 0.3, 1.0]), "gmm": ([1.0, 0.05, 0.0], [0.0, 0.05, 1.0])}


@pytest.mark.oracle
def test_curves_and_operating_points_lie_at_the_probits_of_their_rates() -> None:
    from scipy.stats import norm

    figure = det_curves(CURVES, operating_points={"gmm": (0.05, 0.2)})
    plot = figure.axes[0]
    lines = {line.get_label(): line for line in plot.lines}
    np.testing.assert_allclose(lines["dtw"].get_xydata(), norm.ppf([[0.4, 0.02], [0.1, 0.3]]))
    np.testing.assert_allclose(lines["gmm"].get_xydata(), norm.ppf([[0.05, 0.05]]))
    dots = [line for line in plot.lines if line.get_marker() == "o"]
    np.testing.assert_allclose([dot.get_xydata()[0] for dot in dots], [norm.ppf([0.05, 0.2])])
    assert dots[0].get_color() == lines["gmm"].get_color() != lines["dtw"].get_color()
    ticks = {text.get_text(): x for x, text in zip(plot.get_xticks(), plot.get_xticklabels(), strict=True)}
    for label, place in ticks.items():
        assert norm.cdf(place) == pytest.approx(float(label) / 100)
    assert {"2", "5", "10", "40"} <= set(ticks)
    assert (plot.get_xlabel(), plot.get_ylabel()) == ("false alarms (%)", "misses (%)")
    assert png(figure).startswith(b"\x89PNG")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("alarm", "miss", "point"),
    [
        ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0], (0.0, 0.0)),  # no errors
        ([1.0, 0.0], [0.0, 1.0], (1.0, 0.0)),  # one score for all
        ([1.0, 1.0, 0.0], [0.0, 1.0, 1.0], (0.9, 0.9)),  # all wrong
        ([1.0, 1e-9, 0.0], [0.0, 1e-9, 1.0], (1e-9, 1e-9)),
    ],
)
def test_rates_of_nothing_and_of_all_can_be_drawn_and_points_stay_inside(
    alarm: list[float], miss: list[float], point: tuple[float, float]
) -> None:
    figure = det_curves({"x": (alarm, miss)}, operating_points={"x": point})
    plot = figure.axes[0]
    for line in plot.lines:
        assert np.isfinite(line.get_xydata()).all()
    (dot,) = (line.get_xydata()[0] for line in plot.lines if line.get_marker() == "o")
    assert plot.get_xlim()[0] <= dot[0] <= plot.get_xlim()[1]
    assert plot.get_ylim()[0] <= dot[1] <= plot.get_ylim()[1]
    ends = min(point) == 0
    fill = next(line.get_markerfacecolor() for line in plot.lines if line.get_marker() == "o")
    assert (fill == "white") == ends, "a rate of 0 is not one that was measured"
    drawn = [x for x, y in zip(alarm, miss, strict=True) if x > 0 and y > 0]
    (curve,) = (line for line in plot.lines if line.get_label().startswith("x"))
    assert len(curve.get_xydata()) == len(drawn)
    assert curve.get_label() == ("x" if drawn else "x: no errors of one kind")
    assert png(figure).startswith(b"\x89PNG")


def test_curves_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="no curves"):
        det_curves({})
    with pytest.raises(ValueError, match="got ivector"):
        det_curves(CURVES, operating_points={"ivector": (0.1, 0.1)})


def test_each_condition_has_a_histogram_of_one_area_and_says_how_many_it_is_of() -> None:
    rng = np.random.default_rng(0)
    condition = np.repeat(["TC", "TW", "IC", "other"], [40, 300, 2000, 10])
    scores = rng.normal(0, 2, len(condition))
    scores[[0, 1, 50]] = [np.inf, -np.inf, np.inf]
    figure = score_histograms(scores, condition, threshold=0.5, xlabel="log-likelihood ratio")
    plot = figure.axes[0]
    outlines = {step.get_label(): step.get_data() for step in plot.patches if step.get_label()}
    assert list(outlines) == [
        "owner, right phrase (40, 2 infinite)", "owner, wrong phrase (300, 1 infinite)",
        "impostor, right phrase (2,000)", "other (10)",
    ]  # fmt: skip
    areas = [(shares * np.diff(edges)).sum() for shares, edges, _ in outlines.values()]
    assert areas == pytest.approx([38 / 40, 299 / 300, 1.0, 1.0])
    shares, edges, _ = outlines["impostor, right phrase (2,000)"]
    inside = (scores[condition == "IC"] >= edges[20]) & (scores[condition == "IC"] < edges[21])
    assert shares[20] * (edges[21] - edges[20]) == pytest.approx(inside.mean())
    assert next(line.get_xdata()[0] for line in plot.lines) == 0.5
    assert plot.get_xlabel() == "log-likelihood ratio"
    assert len(figure.legends[0].get_texts()) == 5
    assert png(figure).startswith(b"\x89PNG")


def test_equal_scores_are_drawn_and_scores_of_which_none_is_finite_are_refused() -> None:
    assert score_histograms([1.0, 1.0], ["TC", "IC"]).axes[0].patches
    for scores in ([], [np.inf]):
        with pytest.raises(ValueError, match="finite score to draw"):
            score_histograms(scores, ["TC"] * len(scores))
