"""Opening one recording: what it holds at the wanted sample rate, or why it cannot be used."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phonaut.data.preparation.headers import size_problem, unread_kind
from phonaut.data.preparation.sphere import header_of, problem_of, swapped
from phonaut.data.preparation.streams import BadStreamError, Window, streams_of
from phonaut.names import is_utf8

if TYPE_CHECKING:
    from soundfile import SoundFile

Samples: TypeAlias = NDArray[np.int16] | NDArray[np.float32]

BLOCK_S = 10.0  # read at once, so that memory is bounded whatever the length of a recording
LARGEST_BLOCK = 1 << 22  # likewise: samples of all channels
UNKNOWN = 2**63 - 1  # number of samples, as libsndfile says it
ENERGY_HOP_S = 0.01  # the loudest window is found on energies of stretches of this length
LOWEST_RATE, HIGHEST_RATE = 2000, 768_000  # a header that says otherwise is damaged
LARGEST_SAMPLE = 4.0  # beyond it, floating-point samples are not audio between -1 and 1
SIXTEEN_BITS = frozenset(("PCM_16", "PCM_U8", "PCM_S8", "ULAW", "ALAW"))  # what int16 holds without loss

# What files of libsndfile's formats are called. NIST is left out: TIMIT's files are named .WAV by their makers.
SUFFIXES = {
    "WAV": (".wav", ".wave", ".bwf"),
    "WAVEX": (".wav", ".wave", ".bwf"),
    "RF64": (".wav", ".wave", ".rf64", ".bwf"),
    "W64": (".w64",),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3", ".mp2", ".mp1", ".mpga"),
    "AIFF": (".aiff", ".aif", ".aifc"),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
}

HEADERS = (b"RIFF", b"NIST", b"fLaC", b"OggS")  # beginnings that are no samples


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


class Part(NamedTuple):
    """One recording in a file, opened; a file has several where some were joined end to end.

    Attributes:
        file: that is read once, from its beginning.
        n_samples: that are in it; `UNKNOWN` where nobody says.
    """

    file: SoundFile
    n_samples: int


def open_recording(
    path: Path, sample_rate: int, channel: int | None = None, pcm_rate: int | None = None
) -> tuple[Recording, Iterator[Samples]]:
    """A recording and its blocks of mono samples at `sample_rate`: those of a channel, from 0, or the mix of all.

    Args:
        path: the file.
        sample_rate: that is wanted, Hz.
        channel: that is wanted.
        pcm_rate: Hz of a file without a header (`Utterance.pcm_rate`).

    Raises:
        BadRecordingError: now, or while the blocks are read: unreadable, empty, truncated, or not numbers.
    """
    parts, remarks = open_parts(path, pcm_rate)
    file, n_source = parts[0].file, sum(part.n_samples for part in parts)
    if n_source == 0:
        raise BadRecordingError("no samples")
    if not LOWEST_RATE <= file.samplerate <= HIGHEST_RATE:
        raise BadRecordingError(f"a sample rate of {file.samplerate} Hz: the header is damaged")
    if len({(part.file.samplerate, part.file.channels) for part in parts}) > 1:
        raise BadRecordingError("recordings of several sample rates or numbers of channels are joined in it")
    if channel is not None and channel >= file.channels:
        raise BadRecordingError(f"channel {channel} is wanted, counted from 0, and it has {file.channels}")
    is_mixed = file.channels > 1 and channel is None
    is_float = file.subtype not in SIXTEEN_BITS or is_mixed or file.samplerate != sample_rate
    recording = Recording(path, is_float, n_source, file.samplerate, file.channels, channel, remarks=remarks)
    usual = SUFFIXES.get(file.format)
    if usual and path.suffix.lower() not in usual:
        recording.remarks.append(f"is {file.format}, not what its name says")
    return recording, blocks(parts, recording, sample_rate)


def duration_s(path: Path) -> float:
    """Seconds of a recording, which is decoded only where nobody says how long it is.

    Raises:
        BadRecordingError: it cannot be used.
    """
    parts, _ = open_parts(path)
    n_samples, rate = sum(part.n_samples for part in parts), parts[0].file.samplerate
    if n_samples < UNKNOWN:
        return float(n_samples / rate) if rate > 0 else 0.0
    recording, decoded = open_recording(path, 16000)
    for _ in decoded:
        pass
    return float(recording.n_source / rate)


def open_parts(path: Path, pcm_rate: int | None = None) -> tuple[list[Part], list[str]]:
    """The recordings that are joined in a file, mostly one, and remarks; one without a header has a `pcm_rate`.

    Raises:
        BadRecordingError: it is empty, cut off, or cannot be read.
    """
    if not is_utf8(str(path)):
        raise BadRecordingError("the name is not UTF-8: rename the file")
    try:
        return _open_parts(path) if pcm_rate is None else ([_open_pcm(path, pcm_rate)], [])
    except (OSError, RuntimeError) as error:
        raise BadRecordingError(f"not readable as audio: {plain(error)}") from error


def _open_pcm(path: Path, rate: int) -> Part:
    """A file of nothing but mono samples of 16 bits, the lower byte first."""
    import soundfile

    raw = path.open("rb")
    n_bytes = os.fstat(raw.fileno()).st_size
    if not n_bytes:
        raise BadRecordingError("an empty file")
    if n_bytes % 2:
        raise BadRecordingError(f"truncated: {n_bytes:,} bytes are no whole number of samples of 16 bits")
    if (beginning := raw.read(4)) in HEADERS:
        raise BadRecordingError(f"has a header, {beginning.decode()}, and the corpus says that there is none")
    raw.seek(0)
    sound = soundfile.SoundFile(raw, samplerate=rate, channels=1, format="RAW", subtype="PCM_16", endian="LITTLE")
    return Part(sound, sound.frames)


def _open_parts(path: Path) -> tuple[list[Part], list[str]]:
    import soundfile

    def opened(file: Any, n_samples: int | None = None) -> Part:
        sound = soundfile.SoundFile(file)
        sound.seekable = lambda: False  # of some kinds libsndfile cannot seek, and it is not needed
        return Part(sound, sound.frames if n_samples is None else n_samples)

    raw = path.open("rb")
    beginning = raw.read(32)
    if not beginning:
        raise BadRecordingError("an empty file")
    if kind := unread_kind(beginning):
        raise BadRecordingError(f"is {kind}, which is not read")
    raw.seek(0)
    if problem := problem_of(raw) or size_problem(raw):
        raise BadRecordingError(problem)
    try:
        streams = streams_of(raw)
    except BadStreamError as error:
        raise BadRecordingError(str(error)) from error
    if streams is not None:
        n = len(streams.parts)
        joined = [f"{n} recordings are joined end to end in it"] if n > 1 else []
        return [opened(Window(raw, part), part.n_samples) for part in streams.parts], joined + streams.remarks
    part = opened(path)
    if problem := byte_order_problem(raw, part.file):
        raise BadRecordingError(problem)
    return [part], []


def blocks(parts: list[Part], recording: Recording, sample_rate: int) -> Iterator[Samples]:
    """The samples: checked, mixed to mono, resampled, and measured in passing."""
    resampler = None
    if recording.source_rate != sample_rate:
        import soxr

        resampler = soxr.ResampleStream(recording.source_rate, sample_rate, 1, dtype="float32", quality="HQ")
    levels: Counter[str] = Counter()
    content = hashlib.blake2b(digest_size=8)
    sounds = False
    hop = max(1, round(ENERGY_HOP_S * sample_rate))
    rest = np.zeros(0)
    for block, is_last in with_last(samples_of(parts, recording, levels)):
        if resampler is not None:
            block = resampler.resample_chunk(block, last=is_last)
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


def samples_of(parts: list[Part], recording: Recording, levels: Counter[str]) -> Iterator[Samples]:
    """The samples of all parts as they are in the file, but mono: as many as are decoded, which must be all.

    Raises:
        BadRecordingError: there are none, or fewer than there should be.
    """
    n_all = 0
    for file, n_samples in parts:
        # Seconds are few where channels are many, for a header may say anything.
        longest = max(1, min(int(BLOCK_S * file.samplerate), LARGEST_BLOCK // file.channels))
        n = 0
        with file:
            while n < n_samples:
                wanted = min(longest, n_samples - n)
                block = read(file, recording, levels, wanted)
                n += len(block)
                if len(block):
                    yield block
                if len(block) < wanted:
                    break
        if n < n_samples < UNKNOWN:
            raise BadRecordingError(f"truncated: fewer than {n_samples} samples are there")
        n_all += n
    if n_all == 0:
        raise BadRecordingError("no samples")
    recording.n_source = n_all


def with_last(blocks: Iterable[Samples]) -> Iterator[tuple[Samples, bool]]:
    """Each block, and whether it is the last; one before what is damaged comes before the error."""
    before = None
    try:
        for block in blocks:
            if before is not None:
                yield before, False
            before = block
    except BadRecordingError:
        if before is not None:
            yield before, False
        raise
    if before is not None:
        yield before, True


def read(file: SoundFile, recording: Recording, levels: Counter[str], n: int) -> Samples:
    """The next `n` samples of the file, or as many as there are, mono."""
    try:
        block: Samples = file.read(n, dtype="float32" if recording.is_float else "int16", always_2d=True)
    except RuntimeError as error:
        raise BadRecordingError(f"damaged: {plain(error)}") from error
    if recording.channel is not None:
        block = block[:, recording.channel, None]
    if not len(block):
        return block[:, 0]
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
    levels["samples"] += block.size
    mono: Samples = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
    levels["sounding"] += int(np.count_nonzero(mono if block.shape[1] == 1 else in_16_bits(mono)))
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


def byte_order_problem(raw: BinaryIO, file: SoundFile) -> str | None:
    """The problem of the byte order that a SPHERE header names, judged by the beginning of the samples."""
    if file.format != "NIST" or file.subtype != "PCM_16":
        return None
    longest = min(int(BLOCK_S * file.samplerate), LARGEST_BLOCK // file.channels, file.frames)
    beginning = file.read(longest, dtype="int16", always_2d=True)[:, 0]
    file.seek(0)
    raw.seek(0)
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
