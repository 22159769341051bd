"""A user's own folders: a class per directory, speakers by name, splits by speaker."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.divided import divided
from phonaut.corpora import Corpus, FolderCorpus, Utterance
from phonaut.data.preparation.prepare import fingerprint

WORDS = ("no", "yes")


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def speakers_tree(root: Path, speakers: list[str], takes: int = 2) -> Path:
    return make(
        root, *(f"{word}/{speaker}_{take}.wav" for word in WORDS for speaker in speakers for take in range(takes))
    )


def splits_of(items: list[Utterance]) -> dict[str, set[str]]:
    """Speakers by split."""
    found = defaultdict(set)
    for item in items:
        found[item.split].add(item.speaker)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return speakers_tree(tmp_path / "words", [f"{i:08d}" for i in range(1, 21)])


def test_the_adapter_is_a_corpus(tree: Path) -> None:
    assert isinstance(FolderCorpus(data_folder=tree), Corpus)


def test_a_class_is_a_folder_and_a_speaker_what_stands_before_the_first_underscore(tree: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=tree)
    first = next(corpus.utterances())
    assert (first.id, first.word, first.speaker) == ("no/00000001_0", "no", "00000001")
    assert first.path == tree / "no" / "00000001_0.wav"
    assert "what stands before the first _ of the file name: 00000001 in no/00000001_0.wav" in corpus.notes()[1]


def test_the_hash_puts_no_speaker_in_two_splits(tree: Path) -> None:
    found = splits_of(list(divided(FolderCorpus, data_folder=tree).utterances()))
    assert set(found) == {"train", "validation", "test"}
    assert sum(map(len, found.values())) == 20


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    speakers=st.sets(st.integers(0, 999), min_size=12, max_size=30),
    more=st.lists(
        st.tuples(st.sampled_from(["yes", "no", "maybe"]), st.integers(0, 29), st.integers(5, 9)), max_size=8
    ),
)
def test_adding_recordings_never_moves_a_speaker(
    tmp_path_factory: pytest.TempPathFactory, speakers: set[int], more: list[tuple[str, int, int]]
) -> None:
    ids = sorted(f"{speaker:03d}" for speaker in speakers)
    root = speakers_tree(tmp_path_factory.mktemp("words"), ids, takes=1)
    before = {item.speaker: item.split for item in divided(FolderCorpus, data_folder=root).utterances()}
    make(root, *(f"{word}/{ids[speaker % len(ids)]}_{take}.wav" for word, speaker, take in more))
    after = {item.speaker: item.split for item in divided(FolderCorpus, data_folder=root).utterances()}
    assert after == before


def test_three_speakers_get_a_split_each(tmp_path: Path) -> None:
    found = splits_of(
        list(divided(FolderCorpus, data_folder=speakers_tree(tmp_path, ["anna", "bert", "carl"])).utterances())
    )
    assert {split: len(names) for split, names in found.items()} == {"train": 1, "validation": 1, "test": 1}


def test_two_speakers_leave_one_to_test_and_validate_by_recording(tmp_path: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=speakers_tree(tmp_path, ["anna", "bert"], takes=20))
    found = splits_of(list(corpus.utterances()))
    assert found["train"] == found["validation"] != found["test"]
    assert "validation is cut from training by recording" in corpus.notes()[0]


def test_lists_divide_and_18_is_00000018(tree: Path) -> None:
    corpus = divided(
        FolderCorpus, data_folder=tree, validation_speakers=[15, 16, 17], test_speakers=[18, "19", "00000020"]
    )
    found = splits_of(list(corpus.utterances()))
    assert found["validation"] == {"00000015", "00000016", "00000017"}
    assert found["test"] == {"00000018", "00000019", "00000020"}
    assert len(found["train"]) == 14
    assert corpus.notes()[0].startswith("divided by speaker as listed: 14 train, validation 00000015")


def test_test_speakers_alone_leave_validation_by_speaker(tree: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=tree, test_speakers=18)
    found = splits_of(list(corpus.utterances()))
    assert found["test"] == {"00000018"}
    assert not found["train"] & found["validation"]
    assert len(found["validation"]) >= 1
    assert "validation is cut from training by speaker: " in corpus.notes()[0]


def test_test_speakers_alone_with_few_others_leave_validation_by_recording(tmp_path: Path) -> None:
    corpus = divided(
        FolderCorpus,
        data_folder=speakers_tree(tmp_path, ["anna", "bert", "carl", "dora", "emil"], takes=9),
        test_speakers=["anna"],
    )
    found = splits_of(list(corpus.utterances()))
    assert found["test"] == {"anna"}
    assert found["validation"] <= found["train"]
    assert "validation is cut from training by recording" in corpus.notes()[0]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("_([a-z]+)_", ("yes/1_anna_x.wav", "no/1_anna_y.wav", "yes/2_bert_x.wav", "no/3_carl_x.wav")),
        ("^[^/]+/([^/]+)/", ("yes/anna/1.wav", "no/anna/1.wav", "yes/bert/1.wav", "no/carl/2.wav")),
    ],
)
def test_the_speaker_is_read_by_a_pattern_on_the_name_or_the_path(
    tmp_path: Path, pattern: str, names: tuple[str, ...]
) -> None:
    corpus = divided(FolderCorpus, data_folder=make(tmp_path, *names), speaker_pattern=pattern)
    assert {item.speaker for item in corpus.utterances()} == {"anna", "bert", "carl"}
    assert f"dataset.speaker_pattern='{pattern}': " in corpus.notes()[1]


def test_names_that_a_pattern_does_not_match_are_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    names = [f"{word}/{speaker}-1.wav" for word in WORDS for speaker in ("anna", "bert", "carl")]
    corpus = divided(FolderCorpus, data_folder=make(tmp_path, *names, "yes/odd.wav"), speaker_pattern="(.*)-")
    assert len(list(corpus.utterances())) == 6
    assert [(Path(line["path"]).name, line["reason"]) for line in corpus.refused()] == [
        ("odd.wav", "its speaker is not known")
    ]


def test_the_class_can_be_read_from_the_file_name(tmp_path: Path) -> None:
    make(tmp_path, *(f"recordings/{word}_{speaker}_1.wav" for word in WORDS for speaker in ("anna", "bert", "carl")))
    corpus = divided(FolderCorpus, data_folder=tmp_path, word_pattern="^([^_]+)_", speaker_pattern="_([^_]+)_")
    assert {(item.word, item.speaker) for item in corpus.utterances()} == {
        (w, s) for w in WORDS for s in ("anna", "bert", "carl")
    }


def test_folders_of_splits_are_taken_as_given(tmp_path: Path) -> None:
    for split, speakers in (("Training", ["anna", "bert"]), ("dev", ["carl"]), ("TEST", ["dora"])):
        speakers_tree(tmp_path / split, speakers)
    corpus = divided(FolderCorpus, data_folder=tmp_path)
    found = splits_of(list(corpus.utterances()))
    assert found == {"train": {"anna", "bert"}, "validation": {"carl"}, "test": {"dora"}}
    assert {item.word for item in corpus.utterances()} == set(WORDS)
    assert corpus.notes()[0] == "divided as the data say; no speaker is in two splits"


def test_a_given_split_without_validation_gets_one_cut_from_training(tmp_path: Path) -> None:
    for split, speakers in (("train", list("abcdefgh")), ("test", list("xy"))):
        speakers_tree(tmp_path / split, speakers)
    corpus = divided(FolderCorpus, data_folder=tmp_path)
    found = splits_of(list(corpus.utterances()))
    assert found["test"] == {"x", "y"}
    assert len(found["train"]) >= 4
    assert not found["train"] & found["validation"]
    assert "validation is cut from training by speaker" in corpus.notes()[0]


def test_every_recording_of_a_new_folder_is_tested_and_speakers_need_not_be_known(tmp_path: Path) -> None:
    corpus = divided(
        FolderCorpus, data_folder=make(tmp_path, "yes/1.wav", "yes/2.wav", "no/1.wav"), protocol="all_test"
    )
    items = list(corpus.utterances())
    assert {item.split for item in items} == {"test"}
    assert len({item.speaker for item in items}) == 3
    assert "each recording counts as a speaker of its own" in corpus.notes()[1]


def test_one_class_alone_can_be_tested(tmp_path: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=make(tmp_path, "yes/anna_1.wav"), protocol="all_test")
    assert len(list(corpus.utterances())) == 1


def test_recordings_of_one_person_are_divided_when_asked_and_that_is_said(tmp_path: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=speakers_tree(tmp_path, ["anna"], takes=20), protocol="by_recording")
    assert splits_of(list(corpus.utterances())) == {key: {"anna"} for key in ("train", "validation", "test")}
    assert "the speakers of the test are in training too" in corpus.notes()[0]


def test_speakers_are_told_apart_on_recordings_of_all_of_them(tree: Path) -> None:
    found = splits_of(list(divided(FolderCorpus, data_folder=tree, target="speaker").utterances()))
    assert all(len(speakers) == 20 for speakers in found.values())
    assert len(found) == 3


def test_audio_in_any_case_is_found_and_the_rest_is_ignored(tmp_path: Path) -> None:
    names = [
        f"yes/{s}_{i}.{suffix}"
        for s in "abc"
        for i, suffix in enumerate(("WAV", "flac", "Mp3", "ogg", "opus", "AIFF", "sph"))
    ]
    rest = ("yes/notes.txt", "README.md", "yes/.a_1.wav", ".git/x/a_1.wav", "__MACOSX/yes/a_1.wav", "yes/labels.json")
    corpus = divided(FolderCorpus, data_folder=make(tmp_path, *names, *rest, "no/a_1.wav"))
    assert len(list(corpus.utterances())) == 22
    assert corpus.refused() == []


def test_files_that_share_a_stem_keep_their_suffix_in_the_id(tmp_path: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=make(speakers_tree(tmp_path, list("abc")), "yes/a_0.flac"))
    ids = [item.id for item in corpus.utterances()]
    assert len(set(ids)) == len(ids) == 13
    assert {"yes/a_0.flac", "yes/a_0.wav", "yes/a_1"} <= set(ids)


def test_classes_that_differ_in_case_alone_are_one(tmp_path: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=make(speakers_tree(tmp_path, list("abc")), "Yes/a_7.wav", "Yes/b_8.wav"))
    assert Counter(item.word for item in corpus.utterances()) == {"no": 6, "yes": 8}
    assert "Yes and yes differ in case alone: they are one class, yes" in corpus.notes()


def test_accents_written_apart_are_the_same_class(tmp_path: Path) -> None:
    make(tmp_path, "cafe\u0301/a_1.wav", "caf\u00e9/b_1.wav", "the\u0301/a_1.wav", "the\u0301/c_1.wav")
    assert {item.word for item in divided(FolderCorpus, data_folder=tmp_path).utterances()} == {"caf\u00e9", "th\u00e9"}


def test_a_link_that_loops_is_refused_by_name_and_the_rest_goes_on(tree: Path) -> None:
    (tree / "yes" / "again").symlink_to(tree)
    (tree / "no" / "self").symlink_to(tree / "no" / "self")
    (tree / "no" / "nothing.wav").symlink_to(tree / "gone.wav")
    corpus = divided(FolderCorpus, data_folder=tree)
    assert len(list(corpus.utterances())) == 80
    assert {Path(line["path"]).name: line["reason"] for line in corpus.refused()} == {
        "again": "a link to a folder that contains it: a loop",
        "self": "a link that leads to itself",
        "nothing.wav": "a link to nothing",
    }


def test_a_link_to_a_recording_elsewhere_is_followed(tree: Path, tmp_path: Path) -> None:
    make(tmp_path, "elsewhere/x.wav")
    (tree / "yes" / "00000001_7.wav").symlink_to(tmp_path / "elsewhere" / "x.wav")
    assert len(list(divided(FolderCorpus, data_folder=tree).utterances())) == 81


def test_a_name_that_is_not_utf8_is_refused_by_name_and_the_rest_goes_on(tree: Path) -> None:
    for name in (b"yes/00000001_caf\xe9.wav", b"stra\xdfe"):
        path = os.fsencode(tree) + b"/" + name
        try:
            open(path, "w").close() if name.endswith(b"wav") else os.mkdir(path)
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")
    corpus = divided(FolderCorpus, data_folder=tree)
    assert len(list(corpus.utterances())) == 80
    refused = {Path(line["path"]).name: line["reason"] for line in corpus.refused()}
    assert refused == dict.fromkeys((r"00000001_caf\xe9.wav", r"stra\xdfe"), "the name is not UTF-8: rename it")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_refused_by_name(tree: Path) -> None:
    (tree / "yes").chmod(0)
    corpus = divided(FolderCorpus, data_folder=tree, protocol="all_test")
    try:
        assert len(list(corpus.utterances())) == 40
        assert Path(corpus.refused()[0]["path"]).name == "yes"
    finally:
        (tree / "yes").chmod(0o700)


def test_background_noise_is_no_class_but_noise_to_mix(tree: Path) -> None:
    (tree / "_Background_Noise_").mkdir()
    soundfile.write(tree / "_Background_Noise_" / "running_tap.wav", np.zeros(1000, np.int16), 100)
    items = list(divided(FolderCorpus, data_folder=tree).utterances())
    assert len(items) == 82
    assert [(i.split, i.start_s, i.duration_s) for i in items if i.word is None] == [
        ("noise", 0, 8),
        ("noise_test", 9, 1),
    ]
    assert {item.word for item in items} == {*WORDS, None}


def test_a_relative_folder_is_listed_by_absolute_paths(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.parent)
    assert next(divided(FolderCorpus, data_folder="WORDS").utterances()).path == tree / "no" / "00000001_0.wav"


def test_listing_twice_gives_the_same(tree: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=tree)
    assert (
        list(corpus.utterances())
        == list(corpus.utterances())
        == list(divided(FolderCorpus, data_folder=tree).utterances())
    )


@pytest.mark.parametrize(
    "other",
    [
        {"test_speakers": [18]},
        {"target": "speaker"},
        {"speaker_pattern": r"^(\d{7})"},
        {"train_pct": 70, "dev_pct": 20},
        {"clip_s": 1.0},
    ],
)
def test_other_options_are_prepared_apart(tree: Path, other: dict[str, object]) -> None:
    one, two = divided(FolderCorpus, data_folder=tree), divided(FolderCorpus, data_folder=tree, **other)
    assert fingerprint(one, 16000) != fingerprint(two, 16000)


@pytest.mark.corpus
def test_real_speech_of_twenty_words_is_divided_as_listed(real_speech) -> None:
    corpus = divided(
        FolderCorpus,
        data_folder=real_speech("arabic_speech_commands"),
        validation_speakers=[15, 16, 17],
        test_speakers=[18, 19, 20],
    )
    items = list(corpus.utterances())
    assert Counter(item.split for item in items) == {"train": 2800, "validation": 600, "test": 600}
    assert len({item.word for item in items}) == 20
    assert corpus.refused() == []
