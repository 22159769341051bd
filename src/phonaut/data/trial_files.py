"""Text files of trials, enrolment and scores, read line by line and written.

| file | a line |
|---|---|
| enrolment, `.trn` of RedDots | `model recording,recording,...`; spaces in place of commas, as in Kaldi's `spk2utt` |
| trials, `.ndx` of RedDots | `model,recording,N,N,N,Y`: exactly one of TC, TW, IC, IW |
| trials, Kaldi | `model recording target`, or `nontarget` |
| trials, VoxCeleb | `1 recording recording`, or `0`: the first recording is a model of its own |
| scores | `model recording TC score`, or without the condition as Kaldi writes them |
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from phonaut.arrays import Array, Index
from phonaut.data.trials import CONDITIONS, KINDS, TrialList, first_fault, keys_of, pair
from phonaut.files import composed, listed_path, text_lines, write_text
from phonaut.names import excerpt

FLAGS = {",".join("Y" if i == k else "N" for i in range(4)): k for k in range(4)}  # of an .ndx -> condition
LABELS = {"1": 0, "0": 1}  # of a VoxCeleb list -> kind
FORMS = ("ndx", "kaldi", "voxceleb")

Line = tuple[str, str, int]  # model, recording, number of the condition


class RecordingNumbers(dict[str, int]):
    """The number of each recording by its name as a file writes it; those that are new get the next one.

    Args:
        known: names that there are; one that is written with a suffix besides is found too. None: all that come.
        names: those that have a number already.
    """

    def __init__(self, known: Collection[str] | None, names: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.known, self.names = known, dict(names or {})

    def __missing__(self, written: str) -> int:
        self[written] = number = self.names.setdefault(recording_name(written, self.known), len(self.names))
        return number


class ModelNumbers(dict[str, int]):
    """The number of each model that is enrolled."""

    def __init__(self, models: Iterable[str]) -> None:
        super().__init__((name, i) for i, name in enumerate(models))

    def __missing__(self, written: str) -> int:
        if (name := composed(written.strip())) == written or name not in self:
            raise ValueError(f"model {excerpt(name)!r} is not enrolled")
        return self[name]


def recording_name(written: str, known: Collection[str] | None) -> str:
    r"""The name of a recording, on whatever system it was written.

    >>> recording_name(".\\m0001\\a.pcm", None), recording_name("m0001/a.pcm", {"m0001/a"})
    ('m0001/a.pcm', 'm0001/a')

    Raises:
        ValueError: it is none, or none that is known.
    """
    name = listed_path(written)
    if not name or any(character.isspace() or character == "," for character in name):
        raise ValueError(f"{excerpt(written)!r} is no name of a recording")
    if known is None or name in known:
        return name
    if (stem := name.rpartition(".")[0]) in known:
        return stem
    raise ValueError(f"there is no recording {excerpt(name)!r}")


def read_enrolment(path: Path, known: Collection[str] | None = None) -> dict[str, tuple[str, ...]]:
    """The recordings of each model, by a `.trn` file or Kaldi's `spk2utt`.

    Args:
        path: the file.
        known: names of the recordings that there are; None: any will do.

    Raises:
        ValueError: it has none, a line is none, a model is there twice, or a recording is unknown or twice in a model.
    """
    enrolment: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip():
            continue
        try:
            model, names = enrolment_line(line, known)
            if model in enrolment:
                raise ValueError(f"model {excerpt(model)} is enrolled by a line before")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        enrolment[model] = names
    if not enrolment:
        raise ValueError(f"{path} has no models: a line is 'model recording,recording,...'")
    return enrolment


def enrolment_line(line: str, known: Collection[str] | None) -> tuple[str, tuple[str, ...]]:
    """The model of a line, and its recordings."""
    model, *rest = composed(line).split(maxsplit=1)
    if "," in model:
        raise ValueError(f"'model recording,recording,...' is wanted, got {excerpt(line)!r}")
    if not rest:
        raise ValueError(f"model {excerpt(model)} has no enrolment")
    written = rest[0].split(",") if "," in rest[0] else rest[0].split()
    names = tuple(recording_name(name, known) for name in written)
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise ValueError(f"model {excerpt(model)} is enrolled with {excerpt(twice)} twice")
    return model, names


def ndx_line(line: str) -> Line:
    """A line of a RedDots `.ndx`."""
    fields = line.split(",", 2)
    condition = FLAGS.get(fields[2]) if len(fields) == 3 else None
    if condition is None:
        fields = [field.strip() for field in line.split(",")]
        if len(fields) != 6:
            raise ValueError(f"'model,recording,TC,TW,IC,IW' is wanted, got {excerpt(line)!r}")
        flags = ",".join(fields[2:])
        if flags not in FLAGS:
            raise ValueError(f"exactly one of the flags TC,TW,IC,IW is Y, the others N, got {excerpt(flags)!r}")
        condition = FLAGS[flags]
    return fields[0], fields[1], condition


def kaldi_line(line: str) -> Line:
    """A line of Kaldi's trials."""
    fields = line.split()
    if len(fields) != 3 or fields[2] not in KINDS:
        raise ValueError(f"'model recording target' or '... nontarget' is wanted, got {excerpt(line)!r}")
    return fields[0], fields[1], KINDS.index(fields[2])


def voxceleb_line(line: str) -> Line:
    """A line of a VoxCeleb list."""
    fields = line.split()
    if len(fields) != 3 or fields[0] not in LABELS:
        raise ValueError(f"'1 recording recording' or '0 recording recording' is wanted, got {excerpt(line)!r}")
    return fields[1], fields[2], LABELS[fields[0]]


def form_of(line: str) -> Callable[[str], Line]:
    """The reader of lines like this one, the first of a list."""
    fields = line.split()
    if "," in line:
        return ndx_line
    if fields[-1] in KINDS:
        return kaldi_line
    if fields[0] in LABELS:
        return voxceleb_line
    raise ValueError(
        "a trial is 'model,recording,N,N,N,Y', 'model recording target' or '1 recording recording', got "
        f"{excerpt(line)!r}"
    )


def read_trials(
    path: Path, enrolment: Mapping[str, tuple[str, ...]] | None = None, known: Collection[str] | None = None
) -> TrialList:
    """A list of trials, whose format is that of its first line.

    Args:
        path: the file: a RedDots `.ndx`, Kaldi's trials, or a VoxCeleb list.
        enrolment: the recordings of each model (`read_enrolment`); a VoxCeleb list has its own.
        known: names of the recordings that there are; None: any will do.

    Raises:
        ValueError: it has none, a line is none, its model is not enrolled, its recording is unknown or enrols its
            model, or a trial is there twice.
    """
    parse: Callable[[str], Line] | None = None
    models: RecordingNumbers | ModelNumbers = ModelNumbers(enrolment or ())
    recordings = RecordingNumbers(known)
    columns = Columns.empty()
    for number, line in enumerate(text_lines(path), 1):
        if not (line := line.strip()):
            continue
        try:
            if parse is None:
                parse = form_of(line)
                if parse is voxceleb_line:
                    models = RecordingNumbers(known)
                elif enrolment is None:
                    raise ValueError("it names models, so their enrolment is wanted too: a .trn file, or spk2utt")
            model, recording, condition = parse(line)
            columns.model.append(models[model])
            columns.recording.append(recordings[recording])
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        columns.condition.append(condition)
        columns.line.append(number)
    if parse is None:
        raise ValueError(f"{path} has no trials")
    if isinstance(models, RecordingNumbers):
        enrolment = {name: (name,) for name in models.names}
    names, (model_of, recording_of, condition_of) = tuple(recordings.names), columns.arrays()
    if fault := first_fault(enrolment or {}, names, model_of, recording_of):
        raise ValueError(f"{path}, line {columns.line[fault[0]]}: {fault[1]}")
    conditions = CONDITIONS if parse is ndx_line else KINDS
    return TrialList(enrolment or {}, names, model_of, recording_of, condition_of, conditions)


class Columns(NamedTuple):
    """Numbers of lines that are read, in few bytes each."""

    model: array[int]
    recording: array[int]
    condition: array[int]
    line: array[int]

    @classmethod
    def empty(cls) -> Columns:
        """Of no lines."""
        return cls(array("i"), array("i"), array("b"), array("i"))

    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
        """Models, recordings and conditions."""
        model, recording = np.array(self.model, np.int32), np.array(self.recording, np.int32)
        return model, recording, np.array(self.condition, np.int8)


def read_scores(path: Path, trials: TrialList) -> Array:
    """The scores of trials in the order of their list, whatever the order of the file; `(N,)`.

    Args:
        path: lines `model recording condition score` or `model recording score`, all alike.
        trials: the list.

    Raises:
        ValueError: a line is none, its trial is not in the list, there twice, or has another condition there; or the
            file has no score of a trial.
    """
    tested = {name: i for i, name in enumerate(trials.recordings)}
    models, recordings = ModelNumbers(trials.models), RecordingNumbers(tested, tested)
    columns, scores, n_fields = Columns.empty(), array("d"), 0
    for number, line in enumerate(text_lines(path), 1):
        if not (fields := line.split()):
            continue
        try:
            n_fields = n_fields or len(fields)
            if len(fields) != n_fields or n_fields not in (3, 4):
                raise ValueError(f"'model recording [condition] score' is wanted, all alike, got {excerpt(line)!r}")
            columns.model.append(models[fields[0]])
            columns.recording.append(recordings[fields[1]])
            columns.condition.append(-1 if n_fields == 3 else condition_number(fields[2], trials.conditions))
            scores.append(score_of(fields[-1]))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        columns.line.append(number)
    model, recording, condition = columns.arrays()
    place = places_of(keys_of(model, recording, len(tested)), trials)

    def refuse(wrong: NDArray[np.bool_], reason: str) -> None:
        if wrong.any():
            at = int(wrong.argmax())
            what = pair(trials.models[model[at]], trials.recordings[recording[at]])
            raise ValueError(f"{path}, line {columns.line[at]}: {what} {reason}")

    refuse(place < 0, "have no trial in the list")
    is_first = np.zeros(len(place), bool)
    is_first[np.unique(place, return_index=True)[1]] = True
    refuse(~is_first, "have a score by a line before")
    refuse((condition >= 0) & (condition != trials.condition[place]), "have another condition in the list")
    ordered = np.full(len(trials), np.nan)
    ordered[place] = scores
    if len(missing := np.flatnonzero(np.isnan(ordered))):
        first = int(missing[0])
        what = pair(trials.models[trials.model[first]], trials.recordings[trials.recording[first]])
        raise ValueError(f"{path} has no score of {len(missing):,} of {len(trials):,} trials, the first: {what}")
    return ordered


def places_of(keys: Index, trials: TrialList) -> Index:
    """The number of the trial of each key; -1 where there is none."""
    wanted = keys_of(trials.model, trials.recording, len(trials.recordings))
    if np.array_equal(keys, wanted) or not len(wanted):
        return np.arange(len(keys)) if len(wanted) else np.full(len(keys), -1)
    order = np.argsort(wanted)
    place = order[np.searchsorted(wanted[order], keys).clip(max=len(wanted) - 1)]
    return np.where(wanted[place] == keys, place, -1)


def condition_number(text: str, conditions: Sequence[str]) -> int:
    """The number of a condition."""
    if text not in conditions:
        raise ValueError(f"a condition of the list is {', '.join(conditions)}; got {excerpt(text)!r}")
    return conditions.index(text)


def score_of(text: str) -> float:
    """A score: a finite number."""
    try:
        score = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"a score is a finite number, got {excerpt(text)!r}")
    return score


# --- writers ----------------------------------------------------------------------------------------------------------


def write_enrolment(path: Path, trials: TrialList) -> None:
    """Write a `.trn` file.

    Raises:
        ValueError: a name cannot be written.
    """
    check_names(trials)
    write_text(path, "".join(f"{model} {','.join(names)}\n" for model, names in trials.enrolment.items()))


def write_trials(path: Path, trials: TrialList, form: str = "ndx") -> None:
    """Write a list of trials.

    Args:
        path: the file.
        trials: that are written.
        form: one of `FORMS`. `kaldi` and `voxceleb` know targets, TC, and others.

    Raises:
        ValueError: a name cannot be written, `ndx` of trials that are target or nontarget, or `voxceleb` of models that
            are not enrolled with one recording each.
    """
    if form not in FORMS:
        raise ValueError(f"a list of trials is one of {', '.join(FORMS)}, got {form}")
    check_names(trials)
    models: Sequence[str] = trials.models
    if form == "ndx":
        if trials.conditions != CONDITIONS:
            raise ValueError(f"an .ndx has {', '.join(CONDITIONS)}; these trials have {', '.join(trials.conditions)}")
        labels = list(FLAGS)
        pattern = "{0},{1},{2}\n"
    elif form == "kaldi":
        labels = [KINDS[number > 0] for number in range(len(trials.conditions))]
        pattern = "{0} {1} {2}\n"
    else:
        if len({names for names in trials.enrolment.values() if len(names) == 1}) != len(models):
            raise ValueError("a VoxCeleb list names a model by its recording: each has one, and no two the same")
        models = [names[0] for names in trials.enrolment.values()]
        labels = ["1" if number == 0 else "0" for number in range(len(trials.conditions))]
        pattern = "{2} {0} {1}\n"
    write_text(path, "".join(
        pattern.format(models[model], trials.recordings[recording], labels[condition])
        for model, recording, condition in rows(trials)
    ))  # fmt: skip


def write_scores(path: Path, trials: TrialList, scores: ArrayLike, *, with_conditions: bool = True) -> None:
    """Write a score for each trial, in the order of the list; what is read again is the same to the last bit.

    Args:
        path: the file.
        trials: the list.
        scores: `(N,)`.
        with_conditions: lines `model recording condition score`; else Kaldi's, `model recording score`.

    Raises:
        ValueError: there are more or fewer scores than trials, one is no finite number, or a name cannot be written.
    """
    numbers = np.asarray(scores, np.float64)
    if numbers.shape != (len(trials),):
        raise ValueError(f"{len(trials)} trials have as many scores, got an array of shape {numbers.shape}")
    if len(wrong := np.flatnonzero(~np.isfinite(numbers))):
        raise ValueError(f"a score is a finite number; that of trial {wrong[0] + 1} is {numbers[wrong[0]]}")
    check_names(trials)
    labels = [f"{name} " if with_conditions else "" for name in trials.conditions]
    write_text(path, "".join(
        f"{trials.models[model]} {trials.recordings[recording]} {labels[condition]}{score!r}\n"
        for (model, recording, condition), score in zip(rows(trials), numbers.tolist(), strict=True)
    ))  # fmt: skip


def rows(trials: TrialList) -> Iterable[tuple[int, int, int]]:
    """Each trial as numbers of its model, recording and condition."""
    return zip(trials.model.tolist(), trials.recording.tolist(), trials.condition.tolist(), strict=True)


def check_names(trials: TrialList) -> None:
    """Refuse names that would read otherwise once written: with spaces or commas, or none at all.

    Raises:
        ValueError: there is one.
    """
    names = [(name, composed(name)) for name in trials.models] + [(name, listed_path(name)) for name in trials.named()]
    for name, read in names:
        if not name or name != read or not name.isprintable() or " " in name or "," in name:
            raise ValueError(
                f"{excerpt(name)!r} cannot be written in a list: no name has spaces, commas or backslashes"
            )
