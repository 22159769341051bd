"""Divisions by hash: no speaker in two splits, nobody moves when recordings are added, Google's own split."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonaut.corpora import FSDD, Speechocean762
from phonaut.corpora.base import target_problems
from phonaut.corpora.hashing import Cuts, Shares, balanced_cuts, hash_percent, speakers_to_validate
from phonaut.corpora.protocols.within_speakers import SpeakerDivision
from phonaut.names import likest, match_ids, nearest, same_id

NAMES = st.text("abcdef0123456789", min_size=1, max_size=8)
# Speakers on the validation_list.txt and testing_list.txt that come with Speech Commands.
OFFICIAL = {
    "validation": "a69b9b3e 439c84f4 409c962a dbaf8fc6 a6d586b7 0e17f595 ff2b842e 026290a7 060cd039 099d52ad 105e72bb",
    "test": "bb05582b 97f4c236 f2e59fea fdb5155e dc75148d 3f170018 18f8afd5 e1469561 5c8af87a aa48c94a 893705bb",
}


@pytest.mark.oracle
@pytest.mark.parametrize("split", OFFICIAL)
def test_the_hash_reproduces_the_official_lists(split: str) -> None:
    cuts = Cuts(10, 20)
    assert {cuts.split(speaker) for speaker in OFFICIAL[split].split()} == {split}


@pytest.mark.oracle
@given(NAMES)
def test_the_hash_is_the_published_formula(name: str) -> None:
    most = 2**27 - 1
    number = int(hashlib.sha1(name.encode()).hexdigest(), 16)
    assert hash_percent(name) == (number % (most + 1)) * (100.0 / most)


@given(st.sets(NAMES, min_size=3), st.floats(0.1, 40), st.floats(0.1, 40))
def test_every_split_gets_at_least_one_of_three_or_more(names: set[str], dev: float, test: float) -> None:
    cuts = balanced_cuts(map(hash_percent, names), dev, test)
    assert {cuts.split(name) for name in names} == {"train", "validation", "test"}


@given(st.sets(NAMES, min_size=3), st.sets(NAMES), st.floats(1, 40), st.floats(1, 40))
def test_new_speakers_move_nobody_where_chance_is_kind(
    names: set[str], more: set[str], dev: float, test: float
) -> None:
    plain = Cuts(dev, dev + test)
    for known in (names, names | more):
        shares = Counter(plain.split(name) for name in known)
        for split, pct in (("validation", dev), ("test", test)):
            if not 1 <= shares[split] <= max(1, 2 * pct * len(known) / 100) or not shares["train"]:
                return
    cuts = balanced_cuts(map(hash_percent, names | more), dev, test)
    assert all(cuts.split(name) == plain.split(name) for name in names)


@given(st.sets(NAMES, min_size=3), st.floats(1, 30), st.floats(1, 30))
def test_no_split_gets_more_than_twice_its_share_of_few(names: set[str], dev: float, test: float) -> None:
    cuts = balanced_cuts(map(hash_percent, names), dev, test)
    shares = Counter(cuts.split(name) for name in names)
    assert shares["validation"] <= max(1, 2 * dev * len(names) / 100)
    assert shares["test"] <= max(1, 2 * test * len(names) / 100)


@pytest.mark.parametrize(("n", "expected"), [(0, set()), (1, {"train"}), (2, {"train", "test"})])
def test_too_few_for_three_splits_serve_training_then_test(n: int, expected: set[str]) -> None:
    names = [f"speaker{i}" for i in range(n)]
    cuts = balanced_cuts(map(hash_percent, names), 10, 10)
    assert {cuts.split(name) for name in names} == expected


@given(st.dictionaries(NAMES, st.sets(NAMES, min_size=3), min_size=1))
def test_within_speakers_every_split_hears_every_speaker(units: dict[str, set[str]]) -> None:
    within = SpeakerDivision(10, 10)
    for speaker, names in units.items():
        for name in names:
            within.add(speaker, name)
    for speaker, names in units.items():
        assert {within.split(speaker, name) for name in names} == {"train", "validation", "test"}


@given(st.sets(NAMES), st.sets(NAMES), st.floats(0, 100))
def test_validation_speakers_are_cut_by_the_rule(training: set[str], testing: set[str], pct: float) -> None:
    chosen = speakers_to_validate(training, testing, pct)
    assert chosen <= training
    if training & testing or len(training) < 5:
        assert not chosen
    else:
        assert len(chosen) >= 1
        assert len(training - chosen) >= 4


@pytest.mark.parametrize(
    ("asked", "known", "same"),
    [
        ("18", "00000018", True),
        ("00018", "18", True),
        ("18", "180", False),
        ("anna", "anna", True),
        ("1a", "01a", False),
    ],
)
def test_ids_match_as_text_or_as_numbers(asked: str, known: str, same: bool) -> None:
    assert same_id(asked, known) is same


def test_a_list_finds_its_speakers() -> None:
    assert match_ids([18, "anna", "00000018"], {"00000018", "anna", "1"}, "key") == ["00000018", "anna", "00000018"]


def test_an_exact_id_wins_over_an_equal_number() -> None:
    assert match_ids(["7"], {"7", "07"}, "key") == ["7"]
    with pytest.raises(ValueError, match="007 may be 07 or 7"):
        match_ids(["007"], {"7", "07"}, "key")


def test_ids_that_match_nobody_are_all_named_with_the_nearest() -> None:
    known = {f"{i:08d}" for i in range(1, 21)} | {"anna"}
    message = "dataset.test_speakers names .* 33 (nearest: 00000020, 00000019, 00000018); ana (nearest: anna)"
    with pytest.raises(ValueError, match=re.escape(message).replace(r"\.\*", ".*").replace(r"\ ", " ")):
        match_ids([18, 33, "ana"], known, "dataset.test_speakers")


def test_nearest_names_are_found_in_any_case() -> None:
    assert nearest("YES", ["no", "yes"], 1) == ["yes"]
    assert likest("xyz", ["no", "yes"]) == []


@pytest.mark.parametrize("shares", [(80, 10, 20), (100, 0, 0), (120, -10, -10), (0, 50, 50), (float("nan"), 10, 10)])
def test_shares_that_divide_nothing_are_named(shares: tuple[float, float, float]) -> None:
    assert "add up to 100" in Shares(*shares).problems()[0]
    assert not Shares(80, 10, 10).problems()


def test_targets_without_labels_are_named() -> None:
    assert "target=phone" in target_problems("phone", FSDD)[0]
    assert not target_problems("speaker", FSDD)


def test_a_corpus_that_knows_genders_has_them_as_a_target_and_others_have_not() -> None:
    assert not target_problems("gender", Speechocean762)
    assert target_problems("keyword", Speechocean762) == [
        "dataset=speechocean762 has labels for target=phone and target=speaker and target=gender, none for "
        "target=keyword"
    ]
    assert target_problems("gender", FSDD)
