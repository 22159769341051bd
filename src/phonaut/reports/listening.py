"""What `phonaut listen` prints and writes: a line for each detection as it comes, and in the end what it took."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TextIO

from rich.console import Console

from phonaut.deploy.detection import Detection
from phonaut.deploy.listening import Listener
from phonaut.files import naming, write_line
from phonaut.reports.text import percent, print_line, things
from phonaut.runs.mining import Mined

JSON_LINES, LABELS = ".jsonl", ".txt"


class Lines(Console):
    """Lines for a terminal or a pipe; where nobody reads a pipe any more, that is an error like others."""

    def on_broken_pipe(self) -> None:
        """Let the error go on; rich would end the process.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError


def clock(seconds: float) -> str:
    """A time within a recording.

    >>> clock(3725.46)
    '1:02:05.46'
    """
    hundredths = round(100 * seconds)
    minutes = hundredths // 6000
    return f"{minutes // 60}:{minutes % 60:02d}:{hundredths % 6000 / 100:05.2f}"


def head(words: list[str], *, console: Console | None = None) -> Callable[[Detection], None]:
    """Print the head of a table, and return what prints a row of it."""
    console = console or Lines()
    width = max(len(word) for word in ("word", *words))
    print_line(f"{'from':>10}  {'to':>10}  {'word':{width}}  probability", console)

    def row(one: Detection) -> None:
        times = f"{clock(one.start_s):>10}  {clock(one.end_s):>10}"
        print_line(f"{times}  {one.word:{width}}  {percent(one.probability):>11}", console)
        console.file.flush()

    return row


def show_heard(listener: Listener, seconds: float, *, live: bool, console: Console | None = None) -> None:
    """Print how much was heard, how fast, and how late a detection comes.

    Args:
        listener: that has heard it.
        seconds: that it took, reading the sound included; of sound that comes by itself the computing alone counts.
        live: the sound came by itself.
        console: where to print.
    """
    line = partial(print_line, console=console or Lines())
    heard = listener.heard_s
    line(f"{things(listener.n_detections, 'detection')} in {clock(heard)} of sound")
    if not heard:
        return
    factor = (listener.computing_s if live else seconds) / heard
    shift_ms = 1000 * listener.scores.shift_s
    computing_ms = 1000 * listener.longest_s if live else shift_ms * factor
    line(f"real-time factor {factor:.2g} ({1 / factor:.0f} times real time)")
    what = f"a score every {shift_ms:.3g} ms, {computing_ms:.2g} ms of computing {'at most' if live else 'for each'}"
    line(f"latency {shift_ms + computing_ms:.3g} ms: {what}")


def show_mined(mined: Mined, folder: Path, *, console: Console | None = None) -> None:
    """Print how much was taken for words where there are none, and where it is."""
    line = partial(print_line, console=console or Lines())
    for text in mined.passed_over:
        line(f"passed over: {text}")
    line(f"{things(mined.n_found, 'window')} in {clock(3600 * mined.hours)} of sound taken for a word at "
         f"{mined.threshold:.3g}")  # fmt: skip
    if not mined.windows:
        line("nothing was written; a lower threshold= finds what is less like a word")
        return
    words = ", ".join(f"{word} {n}" for word, n in sorted(mined.words.items(), key=lambda pair: (-pair[1], pair[0])))
    line(f"{things(len(mined.windows), 'clip')} in {folder}: {words}")
    line(f"train with them as words of nobody: phonaut train ... negatives.folder={folder}")


@contextmanager
def written(path: Path | None, *, overwrite: bool = False) -> Iterator[Callable[[Detection], None]]:
    """What writes detections into a file as they come, each on the disk before the next one is awaited.

    Args:
        path: JSON lines (`.jsonl`), or labels of Audacity (`.txt`: start, end and word with tabs between); or None.
        overwrite: replace what is there.

    Raises:
        ValueError: it has another suffix, or is there.
        OSError: it cannot be written.
    """
    if path is None:
        yield lambda one: None
        return
    if path.suffix not in (JSON_LINES, LABELS):
        raise ValueError(f"output={path}: must end in {JSON_LINES} (JSON lines) or {LABELS} (labels of Audacity)")
    try:
        file = path.open("w" if overwrite else "x", encoding="utf-8")
    except FileExistsError:
        raise ValueError(f"output={path} is there: name another file, or overwrite=true") from None
    with file:
        yield partial(write, file, path.suffix)


def write(file: TextIO, suffix: str, one: Detection) -> None:
    """Append a detection."""
    with naming(file.name):
        if suffix == JSON_LINES:
            times = {"start_s": round(one.start_s, 3), "end_s": round(one.end_s, 3)}
            write_line(file, word=one.word, **times, probability=round(one.probability, 4))
        else:
            file.write(f"{one.start_s:.6f}\t{one.end_s:.6f}\t{one.word}\n")
        file.flush()
        os.fsync(file.fileno())
