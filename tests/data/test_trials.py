"""Trials in columns: counts by hand, trials that cannot be, lists that are joined and cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from phonaut.data.trials import CONDITIONS, KINDS, TrialList, joined

ENROLMENT = {"anna_1": ("anna/1a", "anna/1b"), "bert_1": ("bert/1a",), "cara_1": ("cara/1a",)}
RECORDINGS = ("anna/1c", "anna/2c", "bert/1c", "bert/2c")
ROWS = [(0, 0, 0), (0, 1, 1), (0, 2, 2), (0, 3, 3), (1, 0, 2), (1, 2, 0)]


def made(rows: Sequence[tuple[int, int, int]] = ROWS, **changed: Any) -> TrialList:
    model, recording, condition = np.array(rows, np.int32).reshape(-1, 3).T
    columns: dict[str, Any] = {"model": model, "recording": recording, "condition": condition.astype(np.int8)}
    return TrialList(**({"enrolment": ENROLMENT, "recordings": RECORDINGS} | columns | changed))


def named(trials: TrialList) -> list[tuple[str, str, str]]:
    """Trials by their names."""
    columns = zip(trials.model, trials.recording, trials.condition, strict=True)
    return [(trials.models[m], trials.recordings[r], trials.conditions[c]) for m, r, c in columns]


def test_conditions_are_counted_and_the_first_alone_is_a_target() -> None:
    trials = made()
    assert trials.counts() == {"TC": 2, "TW": 1, "IC": 2, "IW": 1}
    assert trials.is_target.tolist() == [True, False, False, False, False, True]
    assert len(trials) == 6
    assert len(trials.named()) == 4 + 4
    assert made([(0, 0, 1), (0, 2, 0)], conditions=KINDS).counts() == {"target": 1, "nontarget": 1}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown model": ({"rows": [(0, 0, 0), (3, 1, 0)]}, "trial 2 has model 3: unknown, there are 3, from 0"),
    "a negative model": ({"rows": [(-1, 0, 0)]}, "trial 1 has model -1: unknown"),
    "an unknown recording": ({"rows": [(0, 4, 0)]}, "trial 1 has recording 4: unknown, there are 4"),
    "an unknown condition": ({"rows": [(0, 0, 4)]}, "trial 1 has condition 4: unknown, there are 4"),
    "a condition of another kind": ({"rows": [(0, 0, 2)], "conditions": KINDS}, "condition 2: unknown, there are 2"),
    "columns of other lengths": ({"condition": np.zeros(5, np.int8)}, r"condition has shape \(5,\)"),
    "no enrolment": (
        {"enrolment": ENROLMENT | {"bert_1": ()}},
        "trial 5: model bert_1 and .* has no enrolment",
    ),
    "its own enrolment": (
        {"enrolment": ENROLMENT | {"anna_1": ("x", "bert/2c")}},
        "trial 4: model anna_1 and recording bert/2c have a trial, and the model is enrolled with that recording",
    ),
    "a trial twice": ({"rows": [*ROWS, ROWS[1]]}, "trial 7: model anna_1 and recording anna/2c have a trial before"),
    "twice with another condition": ({"rows": [*ROWS, (0, 1, 3)]}, "trial 7: .* have a trial before"),
    "a recording twice": ({"recordings": ("a", "b", "c", "a")}, "a recording is twice among those that are tested"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_trial_that_cannot_be_is_named(case: str) -> None:
    changed, reason = WRONG[case]
    with pytest.raises(ValueError, match=reason):
        made(**changed)


def test_enrolment_of_another_model_may_be_tested() -> None:
    assert len(made(recordings=("cara/1a", *RECORDINGS[1:]))) == 6


def test_trials_of_recordings_that_are_missing_are_left_out_with_models_that_lose_all_theirs() -> None:
    kept = made().keeping({"anna/1b", "anna/2c", "bert/1c", "bert/2c", "cara/1a"})
    assert kept.enrolment == {"anna_1": ("anna/1b",), "cara_1": ("cara/1a",)}
    assert named(kept) == [named(made())[i] for i in (1, 2, 3)]
    assert named(made().keeping(made().named())) == named(made())
    assert len(made().keeping(())) == 0


def test_lists_are_joined_in_their_order_whatever_the_numbers_of_their_names() -> None:
    enrolment = {"dora_1": ("dora/1a",), "anna_1": ENROLMENT["anna_1"]}
    other = made([(0, 0, 3), (1, 1, 0)], enrolment=enrolment, recordings=("bert/2c", "new"))
    both = joined([made(), other])
    assert named(both) == named(made()) + named(other)
    assert both.models == (*ENROLMENT, "dora_1")
    assert both.recordings == (*RECORDINGS, "new")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (made([(0, 0, 0)], enrolment=ENROLMENT | {"bert_1": ("bert/9",)}), "bert_1 is enrolled with other recordings"),
        (made([(0, 0, 1)], conditions=KINDS), "same conditions"),
        (made(ROWS[3:4]), "model anna_1 and recording bert/2c have a trial before"),
    ],
)
def test_lists_that_contradict_one_another_are_not_joined(other: TrialList, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        joined([made(), other])
    with pytest.raises(ValueError, match="got 0 lists"):
        joined([])


def test_conditions_are_in_the_order_of_the_flags() -> None:
    assert CONDITIONS == ("TC", "TW", "IC", "IW")
