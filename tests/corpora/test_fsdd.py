"""The Free Spoken Digit Dataset: its official split, and one speaker left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from helpers.divided import divided
from phonaut.corpora import FSDD, Corpus
from phonaut.data.preparation.prepare import fingerprint

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two digits by six speakers, twelve takes."""
    (tmp_path / "recordings").mkdir()
    for digit in "07":
        for speaker in SPEAKERS:
            for take in range(12):
                (tmp_path / "recordings" / f"{digit}_{speaker}_{take}.wav").touch()
    return tmp_path


def test_the_adapter_is_a_corpus(tree: Path) -> None:
    assert isinstance(FSDD(data_folder=tree), Corpus)
    assert repr(FSDD(data_folder=tree)) == f"FSDD('{tree}')"


def test_takes_0_to_4_are_the_official_test_set(tree: Path) -> None:
    items = list(divided(FSDD, data_folder=tree).utterances())
    takes = {split: {int(i.id.rsplit("_")[-1]) for i in items if i.split == split} for split in ("test", "validation")}
    assert takes == {"test": set(range(5)), "validation": set(range(5, 10))}
    assert all({i.speaker for i in items if i.split == split} == set(SPEAKERS) for split in ("train", "test"))


@pytest.mark.parametrize("fold", range(6))
def test_leaving_a_speaker_out_shares_nobody_and_leaves_four_to_train(tree: Path, fold: int) -> None:
    corpus = divided(FSDD, data_folder=tree, protocol="leave_one_speaker_out", fold=fold)
    speakers: dict[str, set[str]] = {}
    for item in corpus.utterances():
        speakers.setdefault(item.split, set()).add(item.speaker)
    assert speakers["test"] == {SPEAKERS[fold]}
    assert len(speakers["train"]) == 4
    assert not speakers["train"] & speakers["validation"] | speakers["validation"] & speakers["test"]
    assert f"all of {SPEAKERS[fold]}" in corpus.notes()[0]
    assert "by speaker" in corpus.notes()[0]


def test_with_few_speakers_validation_is_cut_by_recording(tree: Path) -> None:
    for path in (tree / "recordings").glob("*_theo_*"):
        path.unlink()
    corpus = divided(FSDD, data_folder=tree, protocol="leave_one_speaker_out")
    items = list(corpus.utterances())
    assert {i.speaker for i in items if i.split == "validation"} == {i.speaker for i in items if i.split == "train"}
    assert "validation is cut from training by recording" in corpus.notes()[0]


def test_the_protocol_says_that_speakers_are_shared(tree: Path) -> None:
    (note,) = divided(FSDD, data_folder=tree).notes()
    assert "official split: takes 0-4" in note
    assert "all speakers are in training too" in note


def test_upper_case_is_the_same_corpus(tree: Path) -> None:
    shouted = tree.parent / "SHOUTED" / "FSDD" / "RECORDINGS"
    shouted.mkdir(parents=True)
    for path in (tree / "recordings").iterdir():
        (shouted / path.name.upper()).touch()
    loud = list(divided(FSDD, data_folder=tree.parent / "shouted" / "fsdd").utterances())
    quiet = list(divided(FSDD, data_folder=tree).utterances())
    assert [(i.id, i.split, i.speaker, i.word) for i in loud] == [(i.id, i.split, i.speaker, i.word) for i in quiet]


def test_the_recordings_folder_itself_will_do(tree: Path) -> None:
    assert list(divided(FSDD, data_folder=tree / "recordings").utterances()) == list(
        divided(FSDD, data_folder=tree).utterances()
    )


def test_files_with_other_names_are_refused_by_name(tree: Path) -> None:
    (tree / "recordings" / "hello.wav").touch()
    (tree / "recordings" / "README.md").touch()
    corpus = divided(FSDD, data_folder=tree)
    assert len(list(corpus.utterances())) == 144
    assert [Path(line["path"]).name for line in corpus.refused()] == ["hello.wav"]


def test_speakers_are_told_apart_on_takes_of_all_of_them(tree: Path) -> None:
    items = list(divided(FSDD, data_folder=tree, target="speaker").utterances())
    assert all({i.speaker for i in items if i.split == s} == set(SPEAKERS) for s in ("train", "validation", "test"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "leave_one_speaker_out", "fold": 6}, "protocol.fold=6: the corpus has these folds: 0 george"),
        ({"protocol": "leave_one_speaker_out", "target": "speaker"}, "type protocol=within_speakers"),
        ({"target": "phone"}, "none for target=phone"),
    ],
)
def test_impossible_options_are_named_with_what_to_type(tree: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(divided(FSDD, data_folder=tree, **options).utterances())


def test_impossible_options_are_named_before_anything_is_read(tree: Path) -> None:
    assert "none for target=phone" in FSDD.problems(data_folder=tree, target="phone")[0]
    (tree / "empty" / "recordings").mkdir(parents=True)
    assert "has no files such as 7_jackson_32.wav" in FSDD.problems(data_folder=tree / "empty")[0]
    assert FSDD.problems(data_folder=tree) == []


def test_a_folder_that_is_not_there_is_named_with_its_neighbours(tree: Path) -> None:
    with pytest.raises(ValueError, match=r"does not exist.*there are: recordings.*dataset.download=true fetches it"):
        list(divided(FSDD, data_folder=tree / "recording").utterances())


def test_a_folder_of_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "yes").mkdir()
    with pytest.raises(ValueError, match="has no folder recordings/"):
        list(divided(FSDD, data_folder=tmp_path).utterances())


def test_folds_are_prepared_apart(tree: Path) -> None:
    folds = [divided(FSDD, data_folder=tree, protocol="leave_one_speaker_out", fold=fold) for fold in range(2)]
    assert fingerprint(folds[0], 8000) != fingerprint(folds[1], 8000)


@pytest.mark.corpus
def test_real_speech_has_300_official_test_clips(real_speech) -> None:
    counts = Counter(item.split for item in divided(FSDD, data_folder=real_speech("fsdd")).utterances())
    assert counts == {"train": 2400, "validation": 300, "test": 300}
