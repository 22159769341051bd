"""Worst mistakes: the most confident wrong predictions, with audio and spectrograms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.data.prepared import UtteranceTable
from phonaut.reports.html import render as rendered
from phonaut.reports.media import data_uri, png, spectrogram, wav
from phonaut.reports.record import Evaluation, Record
from phonaut.reports.sections import Section
from phonaut.tasks.predictions import Predictions

N_SHOWN = 12
LONGEST_S = 4.0  # of what is played of a recording
SHORTEST_S = 1.0  # a phone is played in its context
SAMPLES = 800_000  # of all players together: about 2 MB on the page


@dataclass(frozen=True)
class Sound:
    """The part of a recording that is played.

    Attributes:
        audio: a WAV file, as data URI.
        picture: its spectrogram, as data URI.
        start_s: of the part, seconds from the start of the cut.
        end_s: of the part.
        span: start and length of the classified span as fractions of the part; None where it is all of it.
        cut_s: length of the whole cut.
        top_khz: upper end of the spectrogram.
        peak_db: greatest level; None: digital silence.
    """

    audio: str
    picture: str
    start_s: float
    end_s: float
    span: tuple[float, float] | None
    cut_s: float
    top_khz: float
    peak_db: float | None


@dataclass(frozen=True)
class Mistake:
    """A confident wrong prediction.

    Attributes:
        truth: the true class.
        answer: the class that the model gave.
        probability: of the answer.
        of_truth: probability of the true class.
        cut: cut id.
        recording: path of the recording.
        speaker: speaker id.
        sound: None where the audio has gone.
    """

    truth: str
    answer: str
    probability: float
    of_truth: float
    cut: str
    recording: str
    speaker: str
    sound: Sound | None


@dataclass(frozen=True)
class Mistakes:
    """The worst mistakes, the number of all, and the reason where they cannot be played."""

    worst: list[Mistake]
    n: int
    no_sound: str


def render(record: Record) -> Section | None:
    """The section; None where nothing was counted."""
    if not record.main.classified:
        return None
    content = {"record": record, "mistakes": mistakes(record)}
    return Section(rendered("mistakes.html", content), {"mistakes": "Worst mistakes"})


def mistakes(record: Record) -> Mistakes:
    """The surest wrong answers of the headline's evaluation, the surest first."""
    p = record.main.predictions
    assert p is not None
    rows, n = worst(record.main)
    players, no_sound = sounds(record, p, rows)
    probabilities = p.probabilities()
    shown = [
        Mistake(
            truth=str(p.classes[p.label[row]]),
            answer=str(p.classes[p.predicted[row]]),
            probability=float(probabilities[row, p.predicted[row]]),
            of_truth=float(probabilities[row, p.label[row]]),
            cut=str(p.cut[row]),
            recording=str(p.recording[row]),
            speaker=str(p.speaker[row]),
            sound=players.get(row),
        )
        for row in rows
    ]
    return Mistakes(shown, n, no_sound)


def sounds(record: Record, predictions: Predictions, rows: list[int]) -> tuple[dict[int, Sound], str]:
    """The sound of each row that can be played, and the reason where some cannot."""
    if record.prepared is None or not rows:
        return {}, record.why_not
    if record.prepared.frames is not None:
        return {}, "this corpus has frames, and no sound"
    p, table = predictions, record.prepared.utterances(record.split)
    places = find(table, p.cut[rows])
    players: dict[int, Sound] = {}
    for row in rows:
        place = places.get(str(p.cut[row]))
        if place is None:
            return players, f"{record.prepared.folder} holds another corpus than the one that was tested"
        try:
            players[row] = excerpt(table, place, float(p.start_s[row]), float(p.end_s[row]), len(rows))
        except (ValueError, OSError) as error:  # damaged since: the figures stand without it
            return players, str(error)
    return players, ""


def worst(evaluation: Evaluation) -> tuple[list[int], int]:
    """Rows of confident wrong predictions, the surest first, and the number of all.

    Speakers take turns, and of each speaker the recordings, so that the mistakes are not all of one; each gives the
    surest that it has left. Ties are in the order of the cuts' ids.
    """
    p = evaluation.predictions
    assert p is not None
    wrong = np.flatnonzero(evaluation.known & (p.label != p.predicted))
    sure = p.probabilities().max(axis=1)[wrong]
    order = np.lexsort((p.start_s[wrong], p.cut[wrong], -sure))
    surest = wrong[order]
    by_turns = surest[np.argsort(turns(p.recording[surest]), kind="stable")]
    by_turns = by_turns[np.argsort(turns(p.speaker[by_turns]), kind="stable")]
    shown = set(by_turns[:N_SHOWN].tolist())
    return [int(row) for row in surest if int(row) in shown], len(wrong)


def turns(names: NDArray[Any]) -> NDArray[np.int64]:
    """How often each name has come before, `(N,)`.

    >>> turns(np.array(["a", "b", "a", "a"])).tolist()
    [0, 0, 1, 2]
    """
    _, group, counts = np.unique(names, return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    found = np.empty(len(names), np.int64)
    found[order] = np.arange(len(names)) - np.repeat(np.cumsum(counts) - counts, counts)
    return found


def find(table: UtteranceTable, cuts: Iterable[str]) -> dict[str, int]:
    """The rows of some cuts in a table, by id."""
    ids = {str(cut) for cut in cuts}
    names = ((table.id(row), row) for row in range(len(table) if ids else 0))
    return {name: row for name, row in names if name in ids}


def excerpt(
    table: UtteranceTable, row: int, start_s: float, end_s: float, n_players: int, *, longest_s: float = LONGEST_S
) -> Sound:
    """The span of a cut with as much around it as can be heard as speech, and no more than a page can carry.

    Raises:
        ValueError: the audio is damaged.
    """
    rate = int(table.sample_rate)
    cut_s = int(table.n_samples[row]) / rate
    longest_s = min(longest_s, SAMPLES / n_players / rate)
    length_s = min(cut_s, longest_s, max(SHORTEST_S, end_s - start_s))
    centre_s = min((start_s + end_s) / 2, start_s + length_s / 2)  # of what is too long, the beginning
    first_s = min(max(0.0, centre_s - length_s / 2), cut_s - length_s)
    first, last = round(first_s * rate), round((first_s + length_s) * rate)
    audio = table.audio(row, first, last)
    inside = (max(0.0, (start_s - first_s) / length_s), min(1.0, (end_s - first_s) / length_s))
    peak = float(np.abs(audio).max(initial=0.0))
    return Sound(
        audio=data_uri("audio/wav", wav(audio, rate)),
        picture=data_uri("image/png", png(spectrogram(audio, rate))),
        start_s=first_s,
        end_s=first_s + length_s,
        span=(inside[0], inside[1] - inside[0]) if inside[1] - inside[0] < 0.98 else None,
        cut_s=cut_s,
        top_khz=min(8.0, rate / 2000),
        peak_db=float(20 * np.log10(peak)) if peak > 0 else None,
    )
