"""RedDots by features that were computed before: one `.npy` a recording, `m0001/20150130052549120_m0001_31.npy`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from phonaut.checks import within
from phonaut.corpora.disk import find_folder
from phonaut.corpora.frames import FrameCorpus
from phonaut.corpora.reddots import RedDots
from phonaut.data.frame_shards import MANIFEST, REFUSED_FILES, FrameLayout, FrameSequence
from phonaut.data.frame_writer import FrameWriter
from phonaut.data.prepared import read_lines
from phonaut.data.utterance import Utterance
from phonaut.files import cache_dir, locked, map_array

IMPORT = 1  # of what is imported; with another number it is done anew


class RedDotsFrames(RedDots, FrameCorpus):
    """RedDots with arrays of frames `(T, D)` in place of audio; lists, background and splits are those of RedDots.

    The arrays are read once, into shards in the cache, whose name changes with any file (path, length, time of change).

    Args:
        data_folder: the corpus: `ndx/`, `infos/`; no recordings are needed.
        frames_folder: of the arrays, named as the recordings under `pcm/`.
        target: `keyword`, the sentence, or `speaker`.
        part: see `RedDots`, as are the rest.
        other_speakers: likewise.
        script: likewise.
        frame_shift_s: seconds from one frame to the next; the arrays do not say it.
        frame_offset_s: centre of frame 0, seconds.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "reddots_frames"
    targets: ClassVar[tuple[str, ...]] = ("keyword", "speaker")
    has_texts: ClassVar[bool] = False
    suffix: ClassVar[str] = "npy"
    RULES: ClassVar = {"frame_shift_s": within(1e-4, 10), "frame_offset_s": within(0, 10)}

    def __init__(
        self,
        *,
        data_folder: str | Path,
        frames_folder: str | Path | None,
        target: str = "keyword",
        part: str | int | None = "01",
        other_speakers: bool = False,
        script: str | Path | None = None,
        frame_shift_s: float = 0.01,
        frame_offset_s: float = 0.0125,
    ) -> None:
        if frames_folder is None:
            raise ValueError(
                "dataset=reddots_frames needs dataset.frames_folder=DIR, with a folder of arrays a speaker"
            )
        RedDots.__init__(
            self, data_folder=data_folder, target=target, part=part, other_speakers=other_speakers, script=script
        )
        self.frames_folder = Path(str(frames_folder))
        self.frame_shift_s, self.frame_offset_s = frame_shift_s, frame_offset_s

    def first_look(self) -> None:
        """Find the lists and the arrays.

        Raises:
            ValueError: they are not there.
        """
        RedDots.first_look(self)
        self._layout  # noqa: B018  # raises

    @cached_property
    def root(self) -> Path:
        """The folder of `ndx`.

        Raises:
            ValueError: there is none.
        """
        root = find_folder(self.data_folder)
        if not (root / "ndx").is_dir():
            raise ValueError(f"dataset.data_folder={root} has no folder ndx: it is not RedDots")
        return root

    @property
    def place(self) -> Path:
        """The folder of the arrays."""
        return find_folder(self.frames_folder)

    def frame_layout(self) -> FrameLayout | None:
        """The settings that all frames share: as many features as most of the first arrays have; None without a folder.

        Raises:
            ValueError: no array is one of frames.
        """
        if not self.frames_folder.expanduser().exists():
            return None
        return self._layout

    @cached_property
    def _layout(self) -> FrameLayout:
        widths = list[int]()
        for path in self._arrays:
            try:
                widths.append(matrix(path).shape[1])
            except ValueError:
                continue
            if len(widths) == LOOKED_AT:
                break
        if not widths:
            raise ValueError(f"dataset.frames_folder={self.place} has no array of frames (T, D), such as "
                             "m0001/20150130052549120_m0001_31.npy")  # fmt: skip
        made = f"arrays of {self.place.name}"
        return FrameLayout(max(widths, key=widths.count), self.frame_shift_s, self.frame_offset_s, made)

    @cached_property
    def _arrays(self) -> dict[Path, str]:
        """The arrays, and the recording that each is of."""
        return {utterance.path: utterance.id for utterance in self._recordings()}

    def source(self) -> Path:
        """The folder of shards in the cache.

        Raises:
            ValueError: there is no array of frames.
        """
        files = [(name, *file_state(path)) for path, name in self._arrays.items()]
        about = [IMPORT, str(self.place.resolve()), self.frame_shift_s, self.frame_offset_s, files]
        key = hashlib.blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()
        folder = cache_dir() / "arrays" / f"{self.name}-{key}"
        with locked(folder.parent / ".lock"):
            if not (folder / MANIFEST).exists():
                self.write(folder)
        return folder

    def write(self, folder: Path) -> None:
        """Copy the arrays to shards; the split of each is decided later."""
        layout = self._layout
        with FrameWriter(
            folder,
            n_features=layout.n_features,
            frame_shift_s=layout.frame_shift_s,
            frame_offset_s=layout.frame_offset_s,
            made_from=layout.made_from,
            overwrite=True,
        ) as writer:
            for path, name in self._arrays.items():
                try:
                    writer.add(matrix(path), id=name, split="train", recording=str(path))
                except ValueError as error:
                    reason = str(error).removeprefix(f"{name}: ").removeprefix(f"{path}: ")
                    writer.refuse(str(path), reason)

    def utterances(self) -> Iterator[Utterance]:
        """Those that there are frames of.

        Raises:
            ValueError: as for `RedDots`.
        """
        return FrameCorpus.utterances(self)

    def utterance(self, line: FrameSequence) -> Utterance | None:
        """The utterance of a sequence; None: neither the part nor the background has it."""
        return self._listed.get(line.id)

    @cached_property
    def _listed(self) -> dict[str, Utterance]:
        return {utterance.id: utterance for utterance in RedDots.utterances(self)}

    def choice(self) -> object:
        """The part, and the lists and script as they are today."""
        files = [file for pair in self._pairs.values() for file in pair] + ([self.script] if self.script else [])
        return [self.part, self.other_speakers, [(str(file), *file_state(file)) for file in files]]

    def title(self) -> str:
        """RedDots."""
        return "reddots, frames"

    def notes(self) -> list[str]:
        """Of RedDots, and what made the frames."""
        return [*RedDots.notes(self), *FrameCorpus.notes(self)]

    def refused(self) -> list[dict[str, str]]:
        """Of RedDots, and arrays that are none of frames."""
        return [*self._refused.as_list(), *read_lines(self.source() / REFUSED_FILES)]


LOOKED_AT = 20  # arrays, for their number of features


def matrix(path: Path) -> NDArray[np.generic]:
    """An array of frames `(T, D)`, mapped into memory.

    Raises:
        ValueError: it is none, or damaged.
    """
    array = map_array(path)
    if array.ndim != 2 or not array.size or array.dtype.kind not in "fiu":
        raise ValueError(f"{path}: frames are numbers (T, D); got {array.dtype} {array.shape}")
    return array


def file_state(path: Path) -> tuple[int, int]:
    """Length and time of change of a file; of one that has gone, -1."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
