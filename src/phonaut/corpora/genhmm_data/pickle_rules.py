"""Names that a pickle may ask for: NumPy arrays, numbers, text, bytes, sets; each by a rule, and never by a call."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_KEYS = 1_000_000  # of a dictionary or set
MOST_DIMENSIONS = 32
DTYPE = re.compile(r"b1|[iu][1248]|f[248]|c8|c16|[SU][1-9]\d{0,5}|O8?|O4")


class RefusedPickleError(ValueError):
    """A pickle that asks for what no data file needs, or is not whole."""


class Name(NamedTuple):
    """A name that a pickle asks for and that is on the list."""

    module: str
    name: str


class Unfinished:
    """An array whose shape and content come next, or a type of numbers whose byte order does."""

    def __init__(self, dtype: np.dtype[Any] | None = None) -> None:
        self.dtype = dtype
        self.keys: list[int] = []  # where the memo has it


def simple(key: Any) -> Any:
    """A key of a dictionary or set: text, a number, bytes; what is nested can be so deep that to hash it kills."""
    if key is None or isinstance(key, (str, bytes, int, float, np.generic)):
        return key
    raise RefusedPickleError(f"it has a {type(key).__name__} as a key")


def dtype_of(text: Any, *_: Any) -> Unfinished:
    """A type of numbers or text by its name."""
    text = text.decode("ascii") if isinstance(text, bytes) else text
    if not isinstance(text, str) or not DTYPE.fullmatch(text):
        asked = text[:40] if isinstance(text, str) else "unknown"
        raise RefusedPickleError(f"it asks for arrays of type {asked}; numbers and text are read")
    return Unfinished(np.dtype(text[:1] if text[0] == "O" else text))


def ordered_dtype(dtype: np.dtype[Any], state: tuple[Any, ...]) -> np.dtype[Any]:
    """The type with the byte order of its state; one with parts is refused."""
    order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
    if any(part is not None for part in state[2:5]) or order not in ("<", ">", "|", "="):
        raise RefusedPickleError("it asks for arrays with named parts; numbers and text are read")
    return np.dtype(order + dtype.str[1:]) if order in "<>" else dtype


def array_of(shape: Any, dtype: Any, fortran: Any, raw: Any) -> Any:
    """The array that `raw` is; of objects, a list."""
    if not isinstance(dtype, np.dtype) or not isinstance(shape, tuple) or len(shape) > MOST_DIMENSIONS:
        raise RefusedPickleError("it has an array without type or shape")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise RefusedPickleError("it has an array whose shape is not of whole numbers")
    count = math.prod(shape)
    if dtype.kind == "O":
        if type(raw) is not list or len(shape) != 1 or len(raw) != count:
            raise RefusedPickleError(f"it has an array of objects of shape {shape}; those with one dimension are read")
        return raw
    raw = raw.encode("latin-1") if isinstance(raw, str) else raw  # as Python 2 wrote it
    if not isinstance(raw, (bytes, bytearray)) or count * dtype.itemsize != len(raw):
        brings = len(raw) if isinstance(raw, (bytes, bytearray)) else 0
        raise RefusedPickleError(f"it has an array that claims {count * dtype.itemsize:,} bytes, and brings {brings:,}")
    flat: NDArray[Any] = np.frombuffer(raw, dtype, count) if count else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> Any:
    """An array as protocol 5 has it."""
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        raise RefusedPickleError("it has objects in a buffer")
    return array_of(shape, dtype, order == "F", raw)


def scalar_of(dtype: Any, raw: Any = b"") -> Any:
    """A NumPy number or text."""
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        raise RefusedPickleError("it has a scalar of objects")
    return array_of((1,), dtype, False, raw)[0]


def unfinished(kind: Any, *_: Any) -> Unfinished:
    """An array of which nothing is known yet."""
    if kind != Name("numpy", "ndarray"):
        raise RefusedPickleError("it asks for an array of a kind of its own")
    return Unfinished()


def encoded(text: Any = "", encoding: Any = "latin1") -> bytes:
    """Bytes as older protocols have them."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedPickleError("it asks to encode what is no bytes")
    return text.encode("latin-1")


def bytes_of(content: Any = b"", encoding: Any = "latin1") -> bytes:
    """Bytes, also those that could be changed."""
    return content if isinstance(content, bytes) else encoded(content, encoding)


def set_of(items: Any = ()) -> set[Any]:
    """A set."""
    if not isinstance(items, (list, tuple)) or len(items) > MOST_KEYS:
        raise RefusedPickleError("it asks for a set of what is no list")
    return {simple(item) for item in items}


def complex_of(real: Any, imaginary: Any) -> complex:
    """A complex number."""
    if not (type(real) is float and type(imaginary) is float):
        raise RefusedPickleError("it asks for a complex number of what are no numbers")
    return complex(real, imaginary)


Rule = Callable[..., Any] | None  # None: a name that may be passed on, and not called
RULES: dict[tuple[str, str], Rule] = {
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): dtype_of,
    ("_codecs", "encode"): encoded,
}
for _core in ("numpy.core", "numpy._core"):
    RULES[f"{_core}.multiarray", "_reconstruct"] = unfinished
    RULES[f"{_core}.multiarray", "scalar"] = scalar_of
    RULES[f"{_core}.numeric", "_frombuffer"] = from_buffer
for _builtins in ("builtins", "__builtin__"):
    RULES[_builtins, "bytes"] = RULES[_builtins, "bytearray"] = bytes_of
    RULES[_builtins, "set"] = RULES[_builtins, "frozenset"] = set_of
    RULES[_builtins, "complex"] = complex_of
