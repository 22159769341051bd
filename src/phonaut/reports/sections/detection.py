"""Words in long sound: misses, false alarms an hour, the threshold and what it got wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from phonaut.plots import png
from phonaut.plots.spotting import alarms_by_threshold, misses_per_hour
from phonaut.reports.detection import error_in_words, figures, rates_of, threshold_lines
from phonaut.reports.html import render as rendered
from phonaut.reports.media import data_uri
from phonaut.reports.record import Record
from phonaut.reports.sections import Section
from phonaut.runs.run import DETECTION_FILE

MOST = 20  # errors of each kind
DPI = 180


def render(record: Record) -> Section | None:
    """The section; None where no long sound was heard."""
    found: dict[str, Any] = record.run.read(DETECTION_FILE, {})
    current = record.run.metrics.keys()  # without what was heard before the run was trained further
    streams = {name: about for name, about in found.get("streams", {}).items() if name in current}
    if not streams:
        return None
    tests = [
        {
            "name": name,
            "figures": figures(rates_of(record.run, name), about),
            "streams": about["about"],
            "picture": data_uri("image/png", picture(about)),
            "missed": [error_in_words(one) for one in about["missed"]],
            "false_alarms": [error_in_words(one) for one in about["false_alarms"]],
        }
        for name, about in streams.items()
    ]
    chosen = found["threshold"]
    last = list(streams.values())[-1]
    content = {"tests": tests, "threshold": threshold_lines(chosen, last), "chosen": chosen, "most": MOST}
    return Section(rendered("detection.html", content), {"detection": "Long sound"})


def picture(about: dict[str, Any]) -> bytes:
    """The curve of a test, and the threshold in use."""
    curve, hours, n = about["curve"], about["hours"], about["n"]
    per_hour = about["n_false_alarms"] / hours
    if not n:
        alarms = (np.array(curve["threshold"]), np.array(curve["false"]) / hours)
        return png(alarms_by_threshold(*alarms, (about["threshold"], per_hour), hours=hours), dpi=DPI)
    name = "all thresholds"
    at_all = (np.array(curve["false"]) / hours, np.array(curve["missed"]) / n)
    in_use = (per_hour, about["n_missed"] / n)
    return png(misses_per_hour({name: at_all}, {name: in_use}, hours=hours), dpi=DPI)
