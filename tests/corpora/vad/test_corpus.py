"""Speech against noise: the four divisions of the original on a tree of its layout, languages, speakers kept apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.divided import divided
from phonaut.corpora import Utterance, VoiceActivity

SPLITS = ("train", "validation", "test")


def wav(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(500, np.int16), 1000)


def write(root: Path) -> Path:
    """Noise of 20 places, 30 speakers of UW/NU, two languages of Common Voice, Speech Commands."""
    for place in range(20):
        wav(root / "noise_files" / "TUT-acoustic-scenes-2017-development" / "audio" / f"a{place:03d}_0_10.wav")
        wav(root / "noise_files" / "FSDnoisy" / "FSDnoisy18k.audio_train" / f"{place * 7919}.wav")
    for i in range(30):
        for sentence in range(4):
            wav(root / "speech_files" / "uwnu-v2" / f"{'NC' if i % 2 else 'PN'}F{i:03d}_{sentence:02d}.wav")
    for language in ("de", "fr"):
        folder = root / "speech_files" / "cv-corpus-5.1-2020-06-22" / language
        for n, name in enumerate(("train", "dev", "test")):
            rows = ["client_id\tpath\tsentence\tup_votes"]
            for speaker in range(10):
                clip = f"common_voice_{language}_{n}{speaker}.mp3"
                (folder / "clips").mkdir(parents=True, exist_ok=True)
                (folder / "clips" / clip).touch()
                rows.append(f'{language}{n}{speaker:02x}beef\t{clip}\tSie sagte "ja.\t2')
            (folder / f"{name}.tsv").write_text("\n".join(rows) + "\n")
        (folder / "clips" / f"common_voice_{language}_unlisted.mp3").touch()
    for word in ("yes", "no"):
        for i in range(40):
            wav(root / "speech_commands_v0.02" / word / f"{i * 2654435761 % 2**32:08x}_nohash_0.wav")
    wav(root / "speech_commands_v0.02" / "_background_noise_" / "tap.wav")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("vad"))


def items(root: Path, **options: Any) -> list[Utterance]:
    return list(divided(VoiceActivity, data_folder=root, **options).utterances())


def counts(found: list[Utterance]) -> Counter[tuple[str | None, str | None]]:
    return Counter((i.split, i.word) for i in found if i.word)


@pytest.mark.parametrize("data_split", ["vad", "vad_balanced", "vad_speech", "getrennt"])
def test_no_speaker_and_no_place_is_in_two_splits(root: Path, data_split: str) -> None:
    splits = defaultdict(set)
    for item in items(root, data_split=data_split):
        splits[item.speaker].add({"noise": "train", "noise_test": "test"}.get(str(item.split), item.split))
    assert all(len(where) == 1 for where in splits.values())


def test_vad_takes_everything_that_is_listed(root: Path) -> None:
    found = items(root, data_split="vad")
    totals = Counter(i.word for i in found)
    assert totals["noise"] == 40
    assert totals["speech"] == 30 * 4 + 2 * 30
    assert not any("unlisted" in i.id or "_background_noise_" in i.id for i in found)
    by_split = counts(found)
    assert by_split["train", "speech"] > by_split["test", "speech"] > 0


@pytest.mark.parametrize("data_split", ["vad_balanced", "vad_speech"])
def test_balanced_divisions_have_as_much_speech_as_noise(root: Path, data_split: str) -> None:
    found = items(root, data_split=data_split)
    for split in SPLITS:
        assert counts(found)[split, "speech"] == counts(found)[split, "noise"] > 0
    speech = {i.id.split("/")[0] for i in found if i.word == "speech"}
    assert speech == ({"speech_commands_v0.02"} if data_split == "vad_speech" else {"speech_files"})


def test_getrennt_tests_on_the_other_dialect_and_mixes_nothing_in(root: Path) -> None:
    found = items(root, data_split="getrennt")
    for item in found:
        if item.word == "speech":
            assert ("NC" in item.path.name) == (item.split != "train"), item.id
    assert {i.split for i in found} == set(SPLITS), "no noise to mix in"
    for split in SPLITS:
        assert counts(found)[split, "speech"] == counts(found)[split, "noise"] > 0


def test_the_noise_of_a_split_is_what_is_mixed_into_it(root: Path) -> None:
    found = items(root, data_split="vad_balanced")
    noise = {
        split: {i.path for i in found if i.split == split and i.word != "speech"}
        for split in (*SPLITS, "noise", "noise_test")
    }
    assert noise["noise"] == noise["train"]
    assert noise["noise_test"] == noise["test"]


def test_languages_are_those_of_common_voice(root: Path) -> None:
    german = {i.id for i in items(root, data_split="vad", lang="de") if "cv-corpus" in i.id}
    assert german
    assert all("/de/" in name for name in german)
    assert "Common Voice in de, fr" in VoiceActivity.problems(data_folder=root, lang=["ca"])[0]
    said = VoiceActivity.problems(data_folder=root, lang="de", data_split="vad_speech")[0]
    assert "dataset.lang has no effect" in said


def test_a_speaker_of_common_voice_is_the_client(root: Path) -> None:
    clip = next(i for i in items(root, data_split="vad") if i.id.endswith("common_voice_fr_00"))
    assert clip.speaker == "speech/fr000beef"
    assert clip.text == 'Sie sagte "ja.'


def test_what_is_missing_or_misspelt_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "noise_files").mkdir()
    assert "has no folder speech_files" in VoiceActivity.problems(data_folder=tmp_path)[0]
    assert "type dataset.data_split=vad_balanced" in VoiceActivity.problems(data_folder=root, data_split="balanced")[0]
    assert "type target=keyword" in VoiceActivity.problems(data_folder=root, target="phone")[0]
    (tmp_path / "speech_files").mkdir()
    with pytest.raises(ValueError, match="no recordings of noise"):
        items(tmp_path)
