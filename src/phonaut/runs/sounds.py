"""Recordings as a user of Python names them: files, folders, arrays of samples, and lists of these."""

from __future__ import annotations

import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.data.preparation.audio import SUFFIXES, BadRecordingError

Source: TypeAlias = "Path | str | NDArray[Any] | torch.Tensor"
AUDIO = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes} | {".sph", ".nist"}


class Sound(NamedTuple):
    """A recording as a file.

    Attributes:
        path: where it lies, for a moment where it was an array.
        name: for people: the path, or `array 1`.
        found: in a folder that was named, not named itself.
    """

    path: Path
    name: str
    found: bool = False


@contextmanager
def opened(
    sources: Sequence[Source], rate: float | None, usual: int, note: Callable[[str], None]
) -> Iterator[list[Sound]]:
    """Recordings as files, in their order: files as they are named, of folders all that are audio by their names.

    Args:
        sources: files, folders, arrays of samples `(S,)` or `(S, channels)`.
        rate: of arrays, Hz.
        usual: the rate where none is given.
        note: called with a line on what is passed over in folders and why.

    Raises:
        ValueError: one is not there, or is no recording, or the rate is none.
    """
    if rate is not None and (not isinstance(rate, (int, float, np.number)) or not 1 <= rate < math.inf):
        raise ValueError(f"rate must be the samples a second of the arrays, got {rate!r}")
    paths = [Path(source) for source in sources if isinstance(source, (str, os.PathLike))]
    if missing := [str(path) for path in paths if not os.path.exists(path)]:  # of a name too long, exists() raises
        raise ValueError(f"no such recording or folder: {', '.join(missing)}")
    with ExitStack() as stack:
        sounds = list[Sound]()
        for number, source in enumerate(sources, 1):
            if isinstance(source, (str, os.PathLike)):
                path = Path(source)
                within = files_in(path, note) if path.is_dir() else [Sound(path, str(path))]
                sounds += within
                continue
            try:
                path, name = stack.enter_context(as_file(source, number, usual if rate is None else round(rate)))
            except BadRecordingError as error:
                raise ValueError(f"recording {number} of {len(sources)}: {error}") from error
            sounds.append(Sound(path, name))
        try:
            yield sounds
        except ValueError as error:
            if (text := named(str(error), sounds)) != str(error):
                raise ValueError(text) from error
            raise


def named(text: str, sounds: Sequence[Sound]) -> str:
    """What is said of files, by the names that the user gave them."""
    for sound in sounds:
        text = text.replace(str(sound.path), sound.name)
    return text


def files_in(folder: Path, note: Callable[[str], None]) -> Iterator[Sound]:
    """All files in a folder that are audio by their names, in their order."""
    others: Counter[str] = Counter()
    for file in sorted(one for one in folder.rglob("*") if one.is_file() and not one.name.startswith(".")):
        if file.suffix.lower() in AUDIO:
            yield Sound(file, str(file), found=True)
        else:
            others[file.suffix or file.name] += 1
    if others:
        kinds = ", ".join(f"{n} {kind}" for kind, n in others.most_common(5))
        note(f"passed over: {kinds} in {folder}, no audio by their names")


@contextmanager
def as_file(source: Source, number: int, rate: int) -> Iterator[tuple[Path, str]]:
    """A recording as a file for a moment, and its name; of an array, its number.

    Raises:
        BadRecordingError: there is no such file, or an array holds no samples.
    """
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu().numpy()
    if not isinstance(source, np.ndarray):
        if not isinstance(source, (str, Path)):
            raise BadRecordingError(f"neither a file nor an array of samples, but {type(source).__name__}")
        path = Path(source)
        if not os.path.isfile(path):  # of a name that is too long, is_file raises
            raise BadRecordingError("no such recording")
        yield path, path.name
        return
    samples = in_unit_range(source)
    import soundfile

    with tempfile.TemporaryDirectory(prefix="phonaut-") as folder:
        path = Path(folder) / f"array {number}.wav"
        soundfile.write(path, samples, rate, subtype="FLOAT")
        yield path, f"array {number}"


def in_unit_range(samples: NDArray[Any]) -> NDArray[Any]:
    """Samples `(S,)` or `(S, channels)` in [-1, 1]; whole numbers are a share of the largest of their type.

    >>> in_unit_range(np.array([-32768, 16384], np.int16)).tolist()
    [-1.0, 0.5]

    Raises:
        BadRecordingError: they are of another shape or no real numbers.
    """
    kind, shape = samples.dtype.kind, samples.shape
    if samples.ndim not in (1, 2) or kind not in "fiu":
        raise BadRecordingError(f"samples must be real numbers, (S,) or (S, channels); got {samples.dtype}, {shape}")
    if samples.ndim == 2 and shape[1] > shape[0]:
        raise BadRecordingError(f"samples must be (S,) or (S, channels), and {shape} would be {shape[1]} channels: "
                                "a batch is a list of arrays, channels first are array.T")  # fmt: skip
    if kind == "f":
        return samples
    largest = int(np.abs(samples.astype(np.int64)).max(initial=0))
    if samples.dtype.itemsize > 4 or (samples.dtype.itemsize == 4 and kind == "i" and 0 < largest <= 2**15):
        raise BadRecordingError(f"{samples.dtype} up to {largest} is as good as silent: samples of 16 bits are "
                                "array.astype(numpy.int16), others are to be divided into [-1, 1]")  # fmt: skip
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    return (samples.astype(np.float64) - (half if kind == "u" else 0.0)) / half
