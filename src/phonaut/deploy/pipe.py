"""Sound that another program sends through a pipe: a WAV file as it is written, or bare samples of 16 bits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from phonaut.data.preparation.audio import HEADERS, HIGHEST_RATE, LOWEST_RATE
from phonaut.data.preparation.headers import UNKNOWN, unread_kind
from phonaut.deploy.sound import Sound, resampled

NAME = "standard input"
BLOCK = 1 << 16  # bytes that are read at most at once; fewer, as soon as they are there
WAV = re.compile(rb"RIFF....WAVE", re.DOTALL)  # eight bytes that samples do not have by chance
WAV_LENGTH = 12
EXTENSIBLE = 0xFFFE
KINDS = {(1, 16): ("<i2", 2.0**-15), (1, 32): ("<i4", 2.0**-31), (3, 32): ("<f4", 1.0)}  # (tag, bits) of WAV
MORE_UNREAD = (b"fLaC", b"OggS", b"ID3", b"NIST", b"FORM", b"RF64")


class Incoming(Protocol):
    """Standard input, and what can be read like it."""

    def read(self, n: int, /) -> bytes:
        """`n` bytes, fewer at the end only."""

    def read1(self, n: int, /) -> bytes:
        """What is there, at most `n` bytes."""


class Format(NamedTuple):
    """How samples are written.

    Attributes:
        tag: 1: whole numbers, 3: floating point.
        bits: of a sample.
        n_channels: that are mixed.
        rate: Hz.
    """

    tag: int
    bits: int
    n_channels: int
    rate: int


def pipe_sound(stream: Incoming, sample_rate: int, pcm_rate: int | None = None) -> Sound:
    """The samples of WAV, or of mono PCM of 16 bits, the lower byte first, as they come.

    Args:
        stream: the pipe.
        sample_rate: that is wanted, Hz.
        pcm_rate: of bare samples, Hz; None: `sample_rate`. WAV says its own.

    Raises:
        ValueError: it is in another format, the format changes, or `pcm_rate` has no effect.
        OSError: the pipe broke off before the end that its header says.
    """
    pipe = Pipe(stream)
    beginning = pipe.read(4)
    if not beginning:
        raise ValueError(f"{NAME} is empty: no sound came")
    if kind := unread_kind(beginning) or next((m.decode() for m in MORE_UNREAD if beginning.startswith(m)), None):
        raise ValueError(f"{NAME} is {kind}: send WAV or bare samples of 16 bits (ffmpeg -i FILE -f wav -)")
    pipe.unread(beginning)
    if beginning == HEADERS[0]:
        form, n_bytes = header(pipe)
        if pcm_rate is not None:
            raise ValueError(f"sample_rate= is of bare samples, and {NAME} says {form.rate} Hz itself: leave it out")
    else:
        form, n_bytes = Format(1, 16, 1, pcm_rate or sample_rate), None
    if not LOWEST_RATE <= form.rate <= HIGHEST_RATE:
        raise ValueError(f"{NAME} has a sample rate of {form.rate} Hz: must be {LOWEST_RATE} to {HIGHEST_RATE}")
    yield from resampled(samples(pipe, form, n_bytes), form.rate, sample_rate)


class Pipe:
    """Bytes that can be put back."""

    def __init__(self, stream: Incoming) -> None:
        self.stream, self.back = stream, b""

    def read(self, n: int) -> bytes:
        """`n` bytes, fewer at the end only."""
        taken, self.back = self.back[:n], self.back[n:]
        while len(taken) < n and (more := self.stream.read(n - len(taken))):
            taken += more
        return taken

    def some(self, n: int) -> bytes:
        """What is there, at most `n` bytes; none at the end."""
        if self.back:
            return self.read(min(n, len(self.back)))
        return self.stream.read1(n)

    def unread(self, data: bytes) -> None:
        """Put bytes back."""
        self.back = data + self.back


def header(pipe: Pipe) -> tuple[Format, int | None]:
    """The format of a WAV file up to its samples, and how many bytes these have; None: until the end.

    Raises:
        ValueError: it is damaged, or in a format that is not read.
    """
    if not WAV.fullmatch(pipe.read(WAV_LENGTH)):
        raise ValueError(f"{NAME} begins like WAV and is none")
    form = None
    while len(head := pipe.read(8)) == 8:
        name, length = head[:4], int.from_bytes(head[4:], "little")
        if name == b"data" and form is not None:
            return form, None if any(length in sizes for sizes in UNKNOWN) else length
        content = pipe.read(length + length % 2)
        if name == b"fmt " and len(content) >= 16:
            tag, n_channels, rate = (int.from_bytes(content[at:end], "little") for at, end in ((0, 2), (2, 4), (4, 8)))
            tag = int.from_bytes(content[24:26], "little") if tag == EXTENSIBLE else tag
            form = Format(tag, int.from_bytes(content[14:16], "little"), n_channels, rate)
            if (form.tag, form.bits) not in KINDS or not n_channels:
                raise ValueError(f"{NAME} is WAV of kind {tag} with {form.bits} bits and {n_channels} channels: send "
                                 "16 bits (ffmpeg -i FILE -c:a pcm_s16le -f wav -)")  # fmt: skip
    raise ValueError(f"{NAME} is WAV that ends before its samples")


def samples(pipe: Pipe, form: Format, n_bytes: int | None) -> Iterator[NDArray[np.float32]]:
    """Mono samples `(S,)` to the end of the pipe, over all WAV files that are joined in it.

    Raises:
        ValueError: the format changes.
        OSError: it broke off.
    """
    kind, scale = KINDS[form.tag, form.bits]
    size = form.n_channels * form.bits // 8
    n_frames, rest = 0, b""
    while True:
        for data in data_of(pipe, n_bytes):
            rest += data
            whole = len(rest) // size * size
            values = np.frombuffer(rest[:whole], kind).astype(np.float32) * np.float32(scale)
            rest = rest[whole:]
            n_frames += whole // size
            if not np.isfinite(values).all():
                raise ValueError(f"{NAME} has NaN or infinite samples before {n_frames / form.rate:.1f} s")
            yield values if form.n_channels == 1 else values.reshape(-1, form.n_channels).mean(axis=1)
        if rest:
            raise OSError(f"{NAME} broke off within a sample, after {n_frames / form.rate:.1f} s")
        if not find_next(pipe):
            return
        after, n_bytes = header(pipe)
        if after != form:
            was, now = (f"{one.rate} Hz, {one.bits} bits, {one.n_channels} channels" for one in (form, after))
            raise ValueError(f"{NAME} changes from {was} to {now} after {n_frames / form.rate:.1f} s: start another "
                             "phonaut listen for what follows")  # fmt: skip


def data_of(pipe: Pipe, n_bytes: int | None) -> Iterator[bytes]:
    """The bytes of samples: as many as there should be, or all up to the next header of a WAV file or the end.

    Raises:
        OSError: there are fewer.
    """
    if n_bytes is not None:
        left = n_bytes
        while left:
            if not (data := pipe.some(min(left, BLOCK))):
                raise OSError(f"{NAME} broke off: {left:,} of {n_bytes:,} bytes did not come")
            left -= len(data)
            yield data
        pipe.read(n_bytes % 2)
        return
    held = b""
    while data := pipe.some(BLOCK):
        held += data
        if found := WAV.search(held):
            pipe.unread(held[found.start() :])
            yield held[: found.start()]
            return
        begun = held.find(b"R", max(0, len(held) - WAV_LENGTH + 1))  # may be the beginning of a header
        yield held[:begun] if begun >= 0 else held
        held = held[begun:] if begun >= 0 else b""
    yield held


def find_next(pipe: Pipe) -> bool:
    """Pass over what follows samples, such as tags, to the next WAV file; False where the pipe ends."""
    while len(head := pipe.read(8)) == 8:
        if head[:4] == HEADERS[0]:
            pipe.unread(head)
            return True
        length = int.from_bytes(head[4:], "little")
        while length > 0 and (data := pipe.read(min(length + length % 2, BLOCK))):
            length -= len(data)
    return False
