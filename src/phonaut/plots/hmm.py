"""Pictures of hidden Markov models: of states, transitions, durations, posteriors, and of how EM went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's, which most people can tell apart; past the eighth state they come again.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MOST_NUMBERS = 12  # up to so many states, cells of a transition matrix carry their numbers


def colour(state: int) -> str:
    """The colour of a state in every picture."""
    return COLOURS[state % len(COLOURS)]


def place(axes: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Axes to draw on: the given ones, or those of a new figure."""
    if axes is not None:
        figure: Any = axes.figure
        return figure, axes
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots()


def runs(states: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """State and length of each stretch of one state, `(R,)` each; a stretch ends with its sequence."""
    starts = np.zeros(len(states), dtype=bool)
    starts[0] = True
    starts[1:] = states[1:] != states[:-1]
    starts[np.cumsum(lengths)[:-1]] = True
    first = np.flatnonzero(starts)
    return states[first], np.diff(np.append(first, len(states)))


def plot_states(
    frames: ArrayLike, states: ArrayLike, *, features: tuple[int, int] = (0, 1), axes: Axes | None = None
) -> Figure:
    """Frames in the colours of their states: one feature against another, or against time where there is one only.

    Args:
        frames: `(N, D)`.
        states: `(N,)`.
        features: which two of D.
        axes: where to draw; None: a new figure.
    """
    x, path = np.asarray(frames), np.asarray(states)
    figure, plot = place(axes, (4.5, 4.0))
    alone = x.shape[1] == 1
    for state in np.unique(path):
        inside = path == state
        x_axis = np.flatnonzero(inside) if alone else x[inside, features[0]]
        y_axis = x[inside, 0 if alone else features[1]]
        plot.scatter(x_axis, y_axis, s=6, color=colour(int(state)), alpha=0.6, linewidths=0, label=f"state {state}")
    plot.set(
        xlabel="frame" if alone else f"feature {features[0]}", ylabel=f"feature {0 if alone else features[1]}",
        title="States",
    )  # fmt: skip
    if len(np.unique(path)) <= MOST_NUMBERS:
        plot.legend(markerscale=2, frameon=False)
    return figure


def plot_transitions(transmat: ArrayLike, *, startprob: ArrayLike | None = None, axes: Axes | None = None) -> Figure:
    """Transition probabilities, from the state of a row to that of a column; what is 0 by structure is blank.

    Args:
        transmat: `(S, S)`.
        startprob: `(S,)`, drawn as a row above the others.
        axes: where to draw; None: a new figure.
    """
    matrix = np.asarray(transmat, dtype=float)
    n = len(matrix)
    labels = [str(state) for state in range(n)]
    rows = labels if startprob is None else ["start", *labels]
    values = matrix if startprob is None else np.vstack([np.asarray(startprob, dtype=float), matrix])
    figure, plot = place(axes, (4.5, 4.0))
    plot.imshow(np.where(values > 0, values, np.nan), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if n <= MOST_NUMBERS:
        plot.set_xticks(range(n), labels)
        plot.set_yticks(range(len(rows)), rows)
        for (i, j), value in np.ndenumerate(values):
            if value > 0:
                plot.text(j, i, f"{value:.2g}", ha="center", va="center", color="white" if value > 0.5 else "black")
    plot.set(xlabel="to state", ylabel="from state", title="Transitions")
    return figure


def plot_durations(
    states: ArrayLike, transmat: ArrayLike, *, lengths: ArrayLike | None = None, axes: Axes | None = None
) -> Figure:
    """Durations of states: fraction of stays of at least d frames, of a decoded path (steps) and of the model (dashes),
    `a_ii^(d-1)`.

    Args:
        states: `(N,)`.
        transmat: `(S, S)`.
        lengths: of the sequences that the path is of; None: one.
        axes: where to draw; None: a new figure.
    """
    path, matrix = np.asarray(states), np.asarray(transmat, dtype=float)
    which, length = runs(path, np.asarray([len(path)] if lengths is None else lengths))
    figure, plot = place(axes, (4.5, 4.0))
    duration = np.arange(1, max(2, int(np.percentile(length, 99))) + 1)
    present = np.unique(which)
    for state in present:
        survival = (length[which == state][:, None] >= duration).mean(axis=0)
        plot.step(duration, survival, where="mid", color=colour(int(state)), label=f"state {state}")
        plot.plot(duration, matrix[state, state] ** (duration - 1), "--", color=colour(int(state)), linewidth=1)
    plot.set(xlabel="duration (frames)", ylabel="share of stays at least as long", ylim=(0, 1.03), title="Durations")
    if len(present) <= MOST_NUMBERS:
        plot.legend(frameon=False, title="dashed: the model")
    return figure


def plot_posteriors(
    posteriors: ArrayLike, *, states: ArrayLike | None = None, frame_shift_s: float | None = None,
    axes: Axes | None = None,
) -> Figure:  # fmt: skip
    """Probabilities of states over time, stacked; above them, as a strip, a path.

    Args:
        posteriors: `(T, S)`.
        states: a decoded path, `(T,)`.
        frame_shift_s: seconds between frames; None: time in frames.
        axes: where to draw; None: a new figure.
    """
    values = np.asarray(posteriors, dtype=float)
    figure, plot = place(axes, (7.0, 2.5))
    step = 1.0 if frame_shift_s is None else frame_shift_s
    time = np.arange(len(values) + 1) * step
    below = np.zeros(len(values))
    for state in range(values.shape[1]):
        plot.stairs(below + values[:, state], time, baseline=below, fill=True, color=colour(state), alpha=0.8,
                    label=f"state {state}")  # fmt: skip
        below = below + values[:, state]
    if states is not None:
        path = np.asarray(states)
        for state in np.unique(path):
            plot.stairs(np.where(path == state, 1.12, 1.04), time, baseline=1.04, fill=True, color=colour(int(state)))
    plot.set(
        xlim=(0, time[-1]), ylim=(0, 1.0 if states is None else 1.14), ylabel="probability", title="Posteriors",
        xlabel="frame" if frame_shift_s is None else "time (s)",
    )  # fmt: skip
    return figure


def plot_convergence(objective: ArrayLike, *, axes: Axes | None = None) -> Figure:
    """The objective over EM steps: `monitor_.objective` or `monitor_.history`, or `lower_bounds_` of a GMM."""
    values = np.asarray(objective, dtype=float)
    figure, plot = place(axes, (4.5, 3.0))
    plot.plot(np.arange(1, len(values) + 1), values, marker=".", color=COLOURS[0])
    plot.set(xlabel="EM step", ylabel="objective", title="Convergence")
    return figure
