"""Opening one recording: what it holds at the wanted sample rate, or why it cannot be used."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phonaut.data.preparation.headers import promised_bytes
from phonaut.data.preparation.sphere import header_of, problem_of, swapped
from phonaut.names import is_utf8

if TYPE_CHECKING:
    from soundfile import SoundFile

Samples: TypeAlias = NDArray[np.int16] | NDArray[np.float32]

BLOCK_S = 10.0  # read at once, so that memory is bounded whatever the length of a recording
ENERGY_HOP_S = 0.01  # the loudest window is found on energies of stretches of this length
LOWEST_RATE, HIGHEST_RATE = 2000, 768_000  # a header that says otherwise is damaged
LARGEST_SAMPLE = 4.0  # beyond it, floating-point samples are not audio between -1 and 1
SIXTEEN_BITS = frozenset(("PCM_16", "PCM_U8", "PCM_S8", "ULAW", "ALAW"))  # what int16 holds without loss

# What files of libsndfile's formats are called. NIST is left out: TIMIT's files are named .WAV by their makers.
SUFFIXES = {
    "WAV": (".wav", ".wave"),
    "WAVEX": (".wav", ".wave"),
    "RF64": (".wav", ".wave", ".rf64"),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "AIFF": (".aiff", ".aif", ".aifc"),
}


class BadRecordingError(ValueError):
    """A recording or an utterance in it that cannot be used, and why."""


@dataclass
class Recording:
    """A recording, of which more is known when all its blocks are read.

    Attributes:
        is_float: samples are float32; else they are int16, because nothing is lost by it.
        n_source: samples in the file.
        source_rate: of the file, Hz.
        n_channels: of the file.
        channel: that is read, from 0; None: all are mixed.
        n_samples: at the wanted rate, as far as it is read.
        energies: sums of squares of stretches of 10 ms, likewise.
        content: hash of the sound, whatever the format; empty for digital silence and before all is read.
        remarks: what a user should know of it.
        number: in the file of audio; -1 before it is written.
    """

    path: Path
    is_float: bool
    n_source: int
    source_rate: int
    n_channels: int
    channel: int | None = None
    n_samples: int = 0
    energies: list[NDArray[np.float64]] = field(default_factory=list)
    content: str = ""
    remarks: list[str] = field(default_factory=list)
    number: int = -1


def open_recording(path: Path, sample_rate: int, channel: int | None = None) -> tuple[Recording, Iterator[Samples]]:
    """A recording and its blocks of mono samples at `sample_rate`: those of a channel, from 0, or the mix of all.

    Raises:
        BadRecordingError: now, or while the blocks are read: unreadable, empty, truncated, or not numbers.
    """
    import soundfile

    if not is_utf8(str(path)):
        raise BadRecordingError("the name is not UTF-8: rename the file")
    try:
        if path.stat().st_size == 0:
            raise BadRecordingError("an empty file")
        with path.open("rb") as raw:
            problem = problem_of(raw)
        if problem is None:
            file = soundfile.SoundFile(path)
            problem = bytes_missing(path, file.format) or byte_order_problem(path, file)
    except (OSError, RuntimeError) as error:
        raise BadRecordingError(f"not readable as audio: {plain(error)}") from error
    if problem:
        raise BadRecordingError(problem)
    if file.frames == 0:
        raise BadRecordingError("no samples")
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        raise BadRecordingError(f"a sample rate of {file.samplerate} Hz: the header is damaged")
    if channel is not None and channel >= file.channels:
        raise BadRecordingError(f"channel {channel} is wanted, counted from 0, and it has {file.channels}")
    is_mixed = file.channels > 1 and channel is None
    is_float = file.subtype not in SIXTEEN_BITS or is_mixed or file.samplerate != sample_rate
    recording = Recording(path, is_float, file.frames, file.samplerate, file.channels, channel)
    usual = SUFFIXES.get(file.format)
    if usual and path.suffix.lower() not in usual:
        recording.remarks.append(f"is {file.format}, not what its name says")
    return recording, blocks(file, recording, sample_rate)


def blocks(file: SoundFile, recording: Recording, sample_rate: int) -> Iterator[Samples]:
    """The samples: checked, mixed to mono, resampled, and measured in passing."""
    resampler = None
    if file.samplerate != sample_rate:
        import soxr

        resampler = soxr.ResampleStream(file.samplerate, sample_rate, 1, dtype="float32", quality="HQ")
    levels: Counter[str] = Counter()
    content = hashlib.blake2b(digest_size=8)
    sounds = False
    hop = max(1, round(ENERGY_HOP_S * sample_rate))
    rest = np.zeros(0)
    n_read = 0
    with file:
        while n_read < file.frames:
            block = read(file, recording, levels, min(int(BLOCK_S * file.samplerate), file.frames - n_read))
            n_read += len(block)
            if resampler is not None:
                block = resampler.resample_chunk(block, last=n_read >= file.frames)
            recording.n_samples += len(block)
            power = np.concatenate([rest, np.square(block, dtype=np.float64)])
            whole = len(power) // hop * hop
            recording.energies.append(power[:whole].reshape(-1, hop).sum(axis=1))
            rest = power[whole:]
            coarse = in_16_bits(block)
            content.update(coarse.tobytes())
            sounds = sounds or bool(coarse.any())
            yield block
    recording.content = content.hexdigest() if sounds else ""
    recording.remarks += remarks_of(recording, levels, sample_rate)


def read(file: SoundFile, recording: Recording, levels: Counter[str], n: int) -> Samples:
    """The next `n` samples of the file, mono."""
    try:
        block: Samples = file.read(n, dtype="float32" if recording.is_float else "int16", always_2d=True)
    except RuntimeError as error:
        raise BadRecordingError(f"damaged: {plain(error)}") from error
    if len(block) < n:
        raise BadRecordingError(f"truncated: fewer than {file.frames} samples are there")
    if recording.channel is not None:
        block = block[:, recording.channel, None]
    full = 1.0 if recording.is_float else 32768.0
    magnitudes = np.abs(block, dtype=np.float32)
    if recording.is_float:
        peak = float(magnitudes.max())  # NaN where there is one
        if not np.isfinite(peak):
            raise BadRecordingError("NaN or infinite samples")
        if peak > LARGEST_SAMPLE:
            raise BadRecordingError(f"samples up to {peak:.4g}: floating-point audio lies between -1 and 1")
        if peak > full:
            levels["beyond"] += 1
            block = block.clip(-1.0, 1.0)
    levels["clipped"] += int(np.count_nonzero(magnitudes >= 0.9999 * full))
    levels["sounding"] += int(np.count_nonzero(block))
    levels["samples"] += block.size
    mono: Samples = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
    return mono


def in_16_bits(block: Samples) -> NDArray[np.int16]:
    """The samples as 16-bit integers: the same sound in another format is the same sound."""
    if block.dtype == np.int16:
        return block.astype(np.int16, copy=False)
    return np.rint(block * 32768).clip(-32768, 32767).astype(np.int16)


def remarks_of(recording: Recording, levels: Counter[str], sample_rate: int) -> list[str]:
    """Remarks on a recording that is used all the same."""
    remarks = []
    if levels["sounding"] == 0:
        remarks.append("silent")
    if levels["beyond"]:
        remarks.append("samples beyond full scale, clipped")
    elif levels["clipped"] > max(8, 0.001 * levels["samples"]):
        remarks.append("clipped")
    if recording.n_channels > 1 and recording.channel is None:
        remarks.append(f"{recording.n_channels} channels mixed to one")
    if recording.source_rate != sample_rate:
        remarks.append(f"resampled from {recording.source_rate} Hz")
    return remarks


def bytes_missing(path: Path, kind: str) -> str | None:
    """The lack of a file that is shorter than its header says, which libsndfile does not report; None: it is whole."""
    with path.open("rb") as file:
        promised = promised_bytes(file, kind)
        if promised is None:
            return None
        start, length = promised
        there = os.fstat(file.fileno()).st_size - start
    return f"truncated: {there} of {length} bytes are there" if there < length else None


def byte_order_problem(path: Path, file: SoundFile) -> str | None:
    """The problem of the byte order that a SPHERE header names, judged by the beginning of the samples."""
    if file.format != "NIST" or file.subtype != "PCM_16":
        return None
    beginning = file.read(int(BLOCK_S * file.samplerate), dtype="int16", always_2d=True)[:, 0]
    file.seek(0)
    with path.open("rb") as raw:
        header = header_of(raw)
    peaks = header.peaks() if header and len(beginning) == file.frames else None  # peaks are those of all samples
    if not swapped(beginning, peaks):
        return None
    return (
        "the samples are in the other order of bytes than sample_byte_format of the SPHERE header says; write it "
        "anew: sox -t raw -e signed -b 16 ..., or correct 01 to 10, or 10 to 01, in the header"
    )


def plain(error: BaseException) -> str:
    """The reason in an error of libsndfile, without the path, which is named beside it."""
    text = str(error.strerror if isinstance(error, OSError) and error.strerror else error)
    return text.rsplit(": ", 1)[-1].rstrip(".")
