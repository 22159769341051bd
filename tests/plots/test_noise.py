"""Curves in noise: a panel for each kind, a line for each model, bars where the intervals are."""

import numpy as np
import pytest

from phonaut.plots import against_snr, png

SNR = (5.0, 10.0, 20.0)


def curves(n_models: int, start: float = 0.3) -> dict[str, dict[float, tuple[float, float, float]]]:
    return {
        f"model-{i}": {snr: (v := start + 0.02 * i + 0.01 * snr, v - 0.03, v + 0.05) for snr in SNR}
        for i in range(n_models)
    }


def test_every_model_has_its_line_in_every_panel_and_the_legend_is_sorted_by_height() -> None:
    clean = {f"model-{i}": (0.7, 0.65, 0.75) for i in range(16)}
    figure = against_snr({"white": curves(16), "recorded": curves(16, 0.4)}, clean)
    assert [axes.get_title() for axes in figure.axes] == ["white noise", "recorded noise"]
    for axes, start in zip(figure.axes, (0.3, 0.4), strict=True):
        lines = [line for line in axes.lines if len(line.get_xdata()) == len(SNR)]
        assert len(lines) == 16
        looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
        assert len(looks) == 16
        np.testing.assert_allclose(lines[3].get_ydata(), [start + 0.06 + 0.01 * snr for snr in SNR])
        assert np.abs(np.array([line.get_xdata() for line in lines]) - SNR).max() < 2.5
        bars = axes.collections[3].get_segments()
        np.testing.assert_allclose(bars[0][:, 1], [start + 0.06 + 0.05 - 0.03, start + 0.06 + 0.05 + 0.05])
        np.testing.assert_allclose(bars[-1][:, 1], [0.65, 0.75])
        assert [tick.get_text() for tick in axes.get_xticklabels()] == ["5", "10", "20", "clean"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [f"model-{i}" for i in reversed(range(16))]
    assert png(figure).startswith(b"\x89PNG")


def test_a_model_without_curves_is_left_out_and_none_at_all_is_refused() -> None:
    clean = {"model-0": (0.7, 0.6, 0.8), "deaf": (0.9, 0.8, 1.0)}
    figure = against_snr({"white": curves(1), "recorded": {}}, clean)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["model-0"]
    with pytest.raises(ValueError, match="no curves"):
        against_snr({"white": {}}, clean)
