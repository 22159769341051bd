"""Sweeps: many runs of one command, over a grid of values or chosen by a search, in one folder."""

from phonaut.runs.sweeps.sweep import Sweep, Trial

__all__ = ["Sweep", "Trial"]
