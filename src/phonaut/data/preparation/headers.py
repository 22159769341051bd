"""Sizes of audio that the headers of files promise."""

from __future__ import annotations

import struct
from typing import BinaryIO

from phonaut.data.preparation.sphere import header_of

# Where the length was not known when the header was written (a pipe), ffmpeg leaves 0 or all ones there, SoX a round
# number just below 2 GiB.
UNKNOWN_FROM = 0x7FFF0000


def promised_bytes(file: BinaryIO, kind: str) -> tuple[int, int] | None:
    """The offset of the samples of a file, and the number of bytes of them that its header promises.

    Args:
        file: opened at its beginning.
        kind: libsndfile's name of its format.

    Returns:
        None where the header does not say, or where the format finds out by itself (FLAC, MP3).
    """
    if kind in ("WAV", "WAVEX"):
        # RIFF or, for big-endian samples, RIFX.
        return chunk(file, b"data", ">" if file.read(4) == b"RIFX" else "<")
    if kind == "AIFF":
        return chunk(file, b"SSND", ">")
    if kind == "NIST":
        header = header_of(file)
        promised = header.promised() if header else None
        return None if header is None or promised is None else (header.size, promised)
    return None


def chunk(file: BinaryIO, chunk_id: bytes, order: str) -> tuple[int, int] | None:
    """The place and the length of a chunk of a RIFF or AIFF file."""
    file.seek(12)
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack(f"{order}4sI", header)
        if name == chunk_id:
            return (file.tell(), length) if 0 < length < UNKNOWN_FROM else None
        file.seek(length + length % 2, 1)
    return None
