"""TextGrids read back by a parser that knows the format from Praat's manual only."""

from __future__ import annotations

import re

import pytest

from phonaut.alignment.textgrid import textgrid
from phonaut.data.utterance import Phone


def read(text: str) -> tuple[float, dict[str, list[tuple[float, float, str]]]]:
    """End and tiers: Praat takes numbers, quoted strings and flags, in their order, and skips all other text."""
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n')
    values = re.findall(r'"(?:[^"]|"")*"|(?<=\s)<\w+>|(?<=\s)-?\d+(?:\.\d+)?(?=\s)', text)
    strings = [value[1:-1].replace('""', '"') if value[0] == '"' else value for value in values]
    assert strings[:2] == ["ooTextFile", "TextGrid"]
    begin, end, exists, n, *rest = strings[2:]
    assert (float(begin), exists) == (0.0, "<exists>")
    tiers = {}
    for _ in range(int(n)):
        kind, name, low, high, count, *rest = rest
        assert (kind, float(low), float(high)) == ("IntervalTier", 0.0, float(end))
        intervals = []
        for _ in range(int(count)):
            start, stop, label, *rest = rest
            intervals.append((float(start), float(stop), label))
        tiers[name] = intervals
    assert not rest
    return float(end), tiers


@pytest.mark.oracle
def test_tiers_are_read_back_with_gaps_filled_and_quotes_kept() -> None:
    words = [Phone('say "ah"', 0.5, 0.9), Phone("", 0.9, 1.0)]
    phones = [Phone("SIL", 0.0, 0.5), Phone("AH", 0.5, 1.25)]
    end, tiers = read(textgrid([('words "mine"', words), ("phones", phones)], 1.25))
    assert end == 1.25
    assert tiers['words "mine"'] == [(0, 0.5, ""), (0.5, 0.9, 'say "ah"'), (0.9, 1.0, ""), (1.0, 1.25, "")]
    assert tiers["phones"] == [(0, 0.5, "SIL"), (0.5, 1.25, "AH")]


def test_rounded_times_leave_neither_gap_nor_overlap() -> None:
    phones = [Phone("A", 0.0, 0.1), Phone("B", 0.1002, 0.2001), Phone("C", 0.2, 0.2999)]
    _, tiers = read(textgrid([("phones", phones)], 0.3))
    assert tiers["phones"] == [(0, 0.1, "A"), (0.1, 0.2001, "B"), (0.2001, 0.3, "C")]


def test_a_tier_without_intervals_is_one_empty_interval() -> None:
    assert read(textgrid([("words", [])], 2.0))[1] == {"words": [(0, 2, "")]}
