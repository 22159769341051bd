"""The data files of the GenHMM research code: pickles, gzipped or not, read with their keys and the names of phones.

A file holds 2-D arrays, one for each utterance or phone segment: **column 0 is the number of the frame's phone, the
features follow it**. They come alone, as a list; or as `[data, keys, lengths, phones]`, with the codebook `{phone:
number}` before `phones` in test files; or as a dictionary with these names; or with keys, lengths or phones in files of
their own beside it (`train.39.keys.pkl` beside `train.39.pkl`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.corpora.genhmm_data.pickle_reader import read_pickle
from phonaut.names import excerpt

PARTS = ("data", "keys", "lengths", "phones")
SUFFIXES = (".gz", ".pkl", ".pickle", ".p")
MOST_PHONES = 10_000


@dataclass
class ResearchFile:
    """The content of a file.

    Attributes:
        path: of the file.
        arrays: `(T, 1 + D)`, labels first.
        keys: ids of the arrays; None where there are none.
        names: phone by its number, as far as it is known.
    """

    path: Path
    arrays: list[NDArray[Any]]
    keys: list[str] | None = None
    names: dict[int, str] = field(default_factory=dict)


def read_research_file(path: Path, *, most_gb: float = 4.0) -> ResearchFile:
    """The arrays of a file with their keys and the names of phones.

    Args:
        path: the pickle.
        most_gb: that it may unpack to.

    Raises:
        ValueError: it is no data file of this kind, its parts do not fit together, or it is refused as a pickle.
        OSError: it cannot be read.
    """
    read: list[int] = []
    content = read_pickle(path, most_bytes=int(most_gb * 2**30), count=read.append)
    parts = parts_of(path, content)
    for name in PARTS[1:]:
        beside = sibling(path, name)
        if name not in parts and beside is not None:
            parts[name] = read_pickle(beside, most_bytes=int(most_gb * 2**30))
    arrays = arrays_of(path, parts["data"], parts.get("lengths"))
    size = sum(one.nbytes for one in arrays)
    if size > read[0]:
        raise ValueError(f"{path}: its arrays have {size:,} bytes, more than the file: one is in it many times")
    file = ResearchFile(path, arrays)
    if parts.get("keys") is not None:
        file.keys = [text_of(key) for key in listed(parts["keys"], path)]
        if len(file.keys) != len(arrays):
            raise ValueError(f"{path} has {len(arrays)} arrays and {len(file.keys)} keys")
    for name in ("phones", "codebook"):
        if parts.get(name) is not None:
            join(file.names, names_of(path, parts[name], arrays), str(path))
    return file


def parts_of(path: Path, content: Any) -> dict[str, Any]:
    """The parts of a container by their names."""
    if isinstance(content, dict):
        known = {{"phn2int": "codebook"}.get(str(name), str(name)): part for name, part in content.items()}
        if "data" not in known:
            raise ValueError(f"{path} is a dictionary without data; it has {excerpt(', '.join(sorted(known)))}")
        return known
    if is_matrix(content):
        return {"data": content}
    if not isinstance(content, (list, tuple)) or not content:
        raise ValueError(f"{path} holds a {type(content).__name__}, and no list of arrays")
    if is_matrix(content[0]) and (len(content) == 1 or is_matrix(content[1])):
        return {"data": content}
    if len(content) == 5:
        return dict(zip(("data", "keys", "lengths", "codebook", "phones"), content, strict=True))
    if len(content) <= len(PARTS):
        return dict(zip(PARTS, content, strict=False))
    raise ValueError(
        f"{path} holds {len(content)} things that are no 2-D arrays, such as a {type(content[0]).__name__}"
    )


def sibling(path: Path, part: str) -> Path | None:
    """The file beside `path` that holds a part of it."""
    stem, suffix = path.name, ""
    while (end := os.path.splitext(stem))[1] in SUFFIXES:
        stem, suffix = end[0], end[1] + suffix
    places = [path.with_name(f"{stem}{mark}{part}{suffix}") for mark in "._"]
    return next((place for place in places if place.is_file()), None)


def is_matrix(thing: Any) -> bool:
    """True for a 2-D array of numbers."""
    return isinstance(thing, np.ndarray) and thing.ndim == 2 and thing.dtype.kind in "fiub"


def listed(part: Any, path: Path) -> list[Any]:
    """A list, whether it was one or a tuple or an array.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(part, (list, tuple, np.ndarray)) or (isinstance(part, np.ndarray) and not part.ndim):
        raise ValueError(f"{path}: a {type(part).__name__} is where a list should be")
    return part.tolist() if isinstance(part, np.ndarray) else list(part)


def text_of(thing: Any) -> str:
    """A name, that may be bytes or a number."""
    if not isinstance(thing, (str, bytes, int, float, np.generic)):
        raise ValueError(f"a {type(thing).__name__} is no name")
    return thing.decode("utf-8", "replace") if isinstance(thing, bytes) else str(thing)


def arrays_of(path: Path, data: Any, lengths: Any) -> list[NDArray[Any]]:
    """The arrays, whether they come one by one or one after another with lengths."""
    n = None if lengths is None else listed(lengths, path)
    if wrong := [one for one in n or [] if isinstance(one, bool) or not isinstance(one, (int, np.integer))]:
        raise ValueError(f"{path}: lengths must be whole numbers, and one is a {type(wrong[0]).__name__}")
    if is_matrix(data):
        if n is None:
            raise ValueError(f"{path} holds one array; without lengths it is not known where sequences end")
        if min(n, default=0) < 0 or sum(n) != len(data):
            raise ValueError(f"{path} has {len(data)} rows, and lengths that add up to {sum(n)}")
        return np.split(data, np.cumsum(n)[:-1])
    arrays = listed(data, path)
    for i, one in enumerate(arrays):
        if not is_matrix(one):
            what = f"array {one.dtype} {one.shape}" if isinstance(one, np.ndarray) else type(one).__name__
            raise ValueError(f"{path}: sequence {i} is a {what}, and no 2-D array of numbers")
        if one.shape[1] != arrays[0].shape[1] or one.shape[1] < 2:
            raise ValueError(
                f"{path}: sequence {i} has {one.shape[1]} columns, the first {arrays[0].shape[1]}; all have a "
                "label and the same number of features"
            )
    if n is not None and n != [len(one) for one in arrays]:
        raise ValueError(f"{path}: lengths are not those of the arrays")
    return arrays


def names_of(path: Path, phones: Any, arrays: list[NDArray[Any]]) -> dict[int, str]:
    """Phones by their numbers, of whatever says so.

    Args:
        path: for messages.
        phones: `{name: number}` or `{number: name}`; a list of names by number; or the names of all frames (or one
            name) of each array.
        arrays: whose column 0 goes with the latter.

    Raises:
        ValueError: a number would have two names, or there is no telling.
    """
    if isinstance(phones, dict):
        pairs = [(key, value) if isinstance(key, (str, bytes)) else (value, key) for key, value in phones.items()]
        names: dict[int, str] = {}
        for name, number in pairs:
            if not isinstance(name, (str, bytes)) or not isinstance(number, (int, float, np.number)):
                raise ValueError(f"{path}: the codebook holds a {type(name).__name__} and a {type(number).__name__}")
            join(names, {int(number): text_of(name)}, str(path))
        return names
    rows = listed(phones, path)
    texts = all(isinstance(row, (str, bytes)) for row in rows)
    if texts and len(rows) != len(arrays):
        if len(rows) > MOST_PHONES:
            raise ValueError(f"{path} has {len(rows)} phones for {len(arrays)} arrays")
        return {number: text_of(name) for number, name in enumerate(rows)}
    if len(rows) != len(arrays):
        raise ValueError(f"{path} has {len(rows)} lists of phones for {len(arrays)} arrays")
    names = {}
    for i, (row, one) in enumerate(zip(rows, arrays, strict=True)):
        said = [row] if isinstance(row, (str, bytes)) else listed(row, path)
        if len(said) not in (1, len(one)):
            raise ValueError(f"{path}: sequence {i} has {len(one)} frames and {len(said)} phones")
        numbers = labels_of(one) if len(said) > 1 else labels_of(one)[:1]
        join(names, dict(zip(numbers.tolist(), map(text_of, said), strict=False)), f"{path}, sequence {i}")
        if len(said) > 1 and [names[number] for number in numbers.tolist()] != [text_of(name) for name in said]:
            raise ValueError(f"{path}: in sequence {i} a number in column 0 stands for two phones")
    return names


def join(names: dict[int, str], more: dict[int, str], where: str) -> None:
    """Add names of phones; a number that has another already is refused."""
    for number, name in more.items():
        if names.setdefault(number, name) != name:
            raise ValueError(f"{where}: number {number} stands for {names[number]} and for {name}")


def labels_of(array: NDArray[Any]) -> NDArray[np.int64]:
    """The numbers of column 0 `(T,)`.

    Raises:
        ValueError: they are not whole numbers from 0 on.
    """
    column = array[:, 0]
    if column.dtype.kind == "f" and not (np.isfinite(column).all() and (column == np.rint(column)).all()):
        raise ValueError("column 0 is the number of a phone, and holds what is no whole number")
    labels: NDArray[np.int64] = column.astype(np.int64)
    if len(labels) and labels.min() < 0:
        raise ValueError(f"column 0 is the number of a phone, and holds {labels.min()}")
    return labels


def spans_of(labels: NDArray[np.int64], names: dict[int, str], shift_s: float) -> list[tuple[str, float, float]]:
    """Phones and their times: where the number changes, a phone ends.

    >>> spans_of(np.array([3, 3, 5]), {3: "aa"}, 0.01)
    [('aa', 0.0, 0.02), ('5', 0.02, 0.03)]
    """
    edges = np.concatenate([[0], np.flatnonzero(np.diff(labels)) + 1, [len(labels)]])
    return [
        (names.get(int(labels[a]), str(labels[a])), round(a * shift_s, 9), round(b * shift_s, 9))
        for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
    ]
