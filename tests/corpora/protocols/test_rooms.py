"""Rooms in which nobody speaks are no speakers: they are divided beside the people, and counted nowhere as such."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from phonaut.corpora import FolderCorpus, Utterance
from phonaut.corpora.protocols import (
    AllTest,
    Auto,
    BySpeaker,
    Fixed,
    Folds,
    LeaveOneSpeakerOut,
    Official,
    Protocol,
    WithinSpeakers,
)
from phonaut.corpora.protocols.base import Listing
from phonaut.data.preparation.prepare import prepare

PEOPLE = tuple(f"p{i:02d}" for i in range(12))
ROOMS = ("kitchen", "hall", "car", "office", "cellar")
NAMES = [f"{word}/{speaker}_{i}.wav" for word in ("yes", "no") for speaker in PEOPLE for i in range(2)]
SILENT = [f"_silence_/{room}_{i}.wav" for room in ROOMS for i in range(2)]


def corpus(root: Path, *names: str, **options: Any) -> FolderCorpus:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return FolderCorpus(data_folder=root, **options)


def splits(found: list[Utterance], *, silent: bool) -> dict[str, str]:
    """Speaker, or room -> split; no one is in two."""
    of: dict[str, set[str]] = {}
    for one in found:
        if (one.word == "_silence_") == silent:
            of.setdefault(one.speaker, set()).add(str(one.split))
    assert all(len(there) == 1 for there in of.values())
    return {name: there.pop() for name, there in of.items()}


@pytest.mark.parametrize(
    "protocol",
    [
        Auto(),
        BySpeaker(),
        BySpeaker(test_speakers=["p00", "p01"]),
        BySpeaker(test_speakers=["p00"], validation_speakers=["p01"]),
        Folds(fold=2),
        LeaveOneSpeakerOut(fold=1),
        Fixed(n_test_speakers=3, n_validation_speakers=2),
    ],
    ids=lambda protocol: f"{protocol.name} {getattr(protocol, 'test_speakers', '') or ''}",
)
def test_people_are_divided_as_if_there_were_no_rooms_and_rooms_are_in_every_split(
    protocol: Protocol, tmp_path: Path
) -> None:
    without = list(protocol.divide(corpus(tmp_path / "without", *NAMES)).utterances())
    divided = protocol.divide(corpus(tmp_path / "with", *NAMES, *SILENT))
    found = list(divided.utterances())
    assert splits(found, silent=False) == splits(without, silent=False)
    assert set(splits(found, silent=True)) == set(ROOMS)
    assert set(splits(found, silent=True).values()) == {"train", "validation", "test"}
    assert any("recordings of silence are divided by room" in note for note in divided.notes())


@pytest.mark.parametrize("protocol", [Folds, LeaveOneSpeakerOut])
def test_no_fold_tests_rooms_alone_and_each_room_is_tested_once(protocol: type, tmp_path: Path) -> None:
    data = corpus(tmp_path, *NAMES, *SILENT)
    n = 5 if protocol is Folds else len(PEOPLE)
    tested: Counter[str] = Counter()
    for fold in range(n):
        found = list(protocol(fold=fold).divide(data).utterances())
        assert {one.speaker for one in found if one.split == "test"} & set(PEOPLE)
        tested.update(room for room, split in splits(found, silent=True).items() if split == "test")
    assert tested == dict.fromkeys(ROOMS, 1)


def test_validation_that_is_cut_from_a_users_training_part_has_a_room(tmp_path: Path) -> None:
    names = [f"{'test' if name.split('/')[1] < 'p02' else 'train'}/{name}" for name in NAMES]
    rooms = [f"{'test' if 'car' in name else 'train'}/{name}" for name in SILENT]
    both = [f"{split}/_silence_/garden_{split}.wav" for split in ("train", "test")]  # refused, were it a speaker
    of = splits(list(Official().divide(corpus(tmp_path, *names, *rooms)).utterances()), silent=True)
    assert of["car"] == "test"
    assert Counter(of.values())["validation"] == 1
    assert list(Official().divide(corpus(tmp_path, *both)).utterances())


def test_nobody_is_told_apart_by_a_room(tmp_path: Path) -> None:
    data = corpus(tmp_path, *NAMES, *SILENT, target="speaker")
    assert {one.speaker for one in WithinSpeakers().divide(data, "speaker").utterances()} == set(PEOPLE)
    reasons = Counter(line["reason"] for line in data.refused())
    assert reasons == {"nobody speaks in it, and speakers are told apart": len(SILENT)}


def test_a_recording_of_silence_needs_no_name_of_a_room(tmp_path: Path) -> None:
    data = corpus(tmp_path, *NAMES, "_silence_/fan.wav", "_silence_/street.wav")
    found = list(Auto().divide(data).utterances())
    assert set(splits(found, silent=True)) == {"fan", "street"}
    assert "12 speakers" in " ".join(data.notes())
    assert not data.refused()


def test_silence_alone_cannot_be_divided_by_speaker(tmp_path: Path) -> None:
    data = corpus(tmp_path, *SILENT)
    with pytest.raises(ValueError, match=r"all 10 recordings are of one class \(_silence_\)"):
        list(BySpeaker().divide(data).utterances())
    with pytest.raises(ValueError, match="all 10 recordings are silence: nobody speaks"):
        BySpeaker().plan(Listing(data, "keyword"))
    assert len(list(AllTest().divide(data).utterances())) == 10


def test_the_summary_of_a_split_counts_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / "cache"))
    data, rng = corpus(tmp_path / "data", *NAMES, *SILENT), np.random.default_rng(0)
    for name in (*NAMES, *SILENT):
        soundfile.write(tmp_path / "data" / name, 0.1 * rng.standard_normal(800), 8000)
    summary = prepare(data, Auto(), sample_rate=8000).summary["splits"]
    assert sum(row["speakers"] for row in summary.values()) == len(PEOPLE)
    assert sum(row["words"].get("_silence_", 0) for row in summary.values()) == len(SILENT)
