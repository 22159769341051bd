"""The classes that a model learns: all that training has, or those that a run is limited to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from phonaut.data.spans import codes_of
from phonaut.data.utterance import TARGETS
from phonaut.names import likest, same_id

if TYPE_CHECKING:
    from phonaut.data.prepared import PreparedCorpus

ClassLimit = int | Sequence[object] | None  # so many, or these; None: all


def classes_of(prepared: PreparedCorpus, target: str, limit: ClassLimit = None) -> list[str]:
    """The classes that a model of this corpus can learn: those of the training split, in the corpus's order.

    Args:
        prepared: the corpus.
        target: one of `TARGETS`.
        limit: a number: the most frequent in the training split (of equals the first); names: these.

    Raises:
        ValueError: the target does not exist, fewer than two classes are there to learn, or `limit` asks for more or
            for others.
    """
    codes, names = codes_of(prepared.utterances("train"), target)
    present, counts = np.unique(codes[codes >= 0], return_counts=True)
    classes = [names[code] for code in present]
    if len(classes) < 2:
        names_there = f"only {classes[0]}" if classes else "none"
        have = [other for other in TARGETS if len(np.unique(codes_of(prepared.utterances("train"), other)[0])) > 1]
        hint = f"; this corpus has target={' or '.join(have)}" if have else ""
        raise ValueError(
            f"target={target} needs two classes in the training split of {prepared.name}, found {names_there}{hint}"
        )
    if limit is None:
        return classes
    if isinstance(limit, int):
        if limit > len(classes):
            raise ValueError(
                f"classes={limit}: the training split of {prepared.name} has {len(classes)} for target={target}"
            )
        most = np.sort(np.argsort(-counts, kind="stable")[:limit])
        return [classes[i] for i in most]
    limited = {named(str(name), classes, f"the training split of {prepared.name}") for name in limit}
    if len(limited) < 2:
        raise ValueError(f"classes=[{', '.join(map(str, limit))}] is one class: at least two are told apart")
    return [name for name in classes if name in limited]


def named(asked: str, classes: Sequence[str], where: str) -> str:
    """The class that a name means: itself, or of numbers the one that is equal, as 18 is 00000018.

    Raises:
        ValueError: there is none; the nearest are named.
    """
    if asked in classes:
        return asked
    equal = [name for name in classes if same_id(asked, name)]
    if len(equal) == 1:
        return equal[0]
    near = likest(asked, classes)
    there = f"the nearest are {', '.join(near)}" if near else f"it has {', '.join(classes[:10])}"
    more = " ..." if not near and len(classes) > 10 else ""
    raise ValueError(f"classes names {asked}, which {where} lacks; {there}{more}")


def is_word(name: str) -> bool:
    """Whether a class is a word: `_silence_` and `_unknown_` are none.

    >>> [is_word(name) for name in ("yes", "_silence_", "_unknown_")]
    [True, False, False]
    """
    return not (name.startswith("_") and name.endswith("_"))
