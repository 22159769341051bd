"""Mistakes that people make with their own recordings are named, with what to type instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helpers.divided import divided
from phonaut.corpora import FolderCorpus


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def usual(root: Path) -> Path:
    return make(root, *(f"{w}/{s:08d}_{t}.wav" for w in ("yes", "no") for s in range(1, 8) for t in range(2)))


def message(**options: object) -> str:
    with pytest.raises(ValueError, match=r"\w") as caught:
        list(divided(FolderCorpus, **options).utterances())
    return str(caught.value)


def test_a_folder_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    make(tmp_path, "recordings/yes/a_1.wav", "other/x")
    text = message(data_folder=tmp_path / "recordngs")
    assert "does not exist" in text
    assert "there are: recordings ...): where are your recordings? Type dataset.data_folder=PATH" in text
    assert f"there is no {tmp_path / 'what'}" in message(data_folder=tmp_path / "what" / "ever")


def test_an_empty_folder(tmp_path: Path) -> None:
    make(tmp_path, "yes/notes.txt")
    assert "holds no recordings (files ending in .wav" in message(data_folder=tmp_path)


def test_recordings_of_a_kind_that_is_not_read(tmp_path: Path) -> None:
    make(tmp_path, "yes/a_1.m4a", "yes/a_2.M4A", "no/b_1.wma")
    assert "2 .m4a files: convert each, for example by ffmpeg" in message(data_folder=tmp_path)


def test_recordings_without_class_folders(tmp_path: Path) -> None:
    text = message(data_folder=make(tmp_path / "mine", "anna_1.wav", "bert_1.wav"))
    assert "lie directly in" in text
    assert "mine/labels.csv with columns path,label,speaker" in text
    assert "dataset.word_pattern=" in text
    (tmp_path / "mine" / "loop").symlink_to(".")
    assert message(data_folder=tmp_path / "mine") == text, "a link back changes nothing"


def test_the_folder_of_one_class(tmp_path: Path) -> None:
    assert message(data_folder=usual(tmp_path / "mine") / "yes").endswith(
        f"type dataset.data_folder={tmp_path / 'mine'}"
    )


def test_the_folder_above_the_corpus(tmp_path: Path) -> None:
    usual(tmp_path / "mine")
    assert message(data_folder=tmp_path).endswith(f"one folder too high; type dataset.data_folder={tmp_path / 'mine'}")


def test_folders_of_speakers_below_classes_are_not_one_folder_too_high(tmp_path: Path) -> None:
    make(tmp_path, *(f"{w}/{s}/{s}_1.wav" for w in ("yes", "no") for s in ("anna", "bert", "carl")))
    assert len(list(divided(FolderCorpus, data_folder=tmp_path).utterances())) == 6


def test_loose_recordings_beside_class_folders_are_refused_by_name(tmp_path: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=make(usual(tmp_path), "00000001_9.wav"))
    assert len(list(corpus.utterances())) == 28
    assert corpus.refused()[0]["reason"] == "it lies in no folder of a class"


def test_one_class_only(tmp_path: Path) -> None:
    text = message(data_folder=make(tmp_path, *(f"yes/{s}_1.wav" for s in "abc")))
    assert "all 3 recordings are of one class (yes)" in text
    assert "a folder beside it" in text


def test_names_without_a_speaker(tmp_path: Path) -> None:
    text = message(data_folder=make(tmp_path, *(f"{w}/rec{w}{i}.wav" for w in ("yes", "no") for i in range(5))))
    assert "(no/recno0.wav) cannot be it, most have none" in text
    assert "dataset.speaker_pattern='_([^_]+)_'" in text
    assert "protocol=by_recording" in text


def test_names_that_are_numbered(tmp_path: Path) -> None:
    text = message(data_folder=make(tmp_path, *(f"{w}/{i}_{w}.wav" for i, w in enumerate(("yes", "no") * 5))))
    assert "cannot be it, it is different for all 10 recordings" in text


def test_names_that_begin_with_their_class(tmp_path: Path) -> None:
    text = message(data_folder=make(tmp_path, *(f"{w}/{w}_{s}_1.wav" for w in ("yes", "no") for s in "abc")))
    assert "(no/no_a_1.wav) cannot be it, it is their class" in text


def test_speakers_that_nobody_knows_cannot_be_told_apart(tmp_path: Path) -> None:
    make(tmp_path, *(f"{w}/{i}{w}.wav" for w in ("yes", "no") for i in range(5)))
    text = message(data_folder=tmp_path, target="speaker")
    assert "who speaks is not known" in text
    assert "protocol=recordings" not in text


def test_one_speaker_only(tmp_path: Path) -> None:
    text = message(data_folder=make(tmp_path, *(f"{w}/anna_{i}.wav" for w in ("yes", "no") for i in range(5))))
    assert "all 10 recordings are of one speaker (anna)" in text
    assert "protocol=by_recording" in text


def test_a_pattern_that_matches_nothing(tmp_path: Path) -> None:
    text = message(data_folder=usual(tmp_path), speaker_pattern="spk(.*)-")
    assert "28 were refused" in text
    assert "dataset.speaker_pattern='spk(.*)-' matches none. It is searched for in the file name" in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"speaker_pattern": "("}, "is not a regular expression"),
        ({"speaker_pattern": "[^_]+_"}, "has 0 groups; it needs one"),
        ({"word_pattern": "(.)(.)"}, "has 2 groups; it needs one"),
        ({"layout": "directory"}, "type dataset.layout=directories"),
        ({"train_pct": 90}, "add up to 100"),
        ({"target": "phone"}, "target=phone"),
        ({"test_speakers": [1], "target": "speaker"}, "target=speaker needs every speaker in training"),
        ({"protocol": "by_speaker", "target": "speaker"}, "protocol=by_speaker keeps some out"),
        ({"validation_speakers": [1]}, "without protocol.test_speakers"),
        ({"validation_speakers": [1], "test_speakers": [1, 2]}, "00000001 in protocol.validation_speakers and in"),
        ({"validation_speakers": [1, 2, 3], "test_speakers": [4, 5, 6, 7]}, "nobody is left to train on"),
        (
            {"test_speakers": [7, 9]},
            "protocol.test_speakers names speakers that the corpus lacks: 9 (nearest: 00000007",
        ),
        ({"table": "lables.csv"}, "dataset.table=lables.csv is not in"),
        ({"layout": "kaldi"}, "have a wav.scp"),
        ({"layout": "csv"}, "no .csv or .tsv table with columns path and label"),
    ],
)
def test_impossible_options_are_named(tmp_path: Path, options: dict[str, object], said: str) -> None:
    assert said in message(data_folder=usual(tmp_path), **options)


def test_several_impossible_options_are_named_at_once(tmp_path: Path) -> None:
    problems = FolderCorpus.problems(data_folder=tmp_path, layout="x", speaker_pattern="(", target="phones")
    assert len(problems) == 1
    assert all(re.search(word, problems[0]) for word in ("layout", "speaker_pattern", "target=phones"))


@pytest.mark.parametrize("options", [{"columns": {"label": "word"}}, {"table": "labels.csv", "layout": "kaldi"},
                                     {"table": "labels.csv", "word_pattern": "^([^_]+)_"}])  # fmt: skip
def test_options_of_another_layout_are_named(tmp_path: Path, options: dict[str, object]) -> None:
    folder = usual(tmp_path)
    if "table" in options:
        path = next(folder.rglob("*.wav")).relative_to(folder)
        (folder / "labels.csv").write_text(f"path,label,speaker\n{path},yes,anna\n")
    key, value = list(options.items())[-1]
    kind = "a table" if "table" in options else "folders"
    said = f"dataset.{key}={value} has no effect: {folder} is read as {kind}; leave it out"
    assert FolderCorpus.problems(data_folder=folder, **options) == [said]


def test_splits_without_a_test_part_that_are_asked_for(tmp_path: Path) -> None:
    for split in ("train", "dev"):
        usual(tmp_path / split)
    text = message(data_folder=tmp_path, protocol="official")
    assert "protocol=by_speaker" in text


def test_a_speaker_in_two_splits_of_the_data(tmp_path: Path) -> None:
    for split in ("train", "test"):
        usual(tmp_path / split)
    text = message(data_folder=tmp_path)
    assert "speaker 00000001 is in test and train, and 6 more are in two splits" in text
    assert "Type protocol=by_speaker to divide anew" in text
    corpus = divided(FolderCorpus, data_folder=tmp_path, shared_speakers=True)
    assert len(list(corpus.utterances())) == 56
    assert "7 speakers are in more than one split" in corpus.notes()[0]
    anew = divided(FolderCorpus, data_folder=tmp_path, protocol="by_speaker")
    splits: dict[str, set[str]] = {}
    for item in anew.utterances():
        splits.setdefault(item.speaker, set()).add(item.split)
    assert all(len(found) == 1 for found in splits.values())
