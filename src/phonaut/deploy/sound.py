"""Sound that is listened to, in blocks of mono samples at the rate of a model, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phonaut.data.preparation.audio import BadRecordingError, open_recording

Sound = Iterator[NDArray[np.float32]]  # blocks (S,) in [-1, 1]


def file_sound(path: Path, sample_rate: int) -> Sound:
    """The samples of a recording of any length, format and rate that a corpus may have.

    Raises:
        ValueError: it is not there or cannot be used; while blocks are read, that it is damaged or cut off.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder: name a recording in it, or phonaut predict RUN {path}")
    if not path.is_file():
        raise ValueError(f"no such recording: {path}")
    try:
        recording, blocks = open_recording(path, sample_rate)
        for block in blocks:
            recording.energies.clear()  # of which there are more with every block
            yield np.float32(1 / 32768) * block if block.dtype == np.int16 else block.astype(np.float32, copy=False)
    except BadRecordingError as error:
        raise ValueError(f"{path}: {error}") from error


def resampled(blocks: Iterable[NDArray[np.float32]], source_rate: int, sample_rate: int) -> Sound:
    """The same sound at another rate, Hz, a block for each block and what is left at the end."""
    if source_rate == sample_rate:
        yield from blocks
        return
    import soxr

    resampler = soxr.ResampleStream(source_rate, sample_rate, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield resampler.resample_chunk(block)
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
