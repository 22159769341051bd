"""Pairing of the predictions of several runs by item, and the differences where they scored other items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phonaut.runs.folds import in_order, listed
from phonaut.tasks.predictions import Predictions

SAME_S = 1e-4  # times that differ by less are one: it is about a sample


def paired(tables: list[Predictions], names: list[str]) -> list[Predictions]:
    """Predictions of all runs in one order of items and of classes.

    Raises:
        ValueError: the items or their true labels differ, or the models know other classes.
    """
    tables = [table.take(np.lexsort((table.start_s, table.cut))) for table in tables]
    for name, table in zip(names[1:], tables[1:], strict=True):
        different = difference_of_items(tables[0], table, names[0], name)
        if different:
            raise ValueError(f"{name} cannot be compared with {names[0]}: {different}")
    classes = [str(one) for one in tables[0].classes]
    result = [tables[0]]
    for name, table in zip(names[1:], tables[1:], strict=True):
        try:
            result.append(in_order(table, classes))
        except ValueError as error:
            raise ValueError(f"{name} cannot be compared with {names[0]}: {error}") from error
    return result


def difference_of_items(a: Predictions, b: Predictions, name_a: str, name_b: str) -> str:
    """Description of how the items of two runs differ; empty where they are the same."""
    cuts = [set(table.cut.tolist()) for table in (a, b)]
    only = [sorted(cuts[0] - cuts[1]), sorted(cuts[1] - cuts[0])]
    if any(only):
        extra = [
            f"{len(more)} of {len(set_)} cuts only in {name} ({listed(more)})"
            for name, more, set_ in zip((name_a, name_b), only, cuts, strict=True)
            if more
        ]
        return "they scored other recordings, " + "; ".join(extra)
    same = len(a) == len(b) and bool((a.cut == b.cut).all())
    if not same or not ((is_whole(a) and is_whole(b)) or (near(a.start_s, b.start_s) & near(a.end_s, b.end_s)).all()):
        return difference_of_spans(a, b, name_a, name_b)
    for what, x, y in (("true label", a.label_name, b.label_name), ("speaker", a.speaker, b.speaker)):
        rows = np.flatnonzero(x != y)
        if len(rows):
            examples = [f"{a.cut[i]}: {x[i]} and {y[i]}" for i in rows]
            return f"the {what} differs for {len(rows)} of {len(a)} items ({listed(examples)})"
    return ""


def is_whole(table: Predictions) -> bool:
    """Whether each cut, in their order, is one item from its start: how a run padded it is a setting of it."""
    return bool((table.start_s == 0).all() and (table.cut[1:] != table.cut[:-1]).all())


def difference_of_spans(a: Predictions, b: Predictions, name_a: str, name_b: str) -> str:
    """Description of how the spans differ within the same cuts."""
    places = [set(zip(t.cut.tolist(), np.round(t.start_s, 3), np.round(t.end_s, 3), strict=True)) for t in (a, b)]
    only = [sorted(places[0] - places[1]), sorted(places[1] - places[0])]
    extra = [
        f"{len(more)} of {len(table)} only in {name} "
        f"({listed([f'{cut} {start:.3f}-{end:.3f} s' for cut, start, end in more])})"
        for name, more, table in zip((name_a, name_b), only, (a, b), strict=True)
        if more
    ]
    return "they scored other stretches of the same recordings: " + ("; ".join(extra) or "some are there twice")


def near(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask of the times that are equal."""
    close: NDArray[np.bool_] = np.abs(a - b) < SAME_S
    return close
