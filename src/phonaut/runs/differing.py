"""Settings in which several runs differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from phonaut.config.nodes import flat, without_places
from phonaut.runs.folds import FOLD, Folds
from phonaut.runs.resume import FREE_KEYS
from phonaut.runs.run import Run

CHOICES = "choices."
NOT_THERE = "–"


@dataclass(frozen=True)
class Setting:
    """A key of the configuration in which runs differ.

    Attributes:
        key: such as `seed` or `model.width`; of a group, such as `model`, what was chosen of it.
        values: of each run as text; `–` of a run without such a key.
        follows: of runs with one choice of the key's group it is the same: it follows from the choice.
    """

    key: str
    values: list[str]
    follows: bool


def differing(runs: Sequence[Run | Folds]) -> list[Setting]:
    """The settings in which runs differ: what was chosen of each group first, then keys.

    Left out are where files lie and what does not touch a model: `output_dir`, `trainer.devices`, the number of a
    fold; and `_target_`, which a choice stands for.
    """
    found = [settings_of(run) for run in runs]
    keys = dict.fromkeys(key for one in found for key in one)
    ordered = sorted(keys, key=lambda key: not key.startswith(CHOICES))
    settings = [Setting(key.removeprefix(CHOICES), [in_words(one, key) for one in found], follows(found, key))
                for key in ordered]  # fmt: skip
    return [one for one in settings if len(set(one.values)) > 1]


def settings_of(run: Run | Folds) -> dict[str, Any]:
    """The settings of a run by flat keys, without those that are left out."""
    settings = flat(without_places(run.config.to_dict()))
    left_out = FREE_KEYS | {FOLD}
    return {key: value for key, value in settings.items() if key not in left_out and not key.endswith("_target_")}


def follows(found: Sequence[dict[str, Any]], key: str) -> bool:
    """True where the value of a key follows from the choice of its group.

    >>> follows([{"choices.model": "gru", "model.width": 1}, {"choices.model": "lstm"}], "model.width")
    True
    """
    choice = CHOICES + key.partition(".")[0]
    if key.startswith(CHOICES) or not any(choice in one for one in found):
        return False
    pairs = {(str(one.get(choice)), in_words(one, key)) for one in found}
    return len(pairs) == len({name for name, _ in pairs})


def in_words(settings: dict[str, Any], key: str) -> str:
    """A value as one types it.

    >>> in_words({"a": None}, "a"), in_words({"b": True}, "b"), in_words({"c": 1.0}, "c"), in_words({}, "c")
    ('null', 'true', '1', '–')
    """
    if key not in settings:
        return NOT_THERE
    value = settings[key]
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
