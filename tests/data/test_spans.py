"""What is to be classified in a cut, and under which name."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from phonaut.data.spans import label_names, spans_of

PHONES = [[("sil", 0.0, 0.2), ("k", 0.2, 0.25), ("a", 0.25, 0.5)], [], [("a", 0.0, 0.1), ("t", 0.1, 0.3)]]


@pytest.fixture
def table(make_table: Any) -> Any:
    return make_table(
        [np.zeros(n) for n in (16000, 8000, 4800)],
        words=["yes", None, "no"],
        speakers=["anna", "ben", "anna"],
        phones=PHONES,
    )


def test_a_gender_is_that_of_the_speaker_and_unknown_where_it_is_not_known(table: Any) -> None:
    table.corpus = SimpleNamespace(genders={"anna": "f", "carl": "m", "dana": "?"})
    spans = spans_of(table, "gender", ["m", "f"])
    assert spans.label.tolist() == [1, -1, 1]
    assert spans.end_s.tolist() == [1.0, 0.5, 0.3]
    assert label_names(table, "gender") == ["f", "", "f"]
    table.speaker[0] = -1  # noise is nobody's
    assert spans_of(table, "gender", ["f", "m"]).label.tolist() == [-1, -1, 0]


@pytest.mark.parametrize(
    ("target", "classes", "labels", "names"),
    [
        ("keyword", ["no", "yes"], [1, -1, 0], ["yes", "", "no"]),
        ("keyword", ["left", "no"], [-1, -1, 1], ["yes", "", "no"]),
        ("speaker", ["ben", "anna"], [1, 0, 1], ["anna", "ben", "anna"]),
    ],
)
def test_a_keyword_or_speaker_is_all_of_its_cut(
    target: str, classes: list[str], labels: list[int], names: list[str], table: Any
) -> None:
    spans = spans_of(table, target, classes)
    assert spans.label.tolist() == labels
    assert spans.start_s.tolist() == [0, 0, 0]
    assert spans.end_s.tolist() == [1.0, 0.5, 0.3]
    assert spans.row.tolist() == [0, 1, 2]
    assert label_names(table, target) == names


def test_phones_are_spans_of_their_cut(table: Any) -> None:
    spans = spans_of(table, "phone", ["a", "k", "sil"])
    assert spans.offset.tolist() == [0, 3, 3, 5]
    assert spans.row.tolist() == [0, 0, 0, 2, 2]
    assert spans.label.tolist() == [2, 1, 0, 0, -1]
    assert spans.start_s.tolist() == [0.0, 0.2, 0.25, 0.0, 0.1]
    assert spans.end_s.tolist() == [0.2, 0.25, 0.5, 0.1, 0.3]
    assert label_names(table, "phone") == ["sil", "k", "a", "a", "t"]


def test_selected_spans_keep_their_rows(table: Any) -> None:
    spans = spans_of(table, "phone", ["a", "k", "sil", "t"])
    kept = spans.select(np.array([False, True, False, False, True]))
    assert kept.offset.tolist() == [0, 1, 1, 2]
    assert kept.row.tolist() == [0, 2]
    assert kept.start_s.tolist() == [0.2, 0.1]


def test_an_unknown_target_is_refused_with_the_nearest(table: Any) -> None:
    with pytest.raises(ValueError, match=r"keyword, phone, speaker, gender, got keywords; did you mean keyword\?"):
        spans_of(table, "keywords", [])
