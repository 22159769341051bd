"""protocol=trials: conditions counted by hand, what is left out is named, the same lists whatever the order."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonaut.corpora import Corpus, Utterance
from phonaut.corpora.protocols import Divided, VerificationTrials
from phonaut.data.trials import TrialList

PHRASES = ("good day", "no", "yes")
SPEAKERS = ("anna", "bert", "cara")  # tested
OTHERS = tuple(f"other{i}" for i in range(6))


class Listed(Corpus):
    """Utterances as they are given."""

    name = "listed"

    def __init__(self, listed: Sequence[Utterance]) -> None:
        self.listed = listed

    def utterances(self) -> Iterator[Utterance]:
        return iter(self.listed)


def said(
    speakers: Sequence[str] = SPEAKERS, phrases: Sequence[str] = PHRASES, n_takes: int = 5, **more: Any
) -> list[Utterance]:
    """Takes that a listing has in the order 0, 1, 10, 2, 3 ..."""
    return [
        Utterance(f"{phrase}/{speaker}_{take + 8}", Path("x"), speaker=speaker, word=phrase, **more)
        for speaker, phrase, take in product(speakers, phrases, range(n_takes))
    ]


def divided(listed: Sequence[Utterance] | None = None, **options: Any) -> Divided:
    options = {"test_speakers": [*SPEAKERS], "validation_speakers": ["other0", "other1"]} | options
    corpus = Listed([*said(), *said(OTHERS)] if listed is None else listed)
    return VerificationTrials(**options).divide(corpus)


def rows(trials: TrialList) -> list[tuple[str, str, str]]:
    columns = zip(trials.model, trials.recording, trials.condition, strict=True)
    return [(trials.models[m], trials.recordings[r], trials.conditions[c]) for m, r, c in columns]


def test_three_speakers_by_three_phrases_by_five_takes_have_the_conditions_that_one_counts() -> None:
    trials = divided().trials["test"]
    assert len(trials.models) == 9
    assert len(trials.recordings) == 3 * 3 * 2, "takes 4 and 5"
    assert trials.counts() == {
        "TC": 9 * 2,
        "TW": 9 * 2 * 2,
        "IC": 9 * 2 * 2,
        "IW": 9 * 2 * 2 * 2,
    }
    assert trials.enrolment["anna/no"] == ("no/anna_8", "no/anna_9", "no/anna_10"), "8, 9, 10, not 10, 11, 12"
    of_model = {name: condition for model, name, condition in rows(trials) if model == "anna/no"}
    assert of_model["no/anna_11"] == of_model["no/anna_12"] == "TC"
    assert of_model["yes/anna_11"] == "TW"
    assert of_model["no/bert_11"] == "IC"
    assert of_model["good day/bert_11"] == "IW"
    assert divided().trials["validation"].counts() == {"TC": 12, "TW": 24, "IC": 12, "IW": 24}


def test_the_splits_are_background_development_and_evaluation_without_a_common_speaker() -> None:
    corpus = divided()
    speakers: dict[str | None, set[str]] = {}
    for utterance in corpus.utterances():
        speakers.setdefault(utterance.split, set()).add(utterance.speaker)
    assert speakers == {"train": set(OTHERS[2:]), "validation": set(OTHERS[:2]), "test": set(SPEAKERS)}
    named = corpus.trials["test"].named() | corpus.trials["validation"].named()
    assert not named & {utterance.id for utterance in corpus.utterances() if utterance.split == "train"}


@pytest.mark.parametrize("target", ["keyword", "speaker"])
@pytest.mark.parametrize(
    "options", [{}, {"test_speakers": ["anna", "bert"]}, {"train_pct": 40, "dev_pct": 30, "test_pct": 30}]
)
def test_speakers_are_disjoint_however_they_are_chosen(options: dict[str, Any], target: str) -> None:
    corpus = Listed([*said(), *said(OTHERS)])
    division = VerificationTrials(**options).divide(corpus, target)
    splits: dict[str, set[str | None]] = {}
    for utterance in division.utterances():
        splits.setdefault(utterance.speaker, set()).add(utterance.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("options", "enrol", "test"),
    [
        ({}, [8, 9, 10], [11, 12]),
        ({"enrol_takes": 1}, [8], [9, 10, 11, 12]),
        ({"enrol_takes": "2,4"}, [9, 11], [8, 10, 12]),
        ({"enrol_takes": [1, 2], "test_takes": "4-"}, [8, 9], [11, 12]),
        ({"enrol_takes": "3-", "test_takes": "1"}, [10, 11, 12], [8]),
        ({"enrol_takes": "1-2", "test_takes": "5-9"}, [8, 9], [12]),
    ],
)
def test_takes_enrol_and_are_tested_as_they_are_chosen(
    options: dict[str, Any], enrol: list[int], test: list[int]
) -> None:
    trials = divided(**options).trials["test"]
    assert trials.enrolment["bert/yes"] == tuple(f"yes/bert_{take}" for take in enrol)
    assert [name for name in trials.recordings if name.startswith("yes/bert")] == [f"yes/bert_{take}" for take in test]


def test_takes_may_be_sessions() -> None:
    listed = [replace(u, session=f"day{1 + i % 4}") for i, u in enumerate([*said(n_takes=8), *said(OTHERS, n_takes=8)])]
    trials = divided(listed, takes="sessions", enrol_takes="1-2", test_takes="4").trials["test"]
    assert trials.enrolment["anna/no"] == ("no/anna_8", "no/anna_12", "no/anna_9", "no/anna_13"), "by session, then id"
    assert [name for name in trials.recordings if name.startswith("no/anna")] == ["no/anna_11", "no/anna_15"]
    with pytest.raises(ValueError, match="takes=sessions needs the session of every recording"):
        _ = divided(takes="sessions").trials


def test_a_session_orders_takes_before_their_ids() -> None:
    days = {8: "day10", 9: "day9", 10: "day2", 11: "day1", 12: "day11"}
    listed = [replace(u, session=days[int(u.id.rpartition("_")[2])]) for u in [*said(), *said(OTHERS)]]
    assert divided(listed).trials["test"].enrolment["anna/no"] == ("no/anna_11", "no/anna_10", "no/anna_9")


def test_without_text_a_model_is_a_speaker() -> None:
    trials = divided(text_dependent=False).trials["test"]
    assert trials.models == SPEAKERS
    assert trials.counts() == {"target": 3 * 12, "nontarget": 3 * 24}
    assert {condition for model, name, condition in rows(trials) if f"/{model}_" in name} == {"target"}
    without_words = [replace(u, word=None) for u in (*said(), *said(OTHERS))]
    assert divided(without_words, text_dependent=False).trials["test"].counts() == trials.counts()


def test_balanced_draws_as_many_of_each_condition_for_each_model_by_the_seed() -> None:
    full, drawn = divided().trials["test"], divided(balanced=True).trials["test"]
    assert drawn.counts() == {"TC": 18, "TW": 18, "IC": 18, "IW": 18}
    assert set(rows(drawn)) < set(rows(full))
    per_model = np.zeros((9, 4), int)
    np.add.at(per_model, (drawn.model, drawn.condition), 1)
    assert (per_model == 2).all()
    assert rows(divided(balanced=True).trials["test"]) == rows(drawn)
    other = rows(divided(balanced=True, seed=1).trials["test"])
    assert other != rows(drawn)
    assert [row for row in other if row[2] == "TC"] == [row for row in rows(drawn) if row[2] == "TC"]


@pytest.mark.parametrize("options", [{}, {"balanced": True}, {"text_dependent": False}, {"test_speakers": []}])
def test_the_order_of_the_listing_changes_nothing(options: dict[str, Any]) -> None:
    listed = [*said(), *said(OTHERS)]
    if not options.get("test_speakers", True):
        options = options | {"validation_speakers": []}
    mixed = random.Random(0).sample(listed, len(listed))
    first, second = divided(listed, **options), divided(mixed, **options)
    assert first.notes() == second.notes()
    for split in ("validation", "test"):
        assert rows(first.trials[split]) == rows(second.trials[split])
        assert first.trials[split].enrolment == second.trials[split].enrolment


def test_what_has_too_few_takes_is_named_counted_and_left_out() -> None:
    listed = [u for u in said() if not (u.speaker == "bert" and u.word == "no" and u.id[-1] in "12")]
    listed += [
        *said(OTHERS),
        *said(["dora"], n_takes=3),
        *(replace(u, word=None, id=f"x{u.id}") for u in said(n_takes=1)),
    ]
    corpus = divided(listed, test_speakers=[*SPEAKERS, "dora"])
    trials = corpus.trials["test"]
    assert len(trials.models) == 8
    assert "bert/no" not in trials.models
    assert not [name for name in trials.recordings if "dora" in name or name.startswith(("x", "no/bert"))]
    why = "left out of the trials, without takes 1-3 to enrol and others to test"
    assert corpus.notes()[-3:] == [
        f"1 speakers are {why}: dora",
        f"1 phrases are {why}: no of bert",
        "9 recordings without a word or a sentence are left out of the trials",
    ]
    assert "trials of test: 8 models, 16 recordings, 16 TC, 28 TW, 28 IC, 56 IW" in corpus.notes()


@pytest.mark.parametrize("word", ["_unknown_", None])
def test_what_is_no_phrase_is_none(word: str | None) -> None:
    listed = [replace(u, word=word) for u in (*said(), *said(OTHERS))]
    with pytest.raises(ValueError, match="nothing to test; 75 recordings without a word or a sentence"):
        _ = divided(listed).trials
    sentences = [replace(u, word=None, sentence=u.word) for u in (*said(), *said(OTHERS))]
    assert rows(divided(sentences).trials["test"]) == rows(divided().trials["test"])


def test_models_have_names_that_lists_can_hold_and_no_two_the_same() -> None:
    phrases = ("a b", "a,b", "a%20b", "a/b", "a\\b", "\u2003", " 03")
    trials = divided([*said(("anna", "anna/a"), phrases), *said(("anna", "anna/a"), ("b",)), *said(OTHERS)], test_speakers=["anna", "anna/a"]).trials["test"]  # fmt: skip  # noqa: E501
    assert len(trials.models) == 2 * 8
    assert not [name for name in trials.models if re.search(r"[\s,\\]", name)]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no take": ({"enrol_takes": ""}, "protocol.enrol_takes names no take: 1-3 are the first three"),
    "take 0": ({"enrol_takes": "0-2"}, "protocol.enrol_takes are takes counted from 1, .* received 0-2"),
    "backwards": ({"test_takes": "5-4"}, "protocol.test_takes are takes counted from 1, such as 1-3, .* received 5-4"),
    "words": ({"test_takes": "all"}, "protocol.test_takes are takes counted from 1"),
    "in both": ({"enrol_takes": "1-3", "test_takes": "3-"}, "take 3 is in protocol.enrol_takes and in protocol.test_"),
    "other takes": ({"takes": "days"}, "protocol.takes is one of recordings, sessions; received days"),
    "no test speakers": ({"test_speakers": []}, "given without protocol.test_speakers"),
    "shares": ({"train_pct": 50, "dev_pct": 30, "test_pct": 30}, "add up to 100"),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_option_that_cannot_be_is_refused_before_the_corpus_is_read(case: str) -> None:
    options, reason = WRONG[case]
    with pytest.raises(ValueError, match=reason):
        divided(**options)


def test_a_corpus_that_cannot_have_trials_is_refused_with_what_it_lacks() -> None:
    with pytest.raises(ValueError, match=r"protocol=trials needs 3 speakers, .*; there are 2"):
        _ = divided(said(SPEAKERS[:2])).trials
    with pytest.raises(ValueError, match="who speaks is not known"):
        _ = divided([replace(u, speaker="") for u in said()]).trials
    with pytest.raises(
        ValueError, match=r"nothing to test; 5 speakers are left out .* takes 1-7 to enrol and one of 9"
    ):
        _ = divided(enrol_takes="1-7", test_takes="9").trials
    with pytest.raises(ValueError, match=r"protocol.test_speakers names speakers that the corpus lacks: dora"):
        _ = divided(test_speakers=["dora"]).trials


def test_more_trials_than_memory_should_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonaut.corpora.protocols.trials.MOST", 9 * 18 - 1)
    with pytest.raises(ValueError, match=r"9 models and 18 recordings are more than 161 trials: .*balanced=true"):
        _ = divided().trials
    assert len(divided(balanced=True).trials["test"]) == 72


@pytest.mark.parametrize("n", [5, 6, 8, 11])
def test_few_speakers_leave_two_to_test_for_there_is_no_impostor_to_one(n: int) -> None:
    for start in range(12):
        listed = said([f"p{i + start}" for i in range(n)])
        found = divided(listed, test_speakers=[], validation_speakers=[])
        speakers: dict[str | None, set[str]] = {}
        for utterance in found.utterances():
            speakers.setdefault(utterance.split, set()).add(utterance.speaker)
        assert len(speakers["test"]) >= 2
        assert speakers["validation"]
        assert speakers["train"]
        assert sum(map(len, speakers.values())) == n
        assert "IC" in found.trials["test"].counts()
