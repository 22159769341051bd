"""The read side: rows by number, with numpy alone, in memory that does not grow with the corpus."""

import gc
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import DamagedCorpusError, PreparedCorpus
from phonaut.data.utterance import Phone, Utterance

RATE = 8000
LENGTHS = {"short": 3000, "exact": 8000, "long": 12000, "floats": 8000, "stereo": 5001}


def corpus_of(items: list[Utterance], clip_s: float | None) -> Any:
    return SimpleNamespace(
        name="few",
        clip_s=clip_s,
        utterances=lambda: iter(items),
        words=lambda: None,
        notes=lambda: ["the first n o t e"],
        refused=list,
    )


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    folder = tmp_path_factory.mktemp("recordings")
    generator = np.random.default_rng(0)
    found = []
    for number, (name, n) in enumerate(LENGTHS.items()):
        audio = 0.1 * generator.standard_normal((n, 2) if name == "stereo" else n)
        path = folder / f"{name}.wav"
        soundfile.write(path, audio, RATE, subtype="FLOAT" if name == "floats" else "PCM_16")
        phones = tuple(Phone(f"P{i}", i / 10, (i + 1) / 10) for i in range(number))
        word = None if name == "long" else f"wörd{number % 2}"
        found.append(Utterance(f"ä/{name}", path, "train", f"s{number}", word, "grüße, 世界" * number, phones))
    return found


@pytest.fixture(scope="module", params=[None, 1.0])
def prepared(
    request: pytest.FixtureRequest, items: list[Utterance], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PreparedCorpus]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHONAUT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield prepare(corpus_of(items, request.param), sample_rate=RATE)


def test_columns_have_the_types_that_are_promised(prepared: PreparedCorpus) -> None:
    table = prepared.utterances("train")
    n, n_phones = len(LENGTHS), sum(range(len(LENGTHS)))
    columns = {"key": np.uint64, "n_samples": np.int64, "speaker": np.int32, "word": np.int32}
    for name, dtype in columns.items():
        assert (getattr(table, name).dtype, getattr(table, name).shape) == (dtype, (n,)), name
    columns = {"phone_label": np.int32, "phone_start_s": np.float64, "phone_end_s": np.float64}
    if prepared.clip_s is None:
        for name, dtype in columns.items():
            assert (getattr(table, name).dtype, getattr(table, name).shape) == (dtype, (n_phones,)), name
        np.testing.assert_array_equal(table.phone_offset, np.cumsum([0, *range(n)]))
    assert (table.phone_offset.dtype, table.phone_offset[0]) == (np.int64, 0)
    assert len(set(table.key.tolist())) == n


def test_names_are_unicode(prepared: PreparedCorpus, items: list[Utterance]) -> None:
    table = prepared.utterances("train")
    for row, item in enumerate(items):
        assert (table.id(row), table.text(row), table.word_name(row)) == (item.id, item.text, item.word)
        assert (table.speaker_name(row), table.recording(row)) == (item.speaker, str(item.path))
    assert prepared.words == ["wörd0", "wörd1"]
    assert prepared.notes == ["the first n o t e"]


def test_audio_has_the_length_that_the_table_says(prepared: PreparedCorpus) -> None:
    table = prepared.utterances("train")
    for row, n in enumerate(LENGTHS.values()):
        audio = table.audio(row)
        assert audio.dtype == np.float32
        assert len(audio) == table.n_samples[row] == (n if prepared.clip_s is None else RATE)


@pytest.mark.parametrize(("start", "stop"), [(0, None), (0, 100), (100, 4000), (2000, 9000), (7990, 99999), (5, 5)])
def test_a_part_of_the_audio_is_that_part(prepared: PreparedCorpus, start: int, stop: int | None) -> None:
    table = prepared.utterances("train")
    for row in range(len(table)):
        if start < table.n_samples[row]:
            np.testing.assert_array_equal(table.audio(row, start, stop), table.audio(row)[start:stop])


def test_a_key_belongs_to_an_id_and_to_nothing_else(
    items: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path))
    whole = prepare(corpus_of(items, None), sample_rate=RATE).utterances("train")
    some = prepare(corpus_of(items[3:1:-1], 1.0), sample_rate=16000).utterances("train")
    np.testing.assert_array_equal(some.key, whole.key[3:1:-1])


def test_a_split_without_cuts_is_an_empty_table(prepared: PreparedCorpus) -> None:
    table = prepared.utterances("test")
    assert len(table) == len(table.key) == len(table.phone_label) == 0
    np.testing.assert_array_equal(table.phone_offset, [0])


def test_to_another_process_goes_the_path_and_no_audio(prepared: PreparedCorpus) -> None:
    table = prepared.utterances("train")
    sent = pickle.dumps((prepared, table))
    assert len(sent) < 1000
    again, table_again = pickle.loads(sent)
    assert table_again.corpus is again
    for row in range(len(table)):
        np.testing.assert_array_equal(table_again.audio(row), table.audio(row))


def test_the_file_cannot_be_written_to_through_an_array(prepared: PreparedCorpus) -> None:
    table = prepared.utterances("train")
    before = (prepared.folder / "audio.bin").read_bytes()
    for array in (table.key, table.n_samples):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    for row in range(len(table)):
        table.audio(row)[:] = 0  # the caller's own
    assert (prepared.folder / "audio.bin").read_bytes() == before


def test_a_folder_of_another_version_is_not_called_damaged(prepared: PreparedCorpus, tmp_path: Path) -> None:
    summary = (prepared.folder / "summary.json").read_text(encoding="utf-8")
    (tmp_path / "summary.json").write_text(summary.replace('"format": 2', '"format": 1'), encoding="utf-8")
    with pytest.raises(
        DamagedCorpusError, match=r"prepared by another version .*format 1, not 2.*prepare the corpus again"
    ):
        PreparedCorpus(tmp_path)


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedCorpusError, match="gone is damaged: FileNotFoundError"):
        PreparedCorpus(tmp_path / "gone")


def test_audio_that_is_cut_off_while_it_is_in_use_is_an_error_and_no_crash(
    items: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path))
    prepared = prepare(corpus_of(items, None), sample_rate=RATE)
    table = prepared.utterances("train")
    first, _ = table.audio(0), table.audio(1)
    os.truncate(prepared.folder / "audio.bin", 2 * len(first))
    np.testing.assert_array_equal(table.audio(0), first)
    for row in (1, 2):  # read before, and not
        with pytest.raises(DamagedCorpusError, match="is not what was written"):
            table.audio(row)


def test_an_open_corpus_outlives_its_folder(
    items: list[Utterance], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path))
    prepared = prepare(corpus_of(items, None), sample_rate=RATE)
    before = prepared.utterances("train").audio(2)
    shutil.rmtree(prepared.folder)
    np.testing.assert_array_equal(prepared.utterances("train").audio(2), before)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this system")
def test_files_are_closed_with_the_corpus(prepared: PreparedCorpus) -> None:
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        PreparedCorpus(prepared.folder).utterances("train").audio(0)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_cuts_as_lhotses_say_what_to_install(prepared: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lhotse", None)
    with pytest.raises(ImportError, match=r"pip install 'phonaut\[lhotse\]'"):
        prepared.manifest("train")


READ = """
import sys
from pathlib import Path
from phonaut.data.prepared import PreparedCorpus
table = PreparedCorpus(Path({folder!r})).utterances("train")
print(sum(len(table.audio(row)) for row in range(len(table))))
print(sorted(set(sys.modules) & {{"torch", "lhotse", "soundfile", "soxr", "scipy", "lightning", "phonaut.corpora"}}))
"""


def test_reading_needs_numpy_alone(prepared: PreparedCorpus) -> None:
    code = READ.format(folder=str(prepared.folder))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    n_samples = sum(LENGTHS.values()) if prepared.clip_s is None else RATE * len(LENGTHS)
    assert result.stdout.split("\n")[:2] == [str(n_samples), "[]"]
