"""Trials of verification: models with their enrolment, and trials in columns, sized for millions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Index
from phonaut.names import excerpt

CONDITIONS = ("TC", "TW", "IC", "IW")  # target or impostor, correct phrase or wrong: the first alone is to be accepted
KINDS = ("target", "nontarget")
ARRAYS = ("models", "enrolled", "n_enrolled", "recordings", "model", "recording", "condition", "conditions")


@dataclass(frozen=True, eq=False)
class TrialList:
    """A list of N trials in columns, a few bytes each.

    Attributes:
        enrolment: the recordings of each model.
        recordings: that are tested.
        model: number of the model of each trial, in the order of `enrolment`; `(N,)`.
        recording: number of its recording in `recordings`; `(N,)`.
        condition: number of its condition in `conditions`; `(N,)`. That of targets is 0.
        conditions: `CONDITIONS`, or `KINDS`.

    Raises:
        ValueError: the columns do not agree, or a trial cannot be: it is there twice, its model has no enrolment, or
            its recording enrols its own model.
    """

    enrolment: Mapping[str, tuple[str, ...]]
    recordings: tuple[str, ...]
    model: NDArray[np.int32]
    recording: NDArray[np.int32]
    condition: NDArray[np.int8]
    conditions: tuple[str, ...] = CONDITIONS

    def __post_init__(self) -> None:
        columns: dict[str, tuple[NDArray[Any], int]] = {
            "model": (self.model, len(self.enrolment)),
            "recording": (self.recording, len(self.recordings)),
            "condition": (self.condition, len(self.conditions)),
        }
        for name, (column, n) in columns.items():
            if column.shape != self.model.shape or column.ndim != 1:
                raise ValueError(f"columns of trials are as long as one another: {name} has shape {column.shape}")
            if len(wrong := np.flatnonzero((column < 0) | (column >= n))):
                first = int(wrong[0])
                raise ValueError(f"trial {first + 1} has {name} {column[first]}: unknown, there are {n}, from 0")
        if len(set(self.recordings)) < len(self.recordings):
            raise ValueError("a recording is twice among those that are tested")
        if fault := first_fault(self.enrolment, self.recordings, self.model, self.recording):
            raise ValueError(f"trial {fault[0] + 1}: {fault[1]}")

    def __len__(self) -> int:
        return len(self.model)

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The names of the models, in the order in which they are numbered."""
        return tuple(self.enrolment)

    @property
    def is_target(self) -> NDArray[np.bool_]:
        """Whether a trial is to be accepted, `(N,)`."""
        return np.equal(self.condition, 0)

    def counts(self) -> dict[str, int]:
        """The number of trials of each condition."""
        numbers = np.bincount(self.condition, minlength=len(self.conditions)).tolist()
        return dict(zip(self.conditions, numbers, strict=True))

    def named(self) -> set[str]:
        """Every recording that enrols or is tested."""
        return {*self.recordings, *(name for names in self.enrolment.values() for name in names)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it as arrays by name, for a file."""
        enrolled = [name for names in self.enrolment.values() for name in names]
        return {
            "models": np.array(self.models, np.str_),
            "enrolled": np.array(enrolled, np.str_),
            "n_enrolled": np.array([len(names) for names in self.enrolment.values()], np.int64),
            "recordings": np.array(self.recordings, np.str_),
            "model": self.model,
            "recording": self.recording,
            "condition": self.condition,
            "conditions": np.array(self.conditions, np.str_),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> TrialList:
        """What `arrays` gave.

        Raises:
            ValueError: an array is missing, or they do not agree.
        """
        if missing := [name for name in ARRAYS if name not in arrays]:
            raise ValueError(f"a list of trials has the arrays {', '.join(ARRAYS)}; missing: {', '.join(missing)}")
        models, n_enrolled = arrays["models"].tolist(), arrays["n_enrolled"]
        enrolled, ends = arrays["enrolled"].tolist(), np.cumsum(n_enrolled).tolist()
        if len(models) != len(ends) or (ends or [0])[-1] != len(enrolled) or (n_enrolled < 0).any():
            raise ValueError(f"{len(models)} models do not have {len(enrolled)} recordings as n_enrolled says")
        return cls(
            {name: tuple(enrolled[end - n : end]) for name, end, n in zip(models, ends, n_enrolled, strict=True)},
            tuple(arrays["recordings"].tolist()),
            arrays["model"],
            arrays["recording"],
            arrays["condition"],
            tuple(arrays["conditions"].tolist()),
        )

    def select(self, kept: NDArray[np.bool_]) -> TrialList:
        """The trials where `kept (N,)`; models and recordings stay."""
        return replace(self, model=self.model[kept], recording=self.recording[kept], condition=self.condition[kept])

    def keeping(self, known: Collection[str]) -> TrialList:
        """The trials whose recording is `known`, of models that are enrolled with at least one recording that is."""
        enrolment = {model: tuple(name for name in names if name in known) for model, names in self.enrolment.items()}
        has_model = np.array([bool(names) for names in enrolment.values()], bool)
        has_recording = np.array([name in known for name in self.recordings], bool)
        kept = has_model[self.model] & has_recording[self.recording]
        return TrialList(
            {model: names for model, names in enrolment.items() if names},
            tuple(name for name in self.recordings if name in known),
            (np.cumsum(has_model) - 1).astype(np.int32)[self.model[kept]],
            (np.cumsum(has_recording) - 1).astype(np.int32)[self.recording[kept]],
            self.condition[kept],
            self.conditions,
        )


def first_fault(
    enrolment: Mapping[str, Sequence[str]],
    recordings: Sequence[str],
    model: NDArray[np.int32],
    recording: NDArray[np.int32],
) -> tuple[int, str] | None:
    """A trial that cannot be, by its number from 0, and why; None: all can. Arguments as of `TrialList`."""
    models, keys = list(enrolment), keys_of(model, recording, len(recordings))
    order = np.argsort(keys, kind="stable")
    again = order[1:][np.diff(keys[order]) == 0]
    number = {name: i for i, name in enumerate(recordings)}
    own = [(i, number[name]) for i, names in enumerate(enrolment.values()) for name in names if name in number]
    of_model, of_recording = np.array(own, np.int32).reshape(-1, 2).T
    enrols = np.flatnonzero(np.isin(keys, keys_of(of_model, of_recording, len(recordings))))
    is_empty = np.array([not names for names in enrolment.values()], bool)
    for trials, reason in (
        (again, "have a trial before"),
        (np.flatnonzero(is_empty[model]), "have a trial, and the model has no enrolment"),
        (enrols, "have a trial, and the model is enrolled with that recording"),
    ):
        if len(trials):
            first = int(trials.min())
            return first, f"{pair(models[model[first]], recordings[recording[first]])} {reason}"
    return None


def pair(model: str, recording: str) -> str:
    """A trial in words."""
    return f"model {excerpt(model)} and recording {excerpt(recording)}"


def keys_of(model: NDArray[np.int32], recording: NDArray[np.int32], n_recordings: int) -> Index:
    """One number for each pair of a model and a recording."""
    return model.astype(np.int64) * max(1, n_recordings) + recording


def joined(lists: Sequence[TrialList]) -> TrialList:
    """Several lists as one, in their order: those of women and of men.

    Raises:
        ValueError: there is none, conditions differ, a model is enrolled otherwise in another, or a trial is in two.
    """
    if len({trials.conditions for trials in lists}) != 1:
        raise ValueError(f"lists of trials are joined where they have the same conditions; got {len(lists)} lists")
    enrolment: dict[str, tuple[str, ...]] = {}
    recordings: dict[str, int] = {}
    columns: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]] = []
    for trials in lists:
        for model, names in trials.enrolment.items():
            if enrolment.setdefault(model, names) != names:
                raise ValueError(f"model {excerpt(model)} is enrolled with other recordings in two lists")
        number = {model: i for i, model in enumerate(enrolment)}
        models = np.array([number[model] for model in trials.models], np.int32)
        tested = np.array([recordings.setdefault(name, len(recordings)) for name in trials.recordings], np.int32)
        columns.append((models[trials.model], tested[trials.recording], trials.condition))
    model_of, recording_of, condition = (np.concatenate(column) for column in zip(*columns, strict=True))
    return TrialList(enrolment, tuple(recordings), model_of, recording_of, condition, lists[0].conditions)
