"""The embedded corpus: deterministic, whole or absent, divided without leaks, with phones where they are heard."""

from __future__ import annotations

import errno
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import phonaut
from helpers.divided import divided
from phonaut.corpora import Corpus
from phonaut.corpora.synthetic import synthesis
from phonaut.corpora.synthetic.corpus import SyntheticCorpus
from phonaut.corpora.synthetic.espeak import Speech, missing
from phonaut.corpora.synthetic.synthesis import Recipe, Utterance, generate, plan
from phonaut.corpora.synthetic.voices import MAX_SPEAKERS, Speaker, speakers

pytestmark = pytest.mark.skipif(missing() is not None, reason="the extra 'synthetic' (espeak-ng) is not installed")

SMALL = Recipe(words=("yes", "no"), n_speakers=10)
SENTENCES: dict[str, Any] = {"n_speakers": 10, "n_sessions": 3, "n_sentences": 1, "n_phrases": 1}


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with nothing in it."""
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path))
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def samples(item: Utterance) -> NDArray[np.int16]:
    with wave.open(str(item.path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def variants(items: list[Utterance], split: str) -> set[str]:
    return {item.speaker.rpartition("_")[0] for item in items if item.split == split}


@pytest.mark.parametrize("target", ["keyword", "phone", "speaker"])
def test_it_is_a_corpus_whose_words_are_in_clips(target: str) -> None:
    corpus = SyntheticCorpus(target=target)
    assert isinstance(corpus, Corpus)
    assert corpus.clip_s == (1.0 if target == "keyword" else None)


def test_its_configuration_has_all_keys_with_the_same_defaults() -> None:
    from omegaconf import OmegaConf

    path = Path(phonaut.__file__).parent / "config" / "conf" / "dataset" / "synthetic.yaml"
    dataset = OmegaConf.to_container(OmegaConf.create({"target": "keyword", "d": OmegaConf.load(path)}), resolve=True)
    assert isinstance(dataset, dict)
    keys = dict(dataset["d"])
    assert keys.pop("defaults")[-1] == "_self_"
    assert keys.pop("_target_") == "phonaut.corpora.SyntheticCorpus"
    assert tuple(keys["words"]) == inspect.signature(SyntheticCorpus).parameters["words"].default
    given = {name: parameter.default for name, parameter in inspect.signature(SyntheticCorpus).parameters.items()}
    assert keys | {"words": given["words"]} == given


def test_there_are_more_than_a_hundred_speakers_and_no_variant_is_in_two_splits() -> None:
    people = speakers(MAX_SPEAKERS, seed=0)
    assert len({person.name for person in people}) == len(people) >= 100
    for n in range(10, MAX_SPEAKERS + 1, 10):
        splits: dict[str, set[str]] = {}
        for person in people[:n]:
            splits.setdefault(person.voice.split("+")[1], set()).add(person.split)
        assert all(len(found) == 1 for found in splits.values())
        share = [sum(person.split == split for person in people[:n]) / n for split in ("train", "validation", "test")]
        assert share == pytest.approx([0.7, 0.1, 0.2])


def test_the_two_speakers_of_a_variant_differ_in_accent_and_vocal_tract() -> None:
    people = speakers(MAX_SPEAKERS, seed=0)
    for one, other in zip(people, people[MAX_SPEAKERS // 2 :], strict=False):
        assert one.voice.split("+")[1] == other.voice.split("+")[1]
        assert one.accent != other.accent
        assert abs(np.log(one.tract / other.tract)) > np.log(1.07)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / name))
        made.append(contents(generate(replace(SMALL, seed=seed))))
    assert made[0] == made[1]
    assert made[0].keys() == made[2].keys()
    assert all(made[0][name] != made[2][name] for name in made[0])


def test_a_clip_does_not_depend_on_what_else_is_in_the_corpus() -> None:
    few, many = contents(generate(SMALL)), contents(generate(replace(SMALL, words=("go", "no", "yes"), n_sessions=2)))
    same = [name for name in few if name.endswith(".wav")]
    assert len(same) == 20
    assert all(few[name] == many[name] for name in same)


def test_keywords_are_split_by_voice() -> None:
    corpus = divided(SyntheticCorpus, words=["yes", "no"], n_speakers=20, n_takes=1)
    items = list(corpus.utterances())
    assert corpus.words() == ["yes", "no"]
    assert [item.id for item in items] == sorted({item.id for item in items})
    assert [len(variants(items, split)) for split in ("train", "validation", "test")] == [14, 2, 4]
    assert not variants(items, "train") & (variants(items, "test") | variants(items, "validation"))
    assert all(item.word == item.text and item.sentence is None for item in items)
    assert "28 test" in divided(SyntheticCorpus, words=["yes", "no"], n_takes=1).notes()[0], "of 140 voices"


def test_phones_are_split_by_voice_and_by_sentence() -> None:
    items = list(divided(SyntheticCorpus, target="phone", **SENTENCES).utterances())
    assert not variants(items, "train") & variants(items, "test")
    read = {split: {item.text for item in items if item.split == split} for split in ("train", "validation", "test")}
    assert all(read.values())
    assert not read["train"] & (read["validation"] | read["test"])
    assert not any("password" in str(item.text) for item in items)  # the phrase that everyone reads


def test_speakers_are_split_by_session() -> None:
    items = list(divided(SyntheticCorpus, target="speaker", **SENTENCES).utterances())
    sessions = {split: {item.session for item in items if item.split == split} for split in ("train", "test")}
    assert not sessions["train"] & sessions["test"]
    for split in ("train", "validation", "test"):
        assert len({item.speaker for item in items if item.split == split}) == 10
    phrases = [item for item in items if item.sentence == "phrase0"]
    assert len(phrases) == 30
    assert len({item.text for item in phrases}) == 1


@pytest.fixture(scope="module")
def quiet() -> list[Utterance]:
    """Keywords and sentences without noise, in rooms that hardly reverberate."""
    rooms: dict[str, Any] = {"snr_low_db": 60, "snr_high_db": 60, "rt60_low_s": 0.02, "rt60_high_s": 0.02}
    words = divided(SyntheticCorpus, words=["yes", "stop"], n_speakers=20, n_takes=1, **rooms)
    return [*words.utterances(), *divided(SyntheticCorpus, target="speaker", **SENTENCES, **rooms).utterances()]


def test_phones_cover_the_recording_without_gaps(quiet: list[Utterance]) -> None:
    for item in quiet:
        assert item.phones[0].start_s == 0
        assert item.phones[-1].end_s == len(samples(item)) / 16000
        assert all(a.end_s == b.start_s for a, b in pairwise(item.phones))
        assert all(phone.end_s > phone.start_s for phone in item.phones)
        assert item.phones[0].label == item.phones[-1].label == "SIL"
        assert not any(a.label == b.label == "SIL" for a, b in pairwise(item.phones))


@pytest.mark.oracle
def test_speech_begins_and_ends_where_its_level_says(quiet: list[Utterance]) -> None:
    errors = []
    for item in quiet:
        power = np.convolve(samples(item).astype(float) ** 2, np.ones(80) / 80, "same")
        loud = np.flatnonzero(power > 4e-4 * power.max())
        errors.append((loud[0] / 16000 - item.phones[0].end_s, loud[-1] / 16000 - item.phones[-1].start_s))
    begin, end = np.array(errors).T
    assert abs(np.median(begin)) < 0.008
    assert abs(np.median(end)) < 0.02  # the room's tail
    assert np.quantile(np.abs(begin), 0.9) < 0.025
    assert np.quantile(np.abs(end), 0.9) < 0.04


@pytest.mark.oracle
@pytest.mark.parametrize("person", speakers(10, seed=0), ids=lambda person: person.name)
def test_vocal_tract_room_and_noise_do_not_move_a_phone(person: Speaker) -> None:
    """A click at every event is a click at the start of every phone, to the sample."""
    starts = [500, 2500, 5000, 8000]
    clicks = np.zeros(11000)
    for start in starts:
        clicks[start - 40 : start + 41] += 15000 * np.exp(-0.5 * (np.arange(-40, 41) / 8) ** 2)
    events = list(zip(starts, ("n", "i:", "m", "_:"), strict=True))
    for number in range(5):
        utterance = Utterance(f"w/{number}", person, f"session{number}", "knee", word="knee")
        speech = Speech(clicks.astype(np.int16), 22050, events)
        audio, phones = synthesis._record(utterance, speech, Recipe(snr_db=(30, 30)), {})
        assert [phone.label for phone in phones] == ["SIL", "N", "IY", "M", "SIL"]
        for phone in phones[1:]:
            around = np.abs(audio[phone.start - 100 : phone.start + 101].astype(float))
            assert abs(int(around.argmax()) - 100) <= 1


def test_recordings_are_heard_and_do_not_clip() -> None:
    for item in divided(SyntheticCorpus, words=["yes", "no"], n_speakers=20, n_takes=1).utterances():
        audio = samples(item) / 32768
        assert len(audio) == 16000
        assert 0.01 < np.abs(audio).max() < 0.96
        assert -50 < 10 * np.log10(np.mean(audio**2)) < -15


@pytest.mark.oracle
def test_words_by_unheard_voices_are_recognised_by_a_plain_classifier() -> None:
    """Means of log spectra over eighths of the spoken part, and linear discriminants: far above 1 in 5."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    words = ["yes", "no", "left", "stop", "down"]
    x: dict[str, list[NDArray[np.float64]]] = {"train": [], "validation": [], "test": []}
    y: dict[str, list[str | None]] = {"train": [], "validation": [], "test": []}
    for item in divided(SyntheticCorpus, words=words, n_speakers=40, n_takes=1).utterances():
        begin, end = (int(16000 * t) for t in (item.phones[1].start_s, item.phones[-1].start_s))
        frames = np.lib.stride_tricks.sliding_window_view(samples(item)[begin:end].astype(float), 400)[::80]
        bands = np.add.reduceat(np.abs(np.fft.rfft(frames * np.hanning(400))) ** 2, np.arange(5, 120, 8), axis=1)
        spectra = np.array([part.mean(0) for part in np.array_split(np.log(bands + 1), 8)])
        x[item.split].append((spectra - spectra.mean(0)).ravel())
        y[item.split].append(item.word)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x["train"], y["train"])
    assert model.score(x["test"], y["test"]) > 0.75


def test_a_second_call_speaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = generate(SMALL)
    monkeypatch.setattr(synthesis, "_fill", lambda *_: pytest.fail("spoken again"))
    assert generate(SMALL) == folder


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 100)], ids=["lost", "cut short"])
def test_a_damaged_recording_is_made_again(fresh: Path, damage: Callable[[Path], None]) -> None:
    folder = generate(SMALL)
    before = contents(folder)
    damage(folder / "yes" / "m1_us_0.wav")
    assert contents(generate(SMALL)) == before


def test_two_at_once_speak_once(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fill = synthesis._fill

    def counted(folder: Path, recipe: Recipe) -> None:
        calls.append(folder)
        fill(folder, recipe)

    monkeypatch.setattr(synthesis, "_fill", counted)
    threads = [threading.Thread(target=generate, args=(SMALL,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_killed_process_leaves_no_half_corpus(fresh: Path) -> None:
    script = (
        "from phonaut.corpora.synthetic.synthesis import *; "
        "generate(Recipe(words=('yes', 'no', 'up', 'down', 'left'), n_speakers=40, n_sessions=5))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PHONAUT_CACHE": str(fresh)})
    while not list(fresh.glob("synthetic/.*/*/*.wav")):
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left_over,) = fresh.glob("synthetic/.*")
    recipe = Recipe(words=("yes", "no", "up", "down", "left"), n_speakers=40, n_sessions=5)
    assert not list(fresh.glob("synthetic/*/utterances.jsonl"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesis, "_fill", lambda folder, recipe: None)
        generate(recipe)
    assert not left_over.exists()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(wave, "open", full)
    with pytest.raises(ValueError, match=r"No space left on device.*PHONAUT_CACHE"):
        generate(SMALL)
    assert [path for path in (fresh / "synthetic").iterdir() if path.suffix != ".lock"] == []


def test_a_word_longer_than_a_clip_makes_a_longer_recording() -> None:
    corpus = divided(SyntheticCorpus, words=["internationalisation of organisations", "no"], n_speakers=10, n_takes=1)
    lengths = {item.word: len(samples(item)) for item in corpus.utterances()}
    assert lengths["no"] == 16000
    assert lengths["internationalisation of organisations"] > 20000


def test_a_speaker_reads_no_sentence_twice_and_no_split_reads_anothers() -> None:
    utterances = plan(Recipe(n_sentences=2, n_sessions=4, n_speakers=MAX_SPEAKERS))
    read: dict[str, set[str]] = {}
    texts: dict[str, list[str]] = {}
    for utterance in utterances:
        read.setdefault(utterance.speaker.split, set()).add(utterance.text)
        texts.setdefault(utterance.speaker.name, []).append(utterance.text)
    assert all(len(set(own)) == len(own) == 8 for own in texts.values())
    assert len(set.union(*read.values())) == sum(map(len, read.values()))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"target": "keywords"}, "none for target=keywords"),
        ({"words": [True, "no"]}, "in quotes"),
        ({"words": ["yes"]}, "two different words"),
        ({"words": ["yes", "Yes"]}, "two different words"),
        ({"words": "yes"}, r"dataset.words=\[yes,...\]"),
        ({"words": ["../yes", "no"]}, "received '../yes'"),
        ({"n_speakers": 9}, "n_speakers is a whole number from 10 to 140; received 9"),
        ({"n_speakers": 141}, "received 141"),
        ({"n_takes": 0}, "n_takes"),
        ({"n_sessions": 2}, "n_sessions is a whole number from 3"),
        ({"n_sentences": 4}, "n_sentences is a whole number from 1 to 3; received 4"),
        ({"snr_low_db": 20, "snr_high_db": 10}, "snr_low_db <= dataset.snr_high_db.*received 20 and 10"),
        ({"rt60_low_s": 0.0}, "rt60_low_s"),
    ],
)
def test_values_that_are_not_possible_are_refused(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        divided(SyntheticCorpus, **keys)
