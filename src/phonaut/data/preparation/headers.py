"""Sizes of audio that the headers of files promise, and the formats that are told apart by their beginning alone."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from phonaut.data.preparation.sphere import header_of

# Where the length was not known when the header was written (a pipe), ffmpeg leaves 0 or all ones there, SoX a round
# number just below 2 GiB.
UNKNOWN = (range(1), range(0x7FFF0000, 0x80000001), range(0xFFFF0000, 0x100000000))
UNKNOWN_FROM = 1 << 62  # likewise of 64 bits
LONGEST_TAIL = 1 << 20  # bytes after the samples that are searched for another file
MOST_CHUNKS = 10_000  # before that of the samples; in a damaged file they may be of no bytes

# What libsndfile does not read, by what stands where: told by name, for a .wav may hold anything.
UNREAD = {
    (4, b"ftyp"): "MPEG-4 (m4a)",
    (0, b"\x1aE\xdf\xa3"): "Matroska or WebM",
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"): "Windows Media (wma)",
    (0, b"#!AMR"): "AMR",
    (0, b"\xff\xf1"): "AAC",
    (0, b"\xff\xf9"): "AAC",
    (0, b"wvpk"): "WavPack",
    (0, b"MAC "): "Monkey's Audio",
    (0, b"ajkg"): "shorten",
    (0, b"TTA1"): "True Audio",
    (0, b"MThd"): "MIDI",
    (0, b"\x1f\x8b"): "gzip",
    (0, b"PK\x03\x04"): "zip",
    (0, b"version https://git-lfs"): "a pointer of Git LFS, not the file (git lfs pull fetches it)",
}

Span = tuple[int, int]  # first byte of the samples, and number of bytes of them


def unread_kind(beginning: bytes) -> str | None:
    """The name of a format that is not read; None: it is none that is known."""
    return next((name for (at, magic), name in UNREAD.items() if beginning[at:].startswith(magic)), None)


def size_problem(file: BinaryIO) -> str | None:
    """The lack of a file that is shorter than its header says, or has another one behind it; None: it is whole.

    libsndfile does not report the first, and names the second by a marker that is not there.
    """
    file.seek(0)
    magic = file.read(20)
    promised = promised_bytes(file, magic)
    if promised is None:
        return None
    start, length = promised
    there = os.fstat(file.fileno()).st_size - start
    if there < length:
        return f"truncated: {max(0, there)} of {length} bytes are there"
    file.seek(start + length)
    tail = file.read(LONGEST_TAIL)
    form = magic[8:12] if magic[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM") else b""
    for match in re.finditer(re.escape(magic[:4]), tail):
        if tail[match.start() + 8 :].startswith(form):
            return "recordings are joined end to end in it, of which the first alone would be read: write them as one"
    return None


def promised_bytes(file: BinaryIO, magic: bytes) -> Span | None:
    """The offset of the samples of a file, and the number of bytes of them that its header promises.

    Args:
        file: that is read.
        magic: its first 20 bytes.

    Returns:
        None where the header does not say, or where the format finds out by itself.
    """
    for beginning, read in PROMISES.items():
        if magic.startswith(beginning):
            file.seek(0)
            return read(file)
    return None


def riff(file: BinaryIO) -> Span | None:
    """RIFF; RIFX with big-endian samples; RF64 or BW64 with the length of the samples in a chunk of its own."""
    magic = file.read(4)
    order = ">" if magic == b"RIFX" else "<"
    found = chunk(file, b"data", order)
    if magic not in (b"RF64", b"BW64") or found is None:
        return known(found)
    ds64 = chunk(file, b"ds64", order)
    if found[1] == 0xFFFFFFFF and ds64 is not None:
        file.seek(ds64[0] + 8)
        length = file.read(8)
        found = (found[0], struct.unpack("<Q", length)[0]) if len(length) == 8 else None
    return known(found)


def form(file: BinaryIO) -> Span | None:
    """AIFF and AIFF-C; Amiga's IFF, whose samples have another name."""
    return known(chunk(file, b"SSND", ">") or chunk(file, b"BODY", ">"))


def w64(file: BinaryIO) -> Span | None:
    """Sony Wave64: chunks are named by 16 bytes, and their lengths count themselves."""
    place = 40
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        header = file.read(24)
        if len(header) < 24:
            return None
        name, length = struct.unpack("<4s12xQ", header)
        if name == b"data":
            return known((place + 24, length - 24))
        if not 24 <= length < UNKNOWN_FROM:
            return None
        place += (length + 7) // 8 * 8
    return None


def caf(file: BinaryIO) -> Span | None:
    """Apple's Core Audio."""
    place = 8
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        header = file.read(12)
        if len(header) < 12:
            return None
        name, length = struct.unpack(">4sq", header)
        if name == b"data":
            return known((place + 12, length))
        if length < 0:
            return None
        place += 12 + length
    return None


def au(file: BinaryIO) -> Span | None:
    """Sun's and NeXT's."""
    header = file.read(12)
    if len(header) < 12:
        return None
    start, length = struct.unpack("<4xII" if header[:4] == b"dns." else ">4xII", header)
    return known((start, length))


def sphere(file: BinaryIO) -> Span | None:
    """NIST SPHERE."""
    header = header_of(file)
    promised = header.promised() if header else None
    return None if header is None or promised is None else (header.size, promised)


def avr(file: BinaryIO) -> Span | None:
    """Audio Visual Research: a count of samples."""
    header = file.read(30)
    if len(header) < 30:
        return None
    stereo, bits, n = struct.unpack(">12xHH10xI", header)
    return known((128, n * (2 if stereo else 1) * max(1, bits // 8)))


def mpc2k(file: BinaryIO) -> Span | None:
    """Akai's MPC 2000: a count of samples."""
    header = file.read(42)
    if len(header) < 42:
        return None
    stereo, n = struct.unpack("<21x?8xI8x", header)
    return known((42, n * 2 * (2 if stereo else 1)))


def voc(file: BinaryIO) -> Span | None:
    """Creative's: the first block of samples, and all blocks after it."""
    file.seek(20)
    place = int.from_bytes(file.read(2), "little")
    start = None
    for _ in range(MOST_CHUNKS):
        file.seek(place)
        header = file.read(4)
        if not header or header[0] == 0 or len(header) < 4:
            return known((start, place - start)) if start is not None else None
        start = place if start is None else start
        place += 4 + int.from_bytes(header[1:4], "little")
    return None


def wve(file: BinaryIO) -> Span | None:
    """Psion's."""
    header = file.read(22)
    return known((32, int.from_bytes(header[18:22], "big"))) if len(header) == 22 else None


def sds(file: BinaryIO) -> Span | None:
    """MIDI's Sample Dump Standard: a count of samples, in packets of 127 bytes, and of 7 bits a byte."""
    header = file.read(21)
    if len(header) < 21 or not 8 <= header[6] <= 28:
        return None
    n = header[10] | header[11] << 7 | header[12] << 14
    a_packet = 120 // -(-header[6] // 7)
    return known((21, -(-n // a_packet) * 127))


PROMISES: dict[bytes, Callable[[BinaryIO], Span | None]] = {
    b"RIFF": riff,
    b"RIFX": riff,
    b"RF64": riff,
    b"BW64": riff,
    b"riff": w64,
    b"FORM": form,
    b"caff": caf,
    b".snd": au,
    b"dns.": au,
    b"NIST_1A": sphere,
    b"2BIT": avr,
    b"\x01\x04": mpc2k,
    b"Creative Voice File": voc,
    b"ALawSoundFile**": wve,
    b"\xf0\x7e": sds,
}


def known(found: Span | None) -> Span | None:
    """A place and a length, but for those lengths that stand for one that was not known."""
    if found is None or found[1] < 0 or found[1] >= UNKNOWN_FROM or any(found[1] in values for values in UNKNOWN):
        return None
    return found


def chunk(file: BinaryIO, chunk_id: bytes, order: str) -> Span | None:
    """The place and the length of a chunk of a RIFF or AIFF file."""
    file.seek(12)
    for _ in range(MOST_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            return None
        name, length = struct.unpack(f"{order}4sI", header)
        if name == chunk_id:
            return file.tell(), length
        file.seek(length + length % 2, 1)
    return None
