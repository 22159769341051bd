"""Recordings and frames for a page: WAV files and pictures as data URIs."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from phonaut.files import read_arrays
from phonaut.runs.run import Run

WINDOW_S = 0.016  # of the spectrogram: short enough for bursts, long enough for harmonics
TOP_HZ = 8000.0
RANGE_DB = 60.0
COLUMNS = 320  # at most
LEVELS = 64
PREEMPHASIS = 0.97
# From paper to ink, as printed spectrograms are: fraction of the range -> red, green, blue.
RAMP = ((0.0, (255, 255, 255)), (0.35, (190, 212, 224)), (0.7, (52, 107, 148)), (1.0, (9, 22, 43)))

Audio = NDArray[np.float32]
T = TypeVar("T")


def read_samples(run: Run, read: Callable[[dict[str, NDArray[Any]]], list[T]]) -> list[T]:
    """The arrays of a run's `samples.npz`, converted by `read`; nothing where there is no such file.

    Raises:
        ValueError: the file is damaged.
    """
    path = run.folder / "samples.npz"
    if not path.exists():
        return []
    arrays = read_arrays(path)
    try:
        return read(arrays)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it") from error


def data_uri(kind: str, data: bytes) -> str:
    """`data` within a page.

    >>> data_uri("text/plain", b"hi")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def wav(audio: Audio, sample_rate: int) -> bytes:
    """A mono WAV file of 16 bits.

    Args:
        audio: in [-1, 1], `(samples,)`; what lies beyond is clipped.
        sample_rate: Hz.
    """
    samples = np.clip(np.rint(audio.astype(np.float64) * 32768), -32768, 32767).astype("<i2").tobytes()
    head = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    body = b"WAVE" + head + struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def spectrogram(audio: Audio, sample_rate: int) -> NDArray[np.float64]:
    """Level of every frequency at every time, `(frequencies, frames)` in [0, 1], the highest frequency first.

    The power spectrum of the pre-emphasised signal in Hann windows of 16 ms, in dB, over a range of 60 dB below the
    loudest part. Frequencies go up to 8 kHz, times from end to end.
    """
    n_fft = 2 ** round(np.log2(WINDOW_S * sample_rate))
    hop = max(1, round(0.0025 * sample_rate), -(-len(audio) // COLUMNS))
    emphasised = audio.astype(np.float64)
    emphasised[1:] -= PREEMPHASIS * audio[:-1]
    padded = np.pad(emphasised, n_fft // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    power = np.abs(np.fft.rfft(windows * np.hanning(n_fft), axis=1)) ** 2
    power = power[:, : int(min(TOP_HZ, sample_rate / 2) * n_fft / sample_rate) + 1]
    level = 10 * np.log10(power + 1e-9)
    loudest = max(float(np.quantile(level, 0.999)), -30.0)  # what is all but silent stays pale
    return np.clip((level.T[::-1] - loudest) / RANGE_DB + 1.0, 0.0, 1.0)


def png(image: NDArray[np.float64]) -> bytes:
    """A picture of levels in [0, 1], `(rows, columns)`, as a PNG with a palette from paper to ink."""
    rows, columns = image.shape
    pixels = np.rint(image * (LEVELS - 1)).astype(np.uint8)
    lines = np.concatenate([np.zeros((rows, 1), np.uint8), pixels], axis=1).tobytes()  # 0: rows are not filtered
    stops, steps = [stop for stop, _ in RAMP], np.linspace(0, 1, LEVELS)
    palette = np.stack([np.interp(steps, stops, [colour[i] for _, colour in RAMP]) for i in range(3)], axis=1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)),
        (b"PLTE", np.rint(palette).astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
