"""Hey Snips: the official lists of both releases, all other speech or a share of it, bad entries refused by name."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.divided import divided
from phonaut.corpora import HeySnips, Utterance
from phonaut.data.preparation.prepare import prepare

RATE = 16000
PARTS = {"train": range(6), "dev": range(6, 9), "test": range(9, 12)}


def write(root: Path, *, full: bool = True) -> Path:
    """Two wake words and six other sentences by each worker; `full` is the release with `id` and `duration`."""
    (root / "audio_files").mkdir(parents=True)
    for part, workers in PARTS.items():
        entries = []
        for worker in workers:
            for take in range(8):
                name = f"{worker:04d}-{take}-uuid"
                audio = np.random.default_rng([worker, take]).standard_normal(RATE // 2) / 10
                soundfile.write(root / "audio_files" / f"{name}.wav", audio, RATE)
                entry: dict[str, Any] = {"is_hotword": int(take < 2), "worker_id": worker}
                entry["audio_file_path"] = f"audio_files/{name}.wav"
                entries.append({**entry, "id": name, "duration": 0.5} if full else entry)
        (root / f"{part}.json").write_text(json.dumps(entries))
    return root


def noise(root: Path, n: int = 12) -> Path:
    root.mkdir(parents=True)
    for i in range(n):
        soundfile.write(root / f"place{i}_0.wav", np.random.default_rng(i).standard_normal(3 * 1000) / 10, 1000)
    return root


@pytest.fixture(scope="module", params=[True, False], ids=["with durations", "without"])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("snips") / "hey_snips_kws_4.0", full=request.param)


def items(root: Path, **options: Any) -> list[Utterance]:
    return list(divided(HeySnips, data_folder=root, **options).utterances())


def test_the_lists_are_the_split_and_workers_the_speakers(root: Path) -> None:
    found = items(root)
    assert Counter((i.split, i.word) for i in found) == {
        ("train", "hey_snips"): 12,
        ("train", "_unknown_"): 36,
        ("validation", "hey_snips"): 6,
        ("validation", "_unknown_"): 18,
        ("test", "hey_snips"): 6,
        ("test", "_unknown_"): 18,
    }
    assert {i.speaker for i in found if i.split == "validation"} == {"6", "7", "8"}
    assert all(i.path.is_file() for i in found)
    assert len({i.id for i in found}) == len(found)
    notes = divided(HeySnips, data_folder=root).notes()
    assert "no speaker is in two splits" in notes[0]
    assert "no class _silence_" in notes[1]


def test_the_folder_above_will_do(root: Path) -> None:
    assert items(root.parent) == items(root)


def test_other_speech_is_a_fraction_of_the_wake_words_and_the_same_ever_after(root: Path) -> None:
    some = items(root, unknown_prob=0.5)
    assert Counter(i.split for i in some if i.word == "_unknown_") == {"train": 6, "validation": 3, "test": 3}
    more = {i.id for i in items(root, unknown_prob=1.0)}
    assert {i.id for i in some} <= more
    corpus = divided(HeySnips, data_folder=root, unknown_prob=0)
    assert corpus.words() == ["hey_snips"]
    assert {i.word for i in corpus.utterances()} == {"hey_snips"}


def test_silence_comes_from_noise_that_no_other_split_hears(root: Path, tmp_path: Path) -> None:
    corpus = divided(HeySnips, data_folder=root, noise_dataset=[str(noise(tmp_path / "TUT"))], silence_prob=0.5)
    found = list(corpus.utterances())
    assert corpus.words() == ["hey_snips", "_unknown_", "_silence_"]
    assert Counter(i.split for i in found if i.word == "_silence_") == {"train": 6, "validation": 3, "test": 3}
    used = {
        split: {i.path for i in found if i.split in split and i.path.parent.name == "TUT"}
        for split in (("train", "noise"), ("validation",), ("test", "noise_test"))
    }
    heard = list(used.values())
    assert all(heard)
    assert not heard[0] & heard[1] | heard[0] & heard[2] | heard[1] & heard[2]


def test_workers_are_told_apart_too(root: Path) -> None:
    found = items(root, target="speaker")
    for split in ("train", "validation", "test"):
        assert len({i.speaker for i in found if i.split == split}) == 12


def test_it_is_prepared_as_clips(root: Path) -> None:
    prepared = prepare(divided(HeySnips, data_folder=root), sample_rate=RATE)
    assert prepared.words == ["hey_snips", "_unknown_"]
    assert set(prepared.utterances("test").n_samples) == {2 * RATE}


def test_bad_entries_are_refused_one_by_one(tmp_path: Path) -> None:
    root = write(tmp_path / "snips")
    entries = json.loads((root / "dev.json").read_text())
    entries[0]["duration"] = 0
    entries[1]["is_hotword"] = "perhaps"
    del entries[2]["worker_id"]
    entries[3] = "a name"
    (root / "dev.json").write_text(json.dumps(entries))
    corpus = divided(HeySnips, data_folder=root)
    assert sum(i.split == "validation" for i in corpus.utterances()) == 20
    reasons = "\n".join(line["reason"] for line in corpus.refused())
    assert "its duration in the list is 0 s" in reasons
    assert "is_hotword is 1 or 0, got perhaps" in reasons
    assert "the entry has no worker_id" in reasons
    assert len(corpus.refused()) == 4


@pytest.mark.parametrize(
    ("text", "said"), [("{", "is no JSON"), ('{"a": 1}', "must be a JSON list"), ("", "is no JSON")]
)
def test_a_list_that_is_none_stops_with_its_name(text: str, said: str, tmp_path: Path) -> None:
    root = write(tmp_path / "snips")
    (root / "train.json").write_text(text)
    with pytest.raises(ValueError, match=said):
        items(root)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "holds none of train.json" in HeySnips.problems(data_folder=tmp_path / "empty")[0]
    assert (
        "is no folder"
        in HeySnips.problems(data_folder=write(tmp_path / "snips"), noise_dataset=[str(tmp_path / "no")])[0]
    )
    assert (
        "above dataset.train_snr_high" in HeySnips.problems(data_folder=tmp_path, train_snr_low=9, train_snr_high=1)[0]
    )


def test_an_id_that_is_there_twice_is_refused_by_its_place_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = write(tmp_path / "snips")
    entries = json.loads((root / "dev.json").read_text())
    entries[1]["id"] = entries[0]["id"]
    (root / "dev.json").write_text(json.dumps(entries))
    corpus = divided(HeySnips, data_folder=root)
    assert len(list(corpus.utterances())) == 95
    [refused] = [one for one in corpus.refused() if one["path"].endswith("dev.json[1]")]
    assert refused["reason"] == f"its id {entries[0]['id']} is that of {root / 'dev.json'}[0] too"
