"""Synthetic speech by espeak-ng."""
