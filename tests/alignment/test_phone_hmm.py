"""What phone models start from, and what a path through a sentence says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.words_of_tones import RATE, Tones
from phonaut.alignment.phone_hmm import Alignable, TrainingConfig, alignable, by_phones, flat_start, segments
from phonaut.alignment.utterances import utterances
from phonaut.data.preparation.prepare import prepare
from phonaut.data.utterance import Phone

CONFIG = TrainingConfig(n_states=2)
LEXICON = {"AB": [("A", "B")], "OA": [("O", "A"), ("O", "E")]}


@pytest.fixture
def task(tmp_path: Path) -> Alignable:
    """An utterance of two words; its phones are A, B, E, O and SIL, in this order, with two states each."""
    prepared = prepare(Tones(tmp_path, 9, texts=["ab oa"]), sample_rate=RATE)
    (one,) = (one for one in utterances(prepared) if one.words == ("AB", "OA"))
    made, failed = alignable(prepared, [one], LEXICON, CONFIG)
    assert not failed
    assert made.unit == {"A": 0, "B": 1, "E": 2, "O": 3, "SIL": 4}
    return made


def test_a_flat_start_gives_every_state_of_the_first_pronunciations_as_many_frames(task: Alignable) -> None:
    states = flat_start(task, 0, LEXICON, CONFIG)
    assert len(states) == task.frames.lengths[0]
    changes = np.flatnonzero(np.diff(states, prepend=-1))
    assert states[changes].tolist() == [8, 9, 0, 1, 2, 3, 6, 7, 0, 1, 8, 9]  # SIL A B O A SIL
    lengths = np.diff([*changes, len(states)])
    assert lengths.max() - lengths.min() <= 1


def test_known_times_give_each_phone_its_frames_half_to_each_of_two_states_and_others_none(task: Alignable) -> None:
    known = [Phone("SIL", 0.0, 0.1), Phone("B", 0.1, 0.2), Phone("unheard of", 0.2, 0.3), Phone("O", 0.3, 0.4)]
    states = by_phones(task, 0, known, CONFIG)
    wanted = [8] * 5 + [9] * 5 + [2] * 5 + [3] * 5 + [-1] * 10 + [6] * 5 + [7] * 5
    assert states[:40].tolist() == wanted  # a frame every 10 ms, the first centred at 0
    assert (states[40:] == -1).all()


def test_a_path_becomes_phones_without_gaps_and_the_words_that_they_make(task: Alignable) -> None:
    (decoding,) = task.decodings
    names = list(zip(decoding.phone, decoding.word, strict=True))
    assert names == [
        ("SIL", -1), ("A", 0), ("B", 0), ("SIL", -1), ("O", 1), ("A", 1), ("O", 1), ("E", 1), ("SIL", -1)
    ]  # fmt: skip
    length = int(task.frames.lengths[0])
    nodes = [0] * 10 + [1] * 10 + [2] * 10 + [6] * 10 + [7] * (length - 40)  # no silence, the second pronunciation
    first = {node: int(np.flatnonzero(decoding.graph.node == node)[0]) for node in set(nodes)}
    phones, words = segments(np.array([first[node] for node in nodes]), decoding, ["AB", "OA"], task.frames, 0)
    end_s = float(task.frames.durations_s[0])
    borders = [0.0, 0.095, 0.195, 0.295, 0.395, end_s]
    assert [phone.label for phone in phones] == ["SIL", "A", "B", "O", "E"]
    np.testing.assert_allclose([phone.start_s for phone in phones], borders[:-1])
    np.testing.assert_allclose([phone.end_s for phone in phones], borders[1:])
    assert [word.label for word in words] == ["AB", "OA"]
    np.testing.assert_allclose([(w.start_s, w.end_s) for w in words], [(0.095, 0.295), (0.295, end_s)])
