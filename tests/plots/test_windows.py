"""Codes in a plane: no two groups have one colour, and axes tell how much of the variance they show."""

import numpy as np
import pytest

from phonaut.plots import code_map, cosine_matrix


@pytest.mark.parametrize("n", [6, 12, 20])
def test_no_two_groups_of_codes_have_one_colour(n: int) -> None:
    codes = np.random.default_rng(0).standard_normal((200, 3)) * [5.0, 1.0, 0.0]
    figure = code_map(codes, {"label": [f"word {i % n:02d}" for i in range(200)], "gender": [""] * 200})
    (axes,) = figure.axes
    assert len({tuple(points.get_facecolor()[0]) for points in axes.collections}) == n
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"word {i:02d}" for i in range(n)]
    assert axes.get_xlabel().startswith("first principal component, 9")
    assert axes.get_ylabel().endswith("%")


def test_few_directions_have_their_cosines_written() -> None:
    figure = cosine_matrix([[1.0, 0.25], [0.25, 1.0]], ["a", "b"])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["1.0", "0.2", "0.2", "1.0"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
