"""Progress of what takes long: a bar on a terminal, lines in logs, pipes and notebooks."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 1.0  # of a user, before a bar or a line is shown
LINES_S = 10.0  # from one line to the next


def tracked(decoded: Iterable[T], what: str, n: int) -> Generator[T]:
    """Pass on what is decoded; once it takes long, with a bar on a terminal, else with a line now and then."""
    if not sys.stderr.isatty():
        yield from told(decoded, what, n)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(what, total=n)
    began = time.monotonic()
    try:
        for one in decoded:
            yield one
            bar.advance(task)
            if not bar.live.is_started and time.monotonic() - began > PATIENCE_S:
                bar.start()
    finally:
        bar.stop()


def told(decoded: Iterable[T], what: str, n: int) -> Generator[T]:
    """Pass on what is decoded, and say now and then how far it is: for logs, pipes and notebooks."""
    began, next_s = time.monotonic(), PATIENCE_S
    for done, one in enumerate(decoded, 1):
        yield one
        if (passed_s := time.monotonic() - began) > next_s:
            left_s = passed_s * (n - done) / done
            print(f"{what}: {done:,} of {n:,}, {left_s:.0f} s left", file=sys.stderr, flush=True)
            next_s = passed_s + LINES_S
