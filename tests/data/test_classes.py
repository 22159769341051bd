"""Which classes are learned: all that training has, the most frequent, or those that are named."""

from typing import Any

import numpy as np
import pytest

from phonaut.data.classes import classes_of
from phonaut.data.datamodule import SpeechData


def corpus_of(make_table: Any, make_corpus: Any) -> Any:
    """Phones in training: b 3 times, a and d twice, c once; the test has e beside them."""
    train = [[("b", 0.0, 0.1), ("a", 0.1, 0.2), ("d", 0.2, 0.3)], [("c", 0.0, 0.1)], [("b", 0.0, 0.1), ("a", 0.1, 0.2)]]
    train.append([("d", 0.0, 0.1), ("b", 0.1, 0.5)])
    test = [[("a", 0.0, 0.1), ("e", 0.1, 0.2)], [("c", 0.0, 0.1)]]
    corpus = make_corpus(
        train=make_table([np.zeros(16000)] * 4, phones=train), test=make_table([np.zeros(16000)] * 2, phones=test)
    )
    corpus.notes = ["the protocol", "more"]
    return corpus


def test_classes_are_those_of_the_training_split_in_the_order_of_the_corpus(make_table: Any, make_corpus: Any) -> None:
    train = make_table([np.zeros(10)] * 3, words=["b", "a", "b"])
    train.words = ["c", "b", "a"]  # the corpus fixes an order, and "c" occurs in the test split alone
    train.word = np.array([1, 2, 1])
    test = make_table([np.zeros(10)], words=["c"])
    assert classes_of(make_corpus(train=train, test=test), "keyword") == ["b", "a"]


def test_a_corpus_without_two_classes_is_refused_with_what_it_has(make_table: Any, make_corpus: Any) -> None:
    corpus = make_corpus(train=make_table([np.zeros(10)] * 3, words=["a", "a", "a"]))
    with pytest.raises(ValueError, match=r"target=keyword needs two classes .* found only a; .* target=speaker"):
        classes_of(corpus, "keyword")


@pytest.mark.parametrize(("n", "expected"), [(2, ["a", "b"]), (3, ["a", "b", "d"]), (4, ["a", "b", "c", "d"])])
def test_a_number_takes_the_most_frequent_of_training_and_of_equals_the_first(
    n: int, expected: list[str], make_table: Any, make_corpus: Any
) -> None:
    assert classes_of(corpus_of(make_table, make_corpus), "phone", n) == expected


def test_names_are_taken_in_the_order_of_the_corpus(make_table: Any, make_corpus: Any) -> None:
    assert classes_of(corpus_of(make_table, make_corpus), "phone", ["d", "a", "d"]) == ["a", "d"]


def test_numbers_are_names_and_18_is_00000018(make_table: Any, make_corpus: Any) -> None:
    corpus = make_corpus(train=make_table([np.zeros(10)] * 3, speakers=["00000018", "00000019", "00000020"]))
    assert classes_of(corpus, "speaker", [18, "00000020"]) == ["00000018", "00000020"]


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (5, "classes=5: the training split of fake has 4 for target=phone"),
        (["a", "e"], "classes names e, which the training split of fake lacks; it has a, b, c, d"),
        (["a", "A"], "classes names A, which the training split of fake lacks; the nearest are a"),
        (["a", "a"], r"classes=\[a, a\] is one class"),
    ],
)
def test_what_is_not_there_is_refused_with_the_nearest(
    wanted: Any, said: str, make_table: Any, make_corpus: Any
) -> None:
    with pytest.raises(ValueError, match=said):
        classes_of(corpus_of(make_table, make_corpus), "phone", wanted)


def limited(corpus: Any, **options: Any) -> SpeechData:
    return SpeechData(corpus, **{"target": "phone", "classes": ["a", "b"], "batch_size": 2, "seed": 0, **options})


def test_spans_of_other_classes_are_left_out_of_training_and_test_and_the_notes_say_so(
    make_table: Any, make_corpus: Any
) -> None:
    data = limited(corpus_of(make_table, make_corpus), limited=True)
    assert {split: data.spans[split].label.tolist() for split in ("train", "test")} == {
        "train": [1, 0, 1, 0, 1], "test": [0]
    }  # fmt: skip
    assert data.label_names("train") == ["b", "a", "b", "a", "b"]
    assert data.label_names("test") == ["a"]
    assert [labels for batch in data.batches("test") for labels in batch.labels.tolist()] == [0]
    assert sorted(label for batch in data.batches("train") for label in batch.labels.tolist()) == [0, 0, 1, 1, 1]
    assert data.notes == [
        "the protocol; limited to 2 classes, a, b; spans of others are left out: 3 of 8 in train, 2 of 3 in test",
        "more",
    ]


def test_without_a_limit_what_a_model_does_not_know_is_kept(make_table: Any, make_corpus: Any) -> None:
    data = limited(corpus_of(make_table, make_corpus))
    assert data.spans["test"].label.tolist() == [0, -1, -1]
    assert data.notes == ["the protocol", "more"]


def test_a_span_of_another_class_that_is_too_long_is_left_out_and_not_refused(
    make_table: Any, make_corpus: Any
) -> None:
    corpus = corpus_of(make_table, make_corpus)
    assert limited(corpus, classes=["a", "c"], limited=True, max_recording_s=0.2).refused == []
    assert len(limited(corpus, classes=["a", "b"], limited=True, max_recording_s=0.2).refused) == 1
