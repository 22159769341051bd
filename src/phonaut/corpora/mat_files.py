"""Numeric matrices of MATLAB files, of version 5 (`save -v7`), and of version 7.3 (HDF5) by h5py.

Nothing but numbers is read: cells, structures, objects and links to other files are refused. A matrix of a v7.3 file is
read in parts; HDF5 has its axes in reverse, and here they are as MATLAB shows them.
"""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.names import did_you_mean, excerpt, shown

NUMBERS = ("double", "single", "logical", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))
HDF5 = b"\x89HDF\r\n\x1a\n"
HEAD = 512  # bytes that MATLAB writes before the HDF5 of a v7.3 file
COMPRESSED = 15  # kind of an element of a v5 file
COMPLEX = 0x800  # flag of a matrix there
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}  # of its values
CLASSES = dict(enumerate(("cell", "struct", "object", "char", "sparse matrix", "double", "single", "int8", "uint8",
                          "int16", "uint16", "int32", "uint32", "int64", "uint64", "function", "object of a class"),
                         1))  # fmt: skip
MOST_HEAD = 4096  # bytes of a variable there before its values
MOST_DEFLATED = 1100  # bytes that one byte can be inflated to are 1032


class MatFile(ABC):
    """The numeric matrices of a MATLAB file.

    Args:
        path: of the file.

    Attributes:
        shapes: rows and columns of each matrix, by its name.
        others: what kind of thing each other variable is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shapes: dict[str, tuple[int, int]] = {}
        self.others: dict[str, str] = {}

    def shape(self, name: str) -> tuple[int, int]:
        """Rows and columns of a matrix.

        Raises:
            ValueError: there is none of this name, or it is none of real numbers.
        """
        if name in self.others:
            raise ValueError(f"{self.path}: {name} is {self.others[name]}, and no matrix of real numbers")
        if name not in self.shapes:
            have = excerpt(shown(", ".join(sorted({*self.shapes, *self.others})))) or "nothing"
            near = did_you_mean(name, filter(str.isprintable, sorted(self.shapes)))
            raise ValueError(f"{self.path} has no variable {name}; it has {have}{near}")
        return self.shapes[name]

    def read(self, name: str, axis: int = 0, begin: int = 0, end: int | None = None) -> NDArray[Any]:
        """A matrix, or its rows (axis 0) or columns (axis 1) from `begin` to `end`.

        Raises:
            ValueError: as for `shape`, or it is damaged.
        """
        shape = self.shape(name)
        part = slice(begin, shape[axis] if end is None else end)
        found = self.part(name, (part, slice(None)) if axis == 0 else (slice(None), part))
        if found.ndim != 2 or found.dtype.kind not in "fiub":
            raise ValueError(f"{self.path}: {name} is an array {found.dtype}, and no matrix of real numbers")
        return found

    @abstractmethod
    def part(self, name: str, where: tuple[slice, slice]) -> NDArray[Any]:
        """Some rows and columns of a matrix."""

    def note(self, name: str, kind: str, shape: tuple[int, ...]) -> None:
        """Write down a variable: `kind` is MATLAB's class.

        Raises:
            ValueError: it claims to be larger than what the file can hold.
        """
        if kind not in NUMBERS:
            self.others[name] = excerpt(f"a {kind}")
        elif len(shape) != 2:
            self.others[name] = f"an array of {len(shape)} axes"
        elif min(shape) < 0 or shape[0] * shape[1] > MOST_DEFLATED * self.path.stat().st_size:
            raise ValueError(f"{self.path} is damaged: {excerpt(name)} would be {shape[0]} x {shape[1]}, more than the "
                             "file can hold")  # fmt: skip
        else:
            self.shapes[name] = (shape[0], shape[1])

    def close(self) -> None:  # noqa: B027  # a v5 file is not kept open
        """Close the file."""


class Mat5(MatFile):
    """A file of version 5 ("MAT-File Format", MathWorks, chapter 1). The matrix that was read last is kept.

    scipy's `loadmat`, which reads the same, ends the process on damaged files.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.elements: dict[str, tuple[int, int, int]] = {}
        self.last: tuple[str, NDArray[Any]] | None = None
        size, at = path.stat().st_size, 128
        with path.open("rb") as file:
            self.order = ">" if file.read(at)[126:] == b"MI" else "<"
            while at < size:
                file.seek(at)
                head = file.read(8)
                kind, length = struct.unpack(f"{self.order}II", head) if len(head) == 8 else (0, size)
                if at + 8 + length > size:
                    raise ValueError(f"{path} is damaged: it ends within a variable, after {size:,} of "
                                     f"{at + 8 + length:,} bytes")  # fmt: skip
                element = kind, at + 8, length
                with reading(path):
                    name, matlab_class, shape, _ = self.described(self.content(element, MOST_HEAD))
                self.note(name, matlab_class, shape)
                self.elements[name] = element
                at += 8 + length

    def content(self, element: tuple[int, int, int], most: int) -> bytes:
        """The first bytes of a variable, inflated."""
        kind, begin, length = element
        with self.path.open("rb") as file:
            file.seek(begin)
            content = file.read(length if kind == COMPRESSED else min(length, most))
        return zlib.decompressobj().decompress(content, most + 8)[8:] if kind == COMPRESSED else content

    def part_of(self, content: bytes, at: int) -> tuple[int, int, int, int]:
        """Kind, begin and length of a part of a variable, and where the next one begins."""
        (word,) = struct.unpack_from(f"{self.order}I", content, at)
        if word >> 16:  # up to four bytes stand in the head itself
            return word & 0xFFFF, at + 4, word >> 16, at + 8
        (length,) = struct.unpack_from(f"{self.order}I", content, at + 4)
        return word, at + 8, length, at + 8 + length + -length % 8

    def described(self, content: bytes) -> tuple[str, str, tuple[int, ...], int]:
        """Name, class and shape of a variable, and where its values begin."""
        _, begin, _, at = self.part_of(content, 0)
        (flags,) = struct.unpack_from(f"{self.order}I", content, begin)
        kind, shape = CLASSES.get(flags & 0xFF, "thing of no known class"), tuple[int, ...]()
        if kind != "object of a class":
            _, begin, length, at = self.part_of(content, at)
            shape = struct.unpack_from(f"{self.order}{min(length, MOST_HEAD) // 4}i", content, begin)
        _, begin, length, at = self.part_of(content, at)
        name = content[begin : begin + length].decode("latin-1")
        return name, "matrix of complex numbers" if flags & COMPLEX and kind in NUMBERS else kind, shape, at

    def part(self, name: str, where: tuple[slice, slice]) -> NDArray[Any]:
        """Some rows and columns of a matrix, which is read as a whole."""
        if self.last is None or self.last[0] != name:
            self.last, (rows, columns) = None, self.shapes[name]
            with reading(self.path):
                content = self.content(self.elements[name], MOST_HEAD + 8 * rows * columns)
                kind, begin, length, _ = self.part_of(content, self.described(content)[3])
                values = np.frombuffer(content[begin : begin + length], f"{self.order}{TYPES[kind]}")
                self.last = name, values.reshape(rows, columns, order="F")
        return self.last[1][where]


class Mat73(MatFile):
    """A file of version 7.3, which is HDF5 with MATLAB's class in an attribute of each variable."""

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError:
            raise ValueError(f"{path} is a MAT file of version 7.3, which h5py reads: pip install 'phonaut[matlab]', "
                             "or save it in MATLAB with -v7") from None  # fmt: skip
        super().__init__(path)
        found: list[tuple[str, str, tuple[int, ...]]] = []
        with reading(path):
            self.file = h5py.File(path, "r", locking=False)
            for name in self.file:
                found.append((name, *self.described(h5py, name)))
        for name, kind, shape in found:
            self.note(name, kind, shape)

    def described(self, h5py: Any, name: str) -> tuple[str, tuple[int, ...]]:
        """MATLAB's class of a variable and its shape; one that is elsewhere is not looked at."""
        if not isinstance(self.file.get(name, getlink=True), h5py.HardLink):
            return "link", ()
        thing = self.file[name]
        written = thing.attrs.get("MATLAB_class", b"")
        kind = written.decode("latin-1") if isinstance(written, bytes) else str(written)
        if not isinstance(thing, h5py.Dataset):
            return kind if kind not in ("", *NUMBERS) else "structure or sparse matrix", ()
        if thing.external is not None or thing.is_virtual:
            return "dataset whose values lie in another file", ()
        if thing.dtype.kind not in "fiu":
            return "cell" if thing.dtype.kind == "O" else f"dataset of {thing.dtype}", ()
        if "MATLAB_empty" in thing.attrs:
            return kind or "double", (0, 0)
        return kind or "double", (thing.shape or ())[::-1]

    def part(self, name: str, where: tuple[slice, slice]) -> NDArray[Any]:
        """Some rows and columns of a matrix."""
        with reading(self.path):
            return np.asarray(self.file[name][where[::-1]]).T

    def close(self) -> None:
        """Close the file."""
        self.file.close()


@contextmanager
def open_mat(path: Path) -> Iterator[MatFile]:
    """The matrices of a MATLAB file.

    Raises:
        ValueError: it is none, of version 4, or damaged.
    """
    with path.open("rb") as opened:
        head = opened.read(HEAD + len(HDF5))
    if not head:
        raise ValueError(f"{path} is empty")
    if head.startswith(HDF5) or head[HEAD:] == HDF5:
        file: MatFile = Mat73(path)
    elif head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        file = Mat5(path)
    elif head[:4] in tuple(struct.pack(f"{o}I", 1000 * e + 10 * p) for o, e in (("<", 0), (">", 1)) for p in range(6)):
        raise ValueError(f"{path} is a MAT file of version 4: save it in MATLAB with -v7 or -v7.3")
    else:
        raise ValueError(f"{path} is no MAT file of version 5 or 7.3, or its beginning is missing")
    try:
        yield file
    finally:
        file.close()


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a library says of a damaged file, in its many ways, into one sentence."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{path} is damaged, or no MAT file: {excerpt(shown(str(error)))}") from error
