"""Evaluation protocols: which utterance belongs to which split."""
