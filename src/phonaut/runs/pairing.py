"""Whether runs scored the same items, and how they differ where they did not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phonaut.runs.folds import in_order, listed
from phonaut.runs.predictions import Predictions

SAME_S = 1e-4  # times that differ by less are one: it is about a sample


def aligned(tables: list[Predictions], names: list[str]) -> list[Predictions]:
    """The predictions of all runs in one order of items and of classes.

    Raises:
        ValueError: the items or their true labels differ, or the models know other classes.
    """
    tables = [table.take(np.lexsort((table.start_s, table.cut))) for table in tables]
    for name, table in zip(names[1:], tables[1:], strict=True):
        different = how_they_differ(tables[0], table, names[0], name)
        if different:
            raise ValueError(f"{name} cannot be compared with {names[0]}: {different}")
    classes = [str(one) for one in tables[0].classes]
    found = [tables[0]]
    for name, table in zip(names[1:], tables[1:], strict=True):
        try:
            found.append(in_order(table, classes))
        except ValueError as error:
            raise ValueError(f"{name} cannot be compared with {names[0]}: {error}") from error
    return found


def how_they_differ(a: Predictions, b: Predictions, name_a: str, name_b: str) -> str:
    """In which way two runs scored other items; empty where they are the same."""
    cuts = [set(table.cut.tolist()) for table in (a, b)]
    only = [sorted(cuts[0] - cuts[1]), sorted(cuts[1] - cuts[0])]
    if any(only):
        told = [
            f"{len(more)} of {len(set_)} cuts only in {name} ({listed(more)})"
            for name, more, set_ in zip((name_a, name_b), only, cuts, strict=True)
            if more
        ]
        return "they scored other recordings, " + "; ".join(told)
    if len(a) != len(b) or (a.cut != b.cut).any() or not (near(a.start_s, b.start_s) & near(a.end_s, b.end_s)).all():
        return spans_differ(a, b, name_a, name_b)
    for what, of_a, of_b in (("true label", a.word, b.word), ("speaker", a.speaker, b.speaker)):
        rows = np.flatnonzero(of_a != of_b)
        if len(rows):
            told = [f"{a.cut[i]}: {of_a[i]} and {of_b[i]}" for i in rows]
            return f"the {what} differs for {len(rows)} of {len(a)} items ({listed(told)})"
    return ""


def spans_differ(a: Predictions, b: Predictions, name_a: str, name_b: str) -> str:
    """How the times of what was classified differ in the same cuts."""
    places = [set(zip(t.cut.tolist(), np.round(t.start_s, 3), np.round(t.end_s, 3), strict=True)) for t in (a, b)]
    only = [sorted(places[0] - places[1]), sorted(places[1] - places[0])]
    told = [
        f"{len(more)} of {len(table)} only in {name} "
        f"({listed([f'{cut} {start:.3f}-{end:.3f} s' for cut, start, end in more])})"
        for name, more, table in zip((name_a, name_b), only, (a, b), strict=True)
        if more
    ]
    return "they scored other stretches of the same recordings: " + ("; ".join(told) or "some are there twice")


def near(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which times are the same."""
    close: NDArray[np.bool_] = np.abs(a - b) < SAME_S
    return close
