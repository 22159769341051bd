"""Scores of trials as a run keeps them: `trials/<split>.npz`, and lines of text beside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array
from phonaut.data.trial_files import write_scores
from phonaut.data.trials import ARRAYS, CONDITIONS, TrialList
from phonaut.files import read_arrays, write_arrays
from phonaut.metrics import Trials

FOLDER = "trials"  # of a run
INPUT = "input/"  # names of what went into the ratios
GENDERS = "genders"  # rows of a speaker and a gender; files of before have none
LEFT_OUT = "n_left_out"  # likewise
OURS = ("model_speaker", "recording_speaker", "scores", "is_ratio")


@dataclass(frozen=True, eq=False)
class TrialScores:
    """Trials with their scores.

    Attributes:
        trials: the list.
        model_speaker: speaker of each model, `(M,)`.
        recording_speaker: speaker of each recording, `(R,)`.
        scores: `(N,)`; log-likelihood ratios where `is_ratio`.
        is_ratio: a calibration was fitted on development trials.
        inputs: what went into them, such as `speaker` and `phrase`, `(N,)` each.
        genders: `f` or `m` of the speakers whose gender is known.
        n_left_out: trials of the list that were not scored, as their recordings were refused.
    """

    trials: TrialList
    model_speaker: NDArray[np.str_]
    recording_speaker: NDArray[np.str_]
    scores: Array
    is_ratio: bool = False
    inputs: Mapping[str, Array] = field(default_factory=dict)
    genders: Mapping[str, str] = field(default_factory=dict)
    n_left_out: int = 0

    @property
    def absent(self) -> list[str]:
        """Those of TC, TW, IC and IW that have no trial; none of text-independent trials but TC or IC."""
        names = CONDITIONS if len(self.trials.conditions) == len(CONDITIONS) else ("TC", "IC")
        return [name for name in names if not (self.condition == name).any()]

    @property
    def condition(self) -> NDArray[np.str_]:
        """TC, TW, IC or IW of each trial, `(N,)`; of text-independent ones TC and IC."""
        names = CONDITIONS if len(self.trials.conditions) == len(CONDITIONS) else ("TC", "IC")
        return np.array(names, np.str_)[self.trials.condition]

    @property
    def tried(self) -> Trials:
        """The trials as figures are computed from them; those of a woman and a man have no gender."""
        names, rows = (self.model_speaker, self.recording_speaker), (self.trials.model, self.trials.recording)
        gender = None
        of_model, of_recording = (np.array([self.genders.get(n, "") for n in of.tolist()], "U1") for of in names)
        if len({*of_model.tolist(), *of_recording.tolist()} - {""}) > 1:
            of_model, of_recording = of_model[rows[0]], of_recording[rows[1]]
            gender = np.where(of_model == of_recording, of_model, "")
        return Trials(self.condition, names[0][rows[0]], names[1][rows[1]], gender)

    def save(self, folder: Path, split: str) -> None:
        """Write `trials/<split>.npz` and, in the order of the list, `model recording condition score` to `.txt`."""
        place = folder / FOLDER
        place.mkdir(parents=True, exist_ok=True)
        ours = {name: np.asarray(getattr(self, name)) for name in OURS}
        inputs = {f"{INPUT}{name}": column for name, column in self.inputs.items()}
        more = {GENDERS: np.array(sorted(self.genders.items()), np.str_).reshape(-1, 2)}
        more |= {LEFT_OUT: np.array(self.n_left_out)}
        write_arrays(place / f"{split}.npz", {**self.trials.arrays(), **ours, **inputs, **more})
        write_scores(place / f"{split}.txt", writable(self.trials), self.scores)

    @classmethod
    def load(cls, folder: Path, split: str) -> TrialScores:
        """What `save` wrote.

        Raises:
            ValueError: there is no such file, it is damaged, or is not one of ours.
        """
        path = folder / FOLDER / f"{split}.npz"
        if not path.exists():
            there = ", ".join(sorted(p.stem for p in path.parent.glob("*.npz"))) or "none"
            raise ValueError(f"{folder} holds no scores of trials for {split!r}; it has: {there}")
        arrays = read_arrays(path)
        if missing := [name for name in (*ARRAYS, *OURS) if name not in arrays]:
            raise ValueError(f"{path} is not a file of scores: {', '.join(missing)} missing")
        try:
            trials = TrialList.from_arrays(arrays)
        except (ValueError, IndexError, TypeError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error
        shapes: dict[str, tuple[int, ...]] = {
            "model_speaker": (len(trials.models),),
            "recording_speaker": (len(trials.recordings),),
            "scores": (len(trials),),
            "is_ratio": (),
        }
        inputs = {name.removeprefix(INPUT): one for name, one in arrays.items() if name.startswith(INPUT)}
        shapes_there = {name: arrays[name].shape for name in shapes}
        wrong = [name for name, shape in shapes.items() if shapes_there[name] != shape]
        wrong += [name for name, one in inputs.items() if one.shape != (len(trials),) or one.dtype.kind != "f"]
        if wrong or arrays["scores"].dtype.kind != "f":
            raise ValueError(f"{path} is damaged: {', '.join(wrong or ['scores'])} do not have a value for each trial")
        named: dict[str, Any] = {name: arrays[name] for name in OURS[:3]}
        pairs = arrays.get(GENDERS, np.empty((0, 2), np.str_))
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"{path} is damaged: {GENDERS} are not rows of a speaker and a gender")
        left_out = arrays.get(LEFT_OUT, np.zeros((), np.int64))
        if left_out.shape != () or left_out.dtype.kind != "i":
            raise ValueError(f"{path} is damaged: {LEFT_OUT} is no whole number")
        return cls(trials, **named, is_ratio=bool(arrays["is_ratio"]), inputs=inputs, genders=dict(pairs.tolist()),
                   n_left_out=int(left_out))  # fmt: skip


def writable(trials: TrialList) -> TrialList:
    """The trials with names that can be written in lines: spaces, commas and backslashes as in URLs."""

    def quoted(name: str, strange: str = " ,%\\") -> str:
        return "".join(c if c.isprintable() and c not in strange else quote(c, safe="") for c in name)

    enrolment = {quoted(model, " ,"): tuple(map(quoted, names)) for model, names in trials.enrolment.items()}
    return replace(trials, enrolment=enrolment, recordings=tuple(map(quoted, trials.recordings)))
