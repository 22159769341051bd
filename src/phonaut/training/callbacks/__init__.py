"""Callbacks of Lightning's Trainer: logs, pictures, probes."""
