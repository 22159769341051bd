"""MP3, Ogg and FLAC as they are cut, joined and streamed: the recordings in a file, and how many samples each has.

Their headers say it late, wrongly, or not at all, and libsndfile believes them: of an MP3 without a header of the whole
it guesses the length from the first bit rate, and of files joined end to end it reads the first. Here frames and pages
are counted, which takes a hundredth of the time of decoding.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from phonaut.data.preparation.headers import chunk

MPEG_TAGS = (0x50, 0x55)  # of the kind of samples in a WAV file
MOST_PARTS = 1000  # in one file
FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")  # with the first header, which has 34 bytes: no chance hit
CANDIDATE = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]|ID3[\x02-\x04]|APETAGEX|TAG")  # a frame or a tag of MP3
SLACK = b"\0" * 8192  # behind an MPEG stream whose length libsndfile guesses, that it guesses too much

# kbit/s by MPEG 1 or not, and layer
BIT_RATES = {
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SAMPLE_RATES = (44100, 48000, 32000)  # of MPEG 1; half of MPEG 2, a quarter of MPEG 2.5


class BadStreamError(ValueError):
    """A stream that cannot be read to its end, and why."""


class Stretch(NamedTuple):
    """One recording in a file.

    Attributes:
        start: its first byte.
        end: the byte after its last.
        n_samples: as they are counted; None: as libsndfile says.
        before: bytes that are to stand before it.
        after: bytes that are to stand behind it.
    """

    start: int
    end: int
    n_samples: int | None = None
    before: bytes = b""
    after: bytes = b""


class Streams(NamedTuple):
    """The recordings in a file, and remarks on what is between them."""

    parts: list[Stretch]
    remarks: list[str]


def streams_of(file: BinaryIO) -> Streams | None:
    """The recordings in a file of MP3, Ogg or FLAC; None: it is none of these, or libsndfile reads it as it is.

    Raises:
        BadStreamError: it is cut off.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    beginning = file.read(32)
    if beginning.startswith(b"OggS"):
        found = ogg_parts(file, size)
    elif beginning.startswith(b"fLaC"):
        found = Streams(flac_parts(file, size), [])
    elif beginning.startswith(b"RIFF"):
        inside = mpeg_in_riff(file, size)
        if inside is None:
            return None
        found = mpeg_parts(file, *inside)
    else:
        tag = tag_length(beginning)
        file.seek(tag)
        following = file.read(4)
        if FrameHeader.read(following) is None and (not tag or following in (b"fLaC", b"RIFF", b"FORM")):
            return None
        found = mpeg_parts(file, 0, size)
    if len(found.parts) > MOST_PARTS:
        raise BadStreamError(f"{len(found.parts)} recordings are joined end to end in it; {MOST_PARTS} are read")
    if not found.parts or (found.parts == [Stretch(0, size)] and not found.remarks):
        return None
    return found


class Window:
    """A part of a file as a file of its own, as soundfile reads it."""

    def __init__(self, file: BinaryIO, part: Stretch) -> None:
        self._file, self._part, self._at = file, part, 0
        self._size = len(part.before) + part.end - part.start + len(part.after)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place."""
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def read(self, n: int = -1) -> bytes:
        """The bytes from here on."""
        part, end = self._part, self._size if n < 0 else min(self._size, self._at + n)
        data = b""
        while self._at < end:
            inside = self._at - len(part.before)
            beyond = inside - (part.end - part.start)
            if inside < 0:
                piece = part.before[self._at : end]
            elif beyond < 0:
                self._file.seek(part.start + inside)
                piece = self._file.read(min(end - self._at, -beyond))
            else:
                piece = part.after[beyond : beyond + end - self._at]
            if not piece:
                break
            data += piece
            self._at += len(piece)
        return data


# --- MPEG -------------------------------------------------------------------------------------------------------------


class FrameHeader(NamedTuple):
    """The header of a frame of MPEG audio.

    Attributes:
        kind: what all frames of a recording share: version, layer, sample rate, and whether it is mono.
        length: of the frame, bytes.
        n_samples: of the frame.
        side: where, in the first frame of layer III, the header of the recording is.
    """

    kind: tuple[int, int, int, bool]
    length: int
    n_samples: int
    side: int

    @classmethod
    def read(cls, four: bytes) -> FrameHeader | None:
        """The header in four bytes; None: it is none, or the bit rate is free."""
        if len(four) < 4 or four[0] != 0xFF or four[1] & 0xE0 != 0xE0:
            return None
        version, layer = four[1] >> 3 & 3, 4 - (four[1] >> 1 & 3)
        rate_code, bits_code = four[2] >> 2 & 3, four[2] >> 4
        if version == 1 or layer == 4 or rate_code == 3 or bits_code in (0, 15) or four[3] & 3 == 2:
            return None
        is_1, mono, padding = version == 3, four[3] >> 6 == 3, four[2] >> 1 & 1
        rate = SAMPLE_RATES[rate_code] // {3: 1, 2: 2, 0: 4}[version]
        bits = 1000 * BIT_RATES[is_1, layer][bits_code]
        if layer == 1:
            length, n_samples = (12 * bits // rate + padding) * 4, 384
        else:
            n_samples = 576 if layer == 3 and not is_1 else 1152
            length = n_samples // 8 * bits // rate + padding
        side = ((17 if mono else 32) if is_1 else (9 if mono else 17)) + (4 if four[1] & 1 else 6)
        return cls((version, layer, rate, mono), length, n_samples, side)


@dataclass
class Run:
    """Frames of one recording that follow one another.

    Attributes:
        start: of the first, or of the header of the recording before it.
        header: length of that header, bytes.
        says: the number of frames that it says; None: there is no such header, or it does not say.
        first: header of the first frame, four bytes.
        frame: the same, read.
        n: number of frames.
        end: of the last.
    """

    start: int
    header: int
    says: int | None
    first: bytes
    frame: FrameHeader
    n: int
    end: int

    def part(self) -> Stretch:
        """Where libsndfile's count will be right, the frames as they are: it also knows what the encoder padded.

        Else they come behind a header of our own, which counts right.

        Raises:
            BadStreamError: there are fewer than the header says.
        """
        if self.says == self.n:
            return Stretch(self.start, self.end)
        if self.says is not None and self.says > self.n + 1:  # some count the header itself
            raise BadStreamError(f"truncated: {self.n} of {self.says} frames are there")
        start = self.start + self.header
        if self.frame.kind[1] != 3:
            return Stretch(start, self.end, self.n * self.frame.n_samples, after=SLACK)
        return Stretch(start, self.end, before=_header(self.first, self.n))  # of all samples but the decoder's delay


def mpeg_in_riff(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """The first byte of MPEG audio in a WAV file, and the byte after its last; None: it holds samples."""
    kind, data = chunk(file, b"fmt ", "<"), chunk(file, b"data", "<")
    if kind is None or data is None:
        return None
    file.seek(kind[0])
    if int.from_bytes(file.read(2), "little") not in MPEG_TAGS:
        return None
    return data[0], min(sum(data), size)


def mpeg_parts(file: BinaryIO, start: int, size: int) -> Streams:
    """The recordings in MPEG audio from a byte on, up to another one.

    One begins where a header of a whole recording is (Xing's, LAME's or VBRI), behind a tag, and where the kind of
    frame changes.

    Raises:
        BadStreamError: there are fewer frames than a header says, or the last one is not whole.
    """
    runs: list[Run] = []
    run: Run | None = None
    n_junk, place = 0, start
    while place < size:
        file.seek(place)
        first = file.read(4)
        frame = FrameHeader.read(first)
        if frame is None:
            file.seek(place)
            step = tag_length(file.read(32))
            if step:
                run = None
            else:
                step, n = _to_next(file, place, size)
                n_junk += n
            place += step
            continue
        if place + frame.length > size:
            raise BadStreamError(f"truncated: {size - place} of the {frame.length} bytes of its last frame are there")
        is_header, says = _recording_header(file, place, frame)
        if run is None or is_header or run.frame.kind != frame.kind:
            run = Run(place, frame.length if is_header else 0, says, first, frame, 0, place)
            runs.append(run)
        run.n += not is_header
        place += frame.length
        run.end = place
    parts = [run.part() for run in runs if run.n]
    if start == 0 and len(parts) == 1 and not parts[0].before and not parts[0].after:
        parts = [Stretch(0, size)]
    return Streams(parts, [f"{n_junk} bytes in it are no MP3, and were passed over"] if n_junk else [])


def tag_length(head: bytes) -> int:
    """The length of a tag that begins with these 32 bytes; 0: none does."""
    if head.startswith(b"ID3") and len(head) >= 10 and max(head[6:10]) < 128:
        length = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return length + (20 if head[5] & 16 else 10)
    if head.startswith(b"APETAGEX") and len(head) == 32:
        length, _, flags = struct.unpack("<12xIII", head[:24])
        return length + (32 if flags & 1 << 31 and flags & 1 << 29 else 0) or 32
    return 128 if head.startswith(b"TAG") else 0


def _to_next(file: BinaryIO, place: int, size: int) -> tuple[int, int]:
    """Bytes to the next frame or tag, or to the end; and how many of them are not 0."""
    start, n = place, 0
    while place < size:
        file.seek(place)
        data = file.read(1 << 16)
        for match in CANDIDATE.finditer(data, 1 if place == start else 0):
            at = place + match.start()
            if data[match.start()] != 0xFF or _two_frames(file, at, size):
                return at - start, n + match.start() - data[: match.start()].count(0)
        step = max(1, len(data) - 8) if place + len(data) < size else len(data)
        n += step - data[:step].count(0)
        place += step
    return size - start, n


def _two_frames(file: BinaryIO, place: int, size: int) -> bool:
    """True where a frame is followed by another one, or ends with the file."""
    file.seek(place)
    one = FrameHeader.read(file.read(4))
    if one is None or place + one.length > size:
        return False
    file.seek(place + one.length)
    head = file.read(32)
    two = FrameHeader.read(head[:4])
    return not head or tag_length(head) > 0 or (two is not None and two.kind == one.kind)


def _recording_header(file: BinaryIO, place: int, frame: FrameHeader) -> tuple[bool, int | None]:
    """Whether a frame is the header of a recording, and the number of frames after it where it says that."""
    if frame.kind[1] != 3:
        return False, None
    file.seek(place)
    data = file.read(min(frame.length, 64))
    if data[frame.side : frame.side + 4] in (b"Xing", b"Info"):
        flags, n = struct.unpack(">II", data[frame.side + 4 : frame.side + 12].ljust(8, b"\0"))
        return True, n if flags & 1 else None
    return data[36:40] == b"VBRI", None


def _header(first: bytes, n: int) -> bytes:
    """A header of a recording of `n` frames, such as LAME writes, but without what the encoder padded."""
    four = bytes((0xFF, first[1] | 1, 8 << 4 | first[2] & 0x0C, first[3]))
    frame = FrameHeader.read(four)
    assert frame is not None
    return (four.ljust(frame.side, b"\0") + b"Info" + struct.pack(">II", 1, n)).ljust(frame.length, b"\0")


# --- Ogg and FLAC -----------------------------------------------------------------------------------------------------


def ogg_parts(file: BinaryIO, size: int) -> Streams:
    """The recordings in a file of Ogg: one begins where a first page follows on others.

    Raises:
        BadStreamError: the last page is not whole.
    """
    starts, remarks = [0], []
    n_junk = place = 0
    has_data = is_over = False
    while place < size:
        file.seek(place)
        head = file.read(27)
        if not head.startswith(b"OggS"[: len(head)]):
            step = _to_page(file, place, size)
            n_junk += step
            place += step
            continue
        table = file.read(head[26]) if len(head) == 27 else b""
        length = 27 + len(table) + sum(table)
        if len(head) < 27 or len(table) < head[26] or place + length > size:
            raise BadStreamError(f"truncated: {size - place} bytes of its last page are there")
        is_first = bool(head[5] & 2)
        if is_first and has_data:
            starts.append(place)
        has_data, is_over = not is_first, bool(head[5] & 4)
        place += length
    if not is_over:
        remarks.append("the end of the stream is not marked: it may be cut off")
    if n_junk:
        remarks.append(f"{n_junk} bytes in it are no Ogg, and were passed over")
    return Streams([Stretch(start, end) for start, end in pairwise((*starts, size))], remarks)


def _to_page(file: BinaryIO, place: int, size: int) -> int:
    """Bytes to the next page, or to the end."""
    start = place
    while place < size:
        file.seek(place)
        data = file.read(1 << 16)
        at = data.find(b"OggS")
        if at >= 0:
            return place + at - start
        place += max(1, len(data) - 3) if place + len(data) < size else len(data)
    return size - start


def flac_parts(file: BinaryIO, size: int) -> list[Stretch]:
    """The recordings in a file of FLAC."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        starts = [match.start() for match in FLAC.finditer(data)]
    return [Stretch(start, end) for start, end in pairwise((0, *(start for start in starts if start), size))]
