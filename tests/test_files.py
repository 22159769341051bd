"""Files are whole or absent, whoever is killed; what is damaged is named; the cache lies where it may."""

from __future__ import annotations

import errno
import json
import os
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from phonaut import files
from phonaut.checkpoints.state_dict import read_checkpoint, read_weights, write_weights
from phonaut.files import (
    PART,
    atomic_folder,
    cache_dir,
    hold,
    keep_files_of,
    locked,
    read_arrays,
    read_json,
    sweep,
    write_arrays,
    write_bytes,
    write_json,
)


def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, why: str) -> None:
    monkeypatch.delenv("PHONAUT_CACHE", raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    if why == "unknown user":
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home directory")))
    else:
        (tmp_path / "file").touch()
        monkeypatch.setenv("HOME", str(tmp_path / "file" / "x") if why == "no folder" else str(tmp_path))
    if why == "read-only":
        monkeypatch.setattr(os, "access", lambda path, mode: False)


@pytest.mark.parametrize("why", ["unknown user", "no folder", "read-only"])
def test_without_a_home_the_cache_is_a_folder_of_ones_own(
    why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_home(monkeypatch, tmp_path, why)
    with pytest.warns(UserWarning, match="no home that may be written"):
        folder = cache_dir()
    with pytest.warns(UserWarning, match="no home that may be written"):
        keep_files_of("matplotlib", "LIBRARY_FILES")
    assert folder == tmp_path / f"phonaut-{os.getuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ.pop("LIBRARY_FILES") == str(folder / "matplotlib")


def test_a_cache_that_somebody_else_made_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_home(monkeypatch, tmp_path, "no folder")
    (tmp_path / "theirs").mkdir()
    (tmp_path / f"phonaut-{os.getuid()}").symlink_to(tmp_path / "theirs")
    with pytest.raises(PermissionError, match="somebody else's: set PHONAUT_CACHE"):
        cache_dir()


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "os.chmod", "tempfile.mkstemp"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_file_that_cannot_be_written_is_named_and_what_was_there_stays(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes(tmp_path / "a", b"before")

    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(f"phonaut.files.{call}", fails)
    with pytest.raises(OSError, match=os.strerror(number)) as raised:
        write_bytes(tmp_path / "a", b"after")
    monkeypatch.undo()
    assert raised.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["x" * 255, "ä" * 127, "a b\nc", "[a]*?", ".a"])
def test_every_name_that_a_file_may_have_can_be_written(name: str, tmp_path: Path) -> None:
    write_bytes(tmp_path / name, b"1")
    assert (tmp_path / name).read_bytes() == b"1"
    with atomic_folder(tmp_path / "in" / name) as folder:
        (folder / "a").touch()
    assert [path.name for path in (tmp_path / "in").iterdir()] == [name]


def test_what_the_killed_left_is_removed_and_what_others_write_is_not(tmp_path: Path) -> None:
    (tmp_path / f".config.yaml.abc{PART}").touch()
    (tmp_path / f".frames.abc{PART}").mkdir()
    (tmp_path / ".hidden").touch()
    held = tmp_path / f".last.ckpt.abc{PART}"
    held.touch()
    handle = os.open(held, os.O_RDONLY)
    assert hold(handle)
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", held.name]
    os.close(handle)
    sweep(tmp_path)
    assert not held.exists()


@pytest.mark.parametrize("n_done", range(4))
def test_a_folder_is_replaced_as_a_whole_wherever_that_is_broken_off(
    n_done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies at a rename or a removal: nothing of its clean-up runs."""
    path = tmp_path / "frames"
    with atomic_folder(path) as folder:
        (folder / "version").write_text("1")
    pid, calls = os.fork(), 0
    if not pid:  # the one that dies
        replace, rmtree = os.replace, files.shutil.rmtree

        def counted(call: Callable[..., None]) -> Callable[..., None]:
            def wrapped(*arguments: object, **named: object) -> None:
                nonlocal calls
                if calls == n_done:
                    os._exit(1)
                calls += 1
                call(*arguments, **named)

            return wrapped

        files.os.replace, files.shutil.rmtree = counted(replace), counted(rmtree)  # type: ignore[assignment]
        with atomic_folder(path) as folder:
            (folder / "version").write_text("2")
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(KeyboardInterrupt), atomic_folder(path) as folder:
        raise KeyboardInterrupt
    assert (path / "version").read_text() in "12"
    assert [one.name for one in tmp_path.iterdir()] == ["frames"]


def test_a_disk_without_locks_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("phonaut.files.fcntl.flock", unknown)
    with pytest.warns(UserWarning, match="a disk without locks"), locked(tmp_path / ".lock"):
        write_bytes(tmp_path / "a", b"1")


@pytest.mark.parametrize("text", ["{", "[1]", "null", "3", '"x"', "[" * 100_000, "\xff", ""])
def test_damaged_json_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"metrics\.json is damaged"):
        read_json(path, {})


def flips(data: bytes) -> list[bytes]:
    """The data with one bit changed, at 40 places."""
    places = np.unique(np.linspace(0, len(data) - 1, 40).astype(int))
    return [data[:i] + bytes([data[i] ^ 4]) + data[i + 1 :] for i in places.tolist()]


WRITERS = {
    "a.npz": (lambda path: write_arrays(path, {"a": np.arange(500.0)}), read_arrays),
    "a.safetensors": (lambda path: write_weights(path, {"a": torch.arange(500.0)}), read_weights),
    "a.ckpt": (lambda path: torch.save({"a": torch.arange(500.0)}, path), read_checkpoint),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_flipped_bit_never_changes_what_is_read(name: str, tmp_path: Path) -> None:
    write, read = WRITERS[name]
    path = tmp_path / name
    write(path)
    whole, refused = path.read_bytes(), 0
    for data in flips(whole):
        path.write_bytes(data)
        try:
            content = read(path)["a"]
        except ValueError as error:
            refused += str(path) in str(error)
        else:
            np.testing.assert_array_equal(np.asarray(content), np.arange(500.0))
    assert refused > 25, "most of a file is content"


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("left", [0, 1, 30, 0.5])
def test_a_file_that_was_cut_off_is_named(name: str, left: float, tmp_path: Path) -> None:
    write, read = WRITERS[name]
    path = tmp_path / name
    write(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(left * len(data)) if left == 0.5 else int(left)])
    with pytest.raises(ValueError, match=rf"{name} is damaged: \S"):
        read(path)


def test_weights_without_a_checksum_are_read_as_before(tmp_path: Path) -> None:
    save_file({"a": torch.ones(3)}, tmp_path / "old.safetensors")
    assert read_weights(tmp_path / "old.safetensors")["a"].tolist() == [1, 1, 1]


def test_arrays_that_would_unpack_to_all_memory_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file, file.open("a.npy", "w") as entry:
        for _ in range(260):
            entry.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"bomb\.npz is damaged: it would unpack to 272,629,760 bytes"):
        read_arrays(tmp_path / "bomb.npz")


def test_json_is_text_that_people_can_read(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"word": "für"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"word": "für"}
    assert "für" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_json(tmp_path / "none.json", [1]) == [1]


@pytest.mark.parametrize(("n", "end"), [(3, ")"), (5, " ...)")])
def test_runs_that_are_not_all_named_end_with_dots(n: int, end: str, tmp_path: Path) -> None:
    for number in range(n):
        (tmp_path / f"run{number}" / "lstm").mkdir(parents=True)
        (tmp_path / f"run{number}" / "lstm" / "config.yaml").touch()
    with pytest.raises(ValueError, match="there are the runs: ") as caught:
        files.run_folder(tmp_path / "run")
    assert str(caught.value).endswith(end)
