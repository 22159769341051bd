"""A MATLAB file of log-mel frames with a phone label each, such as `Logmel_normalized_48Label_Framealigned.mat`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Index
from phonaut.checks import within
from phonaut.corpora.frames import FrameCorpus
from phonaut.corpora.mat_files import MatFile, open_mat
from phonaut.data.frame_shards import MANIFEST, FrameLayout
from phonaut.data.frame_writer import FrameWriter, Phones
from phonaut.data.spans import offsets
from phonaut.files import cache_dir, expanded, locked

IMPORT = 1  # of what is imported; with another number it is done anew
SPLITS = {"train": "train", "validation": "dev", "test": "test"}  # ours and the file's
BLOCK = 200_000  # frames that are read at once

# The phone of each label: TIMIT's 48 (Lee and Hon 1989) and `q`.
PHONES = [
    "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "dx", "eh", "el", "en", "epi", "er", "ey", "f", "g",
    "hh", "ih", "ix", "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "q", "r", "s", "sh", "sil", "t", "th",
    "cl", "uh", "uw", "v", "vcl", "w", "y", "z", "zh",
]  # fmt: skip


class LogmelMat(FrameCorpus):
    """The frames of a MATLAB file as a corpus; imported once, into the cache.

    For each split, `train`, `dev` and `test`, the file has three variables: features of all frames `(N, D)`, as
    `train`; frames of each utterance, `trainlen`; and the label of each frame, 0 to 48, `train_dict`. Which axis is
    that of frames is known by the sum of the lengths. Runs of equal labels are phones.

    Args:
        path: the file, of version 5 or 7.3.
        target: `phone`.
        frame_shift_s: seconds from one frame to the next; the file does not say it.
        frame_offset_s: centre of frame 0, seconds: half a window of 25 ms.

    Raises:
        ValueError: no file is named, or a value is not possible.
    """

    name = "logmel_mat"
    targets: ClassVar[tuple[str, ...]] = ("phone",)
    RULES: ClassVar = {"frame_shift_s": within(1e-4, 10), "frame_offset_s": within(0, 10)}

    def __init__(
        self,
        *,
        path: str | Path | None,
        target: str = "phone",
        frame_shift_s: float = 0.01,
        frame_offset_s: float = 0.0125,
    ) -> None:
        super().__init__(data_folder="", target=target)
        if path is None:
            raise ValueError("dataset=logmel_mat needs dataset.path=FILE.mat")
        self.path, self.frame_shift_s, self.frame_offset_s = expanded(path), frame_shift_s, frame_offset_s

    def frame_layout(self) -> FrameLayout | None:
        """The settings that all frames share; None where there is no file.

        Raises:
            ValueError: the file is not such a one, by the sizes of its variables.
        """
        if not self.path.is_file():
            return None
        with open_mat(self.path) as file:
            n_features = checked_parts(file)["train"].n_features
        return FrameLayout(n_features, self.frame_shift_s, self.frame_offset_s, f"{self.path.name}, a MATLAB file")

    def source(self) -> Path:
        """The imported folder.

        Raises:
            ValueError: the file is not there, or cannot be imported.
        """
        layout = self.frame_layout()
        if layout is None:
            raise ValueError(f"dataset.path={self.path} is not there: name a MATLAB file")
        state = self.path.stat()
        about = [IMPORT, str(self.path.resolve()), state.st_size, state.st_mtime_ns]
        about += [self.frame_shift_s, self.frame_offset_s]
        key = hashlib.blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()
        folder = cache_dir() / "matlab" / f"{self.name}-{key}"
        with locked(folder.parent / ".lock"):
            if not (folder / MANIFEST).exists():
                self.write(folder, layout)
        return folder

    def write(self, folder: Path, layout: FrameLayout) -> None:
        """Import the file; an utterance whose frames are not finite is left out by name."""
        shift_s, offset_s = layout.frame_shift_s, layout.frame_offset_s
        with (
            open_mat(self.path) as file,
            FrameWriter(
                folder,
                n_features=layout.n_features,
                frame_shift_s=shift_s,
                frame_offset_s=offset_s,
                made_from=layout.made_from,
                overwrite=True,
            ) as writer,
        ):
            parts = checked_parts(file)
            labels = {split: labels_of(file, part) for split, part in parts.items()}
            for split, part in parts.items():
                begins = offsets(part.lengths)
                for number, frames in enumerate(utterances_of(file, part)):
                    name = f"{split}/{number + 1:04d}"
                    phones = spans_of(labels[split][begins[number] : begins[number + 1]], shift_s, offset_s)
                    # The last window ends half a window after its centre.
                    duration_s = (len(frames) - 1) * shift_s + max(2 * offset_s, offset_s + shift_s / 2)
                    try:
                        writer.add(frames, id=name, split=split, phones=phones, duration_s=duration_s)
                    except ValueError as error:
                        writer.refuse(f"{self.path}: {name}", str(error).removeprefix(f"{name}: "))

    def title(self) -> str:
        """The name of the file."""
        return f"frames of {self.path.name}"

    def notes(self) -> list[str]:
        """What the file does not say."""
        return [
            *super().notes(),
            "the file does not say who speaks: intervals are over utterances, and speakers may be in several splits",
            f"frames are taken to be {1000 * self.frame_shift_s:g} ms apart, the first centred at "
            f"{1000 * self.frame_offset_s:g} ms: the file does not say it",
        ]


class Part(NamedTuple):
    """The variables of a split.

    Attributes:
        name: of the features in the file.
        axis: of frames, in the features.
        n_features: of a frame.
        lengths: frames of each utterance, `(U,)`.
    """

    name: str
    axis: int
    n_features: int
    lengths: Index


def checked_parts(file: MatFile) -> dict[str, Part]:
    """The splits of a file; features and labels are not yet read.

    Raises:
        ValueError: a variable is missing, or sizes do not go together.
    """
    parts = {}
    for split, name in SPLITS.items():
        shape, lengths = file.shape(name), whole_numbers(file, f"{name}len")
        where = f"{file.path}: {name}len"
        if not len(lengths) or lengths.min() < 1:
            least = lengths.min() if len(lengths) else "nothing"
            raise ValueError(f"{where} holds {least}; it is the number of frames of each utterance, at least 1")
        if lengths.max() > max(shape):
            raise ValueError(f"{where} holds {lengths.max()}, and {name} is {shape[0]} x {shape[1]}")
        n = int(lengths.sum())
        if n not in shape:
            raise ValueError(f"{where} adds up to {n} frames, and {name} is {shape[0]} x {shape[1]}")
        if shape[0] == shape[1]:
            raise ValueError(f"{file.path}: {name} is {n} x {n}, and it is not known which axis is that of frames")
        axis = shape.index(n)
        if shape[1 - axis] < 1:
            raise ValueError(f"{file.path}: {name} is {shape[0]} x {shape[1]}, without features")
        n_labels = vector_size(file, f"{name}_dict")
        if n_labels != n:
            raise ValueError(f"{file.path}: {name} has {n} frames, and {name}_dict {n_labels} labels")
        parts[split] = Part(name, axis, shape[1 - axis], lengths)
    widths = {part.name: part.n_features for part in parts.values()}
    if len(set(widths.values())) > 1:
        said = ", ".join(f"{name} {n}" for name, n in widths.items())
        raise ValueError(f"{file.path}: splits have different numbers of features, {said}")
    return parts


def vector_size(file: MatFile, name: str) -> int:
    """Values of a row or a column.

    Raises:
        ValueError: it is none.
    """
    rows, columns = file.shape(name)
    if min(rows, columns) > 1:
        raise ValueError(f"{file.path}: {name} is {rows} x {columns}, and must be a row or a column")
    return rows * columns


def whole_numbers(file: MatFile, name: str) -> Index:
    """A row or column of whole numbers from 0 on, whatever type they have in the file.

    Raises:
        ValueError: it is none.
    """
    vector_size(file, name)
    values = file.read(name).reshape(-1)
    wrong = ~((values >= 0) & (values < 2**53))  # NaN too
    if values.dtype.kind == "f" and not wrong.any():
        wrong = values != np.rint(values)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"{file.path}: value {i + 1} of {name} is {values[i]}, and must be a whole number from 0 on")
    return values.astype(np.int64)


def labels_of(file: MatFile, part: Part) -> Index:
    """The label of each frame `(N,)`.

    Raises:
        ValueError: one stands for no phone.
    """
    labels = whole_numbers(file, f"{part.name}_dict")
    if labels.max() >= len(PHONES):
        i = int(labels.argmax())
        raise ValueError(f"{file.path}: value {i + 1} of {part.name}_dict is {labels[i]}, and labels are 0 to "
                         f"{len(PHONES) - 1}")  # fmt: skip
    return labels


def utterances_of(file: MatFile, part: Part) -> Iterator[NDArray[np.generic]]:
    """The frames `(T, D)` of each utterance; those of several are read at once, and never more than a block."""
    begins = offsets(part.lengths)
    first = 0
    while first < len(part.lengths):
        end = max(first + 1, int(np.searchsorted(begins, begins[first] + BLOCK, side="right")) - 1)
        block = file.read(part.name, part.axis, int(begins[first]), int(begins[end]))
        block = block if part.axis == 0 else block.T
        for number in range(first, end):
            yield block[begins[number] - begins[first] : begins[number + 1] - begins[first]]
        first = end


def spans_of(labels: Index, shift_s: float, offset_s: float) -> Phones:
    """Phones and their times: they end halfway between the centres of two frames whose labels differ.

    >>> spans_of(np.array([37, 37, 0]), 0.01, 0.0125)
    [('sil', 0.0075, 0.0275), ('aa', 0.0275, 0.0375)]
    """
    edges = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1, [len(labels)]])
    times = np.maximum(0.0, np.round(offset_s + (edges - 0.5) * shift_s, 9)).tolist()
    return [(PHONES[labels[a]], begin, end) for a, begin, end in zip(edges[:-1], times[:-1], times[1:], strict=True)]
