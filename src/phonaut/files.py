"""Files that are whole or absent: atomic writes, locks, where the cache lies; and lines of text that others wrote."""

from __future__ import annotations

import codecs
import fcntl
import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")

# Byte order marks, the longer ones first: that of UTF-32 begins like that of UTF-16.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
LONGEST_LINE = 2**20  # characters; what has longer ones is no text

UMASK = os.umask(0)  # can only be read by setting it: once, before there are threads
os.umask(UMASK)


def run_folder(path: Path | str) -> Path:
    """The folder of a run, with its `config.yaml`: `path`, or the one run in it.

    Raises:
        ValueError: there is no run, or there are several.
    """
    folder = Path(path)
    if (folder / "config.yaml").exists():
        return folder
    inside = sorted(file.parent for file in folder.glob("*/config.yaml"))
    if len(inside) != 1:
        names = ", ".join(str(one) for one in inside[:5])
        hint = f"name one of the runs in it: {names}" if inside else "there is no config.yaml in it"
        raise ValueError(f"{folder} is not a run: {hint}")
    return inside[0]


def cache_dir() -> Path:
    """`$PHONAUT_CACHE`, else `~/.cache/phonaut`; made on first use."""
    folder = Path(os.environ.get("PHONAUT_CACHE") or Path.home() / ".cache" / "phonaut")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, or leave what was there: written beside it, flushed to disk, then moved."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~UMASK)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_line(file: TextIO, **line: Any) -> None:
    """Append a line of JSON."""
    file.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """`write_text` of indented JSON."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def encoding_of(path: Path, otherwise: str = "utf-8") -> str:
    """The encoding that the byte order mark of a text file says, as Notepad, Excel and Praat write one."""
    with path.open("rb") as file:
        start = file.read(4)
    return next((name for mark, name in MARKS.items() if start.startswith(mark)), otherwise)


def text_lines(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a text file that somebody else wrote, without their ends, one in memory at a time.

    They end with a line feed, a carriage return, or both.

    Args:
        path: the file.
        encoding: where no byte order mark says another one.

    Raises:
        ValueError: it cannot be read, is in another encoding, or is no text.
    """
    try:
        with path.open(encoding=encoding_of(path, encoding)) as file:
            number = 1
            while line := file.readline(LONGEST_LINE):
                if "\0" in line or len(line) == LONGEST_LINE:
                    what = "a null character" if "\0" in line else f"more than {LONGEST_LINE:,} characters"
                    raise ValueError(f"{path} is no text: line {number} has {what}")
                yield line.removesuffix("\n")
                number += 1
    except UnicodeError as error:
        name = encoding.upper()
        raise ValueError(f"{path} is not {name}; save it as {name} (iconv -f latin1 -t utf-8): {error}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def read_json(path: Path, default: T) -> T:
    """The content of a JSON file, or `default` where it is not there (yet).

    Raises:
        ValueError: it is damaged.
    """
    if not path.exists():
        return default
    try:
        content: T = json.loads(path.read_text(encoding="utf-8"))
        return content
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it and evaluate the run again") from error


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """`write_bytes` of a compressed `.npz` file."""
    import numpy as np

    buffer = io.BytesIO()
    columns: dict[str, Any] = dict(arrays)
    np.savez_compressed(buffer, **columns)
    write_bytes(path, buffer.getvalue())


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that becomes `path` when the block ends well, and is removed when it does not.

    What stood at `path` before is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        temporary.chmod(0o777 & ~UMASK)
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
            os.replace(path, old / path.name)
            os.replace(temporary, path)
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock file `path`; the system lets go of it when the process ends, however it ends.

    Raises:
        BlockingIOError: another process holds it and `wait` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise BlockingIOError(f"another process is at work in {path.parent}; wait for it or stop it") from error
        yield
