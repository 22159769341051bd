"""Pictures of an encoder show the arrays that they were given, each in its place."""

import numpy as np
import pytest

from phonaut.plots import attention_maps, coarse, hidden_layers, layer_weights, png


def some_maps(n_heads: int, n_frames: int, seed: int = 0) -> np.ndarray:
    weights = np.random.default_rng(seed).random((n_heads, n_frames, n_frames))
    return (weights / weights.sum(axis=2, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("n_states", [2, 4, 13])
def test_every_hidden_state_is_a_picture_with_its_number_and_its_scale_about_zero(n_states: int) -> None:
    rng = np.random.default_rng(0)
    states = [(i + 1) * rng.standard_normal((20, 6)).astype(np.float32) for i in range(n_states)]
    figure = hidden_layers(states, frame_shift_s=0.05)
    plots = [plot for plot in figure.axes if plot.get_title()]
    assert [plot.get_title().partition(":")[0] for plot in plots] == [str(i) for i in order(n_states)]
    for i, plot in zip(order(n_states), plots, strict=True):
        image = plot.images[0]
        np.testing.assert_array_equal(image.get_array(), states[i].T)
        assert image.get_extent()[:2] == [0.0, 1.0]
        low, high = image.get_clim()
        assert low == -high
        assert high == pytest.approx(np.percentile(np.abs(states[i]), 99))


def order(n_states: int) -> list[int]:
    """The states as a figure lists them, row by row, where columns are filled first."""
    n_columns = 1 if n_states <= 7 else 2
    n_rows = -(-n_states // n_columns)
    return [
        row + column * n_rows
        for row in range(n_rows)
        for column in range(n_columns)
        if row + column * n_rows < n_states
    ]


def test_attention_has_a_row_a_layer_and_queries_go_downwards() -> None:
    maps = [some_maps(3, 10, seed) for seed in range(2)]
    plots = attention_maps(maps, seconds=0.5).axes
    assert [plot.get_title() for plot in plots] == [f"layer {i}, head {j}" for i in (1, 2) for j in (1, 2, 3)]
    for plot, weights in zip(plots, [head for layer in maps for head in layer], strict=True):
        image = plot.images[0]
        np.testing.assert_array_equal(image.get_array(), weights)
        assert list(image.get_extent()) == [0.0, 0.5, 0.5, 0.0], "the first query is the uppermost row"
        assert image.origin == "upper"


def test_of_many_heads_the_first_eight_are_drawn() -> None:
    plots = attention_maps([some_maps(12, 5)], seconds=1.0).axes
    assert [plot.get_title() for plot in plots] == [f"layer 1, head {i}" for i in range(1, 9)]


@pytest.mark.parametrize("n_frames", [1, 9, 10, 11, 37, 100])
def test_coarse_maps_are_small_keep_their_rows_sums_and_what_lies_where(n_frames: int) -> None:
    weights = some_maps(2, n_frames)
    small = coarse(weights, 10)
    n = -(-n_frames // 10)
    assert small.shape[1:] == (-(-n_frames // n),) * 2
    assert max(small.shape[1:]) <= 10
    np.testing.assert_allclose(small.sum(axis=2), 1.0, atol=1e-5)
    expected = [
        [weights[1, i : i + n, j : j + n].sum(axis=1).mean() for j in range(0, n_frames, n)]
        for i in range(0, n_frames, n)
    ]
    np.testing.assert_allclose(small[1], expected, rtol=1e-5)


def test_weights_of_layers_are_bars_with_their_values() -> None:
    plot = layer_weights([0.2, 0.5, 0.3]).axes[0]
    assert [bar.get_height() for bar in plot.patches] == [0.2, 0.5, 0.3]
    assert [text.get_text() for text in plot.texts] == ["0.200", "0.500", "0.300"]
    assert [label.get_text() for label in plot.get_xticklabels()] == ["0", "1", "2"]
    assert plot.get_ylim()[1] > 0.5


def test_constant_and_single_frames_can_be_drawn() -> None:
    for figure in (
        hidden_layers([np.zeros((1, 4))] * 2, frame_shift_s=0.01),
        attention_maps([np.ones((1, 1, 1))], seconds=0.01),
        layer_weights([1.0]),
    ):
        assert png(figure).startswith(b"\x89PNG")
