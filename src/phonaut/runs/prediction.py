"""Which word is in a recording: a run's answers for files, folders, arrays and long recordings in windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from phonaut.data.preparation.audio import BadRecordingError, duration_s
from phonaut.models.prototypes import UNKNOWN
from phonaut.runs.sounds import Sound, Source, named, opened
from phonaut.tasks.classification import Classification
from phonaut.tasks.recordings import Files, Part, sample_rate_of
from phonaut.tasks.rejection import is_none

if TYPE_CHECKING:
    from phonaut.runs.answers import Answers

AT_ONCE = 256  # parts that are decoded before they are answered
LONG = 1.5  # clips: a longer recording is heard in windows, half a clip apart


class Prediction(NamedTuple):
    """The answer for a recording or a part of one.

    Attributes:
        path: of the recording; of an array `array 1`, counted from 1 among what was given.
        start_s: of the part.
        end_s: of the part; None: the end of the recording.
        label: the most probable class.
        probability: of it.
        second: the next class; None where there is one class.
        second_probability: of that.
        probabilities: class -> probability.
        none_of_these: the answer is none of the words of the run: too improbable for its threshold, or `_unknown_`.
    """

    path: str
    start_s: float
    end_s: float | None
    label: str
    probability: float
    second: str | None
    second_probability: float | None
    probabilities: dict[str, float]
    none_of_these: bool = False

    def __repr__(self) -> str:
        """The answer in a line."""
        place = "" if self.end_s is None else f", {self.start_s:g} to {self.end_s:g} s"
        second = f", then {self.second} {self.second_probability:.1%}" if self.second_probability is not None else ""
        none = "none of these: " if self.none_of_these else ""
        return f"{none}{self.label} {self.probability:.1%}{second} ({self.path}{place})"


def predict(
    run: Answers,
    recordings: Sequence[Source],
    note: Callable[[str], None] = print,
    *,
    rate: float | None = None,
    windows: bool = True,
    strict: bool = False,
    reject: bool = True,
    threshold: float | None = None,
) -> Iterator[Prediction]:
    """Answers in the order of the recordings, as they come.

    Args:
        run: a classifier of whole recordings.
        recordings: files, folders of them, arrays of samples.
        note: called with a line on what is passed over and why.
        rate: of arrays, Hz; None: that of the model.
        windows: a recording much longer than a clip of training is heard in windows; False: as training would fit it
            to a clip.
        strict: nothing that is named is passed over, and only of folders what is in them.
        reject: say what is none of the words of the run; False: of none, however improbable its class.
        threshold: the probability below which an answer is none of these; None: that of the run, if it keeps one.

    Raises:
        ValueError: the run classifies no recordings, or is asked to reject otherwise than it can; a path is not there,
            or no recording can be used; where `strict`, one that is named cannot.
    """
    if not isinstance(run.task, Classification):
        raise ValueError(f"{run.folder} is of {type(run.task).__name__.lower()}, which names no class of a recording")
    if run.config.target == "phone":
        raise ValueError(f"{run.folder} classifies phones within recordings whose phones lie somewhere: phonaut align "
                         "finds them, phonaut evaluate classifies them")  # fmt: skip
    least = threshold_of(run, reject=reject, threshold=threshold)
    clip_s = run.clip_s
    with opened(recordings, rate, sample_rate_of(run), note) as sounds:
        by_path = {sound.path: sound for sound in sounds}
        noted, problems, n_answered = set[str](), list[str](), 0

        def refuse(reason: str) -> None:
            sound = next((one for one in sounds if reason.startswith(f"{one.path}: ")), None)
            reason = named(reason, [] if sound is None else [sound])
            if reason in noted:  # that of all windows of a recording
                return
            noted.add(reason)
            if strict and sound is not None and not sound.found:
                problems.append(reason)
            else:
                note(f"passed over: {reason}")

        rest = parts_of(sounds, clip_s if windows else None, refuse)
        while parts := list(islice(rest, AT_ONCE)):
            answers, refused = run.task.answers(run, Files(parts, clip_s))
            for reason in refused:
                refuse(reason)
            for number, answer in answers.items():
                n_answered += 1
                part = parts[number]
                ranked = sorted(answer.probabilities.items(), key=lambda one: -one[1])
                second, likely = ranked[1] if len(ranked) > 1 else (None, None)
                end_s = None if part.duration_s is None else round(part.start_s + part.duration_s, 3)
                yield Prediction(by_path[part.path].name, round(part.start_s, 3), end_s, answer.label,
                                 answer.probability, second, likely, answer.probabilities,
                                 reject and is_none(answer.label, answer.probability, least))  # fmt: skip
        if problems:
            raise ValueError(f"recordings that cannot be used: {'; '.join(problems)}")
        if not n_answered:
            names = [f"array {n}" if hasattr(one, "dtype") else str(one) for n, one in enumerate(recordings, 1)]
            raise ValueError(f"no recording could be used of {', '.join(names)}")


def threshold_of(run: Answers, *, reject: bool, threshold: float | None) -> float | None:
    """The probability below which an answer is none of these; None: there is none, or the scores have it in them.

    Raises:
        ValueError: the threshold is no probability, or would have no effect.
    """
    kept: dict[str, Any] = run.about.get("rejection") or {}
    is_cosine = "false_accepts" in kept
    if threshold is None:
        if not reject and not kept and UNKNOWN not in run.about["classes"]:
            raise ValueError(f"reject=false has no effect: {run.folder} keeps no threshold below which it rejects")
        return kept["threshold"] if reject and kept and not is_cosine else None
    if not reject:
        raise ValueError("threshold= has no effect with reject=false: leave one out")
    if is_cosine:
        raise ValueError(
            f"threshold={threshold:g} has no effect: {run.folder} compares with a cosine of {kept['threshold']:.3g}, "
            "which model.false_accepts= chose when it was trained"
        )
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold:g} must be a probability, above 0 and up to 1")
    return threshold


def parts_of(sounds: Iterable[Sound], clip_s: float | None, refuse: Callable[[str], None]) -> Iterator[Part]:
    """Recordings as they are, those much longer than a clip as windows of one, the last at the end."""
    for path in (sound.path for sound in sounds):
        try:
            length = duration_s(path) if clip_s else 0.0
        except (BadRecordingError, OSError) as error:
            refuse(f"{path}: {error}")
            continue
        if not clip_s or length <= LONG * clip_s:
            yield Part(path)
            continue
        hop = clip_s / 2
        starts = [i * hop for i in range(int((length - clip_s) / hop) + 1)]
        if length - clip_s - starts[-1] > 0.01:
            starts.append(length - clip_s)
        yield from (Part(path, start, clip_s) for start in starts)
