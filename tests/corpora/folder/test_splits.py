"""Folders of splits, however they are called and wherever they stand, are splits, and never words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from helpers.divided import divided
from phonaut.corpora import FolderCorpus

TRAIN, VALIDATION, TEST = range(6), range(6, 8), range(8, 10)
RANGES = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


def make(root: Path, pattern: str, splits: dict[str, str], words: tuple[str, ...] = ("yes", "no")) -> Path:
    """Two words of other speakers in each split, at `pattern` of the folders of splits as they are called."""
    for split, called in splits.items():
        for word in words:
            for speaker in RANGES[split]:
                path = root / pattern.format(split=called, word=word) / f"s{speaker}_1.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
    return root


def found(root: Path, **options: object) -> dict[str, set[str]]:
    """Speakers by split; the words are checked."""
    utterances = list(divided(FolderCorpus, data_folder=root, **options).utterances())
    assert {utterance.word for utterance in utterances} == {"yes", "no"}
    speakers: dict[str, set[str]] = {}
    for utterance in utterances:
        speakers.setdefault(str(utterance.split), set()).add(utterance.speaker)
    return speakers


def names(range_: range) -> set[str]:
    return {f"s{speaker}" for speaker in range_}


CALLED = {
    "plain": ("train", "validation", "test"),
    "capitals": ("Train", "VAL", "Test"),
    "short": ("trn", "dev", "tst"),
    "long": ("Training", "Development", "Evaluation"),
    "others": ("train", "valid", "eval"),
    "sets": ("train_set", "dev-set", "test set"),
    "data": ("TrainData", "validation_data", "test_data"),
    "holdout": ("train", "devel", "holdout"),
}
PLACES = {
    "above": "{split}/{word}",
    "above speakers": "{split}/{word}/x",
    "below": "{word}/{split}",
    "behind": "{word}_{split}",
    "before": "{split}-{word}",
}


# In the names of folders, a split is one word.
CASES = [(c, p) for c in CALLED for p in PLACES if c not in ("sets", "data") or p not in ("behind", "before")]


@pytest.mark.parametrize(("called", "place"), CASES)
def test_splits_are_taken_as_given(called: str, place: str, tmp_path: Path) -> None:
    make(tmp_path, PLACES[place], dict(zip(RANGES, CALLED[called], strict=True)))
    (tmp_path / "_background_noise_").mkdir()
    (tmp_path / "features").mkdir()
    assert found(tmp_path) == {split: names(RANGES[split]) for split in RANGES}


@pytest.mark.parametrize("called", ["test", "Test", "eval", "testing", "test_set"])
def test_a_split_beside_the_words_is_the_test(called: str, tmp_path: Path) -> None:
    make(tmp_path, "{word}", {"train": ""})
    make(tmp_path, "{split}/{word}", {"test": called})
    speakers = found(tmp_path)
    assert speakers["test"] == names(TEST)
    assert speakers["train"] | speakers["validation"] == names(TRAIN)


def test_validation_beside_the_words_validates_and_a_test_is_cut_from_the_rest(tmp_path: Path) -> None:
    make(tmp_path, "{word}", {"train": ""})
    make(tmp_path, "{split}/{word}", {"validation": "Val"})
    speakers = found(tmp_path)
    assert speakers["validation"] == names(VALIDATION)
    assert speakers["train"] | speakers["test"] == names(TRAIN)
    assert speakers["test"]


@pytest.mark.parametrize("place", ["above", "below", "behind"])
def test_without_a_test_one_is_cut_from_training_and_that_is_said(place: str, tmp_path: Path) -> None:
    make(tmp_path, PLACES[place], {"train": "train", "validation": "val"})
    speakers = found(tmp_path)
    assert speakers["validation"] == names(VALIDATION)
    assert speakers["train"] | speakers["test"] == names(TRAIN)
    notes = divided(FolderCorpus, data_folder=tmp_path).notes()
    assert notes[0].startswith("the test is cut from training by speaker: ")


def test_speakers_whom_training_and_validation_share_are_counted(tmp_path: Path) -> None:
    for split in ("train", "val"):
        make(tmp_path / split, "{word}", {"train": ""})
    notes = divided(FolderCorpus, data_folder=tmp_path).notes()
    assert notes[0].endswith("5 speakers are in training and validation")


@pytest.mark.parametrize("name", ["test", "train", "Dev"])
def test_what_may_be_a_split_or_a_word_is_refused_and_the_way_out_works(name: str, tmp_path: Path) -> None:
    make(tmp_path, "{word}", {"train": ""}, words=("yes", "no", name))
    with pytest.raises(ValueError, match=rf"^{name} in .* may be splits, by their names, or classes, beside no, yes\."):
        list(divided(FolderCorpus, data_folder=tmp_path).utterances())
    corpus = divided(FolderCorpus, data_folder=tmp_path, word_pattern="^([^/]+)/")
    assert {utterance.word for utterance in corpus.utterances()} == {"yes", "no", name}


def test_splits_that_hold_recordings_of_no_class_are_refused_and_the_way_out_works(tmp_path: Path) -> None:
    for split, speakers in (("train", TRAIN), ("test", TEST)):
        (tmp_path / split).mkdir()
        for speaker in speakers:
            for word in ("yes", "no"):
                (tmp_path / split / f"s{speaker}_{word}.wav").touch()
    with pytest.raises(ValueError, match=r"^test and train in .* hold recordings directly\. A split has a folder for"):
        list(divided(FolderCorpus, data_folder=tmp_path).utterances())
    corpus = divided(FolderCorpus, data_folder=tmp_path, word_pattern="^([^/]+)/")
    assert {utterance.word for utterance in corpus.utterances()} == {"test", "train"}
    assert found(tmp_path, word_pattern="_([a-z]+)")["test"] == names(TEST)


def test_a_word_like_a_split_that_has_folders_of_speakers_is_a_word(tmp_path: Path) -> None:
    for word in ("bus", "car", "train"):
        for speaker in ("anna", "bert", "carl"):
            path = tmp_path / word / speaker / "1.wav"
            path.parent.mkdir(parents=True)
            path.touch()
    corpus = divided(FolderCorpus, data_folder=tmp_path, speaker_pattern="^[^/]+/([^/]+)/")
    assert Counter(utterance.word for utterance in corpus.utterances()) == {"bus": 3, "car": 3, "train": 3}


def test_tables_of_splits_are_taken_and_those_beside_them_are_named(tmp_path: Path) -> None:
    """As Common Voice has them."""
    kept = {"train": TRAIN, "dev": VALIDATION, "test": TEST}
    for table in (*kept, "validated", "invalidated", "other"):
        rows = [f"spk{s}\tc{s}_{w}.mp3\t{w}\t2\n" for s in kept.get(table, range(10)) for w in ("yes", "no")]
        (tmp_path / f"{table}.tsv").write_text("client_id\tpath\tsentence\tup_votes\n" + "".join(rows))
        (tmp_path / "clips").mkdir(exist_ok=True)
        for row in rows:
            (tmp_path / "clips" / row.split("\t")[1]).touch()
    corpus = divided(FolderCorpus, data_folder=tmp_path)
    splits = Counter(utterance.split for utterance in corpus.utterances())
    assert splits == {"train": 12, "validation": 4, "test": 4}
    assert {Path(line["path"]).name: line["reason"] for line in corpus.refused()} == dict.fromkeys(
        ["invalidated.tsv", "other.tsv", "validated.tsv"], "not read beside dev.tsv, test.tsv, train.tsv"
    )
