"""What to type in place of a word that cannot be carried out, as the end of a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from phonaut.config.aliases import SUCCESSORS, successor
from phonaut.config.plugins import choices, load_group
from phonaut.names import did_you_mean, likest, some


def unknown_key(key: str, text: str, known: Iterable[str], chosen: Mapping[str, Any]) -> str:
    """What an unknown key may have been meant to be.

    Args:
        key: as it was typed.
        text: its value, likewise.
        known: keys that there are.
        chosen: the name chosen in each group.

    >>> unknown_key("modle", "lstm", ["seed"], {}), unknown_key("epochs", "3", ["seed"], {})
    ('; did you mean model=lstm?', ': type trainer.max_epochs=3')
    >>> unknown_key("dataset.data_folder", "mine", ["dataset.target"], {"dataset": "synthetic"}).partition(" (")[0]
    ': dataset=synthetic has no data_folder: type dataset=folder dataset.data_folder=mine'
    """
    group, _, option = key.partition(".")
    names = list(known)
    if key in SUCCESSORS:
        return with_value(successor(key, names), text)
    if option and group in choices():
        if having := [
            name for name in choices()[group] if name != chosen.get(group) and option in load_group(group, name)
        ]:
            others = f" ({some(having[1:], 5)} have it too)" if having[1:] else ""
            return f": {group}={chosen.get(group)} has no {option}: type {group}={having[0]} {key}={text}{others}"
    elif not option:
        near = likest(key, choices(), cutoff=0.75)
        if meant := next((one for one in near if text in choices()[one]), None):
            return f"; did you mean {meant}={text}?"
        names += near
    return with_value(successor(key, names), text)


def with_value(words: str, text: str) -> str:
    """The number in an example replaced by the one that was typed.

    >>> with_value(": type optimizer.lr=0.01", "0.1"), with_value(": type trainer.precision=16-mixed", "32")
    (': type optimizer.lr=0.1', ': type trainer.precision=16-mixed')
    """
    number = r"[\d.]+"
    if re.fullmatch(number, text):
        return re.sub(rf"(: type [\w.]+=){number}$", rf"\g<1>{text}", words)
    return words


def several(key: str, value: Any, fits: Callable[[Any], bool]) -> str | None:
    """The problem of a list where a run has one value: it is a sweep that is meant. None: it is not.

    Args:
        key: that is set.
        value: as it was read; a list in text has commas.
        fits: of one value.

    >>> several("seed", [1, 2], lambda one: isinstance(one, int))
    'seed=[1,2] is a list, and a run takes one value: phonaut train -m seed=1,2 trains a run with each'
    >>> several("seed", "1,x", lambda one: isinstance(one, int))
    """
    import yaml

    try:
        is_text = isinstance(value, str)
        items = [yaml.safe_load(part) for part in value.strip("'\"[]").split(",")] if is_text else value
    except yaml.YAMLError:
        return None
    if not isinstance(items, list) or len(items) < 2 or not all(map(fits, items)):
        return None
    words = ",".join(str(one).lower() if isinstance(one, bool) else str(one) for one in items)
    shown = value if is_text else f"[{words}]"
    return f"{key}={shown} is a list, and a run takes one value: phonaut train -m {key}={words} trains a run with each"


def choice(group: str, asked: str) -> str:
    """What a name that is no choice of its group may have been meant to be.

    >>> choice("model", "lstn"), choice("features", "lstm")
    ('; did you mean lstm?', '; did you mean model=lstm?')
    """
    word = f"{group}={asked}"
    if word in SUCCESSORS:
        return successor(word)
    others = [other for other, names in choices().items() if asked in names]
    return f"; did you mean {others[0]}={asked}?" if len(others) == 1 else did_you_mean(asked, choices()[group])
