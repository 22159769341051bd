"""NIST SPHERE files: what their header of text says, and what of it cannot be used, by name."""

from __future__ import annotations

import os
import re
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.names import excerpt

MAGIC = b"NIST_1A"
LONGEST_HEADER = 1 << 20  # bytes; they have 1024
CODINGS = ("pcm", "ulaw", "alaw")
WIDEST = 4  # bytes of a sample
NEEDED = ("channel_count", "sample_rate", "sample_n_bytes")
BLOCK = 1024  # so many bytes more than the header promises are another recording, fewer are padding
LEAST_JUDGED = 1000  # samples; of fewer nobody can tell the order of bytes
SMOOTH, ROUGH = 0.5, 0.3  # correlation of neighbouring samples


class Header(NamedTuple):
    """The header before the samples.

    Attributes:
        size: of the header, bytes.
        fields: name -> type and value: `("i", "16000")`, `("s2", "01")`.
    """

    size: int
    fields: dict[str, tuple[str, str]]

    def number(self, name: str) -> int | None:
        """A whole number of the header; None: it has none of this name."""
        kind, value = self.fields.get(name, ("", ""))
        # libsndfile writes the width of companded samples as a text
        return int(value) if kind in ("i", "s1") and re.fullmatch(r"-?\d{1,18}", value) else None

    def text(self, name: str, otherwise: str = "") -> str:
        """A text of the header."""
        return self.fields.get(name, ("", otherwise))[1]

    def peaks(self) -> tuple[int, int] | None:
        """The least and the greatest sample; None where the header does not say."""
        low, high = self.number("sample_min"), self.number("sample_max")
        return None if low is None or high is None else (low, high)

    def promised(self) -> int | None:
        """Bytes of samples; None where the header does not say."""
        n, width = self.number("sample_count"), self.number("sample_n_bytes")
        return None if not n else n * (2 if width is None else width) * (self.number("channel_count") or 1)


def header_of(file: BinaryIO) -> Header | None:
    """The header of a file that is opened at its beginning; None: there is none, or it has no end."""
    start = re.match(rb"NIST_1A\n\s*(\d+)\n", file.read(16))
    if start is None or int(start.group(1)) > LONGEST_HEADER:
        return None
    size = int(start.group(1))
    file.seek(0)
    lines = file.read(size).decode("latin-1").split("\n")
    if "end_head" not in (line.strip() for line in lines):
        return None
    fields = {}
    for line in lines[2:]:
        if line.strip() == "end_head":
            break
        if match := re.match(r"\s*(\S+)\s+-([irs]\d*)\s(.*)", line):
            fields[match[1]] = (match[2], match[3].strip())
    return Header(size, fields)


def problem_of(file: BinaryIO) -> str | None:
    """Why a file that begins like SPHERE cannot be used, and what to do; None: its header is in order, or it is none.

    Args:
        file: opened at its beginning, and left there.
    """
    try:
        if file.read(len(MAGIC)) != MAGIC:
            return None
        if file.read(1) == b"\r":
            return "a SPHERE file whose line ends were changed, as text: copy or unpack it again, in binary mode"
        file.seek(0)
        header = header_of(file)
        if header is None:
            return "the SPHERE header has no size or no end_head: it is damaged; copy the file again"
        there = os.fstat(file.fileno()).st_size - header.size
        return _coding_problem(header) or _number_problem(header) or _too_long(header, there)
    finally:
        file.seek(0)


def _coding_problem(header: Header) -> str | None:
    coding = header.text("sample_coding", "pcm")
    if coding in CODINGS:
        return None
    if "shorten" in coding:
        return (
            f"SPHERE compressed by shorten (sample_coding {excerpt(coding)}), which is not read: unpack it, "
            "sph2pipe -f wav x.WAV x.WAV.wav"
        )
    return (
        f"SPHERE with sample_coding {excerpt(coding)}; {', '.join(CODINGS)} are read: sph2pipe -f wav x.WAV x.WAV.wav"
    )


def _number_problem(header: Header) -> str | None:
    for name in (*NEEDED, *({"sample_count"} & header.fields.keys())):
        if name not in header.fields:
            return f"the SPHERE header does not say {name}: it is damaged; copy the file again"
        kind, value = header.fields[name]
        number = header.number(name)
        if number is None or number < (0 if name == "sample_count" else 1):
            return f"the SPHERE header says {name} -{kind} {excerpt(value)}: a whole number (-i) above 0 is wanted"
    width, order = header.number("sample_n_bytes"), header.text("sample_byte_format")
    if width is not None and width > WIDEST:
        return f"the SPHERE header says sample_n_bytes -i {width}: samples of 1 to {WIDEST} bytes are read"
    digits = "".join(str(i) for i in range(width or 0))
    if width == 1 or order in (digits, digits[::-1]) or (order in ("01", "10") and len(digits) > 2):  # libsndfile's
        return None
    if "sample_byte_format" not in header.fields:
        return "the SPHERE header does not say sample_byte_format, the order of bytes: copy the file again"
    return (
        f"the SPHERE header says sample_byte_format {excerpt(order)} for samples of {width} bytes: {digits} "
        f"(little-endian) or {digits[::-1]} (big-endian) are read"
    )


def _too_long(header: Header, there: int) -> str | None:
    promised = header.promised()
    if promised is None or there < promised + BLOCK:
        return None
    return f"the SPHERE header promises {promised} bytes of samples, and {there} are there: it is of another recording"


def swapped(samples: NDArray[np.int16], peaks: tuple[int, int] | None = None) -> bool:
    """True where 16-bit samples were read in the wrong order of bytes.

    They were if only the swapped samples have the peaks that the header names; or if neighbours are alike only when
    swapped, for in the wrong order the low byte, which is as good as random, weighs most. Noise is rough in either
    order.

    Args:
        samples: as they were read.
        peaks: the least and the greatest of them by the header; None: it does not say.

    >>> tone = (3000 * np.sin(np.arange(2000) / 9)).astype(np.int16)
    >>> swapped(tone), swapped(tone.byteswap())
    (False, True)
    """
    if len(samples) < LEAST_JUDGED:
        return False
    other = samples.byteswap()
    if peaks is not None and peaks != _peaks(samples) and peaks == _peaks(other):
        return True
    return _likeness(samples) < ROUGH and _likeness(other) > SMOOTH


def _peaks(samples: NDArray[np.int16]) -> tuple[int, int]:
    return int(samples.min()), int(samples.max())


def _likeness(samples: NDArray[np.int16]) -> float:
    """Correlation of neighbouring samples; 1 where all are equal."""
    x = samples.astype(np.float64)
    x -= x.mean()
    power = float(x @ x)
    return float(x[1:] @ x[:-1]) / power if power else 1.0
