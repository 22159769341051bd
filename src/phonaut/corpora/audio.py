"""Opening one recording: what it holds at the wanted sample rate, or why it cannot be used."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from soundfile import SoundFile

BLOCK_S = 60.0  # read at once, so that memory is bounded whatever the length of a recording
ENERGY_HOP_S = 0.01  # the loudest window is found on energies of stretches of this length
LOSSLESS = {"PCM_16", "PCM_U8", "PCM_S8"}
SUFFIXES = {"WAV": ".wav", "WAVEX": ".wav", "RF64": ".wav", "FLAC": ".flac", "OGG": ".ogg", "MP3": ".mp3", "AIFF": ".aiff"}


class BadRecordingError(ValueError):
    """A recording that cannot be used, and why."""


@dataclass
class Recording:
    """A recording as it is read, block by block.

    Attributes:
        is_float: samples are float32; else they are int16, because nothing is lost by it.
        n_source: samples in the file.
        source_rate: of the file, Hz.
        n_channels: of the file.
        n_samples: at the wanted rate; known when all blocks are read.
        energies: sums of squares of stretches of 10 ms, likewise.
        remarks: what a user should know of it, likewise.
    """

    path: Path
    is_float: bool = False
    n_source: int = 0
    source_rate: int = 0
    n_channels: int = 1
    n_samples: int = 0
    energies: list[NDArray[np.float64]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def open_recording(path: Path, sample_rate: int) -> tuple[Recording, Iterator[NDArray[np.int16] | NDArray[np.float32]]]:
    """A recording and its blocks of mono samples at `sample_rate`.

    Raises:
        BadRecordingError: now, or while the blocks are read: unreadable, empty, truncated, or not numbers.
    """
    import soundfile

    try:
        if path.stat().st_size == 0:
            raise BadRecordingError("an empty file")
        file = soundfile.SoundFile(path)
    except (OSError, RuntimeError) as error:
        raise BadRecordingError(f"not readable as audio: {plain(error)}") from error
    recording = Recording(path, n_source=file.frames, source_rate=file.samplerate, n_channels=file.channels)
    if file.frames == 0:
        raise BadRecordingError("no samples")
    check_length(path, file.format)
    expected = SUFFIXES.get(file.format)
    if expected and path.suffix.lower() != expected and not (expected == ".aiff" and path.suffix.lower() == ".aif"):
        recording.remarks.append(f"is {file.format}, not what its name says")
    recording.is_float = file.subtype not in LOSSLESS or file.channels > 1 or file.samplerate != sample_rate
    return recording, blocks(file, recording, sample_rate)


def blocks(
    file: SoundFile, recording: Recording, sample_rate: int) -> Iterator[NDArray[np.int16] | NDArray[np.float32]]:
    """The samples, checked, mixed to mono and resampled."""
    import soxr

    resampler = None
    if file.samplerate != sample_rate:
        resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
    levels: Counter[str] = Counter()
    hop = max(1, round(ENERGY_HOP_S * sample_rate))
    rest = np.zeros(0)
    n_read = 0
    with file:
        while n_read < file.frames:
            block = read(file, recording, levels)
            n_read += len(block)
            last = n_read >= file.frames
            if recording.is_float:
                block = block if resampler is None else resampler.resample_chunk(block, last=last)
            recording.n_samples += len(block)
            power = np.concatenate([rest, np.square(block, dtype=np.float64)])
            whole = len(power) // hop * hop
            recording.energies.append(power[:whole].reshape(-1, hop).sum(axis=1))
            rest = power[whole:]
            yield block
    recording.remarks += remarks_of(recording, levels, sample_rate)


def read(file: SoundFile, recording: Recording, levels: Counter[str]) -> NDArray[np.int16] | NDArray[np.float32]:
    """The next block of the file, mono."""
    try:
        wanted = min(int(BLOCK_S * file.samplerate), file.frames - file.tell())
        block = file.read(wanted, dtype="float32" if recording.is_float else "int16", always_2d=True)
    except RuntimeError as error:
        raise BadRecordingError(f"damaged: {plain(error)}") from error
    if len(block) < wanted:
        raise BadRecordingError(f"truncated: {file.tell()} of {file.frames} samples are there")
    full = 1.0 if recording.is_float else 32768.0
    if recording.is_float:
        if not np.isfinite(block).all():
            raise BadRecordingError("NaN or infinite samples")
        peak = float(np.abs(block).max())
        if peak > 4.0:
            raise BadRecordingError(f"samples up to {peak:.0f}: floating-point audio lies between -1 and 1")
        if peak > 1.0:
            levels["beyond"] += 1
            block = block.clip(-1.0, 1.0)
    levels["clipped"] += int((np.abs(block.astype(np.float32)) >= 0.9999 * full).sum())
    levels["sounding"] += int(np.count_nonzero(block))
    levels["samples"] += block.size
    return block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)


def remarks_of(recording: Recording, levels: Counter[str], sample_rate: int) -> list[str]:
    """What is worth knowing of a recording that is kept."""
    found = []
    if levels["sounding"] == 0:
        found.append("silent")
    if levels["beyond"]:
        found.append("samples beyond full scale, clipped")
    elif levels["clipped"] > max(8, 0.001 * levels["samples"]):
        found.append("clipped")
    if recording.n_channels > 1:
        found.append(f"{recording.n_channels} channels mixed to one")
    if recording.source_rate != sample_rate:
        found.append(f"resampled from {recording.source_rate} Hz")
    return found


def check_length(path: Path, kind: str) -> None:
    """Refuse a WAV file that is shorter than its header says: libsndfile reads it without a word.

    Raises:
        BadRecordingError: it is.
    """
    if kind not in ("WAV", "WAVEX"):
        return
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            if name == b"data":
                there = size - file.tell()
                if length not in (0, 0xFFFFFFFF) and length > there:  # those two: written to a pipe, length unknown
                    raise BadRecordingError(f"truncated: {there} of {length} bytes are there")
                return
            file.seek(length + length % 2, 1)


def loudest_start(energies: NDArray[np.float64], n_samples: int, clip: int, hop: int) -> int:
    """Where the window of `clip` samples with the greatest energy begins, to 10 ms.

    >>> loudest_start(np.array([0.0, 0.0, 5.0, 5.0, 0.0]), 500, 200, 100)
    200
    """
    width = clip // hop
    if n_samples <= clip or len(energies) <= width:
        return 0
    sums = np.concatenate([[0.0], np.cumsum(energies)])
    return min(int(np.argmax(sums[width:] - sums[:-width])) * hop, n_samples - clip)


def plain(error: BaseException) -> str:
    """The reason in an error of libsndfile, without the path, which is named beside it."""
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    return text.rsplit(": ", 1)[-1].rstrip(".")
