"""Summary that `phonaut align` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

from rich.console import Console

from phonaut.alignment.align import Result
from phonaut.alignment.differences import Differences
from phonaut.alignment.output import NOT_ALIGNED
from phonaut.metrics import Estimate
from phonaut.reports.comparison_table import natural_width, table
from phonaut.reports.text import percent, print_line

MOST_NAMED = 5  # of what could not be aligned


def milliseconds(rate: Estimate) -> str:
    """A figure with its interval, where there is one.

    >>> milliseconds(Estimate(9.24, 8.8, 9.61, 500))
    '9.2 (8.8 to 9.6)'
    """
    interval = f" ({rate.low:.1f} to {rate.high:.1f})" if rate.low < rate.high else ""
    return f"{rate.value:.1f}{interval}"


def columns(pairs: list[Differences]) -> Iterator[tuple[str, list[str]]]:
    """Heads and cells, a row for each pair of alignments."""
    yield "alignments", [f"{one.first} - {one.second}" for one in pairs]
    yield "median (ms)", [milliseconds(one.median_ms) for one in pairs]
    yield "90 % below (ms)", [milliseconds(one.p90_ms) for one in pairs]
    yield "within 20 ms", [percent(one.within_20_ms.value) for one in pairs]
    yield "second is late by (ms)", [f"{one.bias_ms:+.1f}" for one in pairs]
    yield "boundaries", [f"{one.median_ms.n}" for one in pairs]
    yield "phones matched", [f"{one.n_matched} of {one.n_phones}" for one in pairs]
    yield "utterances alike", [f"{one.n_same} of {one.n_utterances}" for one in pairs]


def show(result: Result, *, console: Console | None = None) -> None:
    """Print how far alignments differ, what could not be aligned, and where the files are; no line is cut off."""
    console = console or Console()
    line = partial(print_line, console=console)
    folder = result.folder
    if result.again:
        line(f"done already, with the same settings: {folder.path}")
    for name in result.aligners:
        about = folder.figures["aligners"][name]
        took = f", in {result.seconds[name]:.0f} s" if name in result.seconds else ""
        line(f"{name}: {about['n_aligned']} of {result.n_utterances} utterances aligned{took}")
    failed = [one for one in folder.not_aligned() if one["aligner"] in result.aligners]
    if failed:
        counts = Counter(one["aligner"] for one in failed)
        line(f"not aligned ({', '.join(f'{name} {n}' for name, n in counts.items())}), all in {NOT_ALIGNED}:")
    for one in failed[:MOST_NAMED]:
        line(f"  {one['id']} ({one['aligner']}): {one['reason']}")
    if result.differences:
        line("")
        line("absolute differences of phone boundaries, with 95 % intervals over speakers")
        made = table(list(columns(result.differences)))
        made.width = natural_width(made, console)
        console.print(made, crop=False, soft_wrap=True)
    line("")
    for name in (*(f"{name}.ctm" for name in result.aligners), "textgrid", "align.json"):
        line(str(folder.path / name))
