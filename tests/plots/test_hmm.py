"""Pictures of hidden Markov models show the numbers that they were given."""

import numpy as np

from phonaut.plots import plot_convergence, plot_durations, plot_posteriors, plot_states, plot_transitions, png
from phonaut.plots.hmm import colour, runs


def test_each_state_has_its_frames_in_its_colour() -> None:
    x, states = np.arange(12.0).reshape(6, 2), np.array([0, 0, 2, 2, 2, 0])
    plot = plot_states(x, states).axes[0]
    assert [len(points.get_offsets()) for points in plot.collections] == [3, 3]
    np.testing.assert_array_equal(plot.collections[1].get_offsets(), x[2:5])
    assert [text.get_text() for text in plot.get_legend().get_texts()] == ["state 0", "state 2"]
    alone = plot_states(x[:, :1], states).axes[0]
    np.testing.assert_array_equal(alone.collections[1].get_offsets(), [[2, 4], [3, 6], [4, 8]])


def test_transitions_are_shaded_and_numbered_and_zeros_are_blank() -> None:
    plot = plot_transitions([[0.75, 0.25], [0.0, 1.0]], startprob=[1.0, 0.0]).axes[0]
    np.testing.assert_allclose(plot.images[0].get_array().filled(-1), [[1, -1], [0.75, 0.25], [-1, 1]])
    assert sorted(text.get_text() for text in plot.texts) == ["0.25", "0.75", "1", "1"]
    assert not plot_transitions(np.full((20, 20), 0.05)).axes[0].texts


def test_stays_end_with_their_sequence_and_are_counted() -> None:
    states, lengths = np.array([0, 0, 0, 1, 1, 0, 1]), np.array([2, 5])
    which, length = runs(states, lengths)
    assert which.tolist() == [0, 0, 1, 0, 1]
    assert length.tolist() == [2, 1, 2, 1, 1]
    plot = plot_durations(states, [[0.5, 0.5], [0.2, 0.8]], lengths=lengths).axes[0]
    steps, model = plot.lines[:2]
    np.testing.assert_allclose(steps.get_ydata(), [1, 1 / 3])
    np.testing.assert_allclose(model.get_ydata(), [1, 0.5])
    assert steps.get_color() == model.get_color() == colour(0)


def test_posteriors_are_stacked_to_one_over_time() -> None:
    posteriors = np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]])
    plot = plot_posteriors(posteriors, states=[1, 0, 0], frame_shift_s=0.01).axes[0]
    first, second = plot.patches[:2]
    np.testing.assert_allclose(first.get_data().values, posteriors[:, 0])
    np.testing.assert_allclose(second.get_data().values, 1.0)
    np.testing.assert_allclose(second.get_data().baseline, posteriors[:, 0])
    np.testing.assert_allclose(plot.get_xlim(), (0, 0.03))


def test_convergence_is_the_objective_and_axes_may_be_given() -> None:
    figure = plot_convergence([3.0, 5.0])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [3, 5])
    assert plot_convergence([1.0], axes=figure.axes[0]) is figure
    assert len(figure.axes[0].lines) == 2
    assert png(figure).startswith(b"\x89PNG")
