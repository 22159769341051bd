"""Which word is in a recording: a run's answers for files, folders and long recordings in windows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from phonaut.data.preparation.audio import SUFFIXES, BadRecordingError, duration_s
from phonaut.tasks.classification import Classification
from phonaut.tasks.recordings import Files, Part

if TYPE_CHECKING:
    from phonaut.runs.load import LoadedRun

AT_ONCE = 256  # parts that are decoded before they are answered
LONG = 1.5  # clips: a longer recording is heard in windows, half a clip apart
AUDIO = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes} | {".sph", ".nist"}


class Prediction(NamedTuple):
    """The answer for a recording or a part of one.

    Attributes:
        path: of the recording.
        start_s: of the part.
        end_s: of the part; None: the end of the recording.
        label: the most probable class.
        probability: of it.
        second: the next class; None where there is one class.
        second_probability: of that.
        probabilities: class -> probability.
    """

    path: str
    start_s: float
    end_s: float | None
    label: str
    probability: float
    second: str | None
    second_probability: float | None
    probabilities: dict[str, float]


def predict(run: LoadedRun, paths: Sequence[Path], note: Callable[[str], None] = print) -> Iterator[Prediction]:
    """Answers in the order of the recordings, as they come.

    Args:
        run: a classifier of whole recordings.
        paths: recordings, and folders of them.
        note: called with a line on what is passed over and why.

    Raises:
        ValueError: the run classifies no recordings, a path is not there, or no recording can be used.
    """
    if not isinstance(run.task, Classification):
        raise ValueError(f"{run.folder} is of {type(run.task).__name__.lower()}, which names no class of a recording")
    if run.config.target == "phone":
        raise ValueError(f"{run.folder} classifies phones within recordings whose phones lie somewhere: phonaut align "
                         "finds them, phonaut evaluate classifies them")  # fmt: skip
    clip_s = (run.corpus.get("summary") or {}).get("clip_s")
    n_answered, rest = 0, parts_of(recordings_of(paths, note), clip_s, note)
    noted: set[str] = set()
    while parts := list(islice(rest, AT_ONCE)):
        answers, refused = run.task.answers(run, Files(parts, clip_s))
        for reason in refused:
            if reason not in noted:  # that of all windows of a recording
                note(f"passed over: {reason}")
            noted.add(reason)
        for number, answer in answers.items():
            n_answered += 1
            part = parts[number]
            ranked = sorted(answer.probabilities.items(), key=lambda one: -one[1])
            second, likely = ranked[1] if len(ranked) > 1 else (None, None)
            end_s = None if part.duration_s is None else round(part.start_s + part.duration_s, 3)
            yield Prediction(str(part.path), round(part.start_s, 3), end_s, answer.label, answer.probability, second,
                             likely, answer.probabilities)  # fmt: skip
    if not n_answered:
        raise ValueError(f"no recording could be used of {', '.join(map(str, paths))}")


def recordings_of(paths: Sequence[Path], note: Callable[[str], None]) -> Iterator[Path]:
    """The recordings among paths: files as they are named, of folders all that are audio by their names.

    Raises:
        ValueError: one is not there.
    """
    if missing := [str(path) for path in paths if not path.exists()]:
        raise ValueError(f"no such recording or folder: {', '.join(missing)}")
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        others: Counter[str] = Counter()
        for file in sorted(one for one in path.rglob("*") if one.is_file() and not one.name.startswith(".")):
            if file.suffix.lower() in AUDIO:
                yield file
            else:
                others[file.suffix or file.name] += 1
        if others:
            kinds = ", ".join(f"{n} {kind}" for kind, n in others.most_common(5))
            note(f"passed over: {kinds} in {path}, no audio by their names")


def parts_of(files: Iterable[Path], clip_s: float | None, note: Callable[[str], None]) -> Iterator[Part]:
    """Recordings as they are, those much longer than a clip as windows of one, the last at the end."""
    for path in files:
        try:
            length = duration_s(path) if clip_s else 0.0
        except (BadRecordingError, OSError) as error:
            note(f"passed over: {path}: {error}")
            continue
        if not clip_s or length <= LONG * clip_s:
            yield Part(path)
            continue
        hop = clip_s / 2
        starts = [i * hop for i in range(int((length - clip_s) / hop) + 1)]
        if length - clip_s - starts[-1] > 0.01:
            starts.append(length - clip_s)
        yield from (Part(path, start, clip_s) for start in starts)
