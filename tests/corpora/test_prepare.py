"""A prepared corpus is what lies on the disk; it is made once, and a damaged one is made again."""

import errno
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from phonaut.corpora.base import Item, Phone
from phonaut.corpora.prepare import describe, prepare
from phonaut.data.prepared import DamagedCorpusError, PreparedCorpus

RATE = 16000


class Listed:
    """A corpus that is a list of items."""

    name = "listed"

    def __init__(self, items: list[Item], clip_s: float | None = None, words: list[str] | None = None) -> None:
        self.list, self.clip_s, self.order = items, clip_s, words

    def settings(self) -> dict[str, Any]:
        return {}

    def items(self) -> Iterator[Item]:
        yield from self.list

    def words(self) -> list[str] | None:
        return self.order

    def notes(self) -> list[str]:
        return ["a list"]

    def refused(self) -> list[dict[str, str]]:
        return [{"path": "elsewhere.wav", "reason": "the adapter said so"}]


def ramp(path: Path, seconds: float = 1.0, loud_s: float = 0.0, seed: int = 0) -> Path:
    """Soft noise, louder from `loud_s` on for 0.2 s, as 16-bit samples."""
    audio = 0.001 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    first = round(loud_s * RATE)
    audio[first : first + RATE // 5] *= 100
    soundfile.write(path, audio, RATE)
    return path


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    found = []
    for number, (word, split) in enumerate(
        [("yes", "train"), ("no", "train"), ("maybe", "test"), ("no", "validation")]
    ):
        path = ramp(tmp_path / f"{number}.wav", 0.5 + number / 4, seed=number)
        phones = (Phone("AA", 0.1, 0.2), Phone("B", 0.2, 0.35))
        found.append(Item(f"c/{number}", path, split, f"s{number}", word, f"text {number}", phones, session="x"))
    return found


def read(path: Path) -> np.ndarray:
    audio, _ = soundfile.read(path, dtype="float32")
    return audio


def test_audio_and_labels_are_those_of_the_disk(items: list[Item]) -> None:
    prepared = prepare(Listed(items), sample_rate=RATE)
    assert (prepared.words, prepared.phones) == (["no", "yes", "maybe"], ["AA", "B"])
    assert {split: row["cuts"] for split, row in prepared.summary["splits"].items()} == {
        "train": 2,
        "validation": 1,
        "test": 1,
    }
    table = prepared.cuts("train")
    for row, item in enumerate(items[:2]):
        np.testing.assert_array_equal(table.audio(row), read(item.path))
        np.testing.assert_array_equal(table.audio(row, 100, 250), read(item.path)[100:250])
        assert (table.id(row), table.word_name(row), table.text(row)) == (item.id, item.word, item.text)
        assert (table.speaker_name(row), table.recording(row)) == (item.speaker, str(item.path))
        first, last = table.phone_offset[row], table.phone_offset[row + 1]
        assert [prepared.phones[code] for code in table.phone_label[first:last]] == ["AA", "B"]
        np.testing.assert_allclose(table.phone_end_s[first:last], [0.2, 0.35])
    assert len(prepared.cuts("noise")) == 0
    assert prepared.refused == [{"path": "elsewhere.wav", "reason": "the adapter said so"}]
    assert "2" in describe(prepared)


def test_a_fixed_order_of_words_is_kept(items: list[Item]) -> None:
    assert prepare(Listed(items, words=["yes", "no"]), sample_rate=RATE).words == ["yes", "no", "maybe"]


def test_short_clips_lie_between_zeros_and_of_long_ones_the_loudest_part_is_taken(tmp_path: Path) -> None:
    short, long = ramp(tmp_path / "short.wav", 0.5), ramp(tmp_path / "long.wav", 3.0, loud_s=2.1, seed=1)
    phones = (Phone("AA", 2.1, 2.3), Phone("B", 0.0, 0.1))
    cuts = [Item("short", short, "train", "a", "w"), Item("long", long, "train", "a", "w", phones=phones)]
    prepared = prepare(Listed(cuts, clip_s=1.0), sample_rate=RATE)
    table = prepared.cuts("train")
    assert list(table.n_samples) == [RATE, RATE]
    np.testing.assert_array_equal(table.audio(0), np.pad(read(short), RATE // 4))
    np.testing.assert_array_equal(table.audio(0, 3000, 5000), np.pad(read(short), RATE // 4)[3000:5000])
    start = int(table.start[1])
    np.testing.assert_array_equal(table.audio(1), read(long)[start : start + RATE])
    assert 1.3 <= start / RATE <= 2.0, "the loud part lies inside"
    assert [prepared.phones[code] for code in table.phone_label] == ["AA"], "a phone outside the window is left out"
    np.testing.assert_allclose(table.phone_start_s + start / RATE, [2.1], atol=1e-9)


def test_cuts_of_one_recording_share_its_audio(tmp_path: Path) -> None:
    path = ramp(tmp_path / "noise.wav", 4.0)
    parts = [Item(f"p{i}", path, "train", "a", "w", start_s=float(i), duration_s=1.0) for i in range(4)]
    late = replace(parts[0], id="late", start_s=4.0)
    prepared = prepare(Listed([*parts, late]), sample_rate=RATE)
    np.testing.assert_array_equal(np.concatenate([prepared.cuts("train").audio(i) for i in range(4)]), read(path))
    assert (prepared.folder / "audio.bin").stat().st_size == 2 * 4 * RATE, "decoded once"
    assert prepared.refused[0]["reason"] == "starts at 4.00 s, but the recording is 4.00 s long"


def test_an_id_that_occurs_twice_is_named(items: list[Item]) -> None:
    with pytest.raises(ValueError, match="the id c/0 occurs twice"):
        prepare(Listed([*items, replace(items[1], id="c/0")]), sample_rate=RATE)


def test_the_second_time_nothing_is_decoded(items: list[Item], monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(Listed(items), sample_rate=RATE)
    monkeypatch.setattr("phonaut.corpora.prepare.open_recording", lambda *_: pytest.fail("opened again"))
    assert prepare(Listed(items), sample_rate=RATE).folder == first.folder


def test_what_matters_makes_a_new_folder_and_nothing_else_does(items: list[Item]) -> None:
    first = prepare(Listed(items), sample_rate=RATE).folder
    assert prepare(Listed(list(items)), sample_rate=RATE).folder == first
    others = [
        prepare(Listed(items), sample_rate=8000),
        prepare(Listed(items, clip_s=1.0), sample_rate=RATE),
        prepare(Listed([replace(items[0], word="si"), *items[1:]]), sample_rate=RATE),
    ]
    ramp(items[0].path, 0.5, seed=99)
    others.append(prepare(Listed(items), sample_rate=RATE))
    assert len({first, *(other.folder for other in others)}) == 5


def test_the_same_corpus_gives_the_same_bytes(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = []
    for name in ("a", "b"):
        monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / name))
        folders.append(prepare(Listed(items), sample_rate=RATE, n_jobs=1 if name == "a" else 4).folder)
    files = sorted(p.relative_to(folders[0]) for p in folders[0].rglob("*") if p.is_file())
    assert len(files) > 20
    for file in files:
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes(), file


@pytest.mark.peer
def test_lhotse_reads_the_manifests_and_the_same_audio(items: list[Item]) -> None:
    prepared = prepare(Listed(items, clip_s=0.6), sample_rate=RATE)
    cuts = list(prepared.manifest("train"))
    assert [cut.id for cut in cuts] == ["c/0", "c/1"]
    for row, cut in enumerate(cuts):
        table = prepared.cuts("train")
        valid = slice(int(table.before[row]), int(table.before[row] + table.valid[row]))
        np.testing.assert_array_equal(cut.load_audio()[0], table.audio(row)[valid])
        (supervision,) = cut.supervisions
        assert (supervision.speaker, supervision.custom["word"]) == (f"s{row}", ["yes", "no"][row])
    assert [item.symbol for item in cuts[0].supervisions[0].alignment["phone"]] == ["AA", "B"]
    assert cuts[0].supervisions[0].alignment["phone"][1].end == pytest.approx(0.35)


def damage(prepared: PreparedCorpus, how: str) -> None:
    audio = prepared.folder / "audio.bin"
    if how == "truncated":
        audio.write_bytes(audio.read_bytes()[:-10])
    elif how == "missing":
        (prepared.folder / "cuts.train" / "word.i4").unlink()
    elif how == "no index":
        (prepared.folder / "summary.json").write_text("{]")
    else:
        data = bytearray(audio.read_bytes())
        data[1000] ^= 1
        audio.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["truncated", "missing", "no index"])
def test_a_damaged_folder_is_rebuilt_with_a_warning(how: str, items: list[Item]) -> None:
    prepared = prepare(Listed(items), sample_rate=RATE)
    damage(prepared, how)
    with pytest.warns(UserWarning, match="is damaged.*rebuilding"):
        again = prepare(Listed(items), sample_rate=RATE)
    np.testing.assert_array_equal(again.cuts("train").audio(0), read(items[0].path))


def test_a_flipped_bit_is_found_when_it_is_read_and_the_next_start_rebuilds(items: list[Item]) -> None:
    prepared = prepare(Listed(items), sample_rate=RATE)
    damage(prepared, "bit")
    reopened = PreparedCorpus(prepared.folder)
    with pytest.raises(DamagedCorpusError, match=r"0\.wav is not what was written; the same command again rebuilds it"):
        reopened.cuts("train").audio(0)
    with pytest.warns(UserWarning, match="rebuilding"):
        again = prepare(Listed(items), sample_rate=RATE)
    np.testing.assert_array_equal(again.cuts("train").audio(0), read(items[0].path))


FULL = """
import resource, sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_prepare import Listed, Item, prepare, RATE
items = [Item(str(i), Path(p), "train", "s", "w") for i, p in enumerate({paths!r})]
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    prepare(Listed(items), sample_rate=RATE)
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes on this system")
def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / "cache"))
    code = FULL.format(path=[str(Path(__file__).parent)], paths=[str(item.path) for item in items])
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "is full" in result.stdout
    assert "set PHONAUT_CACHE to a folder on another disk" in result.stdout
    left = [path for path in (tmp_path / "cache" / "corpora").iterdir() if path.suffix != ".lock"]
    assert left == []


def test_another_failure_of_the_disk_is_not_called_full(items: list[Item], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("phonaut.corpora.prepare.build", broken)
    with pytest.raises(OSError, match="Input/output error"):
        prepare(Listed(items, clip_s=0.7), sample_rate=RATE)


def test_two_processes_at_once_make_it_once(items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / "cache"))
    code = FULL.format(path=[str(Path(__file__).parent)], paths=[str(item.path) for item in items]).replace(
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))", ""
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        assert process.wait() == 0, process.communicate()[1]
    folders = [path for path in (tmp_path / "cache" / "corpora").iterdir() if path.is_dir()]
    assert len(folders) == 1
    assert json.loads((folders[0] / "summary.json").read_text())["splits"]["train"]["cuts"] == 4
