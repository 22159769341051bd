"""Differences of alignments that were built to differ by so much."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from phonaut.alignment.differences import compared, differences, matched
from phonaut.data.utterance import Phone


def phones(*parts: tuple[str, float], start_s: float = 0.0) -> list[Phone]:
    """Phones one after another, by label and seconds."""
    ends = start_s + np.cumsum([seconds for _, seconds in parts])
    return [Phone(label, float(end - seconds), float(end)) for (label, seconds), end in zip(parts, ends, strict=True)]


@pytest.mark.oracle
def test_the_matched_phones_are_as_many_as_a_shortest_edit_leaves() -> None:
    def best(a: str, b: str) -> tuple[int, int]:
        """The fewest edits, and minus the most agreements that they leave."""

        @cache
        def rest(i: int, j: int) -> tuple[int, int]:
            if i == len(a) or j == len(b):
                return len(a) - i + len(b) - j, 0
            other = a[i] != b[j]
            ways = [(rest(i + 1, j), (1, 0)), (rest(i, j + 1), (1, 0)), (rest(i + 1, j + 1), (other, other - 1))]
            return min((x[0] + y[0], x[1] + y[1]) for x, y in ways)

        return rest(0, 0)

    rng = np.random.default_rng(0)
    for _ in range(60):
        a, b = ("".join(rng.choice(list("xyz"), size=rng.integers(0, 8))) for _ in range(2))
        pairs = matched(a, b)
        assert all(a[i] == b[j] for i, j in pairs)
        steps, at = 0, (0, 0)
        for i, j in [*pairs, (len(a), len(b))]:  # what lies between two that agree costs its longer part
            steps += max(i - at[0], j - at[1])
            at = (i + 1, j + 1)
        assert (steps, -len(pairs)) == best(a, b)


def test_a_boundary_counts_once_and_those_at_both_ends_of_the_recording_not() -> None:
    first = phones(("K", 0.1), ("AE", 0.2), ("T", 0.1))
    second = phones(("K", 0.11), ("AE", 0.21), ("T", 0.08))
    found = compared(first, second)
    np.testing.assert_allclose(found.away_ms, [10, 20], atol=1e-6)
    assert found[1:] == (3, 3, True)


def test_a_silence_in_one_alignment_makes_two_boundaries_of_one() -> None:
    first = phones(("SIL", 0.1), ("K", 0.1), ("AE", 0.2), ("SIL", 0.1))
    second = phones(("SIL", 0.12), ("K", 0.08), ("SIL", 0.05), ("AE", 0.15), ("SIL", 0.1))
    np.testing.assert_allclose(compared(first, second).away_ms, [20, 0, 50, 0], atol=1e-6)


def test_phones_that_only_one_has_are_not_compared_and_how_many_matched_is_said() -> None:
    first = {"u": phones(("SIL", 0.1), ("AA", 0.1), ("R", 0.1), ("SIL", 0.1))}
    second = {"u": phones(("SIL", 0.13), ("AA", 0.17), ("SIL", 0.1)), "only here": phones(("AA", 1.0))}
    found = differences(first, second, {"u": "x"}, ("a", "b"))
    assert found is not None
    assert (found.n_utterances, found.n_same, found.n_phones, found.n_matched) == (1, 0, 2, 1)
    assert found.median_ms.n == 2
    assert found.median_ms.value == pytest.approx((30 + 100) / 2)
    assert found.bias_ms == pytest.approx(65)


def test_the_median_of_a_known_shift_is_that_shift_and_its_interval_is_over_speakers() -> None:
    rng = np.random.default_rng(0)
    first, second, speaker = {}, {}, {}
    for number, shift_s in enumerate([0.004] * 5 + [0.030]):
        for take in range(20):
            name = f"{number}/{take}"
            first[name] = phones(("SIL", 0.2), ("A", 0.1 + 0.1 * rng.random()), ("B", 0.1), ("SIL", 0.3))
            inner = [Phone(p.label, p.start_s + shift_s, p.end_s + shift_s) for p in first[name][1:3]]
            second[name] = [first[name][0], *inner, first[name][3]]
            speaker[name] = str(number)
    found = differences(first, second, speaker)
    assert found is not None
    assert found.median_ms.value == pytest.approx(4.0)
    assert found.p90_ms.value == pytest.approx(30.0)
    assert found.within_20_ms.value == pytest.approx(5 / 6)
    assert found.bias_ms == pytest.approx(4.0)
    assert found.n_same == 120
    assert found.median_ms.low == pytest.approx(4.0)
    assert found.p90_ms.low == pytest.approx(4.0), "one speaker of six is often not drawn"
    assert found.p90_ms.high == pytest.approx(30.0)
    assert found.within_20_ms.low < 5 / 6 < found.within_20_ms.high


def test_alignments_without_a_common_utterance_are_not_compared() -> None:
    assert differences({"a": phones(("A", 1.0))}, {"b": phones(("A", 1.0))}, {"a": "x", "b": "x"}) is None
