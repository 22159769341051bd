"""Kaldi data directories: `wav.scp`, `text`, `utt2spk`, and `segments` where utterances are parts of recordings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from phonaut.corpora.disk import Refused, base_of, composed, entries
from phonaut.corpora.folder.layouts import split_name
from phonaut.data.utterance import Utterance

FILES = ("wav.scp", "segments", "text", "utt2spk")
ARCHIVE = re.compile(r":\d+(\[.*\])?$")


class KaldiDirectory:
    """One Kaldi data directory, or one per split (`train/`, `test/`).

    `text` is the transcript, and the class of keyword spotting. Commands in `wav.scp` (`sph2pipe ... |`) are refused
    by name: nothing that a corpus says is run.

    Args:
        folders: the data directories.
        refused: gets the lines that cannot be used.

    Raises:
        ValueError: no recording of `wav.scp` is found, or a file is not UTF-8.
    """

    def __init__(self, folders: Sequence[Path], refused: Refused) -> None:
        self._folders = folders
        self._refused = refused
        self._bases = [_base(folder) for folder in folders]
        self.has_splits = len(folders) > 1
        self.has_speakers = all((folder / "utt2spk").exists() for folder in folders)

    def pattern_text(self, utterance: Utterance) -> str:
        """The text that `speaker_pattern` is searched for in: the utterance id."""
        return utterance.id

    def utterances(self) -> Iterator[Utterance]:
        """Every utterance; its text is its word too."""
        for folder, base in zip(self._folders, self._bases, strict=True):
            split = split_name(folder.name) if self.has_splits else None
            speakers, texts = Lookup(folder / "utt2spk"), Lookup(folder / "text")
            for name, recording, path, start_s, duration_s in self._utterances(folder):
                why = _not_a_file(path)
                if why:
                    self._refused.add(f"{folder / 'wav.scp'}: {name}", why)
                    continue
                text = " ".join((texts.get(name) or "").split()) or None
                yield Utterance(
                    id=name,
                    path=Path(base, path),
                    split=split,
                    speaker=speakers.get(name) or "",
                    word=composed(text) if text else None,
                    start_s=start_s,
                    duration_s=duration_s,
                    text=text,
                    recording=recording,
                )

    def _utterances(self, folder: Path) -> Iterator[tuple[str, str, str, float, float | None]]:
        """(utterance, recording, path, start, duration)."""
        if not (folder / "segments").exists():
            for name, path in read(folder / "wav.scp"):
                yield name, name, path, 0.0, None
            return
        recordings = dict(read(folder / "wav.scp"))  # segments may return to a recording: all of them are held
        for name, value in read(folder / "segments"):
            try:
                recording, start, end = value.split()
                start_s, end_s = float(start), float(end)
                if not 0 <= start_s < (end_s if end_s >= 0 else float("inf")):  # -1: to the end
                    raise ValueError
            except ValueError:
                self._refused.add(f"{folder / 'segments'}: {name}", f"not 'utterance recording start end': {value}")
                continue
            if recording not in recordings:
                self._refused.add(f"{folder / 'segments'}: {name}", f"wav.scp has no recording {recording}")
                continue
            duration_s = None if end_s < 0 else round(end_s - start_s, 6)
            yield name, recording, recordings[recording], start_s, duration_s


class Lookup:
    """Values of a Kaldi file by key, read in step with whoever asks.

    Kaldi's files are sorted alike, so that hardly a line is held in memory; what is out of step is. A key can be asked
    for once, or several times in a row. A file that is not there has no values.
    """

    def __init__(self, path: Path) -> None:
        self._lines = read(path) if path.exists() else iter(())
        self._passed: dict[str, str] = {}
        self._last: tuple[str, str] | None = None

    def get(self, key: str) -> str | None:
        """The value of `key`, or None."""
        if self._last and self._last[0] == key:
            return self._last[1]
        value = self._passed.pop(key, None)
        while value is None:
            line = next(self._lines, None)
            if line is None:
                return None
            if line[0] == key:
                value = line[1]
            else:
                self._passed[line[0]] = line[1]
        self._last = (key, value)
        return value


def read(path: Path) -> Iterator[tuple[str, str]]:
    """Key and rest of each line.

    Raises:
        ValueError: the file is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                key, _, value = line.strip().replace("\t", " ", 1).partition(" ")
                if key:
                    yield key, value.strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from error


def find_kaldi(root: Path) -> list[Path]:
    """Kaldi data directories: `root`, or those in it that are named like splits; none: it is no Kaldi directory."""
    if (root / "wav.scp").exists():
        return [root]
    folders = [root / name for name in entries(str(root), Refused())[1]]
    return [folder for folder in folders if split_name(folder.name) and (folder / "wav.scp").exists()]


def _base(folder: Path) -> Path:
    """The folder of relative paths in `wav.scp`: the directory, one of those above it, or the current one."""
    paths = [path for _, path in islice(read(folder / "wav.scp"), 200) if not _not_a_file(path)]
    if not paths:
        some = next((path for _, path in read(folder / "wav.scp")), None)
        if some is None:
            raise ValueError(f"{folder / 'wav.scp'} is empty")
        raise ValueError(
            f"{folder / 'wav.scp'} names commands or archives ({some}), which are not run; write the recordings to "
            "files (Kaldi's wav-copy does) and list these"
        )
    here = folder.absolute()
    base = base_of(paths[:20], [here, *here.parents[:3], Path.cwd()])
    if base is None or base[1]:
        raise ValueError(
            f"{folder / 'wav.scp'} names recordings that are not there: {paths[0]} is neither in {folder} nor above "
            "it, nor in the current directory; run from the directory that its paths are relative to"
        )
    return base[0]


def _not_a_file(path: str) -> str | None:
    """Why an entry of `wav.scp` is not used, or None."""
    if path.startswith("|") or path.endswith("|"):
        return f"a command, which is not run; write its output to a file and list that: {path}"
    if ARCHIVE.search(path):
        return f"a place in an archive; write it to a file of its own and list that: {path}"
    return None if path else "no path"
