"""TextGrid files, in Praat's long text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from phonaut.data.utterance import Phone

SNAP_S = 1e-3  # times of a CTM file are rounded: a shorter gap is none


def textgrid(tiers: Sequence[tuple[str, Sequence[Phone]]], duration_s: float) -> str:
    """Interval tiers as a file's text; what lies between intervals is an interval without text.

    Args:
        tiers: a name, and intervals in order of time, which do not overlap.
        duration_s: of all tiers.

    Source: Praat's manual, "TextGrid file formats".
    """
    end = f"{duration_s:.6f}"
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for number, (name, phones) in enumerate(tiers, 1):
        intervals = list(filled(phones, duration_s))
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f"        name = {quoted(name)}"]
        lines += ["        xmin = 0", f"        xmax = {end}", f"        intervals: size = {len(intervals)}"]
        for i, one in enumerate(intervals, 1):
            lines += [f"        intervals [{i}]:", f"            xmin = {one.start_s:.6f}"]
            lines += [f"            xmax = {one.end_s:.6f}", f"            text = {quoted(one.label)}"]
    return "\n".join(lines) + "\n"


def filled(phones: Iterable[Phone], duration_s: float) -> Iterator[Phone]:
    """Intervals from 0 to the end, without gaps."""
    at = 0.0
    for phone in phones:
        start_s = phone.start_s if phone.start_s - at > SNAP_S else at
        end_s = min(phone.end_s, duration_s) if duration_s - phone.end_s > SNAP_S else duration_s
        if end_s <= start_s:
            continue
        if start_s > at:
            yield Phone("", at, start_s)
        yield Phone(phone.label, start_s, end_s)
        at = end_s
    if at < duration_s:
        yield Phone("", at, duration_s)


def quoted(text: str) -> str:
    """A string as Praat reads it: in double quotes, those within doubled.

    >>> print(quoted('say "ah" twice'))
    "say ""ah"" twice"
    """
    return '"' + text.replace('"', '""') + '"'
