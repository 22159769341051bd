"""Fetch a corpus when the user asks for it: resumed where it was cut off, checked, and there only when it is whole."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from phonaut.files import atomic_folder, locked, naming

ATTEMPTS = 5  # in a row that bring nothing
BLOCK = 1 << 20
TIMEOUT_S = 30.0
LEAST_BYTES, WITHIN_S = 60_000, 60.0  # a server that sends less in that time crawls
LEAST_PROGRESS = 1000  # bytes; an attempt that brings fewer brought none
PAUSE_S = 1.0  # before the second attempt; doubles
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO})


class CrawlError(ConnectionError):
    """The server sends next to nothing."""


Bar = Callable[[int, int | None], None]  # bytes so far, and in all where the server says it


def fetch(url: str, folder: Path, *, checksum: str, clear_download: bool = True) -> None:
    """Download an archive beside `folder` and unpack it there; `folder` appears only when all of it is unpacked.

    Args:
        url: of a tar or zip archive.
        folder: where the corpus will be; must not hold anything yet.
        checksum: `sha256:...` or `md5:...` of the archive.
        clear_download: delete the archive afterwards.

    Raises:
        ValueError: `folder` holds something, or what arrived is not the archive that was asked for.
        ConnectionError: the server cannot be reached, or broke off too often; what arrived is kept.
    """
    if _holds_something(folder):
        raise ValueError(
            f"dataset.download=true: {folder} holds other things; give a dataset.data_folder that is empty"
        )
    with locked(folder.with_name(f".{folder.name}.lock")):
        if _holds_something(folder):
            return  # another process has fetched it meanwhile
        archive = download(url, folder.with_name(Path(urlsplit(url).path).name), checksum=checksum)
        print(f"unpacking {archive} into {folder}", file=sys.stderr, flush=True)
        extract(archive, folder)
        if clear_download:
            archive.unlink()


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def download(url: str, path: Path, *, checksum: str) -> Path:
    """Download `url` to `path`, going on from `<path>.part` where an earlier attempt was cut off.

    Args:
        url: `http` or `https`.
        path: appears only when whole and checked. If it is there already and right, nothing is fetched.
        checksum: `sha256:...` or `md5:...`.

    Returns:
        `path`.

    Raises:
        ValueError: the server has no such file, or what arrived has another checksum (it is kept as `<path>.wrong`).
        ConnectionError: the server cannot be reached, or broke off too often.
    """
    algorithm, _, expected = checksum.partition(":")
    part, wrong = path.with_name(path.name + ".part"), path.with_name(path.name + ".wrong")
    if path.exists():
        if digest(path, algorithm) == expected:
            return path
        os.replace(path, wrong)
    with progress_bar(path.name) as bar:
        _fetch(url, part, bar)
    actual = digest(part, algorithm)
    if actual != expected:
        os.replace(part, wrong)
        raise ValueError(
            f"{url}: the {algorithm} of what arrived is {actual} in place of {expected}; it was not used and is "
            f"kept as {wrong}. Another file may have answered (a proxy's page?): look at it, then try again"
        )
    os.replace(part, path)
    return path


def digest(path: Path, algorithm: str) -> str:
    """The checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _fetch(url: str, part: Path, bar: Bar) -> None:
    """Fill `part` with all of `url`, trying again as long as something arrives."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"a corpus is downloaded by http or https; received {url}")
    failures = 0
    while True:
        have = part.stat().st_size if part.exists() else 0
        problem: object = "it broke off"
        crawls = False
        try:
            if _receive(url, part, have, bar):
                return
        except HTTPError as error:
            if error.code == 416 and have:  # asked for bytes beyond the end
                if error.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                    return
                part.unlink()
            elif error.code < 500 and error.code not in (408, 429):
                raise ValueError(f"{url}: the server answers {error.code} {error.reason}") from error
            problem = error
        except (URLError, HTTPException, OSError) as error:
            if isinstance(error, OSError) and error.errno in DISK_ERRORS:
                raise
            problem, crawls = (error.reason if isinstance(error, URLError) else error), isinstance(error, CrawlError)
        has_grown = part.exists() and part.stat().st_size >= have + LEAST_PROGRESS
        failures = 0 if has_grown and not crawls else failures + 1
        if failures == ATTEMPTS:
            have = part.stat().st_size if part.exists() else 0
            stays = (
                f"; the {have:,} bytes that arrived are kept, and the same command goes on from there" if have else ""
            )
            raise ConnectionError(f"{url} cannot be downloaded: {problem}{stays}")
        if failures:
            time.sleep(PAUSE_S * 2 ** (failures - 1))


def _receive(url: str, part: Path, have: int, bar: Bar) -> bool:
    """Append what one request brings; whether that was all."""
    headers = {"User-Agent": "phonaut", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with urlopen(Request(url, headers=headers), timeout=TIMEOUT_S) as response:
        if response.status != 206 or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = 0  # the server sends all of it, whatever was asked
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with part.open("ab" if have else "wb") as file:
            have = _copy(response, file, have, total, bar)
            file.flush()
            os.fsync(file.fileno())
    return total is None or have == total


def _copy(response: HTTPResponse, file: BinaryIO, have: int, total: int | None, bar: Bar) -> int:
    """Append what arrives, as long as it is more than next to nothing.

    Raises:
        CrawlError: it is not.
    """
    bar(have, total)
    began, before = time.monotonic(), have
    while block := response.read1(BLOCK):
        with naming(file.name, None if total is None else total - have):
            file.write(block)
        have += len(block)
        bar(have, total)
        passed_s = time.monotonic() - began
        if passed_s > WITHIN_S:
            if have - before < LEAST_BYTES:
                raise CrawlError(f"the server crawls: {have - before:,} bytes in {passed_s:.0f} s")
            began, before = time.monotonic(), have
    return have


@contextmanager
def progress_bar(name: str) -> Iterator[Bar]:
    """A bar with size, speed and time left."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn(name), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(name, total=None)
        yield lambda have, total: progress.update(task, completed=have, total=total)


def extract(archive: Path, folder: Path) -> None:
    """Unpack a tar or zip archive to `folder`, which appears only when all of it is there.

    One folder that holds everything (`name-1.0/...`) is left out. Members that would land outside of `folder`, links
    that lead out of it, and devices are refused, and then nothing is unpacked.

    Raises:
        ValueError: the archive is damaged, of another kind, or not safe; or `folder` holds something.
    """
    if _holds_something(folder):
        raise ValueError(f"{archive} cannot be unpacked: {folder} holds other things")
    with naming(folder), atomic_folder(folder) as temporary:
        try:
            if tarfile.is_tarfile(archive):
                _untar(archive, temporary)
            elif zipfile.is_zipfile(archive):
                _unzip(archive, temporary)
            else:
                raise ValueError(f"{archive} is neither a tar nor a zip archive")
        except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
            raise ValueError(f"{archive} cannot be unpacked: {error}") from error
        _lift_single_folder(temporary)


def _untar(archive: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise ValueError("unpacking a tar archive safely takes Python 3.11.4 or newer")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as pack:
        for name in pack.namelist():
            if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
                raise ValueError(f"{archive} is not safe: {name} would be unpacked outside of its folder")
        pack.extractall(folder)


def _lift_single_folder(folder: Path) -> None:
    children = list(folder.iterdir())
    if len(children) == 1 and children[0].is_dir():
        inner = children[0].rename(folder / ".inner")
        for child in list(inner.iterdir()):
            child.rename(folder / child.name)
        inner.rmdir()
