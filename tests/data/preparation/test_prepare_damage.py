"""A prepared folder is whole or absent: full disks, killed and concurrent processes, files that rot."""

import errno
import io
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from phonaut.data.preparation.clip_window import clip_window
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import DamagedCorpusError, PreparedCorpus

RATE = 16000


@pytest.fixture
def folder(tmp_path: Path, noise: Any) -> Path:
    (tmp_path / "files").mkdir()
    for number in range(4):
        soundfile.write(tmp_path / "files" / f"{number}.wav", noise(seed=number), RATE)
    return tmp_path / "files"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "corpora"


def left_in(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if path.suffix != ".lock"]


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


DAMAGE = {
    "audio cut off": lambda folder: os.truncate(folder / "audio.bin", 1000),
    "audio gone": lambda folder: (folder / "audio.bin").unlink(),
    "a table gone": lambda folder: (folder / "cuts.train" / "word.i4").unlink(),
    "a table cut off": lambda folder: os.truncate(folder / "cuts.train" / "n_samples.i8", 3),
    "garbage in an index": lambda folder: (folder / "recordings" / "offset.i8").write_bytes(b"\xff" * 32),
    "a flipped bit in a table": lambda folder: flip(folder / "cuts.train" / "start.i8", 9),
    "garbage in the summary": lambda folder: (folder / "summary.json").write_text("{]"),
    "another summary": lambda folder: (folder / "summary.json").write_text("[1, 2]"),
    "the summary gone": lambda folder: (folder / "summary.json").unlink(),
    "the list of files gone": lambda folder: (folder / "files.json").unlink(),
    "a manifest gone": lambda folder: (folder / "cuts.train.jsonl.gz").unlink(),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_folder_is_rebuilt_with_a_warning(how: str, folder: Path, listed: Any) -> None:
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    DAMAGE[how](prepared.folder)
    with pytest.raises(DamagedCorpusError, match="is damaged"):
        PreparedCorpus(prepared.folder)
    with pytest.warns(UserWarning, match="is damaged.*rebuilding"):
        again = prepare(listed.folder(folder), sample_rate=RATE)
    assert again.folder == prepared.folder
    for row in range(4):
        np.testing.assert_array_equal(
            again.utterances("train").audio(row), soundfile.read(folder / f"{row}.wav", dtype="float32")[0]
        )


def test_a_flipped_bit_of_audio_is_found_when_it_is_read_and_the_next_start_rebuilds(folder: Path, listed: Any) -> None:
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    flip(prepared.folder / "audio.bin", 17000)
    reopened = PreparedCorpus(prepared.folder)
    reopened.utterances("train").audio(0)
    with pytest.raises(DamagedCorpusError, match=r"1\.wav is not what was written; run the same command again"):
        reopened.utterances("train").audio(1, 0, 10)
    with pytest.warns(UserWarning, match="rebuilding"):
        again = prepare(listed.folder(folder), sample_rate=RATE)
    np.testing.assert_array_equal(
        again.utterances("train").audio(1), soundfile.read(folder / "1.wav", dtype="float32")[0]
    )


def test_damage_in_a_folder_that_may_not_be_written_is_still_named(
    folder: Path, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    flip(prepared.folder / "audio.bin", 0)

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(DamagedCorpusError, match="is not what was written"):
        PreparedCorpus(prepared.folder).utterances("train").audio(0)


PREPARE = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from conftest import Listed
from phonaut.data.preparation.clip_window import clip_window
from phonaut.data.preparation.prepare import prepare
{before}
try:
    prepare(Listed.folder(Path({folder!r})), sample_rate=16000)
except OSError as error:
    print(type(error).__name__, error)
"""


def started(folder: Path, before: str = "") -> "subprocess.Popen[str]":
    code = PREPARE.format(tests=str(Path(__file__).parent), folder=str(folder), before=before)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on file sizes on this system")
def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(folder: Path, cache: Path) -> None:
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    process = started(folder, limit + "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))")
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.startswith(f"OSError the disk of {cache} is full")
    assert "set PHONAUT_CACHE to a folder on another disk" in out
    assert len(out.splitlines()) == 1
    assert left_in(cache) == []


@pytest.mark.parametrize(
    "where",
    ["audio.bin", "spool.pickle", "summary.json", "key.u8", "id.text", "refused.jsonl", "cuts.train.jsonl.gz"],
)
def test_the_disk_may_fill_at_any_file_which_is_named(
    where: str, folder: Path, cache: Path, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: Any) -> None:
            self.file.close()

        def write(self, _: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    real = Path.open

    def guarded(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        file = real(path, mode, *arguments, **options)
        return Full(file) if path.name == where and "w" in mode else file

    monkeypatch.setattr(Path, "open", guarded)
    if where == "summary.json":

        def refuse(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("phonaut.data.preparation.prepare.write_json", refuse)
    with pytest.raises(OSError, match="is full") as error:
        prepare(listed.folder(folder), sample_rate=RATE)
    assert f" at {where}: No space left on device" in str(error.value) or where == "summary.json"
    assert left_in(cache) == []


def test_an_error_ends_the_bar_before_it_is_told(
    folder: Path, cache: Path, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.progress import Progress

    calls = []
    real = {name: getattr(Progress, name) for name in ("start", "stop")}
    for name, method in real.items():
        monkeypatch.setattr(Progress, name, lambda bar, n=name, m=method: (calls.append(n), m(bar)))

    def full(item: Any, *_: Any) -> Any:
        if item.id == "3.wav":
            raise OSError(errno.ENOSPC, "No space left on device")
        return clip_window(item, *_)

    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("phonaut.data.preparation.progress.PATIENCE_S", 0.0)
    monkeypatch.setattr("phonaut.data.preparation.prepare.clip_window", full)
    with pytest.raises(OSError, match="is full") as error:
        prepare(listed.folder(folder), sample_rate=RATE)
    assert calls == ["start", "stop"]
    del error  # which held on to the frames: the bar did not end because they were let go


def test_another_failure_of_the_disk_is_not_called_full(
    folder: Path, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("phonaut.data.preparation.prepare.build", broken)
    with pytest.raises(OSError, match="Input/output error"):
        prepare(listed.folder(folder), sample_rate=RATE)


def test_two_processes_at_once_make_it_once(folder: Path, cache: Path) -> None:
    running = [started(folder) for _ in range(2)]
    for process in running:
        assert process.communicate() == ("", "")
    (made,) = left_in(cache)
    assert json.loads((made / "summary.json").read_text())["splits"]["train"]["cuts"] == 4


def test_what_a_killed_process_left_is_cleared_by_the_next(folder: Path, cache: Path, listed: Any) -> None:
    process = started(
        folder, "import phonaut.data.preparation.prepare as p, time; p.write_tables = lambda *_: time.sleep(60)"
    )
    for _ in range(600):
        if cache.exists() and any(path.stat().st_size for path in cache.glob(".listed-*/spool.pickle")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert len(left_in(cache)) == 1
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    assert left_in(cache) == [prepared.folder]
