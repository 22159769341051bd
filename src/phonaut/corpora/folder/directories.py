"""One folder per class, with folders of splits above, below or beside them, or not."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from phonaut.corpora.disk import UNREAD_SUFFIXES, Refused, entries, is_audio, stems, suffix_of, walk
from phonaut.corpora.folder.layouts import read_name, split_name
from phonaut.corpora.noise import find_noise_folder
from phonaut.data.utterance import Utterance
from phonaut.files import composed

Inside = Mapping[str, set[str]]  # folder -> those of its folders in which there is audio, "" being itself


class Places(NamedTuple):
    """Where the class and the split stand in the folders of a recording.

    Attributes:
        splits: first folder -> split, where that is a split and the class stands in the folder below.
        below: the split is the folder below the class.
        words: first folder -> class and split, where its name has both: `yes_train`.
        otherwise: the split of the folders that are none.
    """

    splits: Mapping[str, str] = {}
    below: bool = False
    words: Mapping[str, tuple[str, str]] = {}
    otherwise: str | None = None

    def of(self, folders: Sequence[str]) -> tuple[str | None, str | None]:
        """The split and the class of a recording in these folders."""
        if not folders:
            return None, None
        if folders[0] in self.splits:
            return self.splits[folders[0]], folders[1] if len(folders) > 1 else None
        if folders[0] in self.words:
            word, split = self.words[folders[0]]
            return split, word
        return split_name(folders[1]) if self.below and len(folders) > 1 else self.otherwise, folders[0]

    @property
    def has_splits(self) -> bool:
        """True where folders are named like splits."""
        return bool(self.splits or self.words or self.below)

    def all_splits(self, classes: Inside) -> set[str | None]:
        """The splits that there are."""
        below = {split_name(name) for names in classes.values() for name in names} if self.below else set()
        return {*self.splits.values(), *(split for _, split in self.words.values()), *below}


class Directories:
    """`{class}/**/{file}`, and with folders of splits `{split}/{class}/**/{file}` or `{class}/{split}/**/{file}`.

    Args:
        root: the corpus's folder.
        refused: gets what cannot be listed or read, and folders without recordings.
        word_pattern: reads the class from the path below `root`, wherever a file lies; None: the folder's name.

    Raises:
        ValueError: it is not one folder per class, or a folder may be a split or a class.
    """

    has_speakers = False

    def __init__(self, root: Path, refused: Refused, word_pattern: re.Pattern[str] | None = None) -> None:
        self.root = root
        self._refused = refused
        self._pattern = word_pattern
        folders = entries(str(root), refused)[1]
        noise = find_noise_folder(root, folders)
        self._noise = noise.name if noise else None
        self._inside: dict[str, set[str]] = {name: set() for name in folders if name != self._noise}
        for relative, _ in walk(root, refused):
            first, _, rest = relative.partition("/")
            if first in self._inside:
                self._inside[first].add(rest.partition("/")[0])
        classes = {name: below for name, below in self._inside.items() if below}
        if word_pattern is None:
            self._places = find_places(root, classes)
            check_place(root, classes, is_divided=self._places.has_splits)
        else:
            self._places = places_above(classes, word_pattern)
        self.has_splits = "test" in self._places.all_splits(classes)

    def pattern_text(self, utterance: Utterance) -> str:
        """The path below the corpus's folder."""
        return str(utterance.recording)

    def utterances(self) -> Iterator[Utterance]:
        """Folder by folder."""
        self._name_empty()
        for folder, names in walk(self.root, self._refused):
            parts = folder.split("/") if folder else []
            if parts and parts[0] == self._noise:
                continue
            split, name_of_class = self._places.of(parts)
            prefix = f"{composed(folder)}/" if folder else ""
            place = os.path.join(str(self.root), folder)
            for name, stem in stems(names):
                relative = prefix + composed(name)
                word = read_name(self._pattern, relative) if self._pattern else name_of_class
                path = f"{place}/{name}"
                if word is None:
                    why = "word_pattern does not match its path" if self._pattern else "it lies in no folder of a class"
                    self._refused.add(path, why)
                else:
                    yield Utterance(prefix + composed(stem), Path(path), split, word=composed(word), recording=relative)

    def _name_empty(self) -> None:
        """Refuse folders that would be classes and have no recordings."""
        for name, below in self._inside.items():
            empty = [] if below else [name]
            if name in self._places.splits:
                empty = [f"{name}/{one}" for one in entries(str(self.root / name), Refused())[1] if one not in below]
            for folder in empty:
                path = self.root / folder
                self._refused.add(str(path), f"a folder without recordings that can be read{_holding(path)}")


def find_places(root: Path, classes: Inside) -> Places:
    """Where classes and splits stand.

    Args:
        root: the corpus's folder.
        classes: its folders in which there is audio.

    Raises:
        ValueError: a folder may be a split or a class.
    """
    named = {name: split for name in classes if (split := split_name(name))}
    others = [name for name in classes if name not in named]
    if not named:
        return _named_otherwise(classes)
    if not others:
        if len(named) > 1 and not any(below - {""} for below in classes.values()):
            raise unclear(root, named, [])
        return Places(named if len(named) > 1 else {})
    # Classes, and beside them a split of them: mycroft-precise has `wake-word` and `test/wake-word`.
    folded = {name.casefold() for name in others}
    splits = {name: split for name, split in named.items() if {below.casefold() for below in classes[name]} & folded}
    # A class of such a name holds what the others hold: folders of the same speakers.
    speakers = {below for name in others for below in classes[name]} - {""}
    if neither := [name for name in named if name not in splits and not (classes[name] & speakers)]:
        raise unclear(root, {name: named[name] for name in neither}, others)
    return Places(splits, otherwise="train" if splits else None)


def places_above(classes: Inside, word_pattern: re.Pattern[str]) -> Places:
    """The splits where all folders are named like some, unless `word_pattern` takes these names for classes."""
    splits = {name: split for name in classes if (split := split_name(name))}
    are_words = all(read_name(word_pattern, f"{name}/x.wav") == composed(name) for name in splits)
    return Places(splits if len(splits) == len(classes) and not are_words else {})


def _named_otherwise(classes: Inside) -> Places:
    """Splits below classes, or in the names of the folders, as openWakeWord has `positive_train`."""
    below = {split_name(name) for names in classes.values() for name in names}
    if None not in below and len(below) > 1:
        return Places(below=True)
    for pattern in (r"(?P<word>.+)[ _.-](?P<split>[^ _.-]+)", r"(?P<split>[^ _.-]+)[ _.-](?P<word>.+)"):
        matches = {name: re.fullmatch(pattern, name) for name in classes}
        words = {name: (m["word"], split_name(m["split"]) or "") for name, m in matches.items() if m}
        splits = {split for _, split in words.values()}
        if len(words) == len(classes) and "" not in splits and len(splits) > 1:
            return Places(words=words)
    return Places()


def unclear(root: Path, named: Mapping[str, str], others: Sequence[str]) -> ValueError:
    """The error of folders that may be splits or classes."""
    names = " and ".join(list(named)[:3])
    beside = (
        f", beside {', '.join(others[:3])}{' ...' * (len(others) > 3)}" if others else " and hold recordings directly"
    )
    word = others[0] if others else "yes"
    return ValueError(
        f"{names} in {root} may be splits, by their names, or classes{beside}. A split has a folder for each class "
        f"({next(iter(named))}/{word}); if they are classes: dataset.word_pattern='^([^/]+)/'"
    )


def check_place(root: Path, classes: Inside, *, is_divided: bool) -> None:
    """Refuse a folder that does not hold one folder per class, and say which one does.

    Args:
        root: what the user gave.
        classes: its folders in which there is audio.
        is_divided: these, or those below them, are splits.

    Raises:
        ValueError: no audio, no class folders, one folder too high or too low.
    """
    loose = next(filter(is_audio, entries(str(root), Refused())[0]), None)
    if not classes and loose is None:
        raise ValueError(f"dataset.data_folder={root} holds no recordings{_what_else(root)}")
    if not classes:
        raise ValueError(f"recordings lie directly in {root} ({loose}): their class is not known{_one_too_low(root)}")
    if not is_divided and not any("" in below for below in classes.values()):
        counted = Counter(name for below in classes.values() for name in below)
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
    kinds = Counter({kind: n for kind, n in _kinds(root).items() if kind in UNREAD_SUFFIXES})
    if kinds:
        kind, n = kinds.most_common(1)[0]
        return f" that can be read, but {n} .{kind} files: convert each, for example by ffmpeg -i a.{kind} a.flac"
    return " (files ending in .wav .flac .ogg .mp3 .opus .aiff .sph, in upper or lower case)"


def _holding(folder: Path) -> str:
    """The most frequent kind of file in a folder without recordings."""
    kinds = _kinds(folder).most_common(1)
    return f", but {kinds[0][1]} .{kinds[0][0]} files" if kinds else ""


def _kinds(root: Path) -> Counter[str]:
    """The number of files by suffix."""
    return Counter(suffix_of(name) for _, _, names in os.walk(root) for name in names if "." in name.lstrip("."))
