"""Near words are near by every phone, and none of them is a wanted word or has one in it."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from phonaut.corpora.negatives.near_words import Phones, Sounds, alike, halves, near_words, replaced

WORD = st.lists(st.sampled_from(["AH", "IH", "B", "D", "S"]), min_size=1, max_size=5).map(tuple)


def distance(a: Phones, b: Phones) -> int:
    """By trying every way to put in, leave out and replace."""

    @cache
    def of(i: int, j: int) -> int:
        if i == len(a) or j == len(b):
            return len(a) - i + len(b) - j
        return min(of(i + 1, j) + 1, of(i, j + 1) + 1, of(i + 1, j + 1) + (a[i] != b[j]))

    return of(0, 0)


def is_in(a: Phones, b: Phones) -> bool:
    return any(b[i : i + len(a)] == a for i in range(len(b) - len(a) + 1))


@pytest.mark.oracle
@given(WORD, st.lists(WORD, min_size=1, max_size=8))
def test_edits_and_parts_are_those_of_trying_every_way(phones: Phones, words: list[Phones]) -> None:
    sounds = Sounds(words)
    assert sounds.edits(phones).tolist() == [distance(phones, word) for word in words]
    assert sounds.hold(phones).tolist() == [is_in(phones, word) for word in words]


@pytest.mark.oracle
@given(
    st.dictionaries(st.sampled_from(["one", "two"]), st.lists(WORD, min_size=1, max_size=2), min_size=1),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.lists(WORD, min_size=1, max_size=2), max_size=20),
)
@example({"one": [("AH",), ("AH", "B")]}, {"a": [("AH",) * 5, ("B",)]})
def test_near_words_are_all_words_that_are_near_and_no_others(
    wanted: dict[str, list[Phones]], said: dict[str, list[Phones]]
) -> None:
    found = near_words(wanted, said)
    every = [way for ways in wanted.values() for way in ways]
    for text, ways in wanted.items():
        near = {}
        for word, others in said.items():
            if any(is_in(alike(way), alike(other)) for way in every for other in others):
                continue
            pairs = [(distance(way, other), min(2, len(way) // 2)) for way in ways for other in others]
            if fit := [d for d, most in pairs if d <= most]:
                near[word] = min(fit)
        assert set(found[text]) == set(near)
        distances = [near[word] for word in found[text]]
        assert distances == sorted(distances)
        assert all(d > 0 for d in distances)


def test_words_that_many_say_alike_are_not_near() -> None:
    said = {"SEVIN": [("S", "EH", "V", "IH", "N")], "DEVON": [("D", "EH", "V", "AH", "N")],
            "SEVENS": [("S", "EH", "V", "AH", "N", "Z")], "SETON": [("S", "IY", "T", "AH", "N")],
            "HEATHEN": [("HH", "IY", "DH", "AH", "N")]}  # fmt: skip
    assert near_words({"seven": [("S", "EH", "V", "AH", "N")]}, said) == {"seven": ["DEVON", "SETON"]}


def test_the_order_of_a_dictionary_does_not_matter() -> None:
    said = {chr(97 + i): [("B", phone, "D")] for i, phone in enumerate(["AE", "IY", "AO", "UW", "EY"])}
    wanted = {"bed": [("B", "EH", "D")]}
    assert near_words(wanted, said) == near_words(wanted, dict(reversed(said.items())))


def test_phrases_are_halved_and_their_words_replaced() -> None:
    assert halves("a b c d") == ["a b", "c d"]
    assert replaced("a b a", {"a": ["x", "y"], "b": ["z"]}) == ["x b a", "a z a", "a b x", "y b a", "a b y"]
    assert replaced("a b", {}) == []
