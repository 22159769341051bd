"""pocketsphinx: what comes of an utterance is its own affair, and words are said as the lexicon says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from phonaut.alignment import pocket
from phonaut.alignment.pocket import RATE, Aligner, dictionary_lines
from phonaut.alignment.utterances import Aligned, Utterance, utterances
from phonaut.corpora.base import Corpus
from phonaut.corpora.protocols import AllTest
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import Utterance as Listed

pytestmark = pytest.mark.skipif(pocket.missing() is not None, reason="the extra 'align' is not installed")

LEXICON = {"HELLO": [("HH", "EH", "L", "OW"), ("HH", "AH", "L", "OW")], "WORLD": [("W", "ER", "L", "D")]}


class Noises(Corpus):
    """Sounds of changing colour and loudness, of which nobody knows what they say."""

    name = "noises"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rng = np.random.default_rng(0)
        for i in range(6):
            sound = np.concatenate([np.convolve(rng.standard_normal(1600), rng.standard_normal(8)) for _ in range(8)])
            soundfile.write(folder / f"{i}.wav", 0.01 * 2**i * sound / np.abs(sound).max(), RATE)

    def utterances(self):  # type: ignore[no-untyped-def]  # as a user writes it
        for i in range(6):
            yield Listed(f"{i}", self.folder / f"{i}.wav", text="hello world" if i % 2 else "world hello")


@pytest.fixture(scope="module")
def noises(tmp_path_factory: pytest.TempPathFactory) -> PreparedCorpus:
    return prepare(Noises(tmp_path_factory.mktemp("noises")), AllTest(), sample_rate=RATE)


def test_an_utterance_is_aligned_alike_whatever_was_aligned_before_it(noises: PreparedCorpus) -> None:
    wanted = list(utterances(noises))
    alone = [Aligner(noises, LEXICON).align(one) for one in wanted]
    aligner = Aligner(noises, LEXICON)
    after_others = {one.id: aligner.align(one) for one in reversed(wanted)}
    assert sum(len(one.phones) > 5 for one in alone) > 3
    assert [after_others[one.id] for one in alone] == alone
    in_one, in_two = ([one for part in pocket.align(noises, wanted, LEXICON, 1) for one in part] for _ in range(2))
    assert in_one == in_two == alone


def test_words_are_said_as_the_lexicon_says_and_not_as_the_dictionary_does(noises: PreparedCorpus) -> None:
    lexicon = {"HELLO": [("W", "AY")], "WORLD": [("Z",)]}
    found = Aligner(noises, lexicon).align(next(utterances(noises)))
    assert [phone.label for phone in found.phones if phone.label != "SIL"] == ["Z", "W", "AY"]
    assert [word.label for word in found.words] == ["WORLD", "HELLO"]


@pytest.mark.parametrize(
    ("lexicon", "reason"),
    [
        (
            {"HELLO": [("h", "OW", "@")], "WORLD": [("Z",)]},
            "pocketsphinx's model of English has no phone @, h, as HELLO",
        ),
        ({"WORLD": [("Z",)]}, "no pronunciation is known of HELLO"),
    ],
)
def test_what_the_model_cannot_say_is_no_alignment(
    noises: PreparedCorpus, lexicon: dict[str, list[tuple[str, ...]]], reason: str
) -> None:
    found = Aligner(noises, lexicon).align(next(utterances(noises)))
    assert (found.phones, found.reason.startswith(reason)) == ((), True)


def test_a_dictionary_has_a_line_for_each_variant() -> None:
    assert list(dictionary_lines(LEXICON)) == ["hello HH EH L OW\n", "hello(2) HH AH L OW\n", "world W ER L D\n"]


def test_an_utterance_without_words_has_a_reason(noises: PreparedCorpus) -> None:
    assert Aligner(noises, LEXICON).align(Utterance("x", "test", 0, (), "a")) == Aligned(
        "x", reason="it has no transcript"
    )
