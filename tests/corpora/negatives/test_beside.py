"""Negatives are words of nobody, in training alone, and the notes name them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from phonaut.cli import main
from phonaut.corpora import FolderCorpus, Utterance
from phonaut.corpora.negatives import choice
from phonaut.corpora.negatives.beside import Beside, WithNegatives
from phonaut.corpora.negatives.choice import choose, chosen, text_of
from phonaut.corpora.protocols import BySpeaker
from phonaut.corpora.synthetic.voices import speakers
from phonaut.data.dictionary import dictionary

NAMES = [f"{word}/p{i}_0.wav" for word in ("bed", "turn_on") for i in range(10)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in (*NAMES, "others/a.wav", "others/b/c.wav"):
        root = tmp_path if name.startswith("others") else tmp_path / "words"
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / name, 0.1 * rng.standard_normal(8000), 16000)
    return tmp_path / "words"


def divided(words: Path, **options: Any) -> Beside:
    return WithNegatives(BySpeaker(), **options).divide(FolderCorpus(data_folder=words), "keyword")


def plain(found: list[Utterance]) -> list[Utterance]:
    return [one for one in found if one.word != "_unknown_"]


def test_near_words_are_spoken_by_training_voices_in_training_alone(folder: Path) -> None:
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("pocketsphinx")
    data = divided(folder, near=3, voices=3)
    found = list(data.utterances())
    assert plain(found) == list(BySpeaker().divide(FolderCorpus(data_folder=folder), "keyword").utterances())
    added = [one for one in found if one.word == "_unknown_"]
    assert {one.split for one in added} == {"train"}
    near = data.near
    assert near["turn_on"][:2] == ["turn", "on"]
    assert {name: len(texts) for name, texts in near.items()} == {"bed": 3, "turn_on": 5}
    assert Counter(one.text for one in added) == dict.fromkeys([*near["bed"], *near["turn_on"]], 3)
    training = {f"espeak-ng/{one.name}" for one in speakers(10, 0) if one.split == "train"}
    assert len({one.speaker for one in added} & training) == 3
    assert all(one.path.is_file() for one in added)
    assert f"3 voices of espeak-ng (bed: {', '.join(near['bed'])}" in data.notes()[-1]
    known = dictionary()
    assert known is not None
    for text in near["bed"]:
        assert ("B", "EH", "D") not in known[text.upper()]
        assert any(sum(a != b for a, b in zip(way, ("B", "EH", "D"), strict=False)) + abs(len(way) - 3) <= 2
                   for way in known[text.upper()])  # fmt: skip


def test_a_choice_is_made_once(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    pytest.importorskip("espeakng_loader")
    pytest.importorskip("pocketsphinx")
    first = chosen(["7", "9"], 4)  # digits are said, though the dictionary has none
    assert {len(texts) for texts in first.values()} == {4}
    assert not {"seven", "nine", "sevin"} & {text for texts in first.values() for text in texts}
    monkeypatch.setattr(choice, "choose", lambda names, n: pytest.fail("chosen again"))
    assert chosen(["7", "9"], 4) == first


def test_without_the_dictionary_or_english_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert text_of("hey_Snips") == "hey snips"
    with pytest.raises(ValueError, match=r"negatives\.near says words in English, and 'да' is none"):
        text_of("да")
    monkeypatch.setattr(choice, "dictionary", lambda: None)
    with pytest.raises(ValueError, match=r"pip install 'phonaut\[align\]'"):
        choose(["bed"], 2)


def test_recordings_of_a_folder_are_words_of_nobody(folder: Path) -> None:
    data = divided(folder, folder=str(folder.parent / "others"))
    added = [one for one in data.utterances() if one.word == "_unknown_"]
    assert [(one.id, one.split, one.speaker) for one in added] == [
        ("_unknown_/recordings/a", "train", ""),
        ("_unknown_/recordings/b/c", "train", ""),
    ]
    assert "_unknown_ of training has 2 recordings of" in data.notes()[-1]
    for name, said in (("gone", "is no folder"), ("empty", "holds no recordings")):
        (folder.parent / "empty").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=f"negatives.folder=.*{name} {said}"):
            list(divided(folder, folder=str(folder.parent / name)).utterances())


class Fixed:
    """A divided corpus whose classes have an order."""

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def words(self) -> list[str]:
        return self._words


@pytest.mark.parametrize(
    ("words", "all_words"),
    [
        (["b", "a"], ["b", "a", "_unknown_"]),
        (["b", "_silence_"], ["b", "_unknown_", "_silence_"]),
        (["b", "_unknown_", "_silence_"], ["b", "_unknown_", "_silence_"]),
    ],
)
def test_the_class_of_negatives_stands_before_silence(words: list[str], all_words: list[str]) -> None:
    assert Beside(Fixed(words), WithNegatives(BySpeaker(), near=1)).words() == all_words  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["negatives.near=-1"], "negatives.near=-1: must be from 0 to 100"),
        (["negatives.near=2", "negatives.voices=0"], "negatives.voices=0: must be from 1 to 98"),
        (["negatives.voices=3"], "negatives.voices=3 has no effect: negatives.near=0"),
        (["negatives.near=2", "target=speaker"], "negatives.near=2 has no effect: it is for target=keyword"),
        (["negatives.near=2", "classes=[bed,cat]"], "classes=['bed', 'cat'] leaves it out: name it there"),
        (["negatives.near=2", "classes=2"], "is a class of its own, _unknown_, and classes=2 leaves it out"),
        (["negatives.near=2", "model=mockingjay_small"], "negatives.near=2 has no effect: task=pretraining has no use"),
        (["negatives.near=2", "task=verification", "model=dtw", "target=speaker"], "negatives.near=2 has no effect"),
        (["negatives.folder=a", "model=cvae"], "negatives.folder=a has no effect: task=generation has no use for it"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said_in_one_sentence(
    words: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "dataset=folder", f"dataset.data_folder={folder}", *words]) == 2
    assert said in capsys.readouterr().err


def test_prepared_negatives_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dataset=folder", f"dataset.data_folder={folder}", f"negatives.folder={folder.parent / 'others'}"]
    assert main(["prepare", *words]) == 0
    place = Path(capsys.readouterr().out.splitlines()[0].removeprefix("folder: "))
    splits = json.loads((place / "summary.json").read_text())["splits"]
    assert splits["train"]["words"]["_unknown_"] == 2
    assert sum(row["speakers"] for row in splits.values()) == 10
