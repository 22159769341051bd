"""Keyword corpora in the layout of Speech Commands."""
