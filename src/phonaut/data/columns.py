"""Columns of numbers and of text on disk: written as a stream, read through memory maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from phonaut.files import naming


class ColumnWriter:
    """Appends numbers to `<folder>/<name>.<dtype>`, in blocks."""

    def __init__(self, folder: Path, name: str, dtype: str) -> None:
        self.file: BinaryIO = (folder / f"{name}.{dtype}").open("wb")
        self.dtype = np.dtype(dtype)
        self.pending: list[Any] = []

    def append(self, value: Any) -> None:
        """Add one number."""
        self.pending.append(value)
        if len(self.pending) >= 4096:
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        data = np.array(self.pending, dtype=self.dtype).tobytes()
        with naming(self.file.name, len(data)):
            self.file.write(data)
        self.pending.clear()

    def close(self) -> None:
        """Write what is pending and close the file."""
        self.flush()
        with naming(self.file.name):
            self.file.close()


class TextWriter:
    """Appends strings: their UTF-8 one after another in `<name>.text`, and where each ends in `<name>_end.i8`."""

    def __init__(self, folder: Path, name: str) -> None:
        self.file: BinaryIO = (folder / f"{name}.text").open("wb")
        self.ends = ColumnWriter(folder, f"{name}_end", "i8")
        self.position = 0

    def append(self, text: str) -> None:
        """Add one string."""
        data = text.encode("utf-8")
        with naming(self.file.name, len(data)):
            self.file.write(data)
        self.position += len(data)
        self.ends.append(self.position)

    def close(self) -> None:
        """Close both files."""
        self.ends.close()
        with naming(self.file.name):
            self.file.close()


class TableWriter:
    """Rows of a table, each column a file in `folder`.

    Args:
        folder: made if it is not there.
        columns: name -> NumPy type, or `text`.
    """

    def __init__(self, folder: Path, columns: dict[str, str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.writers: dict[str, ColumnWriter | TextWriter] = {
            name: TextWriter(folder, name) if kind == "text" else ColumnWriter(folder, name, kind)
            for name, kind in columns.items()
        }

    def append(self, **row: Any) -> None:
        """Add a row."""
        for name, value in row.items():
            self.writers[name].append(value)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *error: object) -> None:
        for writer in self.writers.values():
            writer.close()


def read_column(folder: Path, name: str, dtype: str) -> NDArray[Any]:
    """A column of numbers, mapped into memory."""
    return mapped(folder / f"{name}.{dtype}", dtype)


def mapped(path: Path, dtype: str) -> NDArray[Any]:
    """A file as an array; an empty one where there is nothing."""
    if not path.exists() or path.stat().st_size == 0:  # what is empty cannot be mapped
        return np.zeros(0, dtype=dtype)
    return np.asarray(np.memmap(path, dtype=dtype, mode="r"))  # an array proper: slices of a memmap take 2 us each


class TextColumn:
    """Strings of a column, read one at a time."""

    def __init__(self, folder: Path, name: str) -> None:
        self.data = mapped(folder / f"{name}.text", "u1")
        self.ends = read_column(folder, f"{name}_end", "i8")

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> str:
        start = int(self.ends[row - 1]) if row else 0
        return self.data[start : int(self.ends[row])].tobytes().decode("utf-8")
