"""Listings of folders in a fixed order; files that cannot be listed are refused by name and reason."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from phonaut.files import composed, expanded
from phonaut.names import is_utf8, nearest, printable

# What libsndfile reads, but for samples without a header and Matlab's files, which are seldom sound.
AUDIO_SUFFIXES = frozenset((
    "wav", "wave", "bwf", "rf64", "w64", "flac", "ogg", "oga", "opus", "mp3", "mp2", "mp1", "mpga", "aiff", "aif",
    "aifc", "au", "snd", "caf", "sph", "nist", "nst", "voc", "svx", "8svx", "16sv", "iff", "avr", "pvf", "paf", "fap",
    "ircam", "sf", "wve", "htk", "xi", "sds", "sd2",
))  # fmt: skip
UNREAD_SUFFIXES = frozenset((
    "m4a", "m4b", "m4p", "mp4", "aac", "alac", "wma", "asf", "amr", "awb", "3gp", "3gpp", "3g2", "webm", "weba",
    "mka", "mkv", "mov", "avi", "ac3", "eac3", "dts", "shn", "ape", "wv", "tta", "tak", "mpc", "mpp", "ra", "rm",
    "ram", "spx", "dsf", "dff", "gsm", "qcp", "dss", "vox", "raw", "pcm", "mid", "midi",
))  # fmt: skip
PACKED_SUFFIXES = frozenset(("gz", "bz2", "xz", "zst", "zip", "7z", "rar", "tar", "part", "crdownload", "tmp"))


class Refused:
    """Files that a listing refused, by name; adding one twice (two passes over a corpus) counts once."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    def add(self, path: str, reason: str) -> None:
        """Note that `path` was refused for `reason`."""
        self._reasons.setdefault(printable(path), printable(reason))

    def __len__(self) -> int:
        return len(self._reasons)

    def as_list(self) -> list[dict[str, str]]:
        """One `{"path", "reason"}` for each."""
        return [{"path": path, "reason": reason} for path, reason in self._reasons.items()]


def existing(path: str) -> str:
    """`path`, or the form of it in which accents are written the other way, folder by folder, where that is a file."""
    if path.isascii() or os.path.exists(path):
        return path
    found = "/" if path.startswith("/") else ""
    for part in path.split("/"):
        forms = (os.path.join(found, unicodedata.normalize(form, part)) for form in ("NFC", "NFD"))
        found = next(filter(os.path.exists, forms), None) or os.path.join(found, part)
    return found if os.path.exists(found) else path


def suffix_of(name: str) -> str:
    """The part after the last dot, in lower case."""
    return name.rpartition(".")[2].lower()


def is_audio(name: str) -> bool:
    """True where `name` ends like an audio file that can be read (`.wav`, `.WAV`, `.flac` ...)."""
    return suffix_of(name) in AUDIO_SUFFIXES


def unread_problem(name: str) -> str | None:
    """The reason why a file that is named like audio is not read; None: it is read, or is no audio.

    >>> unread_problem("a.M4A"), unread_problem("a.wav"), unread_problem("a.txt")
    ('.m4a is not read: convert it, ffmpeg -i a.M4A a.flac', None, None)
    """
    suffix = suffix_of(name)
    if suffix in UNREAD_SUFFIXES:
        return f".{suffix} is not read: convert it, ffmpeg -i {name} {name.rpartition('.')[0]}.flac"
    if suffix in PACKED_SUFFIXES and is_audio(name.rpartition(".")[0]):
        return f".{suffix} is not read: unpack it, or fetch it again"
    return None


def entries(folder: str, refused: Refused, *, read: str = "") -> tuple[list[str], list[str]]:
    """The names of the files and of the folders in `folder`, each sorted; hidden ones are left out.

    Names that are not UTF-8, that differ from another only in how accents are written, links that lead nowhere or to
    themselves, audio that is not read, and folders that may not be read are refused.

    Args:
        folder: the folder.
        refused: gets what is refused.
        read: a suffix of audio that the corpus reads, and others do not.
    """
    files: list[str] = []
    folders: list[str] = []
    accented: dict[str, str] = {}
    try:
        with os.scandir(folder) as there:
            for entry in sorted(there, key=lambda entry: entry.name):
                name = entry.name
                if name.startswith(".") or name == "__MACOSX":
                    continue
                if not is_utf8(name):
                    refused.add(os.path.join(folder, name), "the name is not UTF-8: rename it")
                    continue
                if not name.isascii() and accented.setdefault(composed(name), name) != name:
                    twin = "its name is that of another one beside it, with accents written in another way: rename one"
                    refused.add(os.path.join(folder, name), twin)
                    continue
                try:
                    if entry.is_dir():
                        folders.append(name)
                    elif not entry.is_symlink() or entry.is_file():
                        if suffix_of(name) != read and (problem := unread_problem(name)):
                            refused.add(os.path.join(folder, name), problem)
                        else:
                            files.append(name)
                    else:
                        refused.add(os.path.join(folder, name), "a link to nothing")
                except OSError:
                    refused.add(os.path.join(folder, name), "a link that leads to itself")
    except OSError as error:
        refused.add(folder, f"cannot be listed: {error.strerror}")
    return files, folders


def walk(root: str | Path, refused: Refused) -> Iterator[tuple[str, list[str]]]:
    """Every folder under `root` that holds audio files, in a fixed order, with their names.

    Folders come as paths relative to `root` with forward slashes; `root` itself is the empty path.
    """

    def visit(folder: str, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, list[str]]]:
        try:
            status = os.stat(folder)
        except OSError as error:
            refused.add(folder, f"cannot be listed: {error.strerror}")
            return
        here = (status.st_dev, status.st_ino)
        if here in above:
            refused.add(folder, "a link to a folder that contains it: a loop")
            return
        files, folders = entries(folder, refused)
        audio = list(filter(is_audio, files))
        if audio:
            yield relative, audio
        for name in folders:
            yield from visit(os.path.join(folder, name), f"{relative}/{name}" if relative else name, (*above, here))

    return visit(os.path.normpath(root), "", ())


def stems(names: list[str]) -> Iterator[tuple[str, str]]:
    """(name, stem) of each file of one folder; where two files share a stem (`a.wav`, `a.flac`) it keeps the suffix."""
    plain = [name.rpartition(".")[0] for name in names]
    seen: set[str] = set()
    twice = {stem for stem in plain if stem in seen or seen.add(stem)}  # type: ignore[func-returns-value]
    for name, stem in zip(names, plain, strict=True):
        yield name, name if stem in twice else stem


def find_folder(path: str | Path, *, otherwise: str = "") -> Path:
    """The folder at `path`, or the one whose name differs from it in case, or in how accents are written, alone.

    Args:
        path: as configured.
        otherwise: what else a user can do, added to the message.

    Raises:
        ValueError: there is none; the message names the nearest folders beside it.
    """
    asked = expanded(path)
    if asked.is_file() and is_audio(asked.name):
        raise ValueError(f"{path} is a recording, and a folder of them is meant, one folder for each word in it; "
                         f"phonaut predict RUN {path} says which word is in one")  # fmt: skip
    if asked.exists():
        return asked.absolute()
    parent = asked.parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    missing = asked.relative_to(parent).parts
    for depth, part in enumerate(missing):
        beside = entries(str(parent), Refused())[1]
        same = [name for name in beside if composed(name).casefold() == composed(part).casefold()]
        if not same:
            near = nearest(part, beside) if beside else []
            hint = f" (in {parent} there are: {', '.join(near)}{' ...' * (len(near) < len(beside))})" if near else ""
            there = "" if depth == len(missing) - 1 else f": there is no {parent / part}"
            raise ValueError(f"dataset.data_folder={path} does not exist{there}{hint}{otherwise}")
        parent = parent / same[0]
    return parent.absolute()


def find_or_fetch(data_folder: Path, *, download: bool, url: str, checksum: str, clear_download: bool) -> Path:
    """The corpus's folder, in any case; where it is not there (or empty) and `download` is true, fetched first.

    Raises:
        ValueError: it is not there and was not to be downloaded, or the download failed.
    """
    try:
        folder = find_folder(data_folder, otherwise="; dataset.download=true fetches it")
    except ValueError:
        if not download:
            raise
        folder = expanded(data_folder).absolute()
    if download and not (folder.is_dir() and any(folder.iterdir())):
        from phonaut.corpora.download import fetch

        fetch(url, folder, checksum=checksum, clear_download=clear_download)
    return folder


def base_of(samples: Sequence[str], bases: Sequence[Path]) -> tuple[Path, str] | None:
    """The folder that the paths of a table are relative to, and the suffix that they lack (mostly none).

    The first of `bases` in which one of `samples` is a file; None: none is.
    """
    for suffix in ("", ".wav", ".flac", ".mp3"):
        for base in bases:
            if any(os.path.isfile(existing(str(base / (name + suffix)))) for name in samples):
                return base, suffix
    return None
