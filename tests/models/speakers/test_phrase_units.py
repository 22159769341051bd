"""Phrases as units, and every way to say them that a graph has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from phonaut.models.speakers import Utterances
from phonaut.models.speakers.phone_hmm import PhoneHMM
from phonaut.models.speakers.phrase_units import END_OF_ANY, PAUSE, SKIP, UnitGraphs, shared_loops, units_of

UNITS = ("A", "B", "C", "SIL")


def ways(graphs: UnitGraphs, phrase: str, most: int = 12) -> dict[tuple[int, ...], float]:
    """Every sequence of states (without how long they stay) through a graph, and its probability."""
    one = graphs[phrase]
    found: dict[tuple[int, ...], float] = {}
    begun = [((i,), float(p)) for i, p in enumerate(one.start) if p]
    while begun:
        path, p = begun.pop()
        if one.end[path[-1]]:
            said = tuple(int(one.emission[i]) for i in path)
            found[said] = found.get(said, 0.0) + p * float(one.end[path[-1]])
        for origin, target, q in zip(one.origin, one.target, one.probability, strict=True):
            if origin == path[-1] and len(path) < most:
                begun.append(((*path, int(target)), p * float(q)))
    return found


def test_a_word_is_its_units_and_silence_may_wrap_it() -> None:
    assert ways(UnitGraphs(UNITS, 2), "A B") == {(0, 1, 2, 3): 1.0}
    wrapped = ways(UnitGraphs(UNITS, 2, wrap_silence=True), "A B")
    assert wrapped == {
        (0, 1, 2, 3): (1 - PAUSE) ** 2,
        (6, 7, 0, 1, 2, 3): PAUSE * (1 - PAUSE),
        (0, 1, 2, 3, 6, 7): PAUSE * (1 - PAUSE),
        (6, 7, 0, 1, 2, 3, 6, 7): PAUSE**2,
    }


def test_silence_between_words_and_variants_of_a_word_share_the_probability() -> None:
    between = ways(UnitGraphs(UNITS, 1, word_silence=True), "A\nB\tC B")
    assert between == {(0, 1): 0.25, (0, 3, 1): 0.25, (0, 2, 1): 0.25, (0, 3, 2, 1): 0.25}
    assert ways(UnitGraphs(UNITS, 1, wrap_silence=True), "A\nB").keys() == {(0, 1), (3, 0, 1), (0, 1, 3), (3, 0, 1, 3)}


def test_skips_pass_over_a_state_within_a_unit() -> None:
    found = ways(UnitGraphs(UNITS, 3, skips=True), "A")
    assert found == pytest.approx({(0, 1, 2): (1 - SKIP) ** 2, (0, 2): SKIP, (0, 1): (1 - SKIP) * SKIP})
    graphs = UnitGraphs(UNITS, 3, skips=True)
    assert graphs.shortest("A B") == min(map(len, ways(graphs, "A B"))) == 4


def test_what_is_not_known_is_any_units_one_after_another() -> None:
    found = ways(UnitGraphs(UNITS, 1), "*", most=3)
    assert found[(0,)] == pytest.approx(END_OF_ANY / 3)
    assert found[(0, 1)] == pytest.approx((1 - END_OF_ANY) / 2 * END_OF_ANY / 3)
    assert all(3 not in path for path in found)  # silence is none of them
    assert ways(UnitGraphs(UNITS, 1), "A zz", most=2).keys() == {(0, 0), (0, 1), (0, 2)}


def test_frames_are_divided_evenly_and_anew_within_the_units_of_a_path() -> None:
    graphs = UnitGraphs(UNITS, 2, wrap_silence=True)
    assert graphs.evenly("A", 6).tolist() == [6, 7, 0, 1, 6, 7]
    one = graphs["A A"]  # the same unit twice
    path = [int(np.flatnonzero((one.node == node) & (one.emission == state))[0])
            for node, state in ((1, 0), (1, 1), (1, 1), (1, 1), (2, 0), (2, 1))]  # fmt: skip
    assert graphs.within("A A", np.array(path)).tolist() == [0, 0, 1, 1, 0, 1]


def test_self_loops_are_shared_by_all_units_but_silence_where_none_has_its_own() -> None:
    assert shared_loops(3, 2, 2, per_unit=False).tolist() == [0, 1, 0, 1, 2, 3]
    assert shared_loops(3, 2, None, per_unit=False).tolist() == [0, 1, 0, 1, 0, 1]
    assert shared_loops(3, 2, 2, per_unit=True).tolist() == [0, 1, 2, 3, 4, 5]


def test_phones_come_of_the_lexicon_with_or_without_stress_and_stay_with_the_model(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text("about AH0 B AW1 T\nbut B AH1 T\nbut B AH0 T\n", encoding="utf-8")
    spoken = Utterances(np.zeros((0, 2), np.float32), np.zeros(2, np.int64),
                        {"text": np.array(["But about!", ""]), "phrase": np.array(["x", "but_zz"])})  # fmt: skip
    plain = PhoneHMM(n_features=2, lexicon=str(path))
    assert plain.phrases(spoken) == ["B AH T\nAH B AW T", "B AH T\n*"]
    stressed = PhoneHMM(n_features=2, lexicon=str(path), ignore_stress=False)
    assert stressed.phrases(spoken)[0] == "B AH1 T\tB AH0 T\nAH0 B AW1 T"
    assert PhoneHMM(n_features=2).phrases(spoken) == ["B U T\nA B O U T", "B U T\nZ Z"]
    frames = np.random.default_rng(0).normal(size=(80, 2)).astype(np.float32)
    stressed.begin(Utterances(frames, np.array([80]), {"text": np.array(["but about"])}), 0)
    path.unlink()
    again = PhoneHMM(n_features=2, ignore_stress=False, lexicon=str(path))
    again.load_tensors(stressed.tensors())
    assert again.phrases(spoken) == stressed.phrases(spoken)


def test_options_that_cannot_be_are_said() -> None:
    assert "is not a file" in PhoneHMM.problems(lexicon="nowhere.txt")[0]
    assert "needs a lexicon" in PhoneHMM.problems(ignore_stress=False)[0]
    assert units_of("") == "*"
