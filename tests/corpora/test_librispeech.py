"""LibriSpeech: subsets as splits, what is missing cut from training, transcripts, phones by alignment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.divided import divided
from phonaut.corpora import LibriSpeech, Utterance
from phonaut.corpora.phone_alignments import write_ctm
from phonaut.corpora.protocols import Divided
from phonaut.data.preparation.prepare import prepare
from phonaut.data.utterance import Phone

RATE = 16000


def write(root: Path, **subsets: list[int]) -> Path:
    """Two chapters of three utterances by each speaker; `train_clean_100=[19]` is a subset."""
    for subset, speakers in subsets.items():
        for speaker in speakers:
            for chapter in (speaker + 1, speaker + 2):
                folder = root / subset.replace("_", "-") / str(speaker) / str(chapter)
                folder.mkdir(parents=True)
                names = [f"{speaker}-{chapter}-{i:04d}" for i in range(3)]
                for i, name in enumerate(names):
                    audio = np.random.default_rng([speaker, chapter, i]).standard_normal(RATE // 2) / 10
                    soundfile.write(folder / f"{name}.flac", audio, RATE)
                text = "".join(f"{name} THE NUMBER {name[-1]}\n" for name in names)
                (folder / f"{speaker}-{chapter}.trans.txt").write_text(text)
    return root


def items(root: Path, **options: Any) -> list[Utterance]:
    return list(divided(LibriSpeech, data_folder=root, **{"target": "speaker", **options}).utterances())


def speakers(found: list[Utterance]) -> dict[str, set[str]]:
    return {split: {i.speaker for i in found if i.split == split} for split in ("train", "validation", "test")}


def aligned(root: Path, ids: list[str]) -> Path:
    """An alignment of three phones in each of these cuts."""
    phones = [Phone("SIL", 0.0, 0.1), Phone("DH", 0.1, 0.2), Phone("AH", 0.2, 0.3)]
    write_ctm(root / "a.ctm", [(name, phones) for name in ids])
    return root / "a.ctm"


def phones_of(root: Path, **options: Any) -> tuple[Divided, list[Utterance]]:
    ids = [item.id for item in items(root)]
    corpus = divided(LibriSpeech, data_folder=root, alignment=aligned(root, ids), min_phone_count=1, **options)
    return corpus, list(corpus.utterances())


def test_subsets_are_the_splits(tmp_path: Path) -> None:
    subsets = {
        "train_clean_100": [19, 26],
        "train_other_500": [27],
        "dev_clean": [84],
        "test_clean": [61],
        "test_other": [7],
    }
    corpus, found = phones_of(write(tmp_path, **subsets))
    assert speakers(found) == {"train": {"19", "26", "27"}, "validation": {"84"}, "test": {"61", "7"}}
    assert corpus.notes()[0].endswith("the subsets are the splits; no speaker is in two splits")
    assert "train-clean-100, train-other-500" in corpus.notes()[0]


def test_chosen_subsets_alone_are_read(tmp_path: Path) -> None:
    root = write(tmp_path, train_clean_100=[19], dev_clean=[84], test_clean=[61], test_other=[7])
    _, found = phones_of(root, subsets=["train-clean-100", "dev-clean", "test-other"])
    assert speakers(found) == {"train": {"19"}, "validation": {"84"}, "test": {"7"}}
    with pytest.raises(ValueError, match=r"dataset.subsets has test-clear, but .* type test-clean"):
        items(root, subsets=["train-clean-100", "test-clear"])
    with pytest.raises(ValueError, match="a subset to train on is needed too"):
        items(root, subsets=["test-clean"])


def test_without_a_test_subset_speakers_are_cut_from_training(tmp_path: Path) -> None:
    corpus, found = phones_of(write(tmp_path / "many", train_clean_100=list(range(100, 120))))
    by_split = speakers(found)
    assert all(by_split.values())
    assert not by_split["train"] & by_split["test"]
    assert not by_split["train"] & by_split["validation"]
    assert "the test is cut from training by speaker" in corpus.notes()[0]
    corpus, found = phones_of(write(tmp_path / "few", train_clean_100=[19, 26, 27]))
    by_split = speakers(found)
    assert len(by_split["test"]) == 1
    assert by_split["train"] == {"19", "26", "27"} - by_split["test"] >= by_split["validation"]
    assert "validation is cut from training by recording" in corpus.notes()[0]


def test_one_speaker_is_divided_by_recording(tmp_path: Path) -> None:
    corpus, found = phones_of(write(tmp_path, train_clean_100=[19]))
    assert {item.split for item in found} == {"train", "validation", "test"}
    assert "the speakers of the test are in training too" in corpus.notes()[0]


def test_speakers_to_be_told_apart_are_in_all_splits(tmp_path: Path) -> None:
    found = items(write(tmp_path, train_clean_100=[19, 26], test_clean=[61]))
    assert speakers(found) == {key: {"19", "26", "61"} for key in ("train", "validation", "test")}
    assert {item.session for item in found} == {"19-20", "19-21", "26-27", "26-28", "61-62", "61-63"}
    assert not any(item.phones for item in found)


def test_transcripts_are_read_and_a_missing_one_refuses_nothing(tmp_path: Path) -> None:
    root = write(tmp_path, train_clean_100=[19])
    assert {item.id: item.text for item in items(root)}["19-20-0001"] == "THE NUMBER 1"
    (root / "train-clean-100/19/20/19-20.trans.txt").unlink()
    assert {item.id: item.text for item in items(root)}["19-20-0001"] is None


def test_phones_are_those_of_the_alignment_without_silence(tmp_path: Path) -> None:
    corpus, found = phones_of(write(tmp_path, train_clean_100=[19, 26]))
    assert all([phone.label for phone in item.phones] == ["DH", "AH"] for item in found)
    prepared = prepare(corpus, sample_rate=RATE)
    assert (prepared.phones, prepared.refused) == (["AH", "DH"], [])
    assert "phones by" in prepared.notes[1]


def test_what_is_missing_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = write(tmp_path, train_clean_100=[19, 26])
    chapter = root / "train-clean-100/19/20"
    (chapter / "19-20-0001.flac").unlink()
    soundfile.write(chapter / "noise.flac", np.zeros(100), RATE)
    path = aligned(root, [item.id for item in items(root) if item.id != "26-27-0000"])
    corpus = divided(LibriSpeech, data_folder=root, alignment=path, min_phone_count=1)
    assert len(list(corpus.utterances())) == 10
    assert {Path(line["path"]).name: line["reason"] for line in corpus.refused()} == {
        "19-20-0001": "there is a transcript of it, but no recording",
        "noise.flac": "the name is not {speaker}-{chapter}-{number}",
        "26-27-0000.flac": f"{path} does not align it",
    }


def test_only_speakers_who_are_aligned_are_divided(tmp_path: Path) -> None:
    root = write(tmp_path, train_clean_100=list(range(100, 120)))
    path = aligned(
        root, [item.id for item in items(root) if item.speaker in ("100", "101", "102", "103", "104", "105")]
    )
    found = items(root, target="phone", alignment=path, min_phone_count=1)
    assert {item.split for item in found} == {"train", "validation", "test"}
    with pytest.raises(ValueError, match="no utterance of this corpus"):
        items(root, target="phone", alignment=aligned(root, ["other"]), min_phone_count=1)


def test_the_folder_above_will_do_in_any_case(tmp_path: Path) -> None:
    write(tmp_path / "LibriSpeech", train_clean_100=[19, 26])
    assert len(items(tmp_path)) == len(items(tmp_path / "librispeech")) == 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "keyword"}, "none for target=keyword"),
        ({"target": "phone"}, "dataset.alignment=FILE; phonaut align dataset=librispeech makes one"),
        ({"min_phone_count": 0}, "min_phone_count must be >= 1, got 0"),
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        divided(LibriSpeech, data_folder="x", **{"target": "speaker", **options})


def test_what_is_no_librispeech_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no folder such as train-clean-100"):
        items(tmp_path)
    (tmp_path / "train-clean-100").mkdir()
    with pytest.raises(ValueError, match=r"hold no recordings like 19-198-0000.flac"):
        items(tmp_path)


@pytest.mark.corpus
def test_real_speech_of_three_readers_is_read(real_speech: Any) -> None:
    found = items(real_speech("LibriSpeech"))
    assert len(found) == 42
    assert speakers(found) == {key: {"19", "26", "27"} for key in ("train", "validation", "test")}
    assert all(item.text for item in found)
