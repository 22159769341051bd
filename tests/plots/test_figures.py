"""Pictures show the arrays that they were given, and leave no state behind."""

import sys

import numpy as np

from phonaut.plots import confusion_matrix, png, spectrogram


def test_a_spectrogram_is_its_frames_with_time_to_the_right() -> None:
    frames = np.arange(30.0).reshape(10, 3)
    image = spectrogram(frames, frame_shift_s=0.01).axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), frames.T)
    assert image.get_extent()[:2] == [0.0, 0.1]


def test_confusions_are_shaded_by_row_and_carry_their_counts() -> None:
    figure = confusion_matrix([[8, 2], [0, 5]], ["yes", "no"])
    plot = figure.axes[0]
    np.testing.assert_allclose(plot.images[0].get_array(), [[0.8, 0.2], [0.0, 1.0]])
    assert sorted(text.get_text() for text in plot.texts) == ["2", "5", "8"]
    assert [label.get_text() for label in plot.get_yticklabels()] == ["yes", "no"]
    assert (plot.get_xlabel(), plot.get_ylabel()) == ("predicted", "true")


def test_a_picture_of_constant_frames_can_be_drawn() -> None:
    assert png(spectrogram(np.zeros((5, 4)), frame_shift_s=0.01)).startswith(b"\x89PNG")


def test_pyplot_is_not_used() -> None:
    assert "matplotlib.pyplot" not in sys.modules or sys.modules["matplotlib.pyplot"].get_fignums() == []
