"""Phonaut: one toolkit that trains, compares and ships models of speech."""

__version__ = "0.1.0"
