"""Google Speech Commands: Google's split, unknown words and silence that nothing else changes, both versions."""

from __future__ import annotations

import math
import re
import shutil
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.divided import divided
from phonaut.corpora import Corpus, KeywordCorpus, Utterance
from phonaut.corpora.hashing import hash_percent
from phonaut.corpora.protocols import Divided
from phonaut.data.preparation.prepare import fingerprint

V1 = [
    "bed",
    "bird",
    "cat",
    "dog",
    "down",
    "eight",
    "five",
    "four",
    "go",
    "happy",
    "house",
    "left",
    "marvin",
    "nine",
    "no",
    "off",
    "on",
    "one",
    "right",
    "seven",
    "sheila",
    "six",
    "stop",
    "three",
    "tree",
    "two",
    "up",
    "wow",
    "yes",
    "zero",
]
V2 = [*V1, "backward", "follow", "forward", "learn", "visual"]
SPEAKERS = [f"{i * 2654435761 % 2**32:08x}" for i in range(60)]


def make(root: Path, words: list[str], *, noise: bool = True, upper: bool = False) -> Path:
    """The official layout: every speaker says every word, some twice."""

    def case(name: str) -> str:
        return name.upper() if upper else name

    for word in words:
        (root / case(word)).mkdir(parents=True)
        for i, speaker in enumerate(SPEAKERS):
            for take in range(1 + i % 2):
                (root / case(word) / case(f"{speaker}_nohash_{take}.wav")).touch()
    if noise:
        folder = root / case("_background_noise_")
        folder.mkdir()
        for name, seconds in (("pink_noise", 30), ("running_tap", 50)):
            soundfile.write(folder / case(f"{name}.wav"), np.zeros(seconds * 1000, np.int16), 1000)
        (folder / "README.md").touch()
    return root


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("v1"), V1)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return make(tmp_path / "small", ["bed", "cat", "happy", "wow", "tree"])


def spoken(corpus: Divided) -> Iterator[Utterance]:
    return (item for item in corpus.utterances() if item.word not in (None, "_silence_"))


def speakers_of(corpus: Divided) -> dict[str, set[str]]:
    """Splits by speaker."""
    splits = defaultdict(set)
    for item in corpus.utterances():
        splits[item.speaker].add(item.split.replace("noise_", "").replace("noise", "train"))
    return splits


def test_the_adapter_is_a_corpus_of_twelve_classes(v1: Path) -> None:
    corpus = KeywordCorpus(data_folder=v1)
    assert isinstance(corpus, Corpus)
    assert corpus.words() == [
        "yes",
        "no",
        "up",
        "down",
        "left",
        "right",
        "on",
        "off",
        "stop",
        "go",
        "_unknown_",
        "_silence_",
    ]
    assert corpus.clip_s == 1.0


@pytest.mark.oracle
def test_each_clip_is_where_googles_code_puts_it(v1: Path) -> None:
    """`which_set` of Google's input_data.py, written again from its description."""
    import hashlib

    def which_set(file: str) -> str:
        speaker = re.sub(r"_nohash_.*$", "", file)
        percent = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % 2**27 * (100.0 / (2**27 - 1))
        return "validation" if percent < 10 else "test" if percent < 20 else "train"

    items = list(spoken(divided(KeywordCorpus, data_folder=v1)))
    assert all(item.split == which_set(item.path.name) for item in items)
    assert {item.split for item in items} == {"train", "validation", "test"}


@pytest.mark.parametrize("words", [["yes", "no"], ["cat"], "all"])
def test_no_speaker_and_no_stretch_of_noise_is_in_two_splits(v1: Path, words: object) -> None:
    assert all(
        len(splits) == 1 for splits in speakers_of(divided(KeywordCorpus, data_folder=v1, wanted_words=words)).values()
    )


@pytest.mark.parametrize(("silence", "unknown"), [(0.1, 0.1), (0.25, 1.0), (0.0, 0.0)])
def test_silence_and_unknown_are_fractions_of_the_wanted_clips(v1: Path, silence: float, unknown: float) -> None:
    corpus = divided(KeywordCorpus, data_folder=v1, silence_prob=silence, unknown_prob=unknown)
    counts = Counter((item.split, item.word) for item in corpus.utterances())
    for split in ("train", "validation", "test"):
        wanted = sum(n for (s, word), n in counts.items() if s == split and word and not word.startswith("_"))
        assert counts[split, "_silence_"] == math.ceil(wanted * silence)
        assert counts[split, "_unknown_"] == math.ceil(wanted * unknown)
    assert ("_unknown_" in corpus.words()) == (unknown > 0)
    assert ("_silence_" in corpus.words()) == (silence > 0)


def test_unknown_words_come_from_many_words(v1: Path) -> None:
    words = {
        i.text
        for i in divided(KeywordCorpus, data_folder=v1).utterances()
        if i.word == "_unknown_" and i.split == "train"
    }
    assert len(words) > 15


def test_further_words_displace_some_unknown_clips_and_reshuffle_none(small: Path) -> None:
    def unknown() -> dict[str, float]:
        corpus = divided(KeywordCorpus, data_folder=small, wanted_words=["bed"], unknown_prob=0.5)
        return {
            i.id: hash_percent(f"59185/{i.id}")
            for i in corpus.utterances()
            if i.word == "_unknown_" and i.split == "train"
        }

    before = unknown()
    make(small / "more", ["zero"], noise=False)
    (small / "more" / "zero").rename(small / "zero")
    (small / "more").rmdir()
    after = unknown()
    stayed, came = before.keys() & after.keys(), after.keys() - before.keys()
    assert len(before) == len(after)
    assert all(name.startswith("zero/") for name in came)
    assert max(before[name] for name in stayed) < min(before[name] for name in before.keys() - after.keys())


def test_the_order_of_the_file_system_changes_nothing(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    expected = list(divided(KeywordCorpus, data_folder=small, wanted_words=["bed"]).utterances())
    scandir = os.scandir

    class Backwards:
        def __init__(self, folder: str) -> None:
            with scandir(folder) as found:
                self.entries = list(found)[::-1]

        def __enter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self.entries)

        def __exit__(self, *error: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert list(divided(KeywordCorpus, data_folder=small, wanted_words=["bed"]).utterances()) == expected


def test_another_selection_seed_takes_other_unknown_words(small: Path) -> None:
    chosen = [
        {i.id for i in divided(KeywordCorpus, data_folder=small, wanted_words=["bed"], selection_seed=s).utterances()}
        for s in (1, 2)
    ]
    assert chosen[0] != chosen[1]


def test_noise_is_divided_in_time_and_silence_stays_within_its_part(small: Path) -> None:
    parts = defaultdict(list)
    for item in divided(KeywordCorpus, data_folder=small, wanted_words=["bed"], silence_prob=0.7).utterances():
        if item.path.parent.name == "_background_noise_":
            assert item.duration_s is not None
            parts[item.path.stem, item.split].append((item.start_s, item.start_s + item.duration_s))
    for name, seconds in (("pink_noise", 30), ("running_tap", 50)):
        ends = {
            "train": (0, 0.8),
            "validation": (0.8, 0.9),
            "test": (0.9, 1),
            "noise": (0, 0.8),
            "noise_test": (0.9, 1),
        }
        for split, (begin, end) in ends.items():
            assert min(start for start, _ in parts[name, split]) >= begin * seconds - 1e-6
            assert max(stop for _, stop in parts[name, split]) <= end * seconds + 1e-6
        assert parts[name, "noise"] == [(0, 0.8 * seconds)]
        train = sorted(parts[name, "train"])
        share = (0.8 * seconds - 1) / len(train)  # each window is drawn within a share of the time
        assert all(i * share <= start <= (i + 1) * share for i, (start, _) in enumerate(train))


def test_noise_too_short_for_a_window_gives_no_silence(small: Path) -> None:
    for path in (small / "_background_noise_").glob("*.wav"):
        soundfile.write(path, np.zeros(5000, np.int16), 1000)
    counts = Counter(
        i.split
        for i in divided(KeywordCorpus, data_folder=small, wanted_words=["bed"]).utterances()
        if i.word == "_silence_"
    )
    assert set(counts) == {"train"}  # 4 s; the others have half a second


def test_a_noise_recording_that_cannot_be_read_is_refused_by_name(small: Path) -> None:
    (small / "_background_noise_" / "broken.wav").write_text("no audio")
    corpus = divided(KeywordCorpus, data_folder=small, wanted_words=["bed"])
    list(corpus.utterances())
    assert [Path(line["path"]).name for line in corpus.refused()] == ["broken.wav"]


def test_all_words_are_wanted_words_without_unknown(v1: Path) -> None:
    corpus = divided(KeywordCorpus, data_folder=v1, wanted_words="all")
    assert corpus.words() == [*V1, "_silence_"]
    assert "no class _unknown_" in corpus.notes()[1]


def test_without_noise_there_is_no_silence_and_the_notes_say_so(tmp_path: Path) -> None:
    corpus = divided(
        KeywordCorpus, data_folder=make(tmp_path / "x", ["bed", "cat"], noise=False), wanted_words="bed,cat"
    )
    assert corpus.words() == ["bed", "cat"]
    assert {item.split for item in corpus.utterances()} == {"train", "validation", "test"}
    assert any("no folder _background_noise_" in note for note in corpus.notes())


def test_upper_case_is_the_same_corpus(tmp_path: Path) -> None:
    options = {"wanted_words": ["cat"], "unknown_prob": 0.3}
    quiet = divided(KeywordCorpus, data_folder=make(tmp_path / "words", ["bed", "cat"]), **options)
    loud = divided(KeywordCorpus, data_folder=make(tmp_path / "LOUD" / "WORDS", ["bed", "cat"], upper=True), **options)
    wanted = [
        {(i.id.lower(), i.speaker.lower(), i.split, i.word) for i in c.utterances() if i.word == "cat"}
        for c in (quiet, loud)
    ]
    assert wanted[0] == wanted[1]
    assert loud.words() == quiet.words()
    found = divided(KeywordCorpus, data_folder=tmp_path / "loud" / "words", **options)
    assert list(found.utterances()) == list(loud.utterances())


@pytest.mark.parametrize(("there", "asked"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_word_is_found_however_its_accents_are_written(there: str, asked: str, small: Path, tmp_path: Path) -> None:
    root = shutil.copytree(small, tmp_path / "copy")
    name = sorted(folder.name for folder in root.iterdir() if folder.is_dir() and folder.name[0] != "_")[0]
    (root / name).rename(root / unicodedata.normalize(there, "öffne"))
    corpus = divided(KeywordCorpus, data_folder=root, wanted_words=[unicodedata.normalize(asked, "öffne")])
    assert "öffne" in {clip.word for clip in corpus.utterances()}


def test_folders_that_differ_in_case_alone_hold_one_word(small: Path) -> None:
    (small / "Bed").mkdir()
    (small / "Bed" / f"{SPEAKERS[0]}_nohash_0.wav").touch()
    items = [i for i in divided(KeywordCorpus, data_folder=small, wanted_words=["bed"]).utterances() if i.word == "bed"]
    assert len(items) == 91
    assert len({i.id for i in items}) == 91


@pytest.mark.parametrize(("words", "version"), [(V1, "v1"), (V2, "v2"), (["bed", "cat"], "a part with 2 words")])
def test_the_version_is_told_by_its_words(tmp_path: Path, words: list[str], version: str) -> None:
    for word in words:
        (tmp_path / word).mkdir()
        (tmp_path / word / "00176480_nohash_0.wav").touch()
    notes = divided(KeywordCorpus, data_folder=tmp_path, wanted_words=["bed"]).notes()
    assert notes[0].startswith(f"Google Speech Commands, {version}")
    assert "hash of the speaker (80 / 10 / 10 %); no speaker is in two splits" in notes[0]


def test_the_official_lists_divide_and_what_they_share_is_said(small: Path) -> None:
    first, second = SPEAKERS[0], SPEAKERS[1]
    (small / "validation_list.txt").write_text(f"bed/{first}_nohash_0.wav\ncat/{first}_nohash_0.wav\n")
    (small / "testing_list.txt").write_text(f"bed/{second}_nohash_0.wav\nbed/{second}_nohash_1.wav\n")
    corpus = divided(KeywordCorpus, data_folder=small, wanted_words=["bed"], protocol="official")
    held = {item.id: item.split for item in spoken(corpus) if item.split != "train" and item.word == "bed"}
    assert held == {
        f"bed/{first}_nohash_0": "validation", f"bed/{second}_nohash_0": "test", f"bed/{second}_nohash_1": "test"
    }  # fmt: skip
    assert "official validation and testing lists; 2 speakers are in more than one split" in corpus.notes()[0]


def test_a_changed_list_is_another_corpus(small: Path) -> None:
    (small / "validation_list.txt").write_text(f"bed/{SPEAKERS[0]}_nohash_0.wav\n")
    (small / "testing_list.txt").write_text(f"bed/{SPEAKERS[2]}_nohash_0.wav\n")
    options = {"data_folder": small, "wanted_words": ["bed"], "protocol": "official"}
    before = fingerprint(divided(KeywordCorpus, **options), 16000)
    (small / "testing_list.txt").write_text(f"bed/{SPEAKERS[1]}_nohash_0.wav\n")
    assert fingerprint(divided(KeywordCorpus, **options), 16000) != before


def test_lists_that_are_not_there_are_named(small: Path) -> None:
    with pytest.raises(ValueError, match=r"needs validation_list\.txt .*protocol=by_speaker"):
        list(divided(KeywordCorpus, data_folder=small, wanted_words=["bed"], protocol="official").utterances())


def test_dividing_by_recording_is_said(small: Path) -> None:
    corpus = divided(KeywordCorpus, data_folder=small, wanted_words=["bed"], protocol="by_recording", balance=False)
    assert any(len(splits) > 1 for splits in speakers_of(corpus).values())
    assert re.search(
        r"divided by a hash of the recording .*: the speakers of the test are in training too", corpus.notes()[0]
    )


def test_speakers_are_told_apart_on_recordings_of_all_of_them(v1: Path) -> None:
    corpus = divided(KeywordCorpus, data_folder=v1, target="speaker")
    splits = speakers_of(corpus)
    assert set(splits) == set(SPEAKERS)
    assert all(found == {"train", "validation", "test"} for found in splits.values())


def test_keys_of_the_augmentation_make_no_other_corpus(small: Path) -> None:
    options = {"timeshift_ms": 50, "train_snr_low": 0, "train_snr_high": 5, "downsample": 8000}
    plain, other = (divided(KeywordCorpus, data_folder=small, wanted_words=["bed"], **more) for more in ({}, options))
    assert fingerprint(other, 16000) == fingerprint(plain, 16000)


def test_the_beginning_is_taken_where_the_loudest_window_is_not_wanted(small: Path) -> None:
    long, short = sorted((small / "bed").iterdir())[:2]
    soundfile.write(long, np.zeros(3000, np.int16), 1000)
    soundfile.write(short, np.zeros(700, np.int16), 1000)
    corpus = divided(KeywordCorpus, data_folder=small, wanted_words=["bed"], extract_loudest=False)
    durations = {item.path: item.duration_s for item in spoken(corpus)}
    assert (durations[long], durations[short]) == (1.0, None)


def test_missing_words_are_named_at_once_with_the_nearest(small: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks hapy \(happy\?\), dog; it has bed, cat, happy, tree, wow"):
        list(divided(KeywordCorpus, data_folder=small, wanted_words=["bed", "hapy", "dog"]).utterances())
    assert "lacks hapy" in KeywordCorpus.problems(data_folder=small, wanted_words=["hapy"])[0]
    assert KeywordCorpus.problems(data_folder=small, wanted_words=["happy"]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wanted_words": [True, False]}, 'without quotes as true and false; write "yes", "no"'),
        ({"wanted_words": ["bed", "_silence_"]}, "_silence_ is no word"),
        ({"wanted_words": []}, "dataset.wanted_words=all"),
        ({"silence_prob": -0.1}, "dataset.silence_prob"),
        ({"input_length": 0}, "dataset.input_length"),
        ({"train_snr_low": 20, "train_snr_high": 5}, "dataset.train_snr_low=20 is above"),
        ({"version": 3}, "dataset.version is 1 or 2"),
        ({"target": "phone"}, "target=phone"),
    ],
)
def test_impossible_options_are_named(small: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        divided(KeywordCorpus, data_folder=small, **options)


def test_several_impossible_options_are_named_at_once(small: Path) -> None:
    with pytest.raises(ValueError, match=r"dataset.version.*dataset.unknown_prob"):
        divided(KeywordCorpus, data_folder=small, unknown_prob=-1, version=7)


@pytest.mark.parametrize(("place", "better"), [("..", "small"), ("bed", "small")])
def test_a_folder_too_high_or_too_low_is_named_with_the_right_one(small: Path, place: str, better: str) -> None:
    with pytest.raises(ValueError, match=f"type dataset.data_folder=.*{better}$"):
        list(
            divided(
                KeywordCorpus, data_folder=small / place if place != ".." else small.parent, wanted_words="all"
            ).utterances()
        )


def test_a_corpus_that_is_there_is_not_downloaded_again(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phonaut.corpora import download

    monkeypatch.setattr(download, "fetch", lambda *args, **options: pytest.fail("downloaded"))
    list(divided(KeywordCorpus, data_folder=small, wanted_words=["bed"], download=True).utterances())


def test_a_corpus_is_downloaded_only_when_asked(tmp_path: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from phonaut.corpora import download

    asked = []

    def fetch(url: str, folder: Path, *, checksum: str, clear_download: bool) -> None:
        asked.append((url.rpartition("/")[2], checksum[:10], clear_download))
        shutil.copytree(small, folder)

    monkeypatch.setattr(download, "fetch", fetch)
    with pytest.raises(ValueError, match=r"dataset\.download=true fetches it"):
        list(divided(KeywordCorpus, data_folder=tmp_path / "new", wanted_words=["bed"]).utterances())
    assert KeywordCorpus.problems(data_folder=tmp_path / "new", wanted_words=["bed"], download=True) == []
    corpus = divided(KeywordCorpus, data_folder=tmp_path / "new", wanted_words=["bed"], download=True, version=1)
    assert len(list(corpus.utterances())) > 100
    assert asked == [("speech_commands_v0.01.tar.gz", "sha256:743", True)]


@pytest.mark.corpus
def test_real_speech_is_divided_by_hash_with_silence(real_speech) -> None:
    corpus = divided(KeywordCorpus, data_folder=real_speech("speech_commands"), wanted_words=["bed", "cat", "happy"])
    items = list(corpus.utterances())
    assert corpus.words() == ["bed", "cat", "happy", "_silence_"]
    assert all(len(splits) == 1 for splits in speakers_of(corpus).values())
    assert Counter(i.split for i in items if i.word and i.word != "_silence_").total() == 1496
    assert corpus.refused() == []


def test_a_library_of_noise_has_no_file_in_two_splits(small: Path, tmp_path: Path) -> None:
    library = tmp_path / "TUT" / "audio"
    library.mkdir(parents=True)
    for place in range(8):
        for part in range(2):
            soundfile.write(library / f"a{place}_{part}.wav", np.zeros(5000, np.int16), 1000)
    options = {"data_folder": small, "wanted_words": ["bed", "cat"], "noise_dataset": str(tmp_path / "TUT")}
    found = [i for i in divided(KeywordCorpus, **options).utterances() if "TUT" in str(i.path)]
    splits = defaultdict(set)
    for item in found:
        splits[item.path.name.partition("_")[0]].add(
            {"noise": "train", "noise_test": "test"}.get(item.split, item.split)
        )
    assert len(splits) == 8
    assert all(len(where) == 1 for where in splits.values()), "parts of one place are in one split"
    assert set.union(*splits.values()) == {"train", "validation", "test"}
    assert {i.word for i in found} == {None, "_silence_"}
    (tmp_path / "one").mkdir()
    soundfile.write(tmp_path / "one" / "tap.wav", np.zeros(5000, np.int16), 1000)
    with pytest.raises(ValueError, match="it takes two or more, for training and test share none"):
        list(divided(KeywordCorpus, **{**options, "noise_dataset": [str(tmp_path / "one")]}).utterances())
