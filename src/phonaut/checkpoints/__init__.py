"""Weights of other tools, read as data."""
