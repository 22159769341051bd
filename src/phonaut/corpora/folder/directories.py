"""One folder per class, with folders of splits above them or not."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from phonaut.corpora.disk import UNREAD_SUFFIXES, Refused, composed, entries, is_audio, stems, suffix_of, walk
from phonaut.corpora.folder.layouts import read_name, split_name
from phonaut.corpora.noise import find_noise_folder
from phonaut.data.utterance import Utterance


class Directories:
    """`{class}/**/{file}`, or `{split}/{class}/**/{file}` where all folders are named like splits.

    Args:
        root: the corpus's folder.
        refused: gets what cannot be listed.
        word_pattern: reads the class from the path below `root`, wherever a file lies; None: the folder's name.
    """

    has_speakers = False

    def __init__(self, root: Path, refused: Refused, word_pattern: re.Pattern[str] | None = None) -> None:
        self.root = root
        self._refused = refused
        self._pattern = word_pattern
        folders = entries(str(root), refused)[1]
        noise = find_noise_folder(root, folders)
        self._noise = noise.name if noise else None
        named = [split_name(name) for name in folders if name != self._noise]
        self.has_splits = bool(named) and None not in named and "test" in named
        if word_pattern is None:
            check_place(root, 2 if self.has_splits else 1)

    def pattern_text(self, utterance: Utterance) -> str:
        """The path below the corpus's folder."""
        return str(utterance.recording)

    def utterances(self) -> Iterator[Utterance]:
        """Folder by folder."""
        depth = int(self.has_splits)
        for folder, names in walk(self.root, self._refused):
            parts = folder.split("/") if folder else []
            if parts and parts[0] == self._noise:
                continue
            split = split_name(parts[0]) if self.has_splits and parts else None
            prefix = f"{composed(folder)}/" if folder else ""
            place = os.path.join(str(self.root), folder)
            for name, stem in stems(names):
                relative = prefix + composed(name)
                word = self._word(relative, parts[depth:])
                path = f"{place}/{name}"
                if word is None:
                    why = "word_pattern does not match its path" if self._pattern else "it lies in no folder of a class"
                    self._refused.add(path, why)
                else:
                    yield Utterance(prefix + composed(stem), Path(path), split, word=word, recording=relative)

    def _word(self, relative: str, folders: Sequence[str]) -> str | None:
        if self._pattern is None:
            return composed(folders[0]) if folders else None
        return read_name(self._pattern, relative)


def check_place(root: Path, depth: int) -> None:
    """Refuse a folder that does not hold one folder per class, and say which one does.

    Args:
        root: what the user gave.
        depth: how far below it the recordings lie at least: 1, or 2 below splits.

    Raises:
        ValueError: no audio, no class folders, one folder too high or too low.
    """
    files, folders = entries(str(root), Refused())
    noise = find_noise_folder(root, folders)
    inside = {name: _folders_with_audio(root / name) for name in folders if root / name != noise}
    classes = {name: below for name, below in inside.items() if below}
    loose = next(filter(is_audio, files), None)
    if not classes and loose is None:
        raise ValueError(f"dataset.data_folder={root} holds no recordings{_what_else(root)}")
    if not classes:
        raise ValueError(f"recordings lie directly in {root} ({loose}): their class is not known{_one_too_low(root)}")
    if depth == 1 and not any("" in below for below in classes.values()):
        counted = Counter(name.partition("/")[0] for below in classes.values() for name in below)
        if max(counted.values()) == 1:  # folders that repeat would be speakers below classes
            better = " or ".join(f"dataset.data_folder={root / name}" for name in list(classes)[:3])
            raise ValueError(f"dataset.data_folder={root} seems to be one folder too high; type {better}")


def _folders_with_audio(folder: Path) -> set[str]:
    """The folders at and directly under `folder` ("" is itself) that hold audio, at any depth."""
    return {relative.partition("/")[0] for relative, _ in walk(folder, Refused())}


def _one_too_low(root: Path) -> str:
    above = root.absolute().parent
    beside = [name for name in entries(str(above), Refused())[1] if "" in _folders_with_audio(above / name)]
    if len(beside) > 1 and root.name in beside:
        return f". It seems to be the folder of one class, one of {len(beside)}; type dataset.data_folder={above}"
    return (
        f". Put each class in a folder of its own ({root.name}/yes, {root.name}/no), or add a table "
        f"{root.name}/labels.csv with columns path,label,speaker, or say where the file names have the class: "
        "dataset.word_pattern='^([^_]+)_'"
    )


def _what_else(root: Path) -> str:
    """The files of other kinds in an empty-looking folder."""
    kinds = Counter(
        suffix_of(name) for _, _, names in os.walk(root) for name in names if suffix_of(name) in UNREAD_SUFFIXES
    )
    if kinds:
        kind, n = kinds.most_common(1)[0]
        return f" that can be read, but {n} .{kind} files: convert each, for example by ffmpeg -i a.{kind} a.flac"
    return " (files ending in .wav .flac .ogg .mp3 .opus .aiff .sph, in upper or lower case)"
