"""What `phonaut evaluate RUN protocol=detection` prints."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from phonaut.metrics import Estimate
from phonaut.reports.text import figure, interval, percent, print_line, things
from phonaut.runs.run import DETECTION_FILE, Run

WIDTH = 14
MOST = 5  # errors that are printed


def show_detection(run: Run, name: str, report: Path, *, console: Console | None = None) -> None:
    """Print figures, threshold and streams of a test on long sound."""
    line = partial(print_line, console=console or Console())
    record: dict[str, Any] = run.read(DETECTION_FILE, {})
    about, rates = record["streams"][name], rates_of(run, name)
    line("")
    for key, shown, rest in [
        *figures(rates, about),
        *threshold_lines(record["threshold"], about),
        *stream_lines(about),
    ]:
        line(f"{key:{WIDTH}}{shown}{rest}")
    for kind in ("missed", "false_alarms"):
        for one in about[kind][:MOST]:
            line(f"{kind.replace('_', ' ').removesuffix('s'):{WIDTH}}{error_in_words(one)}")
        if (n := len(about[kind])) > MOST:
            line(f"{'':{WIDTH}}and {n - MOST} more, in {DETECTION_FILE}")
    line(f"{'report':{WIDTH}}{report}")


def rates_of(run: Run, name: str) -> dict[str, Estimate]:
    """The figures of a test."""
    return {key: Estimate(**rate) for key, rate in run.metrics[name].items()}  # type: ignore[arg-type]


def figures(rates: dict[str, Estimate], about: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Label, figure and rest of each figure."""
    found = [("misses", "none", "   that could be: no word of the run is said here")]
    if "misses" in rates:
        of = f"{about['n_missed']} of {things(about['n'], 'word')}, threshold {about['threshold']:.3g}"
        found = [("misses", percent(rates["misses"].value), f"   95 % interval {interval(rates['misses'])}, {of}")]
    found += [
        ("false alarms", f"{figure(rates['false_alarms_per_hour'].value)} an hour",
         f"   95 % interval {interval(rates['false_alarms_per_hour'], 'number')}, {about['n_false_alarms']} in "
         f"{about['hours']:.3g} h" + f", threshold {about['threshold']:.3g}" * ("misses" not in rates)),
    ]  # fmt: skip
    found += [("thresholds", f"{one['threshold']:.3g}", f"   and above: {one['how']}, read off this stream")
              for one in about.get("from", [])]  # fmt: skip
    for key, rate in rates.items():
        if key.startswith("misses/"):
            found.append(("misses", percent(rate.value), f"   95 % interval {interval(rate)}, {rate.method}"))
    if verdict := about.get("mlperf"):
        most = verdict["most"]
        said = "passed" if verdict["passed"] else "not passed"
        found.append(
            ("MLPerf Tiny", said, f"   at most {most} misses and {most} false alarms in a stream like its own")
        )
    return found


def threshold_lines(chosen: dict[str, Any] | None, about: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Where the threshold is from."""
    if chosen is None:
        return [("threshold", f"{about['threshold']:g}", "   that of every run: no validation speech to choose one")]
    how = f"   {chosen['how']}: {chosen['missed']} of {chosen['n']} missed, "
    how += f"{things(chosen['false_alarms'], 'false alarm')} in {chosen['hours']:.3g} h"
    return [("threshold", f"{chosen['value']:.4g}", how), *([("", "", chosen["note"])] if chosen["note"] else [])]


def stream_lines(about: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What the streams were."""
    return [("stream" if i == 0 else "", "", text) for i, text in enumerate(about["about"])]


def error_in_words(one: dict[str, Any]) -> str:
    """An event that was missed, or a false alarm."""
    at = f"{one['word']} at {one['at_s']:.2f} s of {one['stream']}"
    if "probability" in one:
        return (
            f"{at}, {percent(one['probability'])}, {'said was ' + one['said'] if one['said'] else 'nothing was said'}"
        )
    snr = f", {one['snr_db']:g} dB" if one["snr_db"] is not None else ""
    return f"{at}, by {one['speaker']}{snr}"
