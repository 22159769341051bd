"""From raw scores of a system to one log-likelihood ratio a trial: cohorts, normalisation, calibration.

A cohort of background speakers says what a score is worth. Speaker scores are normalised by the cohort's scores of the
phrase that the model claims; phrase scores are not, for cohorts take from them what tells phrases apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.arrays import Array, Index
from phonaut.data.trials import TrialList
from phonaut.metrics.calibration import quality_inputs
from phonaut.metrics.score_normalization import CohortStatistics, cohort_statistics, s_norm, t_norm, z_norm
from phonaut.models.speakers.system import PHRASE, SPEAKER, VerificationSystem
from phonaut.models.speakers.utterances import Utterances

NORMALIZATIONS = ("none", "z", "t", "s", "as")
AT_ONCE = 2**20  # trials that are scored at once
FEWEST = 2  # of a cohort, whose scores have a deviation
MEAN, DEVIATION = "cohort mean", "cohort deviation"
SIDES = {"z": "enrolled", "t": "tested"}


@dataclass(frozen=True, eq=False)
class Cohort:
    """Recordings of background speakers, and the models that they enrol.

    Attributes:
        recordings: represented, with columns `speaker` and `phrase`.
        references: of the models.
        model_phrase: phrase of each model, `(M,)`.
    """

    recordings: Utterances
    references: Utterances
    model_phrase: NDArray[np.str_]

    @classmethod
    def of(cls, system: VerificationSystem, represented: Utterances, n_takes: int, n_speakers: int) -> Cohort:
        """A cohort of the background: of each speaker and phrase the first `n_takes` recordings, which enrol a model.

        Args:
            system: that is trained.
            represented: the background, by `represent`.
            n_takes: of a speaker's phrase; of a speaker where phrases are not known.
            n_speakers: of a phrase, at most; they are spread evenly over all.
        """
        keys = list(zip(represented["phrase"].tolist(), represented["speaker"].tolist(), strict=True))
        speakers: dict[str, list[str]] = {}
        for phrase, speaker in dict.fromkeys(keys):
            speakers.setdefault(phrase, []).append(speaker)
        chosen = {
            (phrase, names[i])
            for phrase, names in speakers.items()
            for i in np.unique(np.linspace(0, len(names) - 1, min(n_speakers, len(names))).round().astype(int))
        }
        rows, model = list[int](), list[int]()
        number: dict[tuple[str, str], int] = {}
        counts: dict[tuple[str, str], int] = {}
        for row, key in enumerate(keys):
            if key in chosen and counts.get(key, 0) < n_takes:
                counts[key] = counts.get(key, 0) + 1
                rows.append(row)
                model.append(number.setdefault(key, len(number)))
        recordings = represented.select(np.array(rows, np.int64))
        references = system.enrol(recordings, np.array(model, np.int64))
        return cls(recordings, references, np.array([phrase for phrase, _ in number], np.str_))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of it by name, for a file."""
        parts = {"recordings": self.recordings, "references": self.references}
        named = {f"{part}/{name}": array for part, rows in parts.items() for name, array in rows.arrays().items()}
        return named | {"model_phrase": self.model_phrase}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Cohort:
        """What `arrays` gave.

        Raises:
            ValueError: an array is missing.
        """

        def part(name: str) -> Utterances:
            there = {key.partition("/")[2]: one for key, one in arrays.items() if key.startswith(f"{name}/")}
            return Utterances.from_arrays(there)

        if "model_phrase" not in arrays:
            raise ValueError("a cohort has the phrases of its models; model_phrase is missing")
        return cls(part("recordings"), part("references"), arrays["model_phrase"])


@dataclass(frozen=True, eq=False)
class Enrolled:
    """Models of a list of trials.

    Attributes:
        references: of all models, by `enrol`.
        phrase: that each model claims, `(M,)`; empty: any.
        speech_s: speech that each is enrolled with, the mean of its recordings, seconds, `(M,)`.
    """

    references: Utterances
    phrase: NDArray[np.str_]
    speech_s: Array

    @classmethod
    def of(cls, system: VerificationSystem, represented: Utterances, model: Index) -> Enrolled:
        """The models that `represented` recordings enrol, numbered `model (B,)` from 0."""
        n = int(model.max(initial=-1)) + 1
        phrase = np.full(n, "", dtype=object)
        for number, name in zip(model.tolist(), represented["phrase"].tolist(), strict=True):
            phrase[number] = name  # of a model with several phrases none is claimed, below
        several = {
            number
            for number, name in zip(model.tolist(), represented["phrase"].tolist(), strict=True)
            if phrase[number] != name
        }
        phrase[sorted(several)] = ""
        counts = np.maximum(np.bincount(model, minlength=n), 1)
        speech_s = np.bincount(model, represented["speech_s"], minlength=n) / counts
        return cls(system.enrol(represented, model), phrase.astype(np.str_), speech_s)


def raw_scores(
    system: VerificationSystem, references: Utterances, tested: Utterances, model: Index, recording: Index
) -> dict[str, Array]:
    """Raw scores of trials, so many at once that memory is bounded; arguments as of `VerificationSystem.score`."""
    parts = [system.score(references, tested, model[part], recording[part]) for part in blocks(len(model))]
    if not parts:
        return {name: np.empty(0) for name in system.scores}
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}


def raw_speaker_scores(
    system: VerificationSystem, references: Utterances, tested: Utterances, model: Index, recording: Index
) -> Array:
    """The speaker scores alone, `(N,)`."""
    parts = [system.speaker_scores(references, tested, model[part], recording[part]) for part in blocks(len(model))]
    return np.concatenate(parts) if parts else np.empty(0)


def blocks(n: int) -> Iterator[slice]:
    """Slices of `n` trials."""
    return (slice(first, first + AT_ONCE) for first in range(0, n, AT_ONCE))


def normalised(
    system: VerificationSystem,
    cohort: Cohort,
    enrolled: Enrolled,
    tested: Utterances,
    model: Index,
    recording: Index,
    scores: Array,
    kind: str,
    top_n: int | None = None,
) -> tuple[Array, dict[str, Array]]:
    """Speaker scores relative to those of the cohort that says the claimed phrase; where nobody does, of all of it.

    Args:
        system: that is trained.
        cohort: of the background.
        enrolled: the models.
        tested: the recordings, represented.
        model: of each trial, `(N,)`.
        recording: of each trial, `(N,)`.
        scores: raw speaker scores, `(N,)`.
        kind: `z`: by strangers' recordings against the model, `t`: by the recording against strangers' models, `s`:
            the mean of both, `as`: of both by their `top_n` largest scores alone.
        top_n: of `as`.

    Returns:
        The scores, `(N,)`, and inputs of a fusion: means and deviations of the cohort scores of the enrolled model and
        of the tested recording, `(N,)` each.
    """
    used = np.unique(model)
    sides: dict[str, CohortStatistics] = {}
    top = top_n if kind == "as" else None
    if kind in ("z", "s", "as"):
        of_models = statistics_of(
            [(number, members(cohort.recordings["phrase"], enrolled.phrase[number])) for number in used.tolist()],
            lambda number, member: raw_speaker_scores(system, enrolled.references, cohort.recordings, number, member),
            top,
        )
        sides["z"] = of_models[np.searchsorted(used, model)]
    if kind in ("t", "s", "as"):
        phrases, of_phrase = np.unique(enrolled.phrase, return_inverse=True)
        n = len(phrases)
        pair, place = np.unique(recording * n + of_phrase[model], return_inverse=True)
        known = [members(cohort.model_phrase, phrase) for phrase in phrases]
        of_recordings = statistics_of(
            [(key // n, known[key % n]) for key in pair.tolist()],
            lambda number, member: raw_speaker_scores(system, cohort.references, tested, member, number),
            top,
        )
        sides["t"] = of_recordings[place]
    if kind == "z":
        result = z_norm(scores, sides["z"])
    elif kind == "t":
        result = t_norm(scores, sides["t"])
    else:
        result = s_norm(scores, sides["z"], sides["t"])
    named = [(SIDES[side], one) for side, one in sides.items()]
    means = {f"{MEAN} {side}": one.mean for side, one in named}
    return result, means | {f"{DEVIATION} {side}": one.deviation for side, one in named}


def members(phrases: NDArray[np.str_], phrase: str) -> Index:
    """The numbers of those of a cohort that say a phrase; all of them where fewer than two do."""
    found = np.flatnonzero(phrases == phrase)
    return found if len(found) >= FEWEST else np.arange(len(phrases))


def statistics_of(asked: Sequence[tuple[int, Index]], score: Any, top_n: int | None) -> CohortStatistics:
    """Cohort statistics of models or recordings by number, each with the members of the cohort that it is scored with.

    Those with as many members are scored together.
    """
    mean, deviation = np.empty(len(asked)), np.empty(len(asked))
    sizes = np.array([len(member) for _, member in asked])
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        at_once = max(1, AT_ONCE // int(size))
        for first in range(0, len(rows), at_once):
            some = rows[first : first + at_once]
            number = np.repeat(np.array([asked[row][0] for row in some]), size)
            member = np.concatenate([asked[row][1] for row in some])
            cells = score(number, member).reshape(len(some), int(size))
            found = cohort_statistics(cells, top_n=top_n)
            mean[some], deviation[some] = found.mean, found.deviation
    return CohortStatistics(mean, deviation)


def fusion_inputs(
    system: VerificationSystem,
    cohort: Cohort | None,
    enrolled: Enrolled,
    tested: Utterances,
    trials: TrialList,
    *,
    normalization: str,
    top_n: int | None = None,
    durations: bool = True,
    cohort_scores: bool = False,
) -> dict[str, Array]:
    """What a calibration is fitted on and applied to, by name, `(N,)` each.

    `speaker` (normalised) and `phrase` (not normalised), as far as the system gives them; with `durations`, logarithms
    of the speech of both sides; with `cohort_scores`, what speaker scores are normalised by.
    """
    model, recording = trials.model.astype(np.int64), trials.recording.astype(np.int64)
    scores = raw_scores(system, enrolled.references, tested, model, recording)
    inputs: dict[str, Array] = {}
    quality: dict[str, Array] = {}
    if SPEAKER in scores:
        inputs[SPEAKER] = scores[SPEAKER]
        if normalization != "none" and cohort is not None:
            inputs[SPEAKER], quality = normalised(
                system, cohort, enrolled, tested, model, recording, scores[SPEAKER], normalization, top_n
            )
    if PHRASE in scores:
        inputs[PHRASE] = scores[PHRASE]
    if durations:
        lengths = quality_inputs("speech", enrolled.speech_s[model], tested["speech_s"][recording])
        inputs["speech ratio"] = np.log(lengths["speech ratio"])
        inputs["speech least"] = np.log(lengths["speech least"])
    return inputs | (quality if cohort_scores else {})
