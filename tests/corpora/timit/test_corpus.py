"""TIMIT: the official layout with real SPHERE headers, written by the test; official sets, foldings, damage by name."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.divided import divided
from helpers.sphere_files import RATE, speechlike, write_sphere
from phonaut.corpora import TIMIT, Utterance
from phonaut.corpora.protocols import Divided
from phonaut.corpora.timit.tables import CORE, DEVELOPMENT, FOLDINGS, PHONES
from phonaut.data.preparation.prepare import prepare
from phonaut.data.utterance import Phone

N = 4000  # samples
LABELS = ["h#", "sh", "ix", "q", "hv", "eh", "dcl", "jh", "ao", "h#"]
TIMES = [(400 * i, 400 * (i + 1)) for i in range(len(LABELS))]
TRAINING = ("fcjf0", "mdac0", "fvmh0", "mcpm0", "fdaw0", "mdpk0")
TESTED = ("mdab0", "felc0")
DEVELOPED = ("faks0", "mjsw0")
NEITHER = ("mreh1",)


def sentences(number: int) -> list[str]:
    """What one speaker reads: both SA, three SI, five SX."""
    own = 1 + number % 90
    return ["sa1", "sa2", *(f"si{600 + 10 * number + i}" for i in range(3)), *(f"sx{own + 90 * i}" for i in range(5))]


def write_utterance(folder: Path, sentence: str, seed: int = 0, case: Callable[[str], str] = str.upper) -> Path:
    """A recording with its three files; the path without suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / case(sentence)
    write_sphere(stem.with_suffix(case(".wav")), speechlike(N, seed))
    lines = [f"{a} {b} {label}\n" for (a, b), label in zip(TIMES, LABELS, strict=True)]
    stem.with_suffix(case(".phn")).write_text("".join(lines))
    stem.with_suffix(case(".wrd")).write_text("400 1200 she\n1600 3600 had\n")
    stem.with_suffix(case(".txt")).write_text(f"0 {N} She had, {sentence}.\n")
    return stem


def write_timit(root: Path, case: Callable[[str], str] = str.upper, **speakers: tuple[str, ...]) -> Path:
    """A tree with some speakers of each kind."""
    seed = 0
    who = {"train": TRAINING, "test": TESTED + DEVELOPED + NEITHER} | speakers
    for part, names in who.items():
        for number, speaker in enumerate(names):
            for sentence in sentences(number + 20 * (part == "test")):
                seed += 1
                folder = root / case(part) / case(f"dr{1 + number % 8}") / case(speaker)
                write_utterance(folder, sentence, seed, case)
    return root


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_timit(tmp_path_factory.mktemp("timit") / "TIMIT")


@pytest.fixture
def speaker(tmp_path: Path) -> Path:
    """The folder of one speaker of a small tree of a test's own."""
    write_timit(tmp_path / "TIMIT", train=TRAINING[:1], test=("mdab0", "faks0"))
    return tmp_path / "TIMIT" / "TRAIN" / "DR1" / "FCJF0"


def items(root: Path, **options: Any) -> dict[str, Utterance]:
    return {item.id: item for item in divided(TIMIT, data_folder=root, **options).utterances()}


def speakers_of(found: dict[str, Utterance]) -> dict[str, set[str]]:
    return {split: {i.speaker for i in found.values() if i.split == split} for split in ("train", "validation", "test")}


def refusals(corpus: Divided) -> dict[str, str]:
    list(corpus.utterances())
    return {Path(line["path"]).name: line["reason"] for line in corpus.refused()}


def test_the_core_protocol_tests_its_speakers_and_validates_on_the_development_set(tree: Path) -> None:
    corpus = divided(TIMIT, data_folder=tree)
    found = items(tree)
    assert speakers_of(found) == {"train": set(TRAINING), "validation": set(DEVELOPED), "test": set(TESTED)}
    assert len(found) == 8 * 10, "SA is left out"
    assert not any(item.sentence and item.sentence.startswith("sa") for item in found.values())
    (note,) = corpus.notes()
    assert re.match(r"TIMIT, .*; core test set: 2 speakers, 16 utterances \(the official one has 24 and 192\)", note)
    assert "validation is the development set of the core test set, 2 other speakers" in note
    assert "39 phones, folded after Lee and Hon" in note


def test_the_complete_protocol_tests_everyone_and_cuts_validation_from_training(tree: Path) -> None:
    found = speakers_of(items(tree, test_set="complete"))
    assert found["test"] == {*TESTED, *DEVELOPED, *NEITHER}
    assert found["train"] | found["validation"] == set(TRAINING)
    assert found["train"]
    assert found["validation"]
    assert not found["train"] & found["validation"]
    assert re.search(
        r"complete test set: 5 speakers, 40 utter.*cut from tr",
        *divided(TIMIT, data_folder=tree, test_set="complete").notes(),
    )


def test_without_development_speakers_validation_is_cut_from_training(tmp_path: Path) -> None:
    root = write_timit(tmp_path, test=TESTED + NEITHER)
    found = speakers_of(items(root))
    assert found["test"] == set(TESTED)
    assert found["train"] | found["validation"] == set(TRAINING)
    assert found["validation"]


def test_the_official_sets_are_as_large_as_they_are_said_to_be() -> None:
    assert (len(CORE), len(DEVELOPMENT), len(CORE & DEVELOPMENT)) == (24, 50, 0)


def test_foldings_have_61_48_and_39_classes() -> None:
    assert {n: len(set(folding.values())) for n, folding in FOLDINGS.items()} == {61: 61, 48: 48, 39: 39}
    assert [("q" in folding) for folding in FOLDINGS.values()] == [True, False, False]


@pytest.mark.peer
def test_foldings_and_speakers_are_lhotses_but_for_q() -> None:
    from lhotse.recipes.timit import get_phonemes, get_speakers

    for n in (48, 39):
        theirs = {label: phone for label, phone in get_phonemes(n).items() if phone and label in PHONES}
        assert FOLDINGS[n] == theirs
    assert tuple(map(set, get_speakers())) == (DEVELOPMENT, CORE)


def labels(item: Utterance) -> list[str]:
    return [phone.label for phone in item.phones]


def test_phones_are_folded_alike_in_training_and_test(tree: Path) -> None:
    expected = {
        61: ["h#", "sh", "ix", "q", "hv", "eh", "dcl", "jh", "ao", "h#"],
        48: ["sil", "sh", "ix", "hh", "eh", "vcl", "jh", "ao", "sil"],
        39: ["sil", "sh", "ih", "hh", "eh", "sil", "jh", "aa", "sil"],
    }
    for n, folded in expected.items():
        for item in items(tree, phone_set=n).values():
            assert labels(item) == folded, item.split
    first = items(tree)["fcjf0_sx1"].phones
    assert first[:2] == (Phone("sil", 0.0, 0.025), Phone("sh", 0.025, 0.05))
    assert first[3].start_s == pytest.approx(1600 / RATE), "what follows a dropped q stays where it is"


def test_speakers_are_told_apart_on_sentences_that_training_has_not(tree: Path) -> None:
    found = items(tree, target="speaker")
    everyone = {*TRAINING, *TESTED, *DEVELOPED, *NEITHER}
    assert speakers_of(found) == dict.fromkeys(("train", "validation", "test"), everyone)
    split_of = {
        split: {i.sentence for i in found.values() if i.split == split} for split in ("train", "validation", "test")
    }
    assert not split_of["train"] & split_of["test"]
    assert not split_of["train"] & split_of["validation"]
    assert not split_of["validation"] & split_of["test"]
    assert Counter(i.split for i in found.values() if i.speaker == "fcjf0") == {"train": 5, "validation": 1, "test": 2}


def test_names_in_any_case_give_the_same_items(tree: Path, tmp_path: Path) -> None:
    lower = write_timit(tmp_path / "timit", str.lower)
    plain = [(i.id, i.split, i.speaker, i.text, i.phones, i.sentence) for i in items(tree).values()]
    assert [(i.id, i.split, i.speaker, i.text, i.phones, i.sentence) for i in items(lower).values()] == plain
    assert items(tree)["fcjf0_si600"].text == "She had, si600."


@pytest.mark.parametrize("above", ["TIMIT", "data", "lisa/data/timit/raw/TIMIT"])
def test_a_folder_above_the_corpus_will_do(above: str, tree: Path, tmp_path: Path) -> None:
    place = tmp_path / "copy" / above
    place.parent.mkdir(parents=True)
    place.symlink_to(tree)
    assert len(items(tmp_path / "copy")) == 80


def test_a_converted_recording_beside_the_original_is_the_one_that_is_read(speaker: Path) -> None:
    stem = write_utterance(speaker, "sx37")
    write_sphere(stem.with_suffix(".WAV"), speechlike(N), sample_coding="-s26 pcm,embedded-shorten-v2.00")
    soundfile.write(f"{stem}.WAV.wav", speechlike(N), RATE, format="WAV")
    assert items(speaker.parents[2])["fcjf0_sx37"].path.name == "SX37.WAV.wav"


def test_sphere_and_riff_are_prepared_with_what_was_written(tree: Path) -> None:
    prepared = prepare(divided(TIMIT, data_folder=tree), sample_rate=RATE)
    table = prepared.utterances("train")
    row = next(row for row in range(len(table)) if table.id(row) == "fcjf0_si600")
    np.testing.assert_array_equal(np.rint(table.audio(row) * 32768), speechlike(N, 3))
    assert prepared.phones == sorted({FOLDINGS[39][label] for label in LABELS if label != "q"})
    assert prepared.refused == []


PHN: dict[str, tuple[str, str]] = {
    "overlapping": ("0 1000 h#\n800 2000 sh\n", "line 2: sh at 0.05 s begins before h# ends, at 0.0625 s"),
    "descending": ("0 1000 h#\n2000 3000 sh\n1000 2000 ix\n", "line 3: ix at 0.0625 s begins before sh ends"),
    "backwards": ("0 1000 h#\n2000 1500 sh\n", "line 2: a phone starts at 0 or later and lasts; sh goes from 0.125 to"),
    "without length": ("0 0 h#\n", "line 1: a phone starts at 0 or later and lasts"),
    "before the start": ("-5 100 h#\n", "line 1: a phone starts at 0 or later"),
    "another phone": ("0 1000 h#\n1000 2000 AA1\n", "line 2: AA1 is none of TIMIT's 61 phones"),
    "in seconds": ("0.0 0.2 h#\n", "line 1: '<first sample> <last sample> <phone>' is wanted, got '0.0 0.2 h#'"),
    "without a phone": ("0 1000\n", "line 1: '<first sample> <last sample> <phone>' is wanted"),
    "empty": ("\n", "SX37.PHN is empty"),
}


@pytest.mark.parametrize("case", PHN)
def test_labels_that_cannot_be_used_are_named_and_the_rest_goes_on(case: str, speaker: Path) -> None:
    content, reason = PHN[case]
    stem = write_utterance(speaker, "sx37")
    stem.with_suffix(".PHN").write_text(content)
    corpus = divided(TIMIT, data_folder=speaker.parents[2])
    found = refusals(corpus)
    assert set(found) == {"SX37.WAV"}
    assert reason in found["SX37.WAV"]
    assert len(list(corpus.utterances())) == 24


def test_a_missing_file_of_labels_counts_for_phones_alone(speaker: Path) -> None:
    stem = write_utterance(speaker, "sx37")
    stem.with_suffix(".PHN").unlink()
    assert refusals(divided(TIMIT, data_folder=speaker.parents[2])) == {"SX37.WAV": "there is no .PHN file beside it"}
    assert refusals(divided(TIMIT, data_folder=speaker.parents[2], target="speaker")) == {}


def test_a_transcript_is_made_of_the_words_where_it_is_missing(speaker: Path) -> None:
    stem = write_utterance(speaker, "sx37")
    stem.with_suffix(".TXT").unlink()
    assert items(speaker.parents[2])["fcjf0_sx37"].text == "she had"
    stem.with_suffix(".WRD").unlink()
    assert items(speaker.parents[2])["fcjf0_sx37"].text is None


def test_files_without_a_recording_and_names_that_are_none_of_its_own_are_refused(speaker: Path) -> None:
    write_utterance(speaker, "sx37").with_suffix(".WAV").unlink()
    soundfile.write(speaker / "noise.wav", speechlike(N), RATE)
    assert refusals(divided(TIMIT, data_folder=speaker.parents[2])) == {
        "SX37.PHN": "there is no recording beside it",
        "noise.wav": "the name is none of TIMIT's, such as SI648.WAV",
    }


AUDIO: dict[str, tuple[Callable[[Path], Any], str]] = {
    "shortened": (lambda path: os.truncate(path, 1024 + N), "truncated: 4000 of 8000 bytes are there"),
    "shortened, with a header of its own": (
        lambda path: write_sphere(path, speechlike(N // 2)),
        "its phones end at 0.25 s, but 0.12 s are there",
    ),
    "wrong order": (
        lambda path: write_sphere(path, speechlike(N), sample_byte_format="-s2 10"),
        "the other order of bytes",
    ),
    "shorten": (
        lambda path: write_sphere(path, speechlike(N), sample_coding="-s26 pcm,embedded-shorten-v1.09"),
        "unpack it, sph2pipe -f wav x.WAV x.WAV.wav",
    ),
    "odd header": (lambda path: write_sphere(path, speechlike(N), sample_rate=None), "does not say sample_rate"),
    "empty": (lambda path: os.truncate(path, 0), "an empty file"),
}


@pytest.mark.parametrize("case", AUDIO)
def test_damaged_recordings_are_named_and_the_rest_goes_on(case: str, speaker: Path) -> None:
    damage, reason = AUDIO[case]
    damage(write_utterance(speaker, "sx37", seed=99).with_suffix(".WAV"))
    prepared = prepare(divided(TIMIT, data_folder=speaker.parents[2]), sample_rate=RATE)
    (line,) = prepared.refused
    assert Path(line["path"]).name == "SX37.WAV"
    assert reason in line["reason"]
    assert sum(row["cuts"] for row in prepared.summary["splits"].values()) == 24


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target": "keyword"}, "labels for target=phone and target=speaker, none for target=keyword"),
        ({"test_set": "cor"}, "dataset.test_set is one of core, complete; received cor: type dataset.test_set=core"),
        ({"phone_set": 60}, "dataset.phone_set is one of 61, 48, 39; received 60: type dataset.phone_set=61"),
    ],
)
def test_options_that_are_none_are_refused_with_the_nearest(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        divided(TIMIT, data_folder="timit", **options)


def test_what_is_no_timit_is_refused_with_what_is_wanted(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no TRAIN/DR1 and no TEST/DR1"):
        items(tmp_path)
    with pytest.raises(ValueError, match=r"does not exist.*LDC93S1"):
        items(tmp_path / "none")
    write_timit(tmp_path / "a", test=NEITHER)
    with pytest.raises(ValueError, match=r"none of the 24 speakers of the core test set.*dataset.test_set=complete"):
        items(tmp_path / "a")
    write_timit(tmp_path / "b", test=())
    with pytest.raises(ValueError, match=r"has no utterances such as TEST/DR1/\*/SI648.WAV"):
        items(tmp_path / "b")
    write_timit(tmp_path / "c", train=(*TRAINING, "mdab0"))
    with pytest.raises(ValueError, match="mdab0 lie in train and in test"):
        items(tmp_path / "c")
