"""Predictions as lines: for people, as CSV, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from phonaut.names import excerpt
from phonaut.reports.text import csv_line
from phonaut.runs.prediction import Prediction

NONE = "none of these"
LONGEST_PATH = 4096  # of Linux: it is shown whole, but on one line
COLUMNS = ("path", "start_s", "end_s", "label", "probability", "second", "second_probability", "none_of_these")


def lines_of(predictions: Iterable[Prediction], form: str) -> Iterator[str]:
    """A line for each prediction; of CSV, a head before them.

    >>> one = Prediction("yes.wav", 0.0, None, "yes", 0.9, "no", 0.1, {"yes": 0.9, "no": 0.1})
    >>> list(lines_of([one], "csv"))  # doctest: +NORMALIZE_WHITESPACE
    ['path,start_s,end_s,label,probability,second,second_probability,none_of_these',
     'yes.wav,0.0,,yes,0.9000,no,0.1000,false']
    >>> list(lines_of([one], "table"))
    ['yes    90.0 %   no 10.0 %   yes.wav']
    """
    if form == "csv":
        yield csv_line(COLUMNS)
    width = 6
    for one in predictions:
        if form == "json":
            yield json.dumps({**one._asdict()}, ensure_ascii=False)
        elif form == "csv":
            rounded = [f"{value:.4f}" if "probability" in name and value is not None else value
                       for name in COLUMNS[:-1] for value in [getattr(one, name)]]  # fmt: skip
            yield csv_line([*rounded, str(one.none_of_these).lower()])
        else:
            label = f"{NONE} ({one.label})" if one.none_of_these else one.label
            width = max(width, len(label))
            where = f"   {one.start_s:.2f} to {one.end_s:.2f} s" if one.end_s is not None else ""
            second = "" if one.second is None else f"   {one.second} {percent(one.second_probability or 0.0)}"
            yield f"{label.ljust(width)} {percent(one.probability)}{second}   {excerpt(one.path, LONGEST_PATH)}{where}"


def percent(probability: float) -> str:
    """A probability for people."""
    return f"{100 * probability:.1f} %"
