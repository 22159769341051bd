"""Files that are whole or absent: atomic writes, locks, checks, the cache; and lines of text that others wrote."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import errno
import fcntl
import glob
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
import unicodedata
import warnings
import zipfile
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
GZIP = b"\x1f\x8b"
LONGEST_LINE = 2**20  # characters; what has longer ones is no text

UMASK = os.umask(0)  # can only be read by setting it: once, before there are threads
os.umask(UMASK)
PART = ".part"  # ends the names of what is being written
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of disks that know none
MOST_UNPACKED = 2**28  # bytes of a file of arrays, and how many times its length where that is more
MOST_TIMES = 100
UNSEALED = {"sha256": 64 * "0"}  # metadata of a safetensors file, before `sealed` fills it


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
        if not folder.is_dir():
            what = "it is a file" if folder.exists() else "there is no such folder"
            raise ValueError(f"{folder} is not a run: {what}{runs_beside(folder)}")
        names = ", ".join(str(one) for one in inside[:5]) + " ..." * (len(inside) > 5)
        hint = f"name one of the runs in it: {names}" if inside else "there is no config.yaml in it"
        raise ValueError(f"{folder} is not a run: {hint}")
    return inside[0]


def runs_beside(path: Path) -> str:
    """The runs that lie where `path` would, or in `trained_models`, the likest first; nothing where there are none."""
    for folder in (path.parent, path.parent / "trained_models"):
        runs = {file.parent.parent.name for file in folder.glob("*/*/config.yaml")}
        if runs:
            near = difflib.get_close_matches(path.name, runs, 3, cutoff=0) or sorted(runs)
            return f" (in {folder} there are the runs: {', '.join(near)}{' ...' * (len(near) < len(runs))})"
    return ""


def cache_dir() -> Path:
    """`$PHONAUT_CACHE`, else `~/.cache/phonaut`; made on first use.

    Where there is no home, or it may not be written, it is a folder of the user's own beside the temporary files.

    Raises:
        OSError: it cannot be made, or is somebody else's.
    """
    if named := os.environ.get("PHONAUT_CACHE"):
        folder = Path(named)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    if (usual := home_cache()) is not None:
        usual.mkdir(parents=True, exist_ok=True)
        return usual
    folder = Path(tempfile.gettempdir()) / f"phonaut-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} is somebody else's: set PHONAUT_CACHE to a folder that may be written")
    warnings.warn(f"there is no home that may be written: the cache is {folder}, or PHONAUT_CACHE", stacklevel=2)
    return folder


def home_cache() -> Path | None:
    """`~/.cache/phonaut`; None where there is no home, or it may not be written."""
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: neither $HOME nor an entry in passwd
        folder = Path.home() / ".cache" / "phonaut"
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if there.is_dir() and os.access(there, os.W_OK):
            return folder
    return None


def expanded(path: Path | str) -> Path:
    """A path with `~` as the home folder; as it is where something of that name is here, or there is no such home."""
    try:
        return Path(path) if Path(path).exists() else Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def keep_files_of(library: str, variable: str) -> None:
    """Let a library that keeps files in the home keep them in the cache, where there is no home that may be written."""
    if variable not in os.environ and home_cache() is None:
        os.environ[variable] = str(cache_dir() / library)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, or leave what was there: written beside it, flushed to disk, then moved.

    Raises:
        OSError: it cannot be written; the file is named.
    """
    name = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=beginning(path), suffix=PART)
        with os.fdopen(handle, "wb") as file:
            hold(handle)
            file.write(data)
            file.flush()
            os.fsync(handle)
            os.chmod(name, 0o666 & ~UMASK)
            os.replace(name, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        if name is not None:
            Path(name).unlink(missing_ok=True)


def beginning(path: Path) -> str:
    """How the names begin of what will become `path`; shorter than it, for a name has 255 bytes at most."""
    return f".{path.name[:40]}."


def hold(handle: int) -> bool:
    """Lock a file or folder that is being written, while it is open; False if another process does."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS
    return True


def leftovers(folder: Path, begins: str = ".") -> Iterator[Path]:
    """What processes that were killed left in `folder` of files and folders that they wrote, by how the names begin."""
    for path in sorted(folder.glob(f"{glob.escape(begins)}*{PART}")):
        with contextlib.suppress(OSError):  # another process was faster
            handle = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield path
            finally:
                os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left in `folder`."""
    for path in leftovers(folder):
        remove(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def naming(path: Path | str, n_bytes: int | None = None) -> Iterator[None]:
    """Let errors of writing name the file, and how many bytes were to be written: that of a full disk names neither.

    Raises:
        OSError: with `path` in it.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        wanted = "" if n_bytes is None else f" ({n_bytes:,} bytes were to be written)"
        raise OSError(error.errno, f"{error.strerror}{wanted}", str(path)) from error


def write_line(file: TextIO, **line: Any) -> None:
    """Append a line of JSON."""
    with naming(getattr(file, "name", "a file")):
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, content: Any) -> None:
    """`write_text` of indented JSON."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def encoding_of(path: Path, otherwise: str = "utf-8") -> str:
    """The encoding that the byte order mark of a text file says, as Notepad, Excel and Praat write one.

    Raises:
        ValueError: it is compressed.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(GZIP):
        raise ValueError(f"{path} is compressed; unpack it (gunzip)")
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


def composed(name: str) -> str:
    """`name` in Unicode's composed form: macOS writes the letters and accents of file names apart."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def listed_path(path: str) -> str:
    r"""A path as a file lists it, on whatever system: with forward slashes, composed, without `./`.

    >>> listed_path(".\\yes\\a.wav"), listed_path("/data//./yes/a.wav")
    ('yes/a.wav', '/data/yes/a.wav')
    """
    parts = composed(path.strip()).replace("\\", "/").split("/")
    return "/".join([parts[0]] * (parts[0] != ".") + [part for part in parts[1:] if part not in ("", ".")])


def read_json(path: Path, default: T) -> T:
    """The content of a JSON file, of the type of `default`; `default` where it is not there (yet).

    Raises:
        ValueError: it is damaged.
    """
    if not path.exists():
        return default
    try:
        content: T = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damage(path, error) from error
    if default is not None and not isinstance(content, type(default)):
        raise ValueError(f"{path} is damaged: it holds a {type(content).__name__}, no {type(default).__name__}")
    return content


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], *, compressed: bool = True) -> None:
    """`write_bytes` of an `.npz` file; frames hardly shrink by compression, and take long to unpack."""
    import numpy as np

    buffer = io.BytesIO()
    columns: dict[str, Any] = dict(arrays)
    (np.savez_compressed if compressed else np.savez)(buffer, **columns)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an `.npz` file; nothing is unpickled.

    Raises:
        ValueError: it is damaged, or would take far more memory than the file has bytes.
    """
    import numpy as np

    try:
        check_zip(path)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # zipfile, zlib and NumPy have a dozen classes of errors for damage
        raise damage(path, error) from error


def map_array(path: Path) -> NDArray[Any]:
    """The array of an `.npy` file, mapped into memory; nothing is unpickled, and nothing larger than the file is made.

    Raises:
        ValueError: it cannot be read, or is damaged.
    """
    import numpy as np

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes beyond 2^63
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("it is no .npy file")
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # of a damaged header NumPy has half a dozen classes of errors
        raise damage(path, error) from error
    return array


def check_zip(path: Path) -> None:
    """Compare the files in a zip file with their checksums, as `.npz` and PyTorch's checkpoints are.

    Raises:
        ValueError: one is not what was written, or it would unpack to far more than the file has bytes.
        zipfile.BadZipFile: it is none.
    """
    with zipfile.ZipFile(path) as file:
        size = sum(entry.file_size for entry in file.infolist())
        if size > max(MOST_UNPACKED, MOST_TIMES * path.stat().st_size):
            raise ValueError(f"it would unpack to {size:,} bytes")
        if (name := file.testzip()) is not None:
            raise ValueError(f"{name} in it is not what was written")


def sealed(data: bytes) -> bytes:
    """A safetensors file, whose header has `UNSEALED` in its metadata, with the checksum of all of it in that place."""
    key, zeros = next(iter(UNSEALED.items()))
    place = data.index(f'"{key}":"{zeros}"'.encode()) + len(key) + 4
    return data[:place] + hashlib.sha256(data).hexdigest().encode() + data[place + len(zeros) :]


def read_sealed(path: Path) -> bytes:
    """The bytes of a safetensors file, compared with the checksum in its header, where it has one.

    Raises:
        ValueError: it is not what was written.
    """
    data = path.read_bytes()
    key, zeros = next(iter(UNSEALED.items()))
    head = 8 + min(int.from_bytes(data[:8], "little"), len(data))
    seal = re.search(rf'"{key}":"([0-9a-f]{{{len(zeros)}}})"'.encode(), data[:head])
    if (
        seal
        and hashlib.sha256(data[: seal.start(1)] + zeros.encode() + data[seal.end(1) :]).hexdigest() != seal[1].decode()
    ):
        raise ValueError(f"{path} is damaged: it is not what was written")
    return data


def damage(path: Path, error: Exception) -> ValueError:
    """The error of a file that cannot be read: one sentence that names it."""
    first = next(iter(str(error).splitlines()), "") or type(error).__name__
    return ValueError(f"{path} is damaged: {''.join(c if c.isprintable() else '?' for c in first)}")


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that becomes `path` when the block ends well, and is removed when it does not.

    What stood at `path` before is replaced. What a process left that was killed in here is put in order first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in leftovers(path.parent, beginning(path)):
        if (left / path.name).exists() and not path.exists():  # killed between the two moves below
            os.replace(left / path.name, path)
        remove(left)
    with _temporary_folder(path) as temporary:
        yield temporary
        temporary.chmod(0o777 & ~UMASK)
        if not path.exists():
            os.replace(temporary, path)
            return
        with _temporary_folder(path) as old:
            os.replace(path, old / path.name)
            os.replace(temporary, path)


@contextmanager
def _temporary_folder(path: Path) -> Iterator[Path]:
    """A folder beside `path`, locked, that is gone after the block unless it was moved."""
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=beginning(path), suffix=PART))
    handle = os.open(folder, os.O_RDONLY)
    try:
        hold(handle)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


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
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            warnings.warn(f"{path.parent} is on a disk without locks: start one process at a time", stacklevel=3)
        yield


@contextmanager
def unless_refused(folder: Path) -> Iterator[None]:
    """Make a folder to work in; on an error, remove what was made and holds nothing but a lock.

    So is the folder above it, which a default name may have made, where that is empty.

    Raises:
        ValueError: it, or one above it, is a file.
    """
    above = folder.parent
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    if file := next((place for place in (folder, *folder.parents) if place.is_file()), None):
        raise ValueError(f"{file} is a file, and a folder is wanted there")
    if not made[1:] and above.exists() and not any(above.iterdir()):
        made.append(above)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT):  # the last of /proc and its like
            raise
        raise PermissionError(errno.EACCES, error.strerror, str(folder)) from error
    try:
        yield
    except BlockingIOError:  # another process is at work in it
        raise
    except BaseException:
        if made and [path.name for path in folder.iterdir()] == [".lock"]:
            (folder / ".lock").unlink()
        with contextlib.suppress(OSError):  # one that holds something stays, and so do those above it
            for place in made:
                place.rmdir()
        raise
