"""A few recordings: each is tested in one fold, every word is trained on in all, and who may be heard twice is said."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from phonaut.corpora.base import Corpus
from phonaut.corpora.protocols import Few
from phonaut.corpora.protocols.base import Listing
from phonaut.data.utterance import Utterance


class Takes(Corpus):
    """Takes of words by speakers, given as numbers of takes."""

    name = "takes"

    def __init__(self, takes: dict[tuple[str, str], int]) -> None:
        self.takes = takes

    def utterances(self) -> Iterator[Utterance]:
        for (speaker, word), n in self.takes.items():
            for take in range(n):
                name = f"{word}/{speaker}_{take}"
                yield Utterance(name, Path(f"{name}.wav"), speaker=speaker, word=word)


def folds_of(corpus: Corpus) -> list[list[Utterance]]:
    n_folds = Few().dealt(Listing(corpus, "keyword")).n_folds
    return [list(Few(n_folds=n_folds, fold=fold).divide(corpus).assigned()) for fold in range(n_folds)]


ONE = Takes({("anna", word): 4 for word in ("a", "b", "c")})
FOUR = Takes({(speaker, word): 2 for speaker in ("anna", "ben", "cem", "dora") for word in ("a", "b", "c")})
LONELY = Takes({("anna", "a"): 3, ("ben", "a"): 2, ("cem", "b"): 4, ("_", "_silence_"): 2, ("x", "_silence_"): 2})


@pytest.mark.parametrize("corpus", [ONE, FOUR, LONELY], ids=["one speaker", "four", "a word by one alone"])
def test_every_recording_is_tested_once_by_a_model_that_knows_its_word(corpus: Corpus) -> None:
    folds = folds_of(corpus)
    tested = Counter(one.id for fold in folds for one in fold if one.split == "test")
    assert tested == Counter(one.id for one in corpus.utterances())
    words = {one.word for one in corpus.utterances()}
    for fold in folds:
        assert {one.word for one in fold if one.split == "train"} == words
        assert any(one.split == "test" for one in fold)


def test_of_three_speakers_or_more_one_is_left_out_and_of_one_each_word_is_in_every_fold() -> None:
    for fold in folds_of(FOUR):
        assert len({one.speaker for one in fold if one.split == "test"}) == 1
        assert len({one.speaker for one in fold if one.split == "train"}) == 3
    for fold in folds_of(ONE):
        assert Counter(one.word for one in fold if one.split == "test") == {"a": 1, "b": 1, "c": 1}
    assert "speakers of the test are in training too" in Few().divide(ONE).notes()[0]
    assert "b is said by one speaker alone" in Few().divide(LONELY).notes()[0]
    assert "each of the 4 speakers is tested once" in Few().divide(FOUR).notes()[0]
    assert {one.split for one in Few().divide(FOUR).assigned()} == {"train"}


def test_what_cannot_be_left_out_is_refused() -> None:
    with pytest.raises(ValueError, match="of b there is one recording, which cannot be both trained on and tested"):
        Few().divide(Takes({("anna", "a"): 3, ("anna", "b"): 1})).notes()
    with pytest.raises(ValueError, match="must be >= 2"):
        Few(n_folds=1)
