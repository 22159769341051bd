"""Suggestions for names that do not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean ...?`, or nothing where no name is near.

    >>> nearest("optimiser.lr", ["optimizer.lr", "seed"]), nearest("x", ["seed"])
    ('; did you mean optimizer.lr?', '')
    """
    known = list(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not close:  # the right last part under another group
        last = name.rsplit(".", 1)[-1]
        ends = {key.rsplit(".", 1)[-1]: key for key in reversed(known)}
        close = [ends[near] for near in difflib.get_close_matches(last, ends, n=1, cutoff=0.75)]
    return f"; did you mean {close[0]}?" if close else ""
