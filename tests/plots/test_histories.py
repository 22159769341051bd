"""Curves of several runs are told apart by colour, those of validation and training by their width."""

import pytest

from phonaut.plots import Curve, histories


def test_each_run_has_a_colour_and_each_figure_a_panel_with_epochs_below() -> None:
    curves = {name: [Curve("train", [1, 2], [9.0, 4.0]), Curve("validation", [1, 2], [9.5, 5.0])] for name in "abc"}
    figure = histories({"Loss": curves, "KL": {"b": [Curve("train", [1, 2], [1e-3, 1.0])]}})
    loss, kl = figure.axes[:2]
    assert [axes.get_title() for axes in (loss, kl)] == ["Loss", "KL"]
    assert {axes.get_xlabel() for axes in (loss, kl)} == {"epoch"}
    colours = [line.get_color() for line in loss.lines]
    assert colours[::2] == colours[1::2]
    assert len(set(colours)) == 3
    assert kl.lines[0].get_color() == colours[2], "a run has its colour in every panel"
    assert loss.lines[0].get_linewidth() < loss.lines[1].get_linewidth()
    assert (loss.get_yscale(), kl.get_yscale()) == ("linear", "log")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c", "validation", "training"]


def test_no_history_is_no_picture() -> None:
    with pytest.raises(ValueError, match="no run has a history"):
        histories({})
