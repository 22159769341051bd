"""Trials of a verification run: figures of each condition, curves, scores, the threshold in words, the worst errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phonaut.metrics import Cost, Estimate, det_curve, error_rates, threshold_in_words
from phonaut.plots import png
from phonaut.plots.verification import CONDITIONS, GENDERS, det_curves, in_words, score_histograms
from phonaut.reports.html import render as rendered
from phonaut.reports.media import data_uri
from phonaut.reports.record import Evaluation, Record
from phonaut.reports.sections import Section
from phonaut.reports.sections.headline import absent_trials
from phonaut.reports.sections.mistakes import Sound, excerpt, find
from phonaut.tasks.trial_scores import FOLDER, LEFT_OUT, TrialScores
from phonaut.tasks.verification import calibration_of

N_SHOWN = 12  # errors
FIGURES = ("eer", "min_dcf", "dcf", "cllr", "min_cllr")
DPI = 180


@dataclass(frozen=True)
class Error:
    """A trial that was decided wrongly.

    Attributes:
        kind: of the trial, in words.
        accepted: it was.
        score: of it.
        model: name of the model.
        recording: that was tested.
        sounds: the tested recording, and the first that enrolled the model; none where the audio has gone.
    """

    kind: str
    accepted: bool
    score: float
    model: str
    recording: str
    sounds: list[tuple[str, Sound]]


@dataclass(frozen=True)
class Row:
    """Figures of a condition."""

    name: str
    n: int
    rates: dict[str, Estimate]


@dataclass(frozen=True)
class Table:
    """Figures of an evaluation.

    Attributes:
        name: of the split, the list or the folder.
        rows: conditions.
        figures: columns.
        methods: of the intervals; figures name them by their numbers.
        left_out: trials of refused recordings, where there are any.
        absent: kinds of trials that there are none of, in words.
    """

    name: str
    rows: list[Row]
    figures: list[str]
    methods: list[str]
    left_out: Estimate | None
    absent: str


def render(record: Record) -> Section | None:
    """The section; None where the scores have gone."""
    if not (record.run.folder / FOLDER / f"{record.main.name}.npz").exists():
        return None
    scored = TrialScores.load(record.run.folder, record.main.name)
    threshold = record.run.model.get("threshold") if scored.is_ratio else None
    curves, points = det_pictures(scored, threshold)
    pictures = {
        "det": png(det_curves(curves, operating_points=points), dpi=DPI) if curves else None,
        "scores": png(
            score_histograms(
                scored.scores, scored.condition, threshold=threshold,
                xlabel="log-likelihood ratio" if scored.is_ratio else "score",
            ),
            dpi=DPI,
        ),
    }  # fmt: skip
    errors, n_errors, no_sound = worst_errors(record, scored, threshold)
    content = {
        "record": record,
        "evaluations": [table(record, evaluation) for evaluation in record.evaluations],
        "pictures": {name: data_uri("image/png", data) for name, data in pictures.items() if data},
        "threshold": threshold,
        "in_words": None if threshold is None else threshold_in_words(scored.scores, scored.condition, threshold),
        "calibration": calibration_of(record.run.model),
        "errors": errors,
        "n_errors": n_errors,
        "no_sound": no_sound,
        "cost": cost_of(record),
        "genders": any(name.rpartition("/")[2] in GENDERS for one in record.evaluations for name in one.rates),
    }
    return Section(rendered("trials.html", content), {"trials": "Trials"})


def table(record: Record, evaluation: Evaluation) -> Table:
    """The figures of each condition of an evaluation, the pooled ones first."""
    by_condition: dict[str, dict[str, Estimate]] = {}
    for name, rate in evaluation.rates.items():
        figure, _, condition = name.partition("/")
        if figure in FIGURES:
            by_condition.setdefault(condition, {})[figure] = rate
    rows = [Row(in_words(condition), next(iter(rates.values())).n, rates) for condition, rates in by_condition.items()]
    figures = [name for name in FIGURES if name in evaluation.rates]
    methods = list(dict.fromkeys(rate.method for row in rows for rate in row.rates.values() if rate.method))
    left_out, absent = evaluation.rates.get(LEFT_OUT), absent_trials(record, evaluation)
    return Table(evaluation.name, rows, figures, methods, left_out, absent)


def cost_of(record: Record) -> Cost:
    """The cost that the figures were computed with."""
    task = record.run.config.task
    return Cost(*(float(task.get(key, default)) for key, default in (
        ("p_target", 0.5), ("c_miss", 1.0), ("c_false_alarm", 1.0))))  # fmt: skip


def det_pictures(
    scored: TrialScores, threshold: float | None
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, tuple[float, float]]]:
    """Curves of targets against each kind of non-targets, and where the threshold lies on them."""
    curves, points = {}, {}
    condition = scored.condition
    for kind in (kind for kind in CONDITIONS if kind != "TC" and (condition == kind).any()):
        which = (condition == "TC") | (condition == kind)
        scores, target = scored.scores[which], condition[which] == "TC"
        if target.all() or not target.any():
            continue
        curve = det_curve(scores, target)
        curves[CONDITIONS[kind]] = (curve.false_alarm, curve.miss)
        if threshold is not None:
            miss, false_alarm = error_rates(scores, target, threshold)
            points[CONDITIONS[kind]] = (false_alarm, miss)
    return curves, points


def worst_errors(record: Record, scored: TrialScores, threshold: float | None) -> tuple[list[Error], int, str]:
    """The trials that were decided wrongly by most, half of each kind; their number, and why some cannot be played."""
    if threshold is None:
        return [], 0, ""
    condition, margin = scored.condition, scored.scores - threshold
    wrong = np.where(condition == "TC", margin < 0, margin >= 0)
    order = np.argsort(-np.abs(margin), kind="stable")
    order = order[wrong[order]]
    missed, accepted = order[condition[order] == "TC"], order[condition[order] != "TC"]
    half = N_SHOWN // 2
    n_missed = max(half, N_SHOWN - len(accepted))
    shown = [*missed[:n_missed], *accepted[: N_SHOWN - len(missed[:n_missed])]]
    trials = scored.trials
    needed: dict[str, Sound] = {}
    no_sound = record.why_not
    names = {trials.recordings[trials.recording[i]] for i in shown}
    names |= {trials.enrolment[trials.models[trials.model[i]]][0] for i in shown}
    if record.prepared is not None and record.prepared.frames is None and names:
        table = record.prepared.utterances(record.main.name)
        try:
            for name, row in find(table, sorted(names)).items():
                needed[name] = excerpt(table, row, 0.0, float(table.durations_s[row]), 2 * N_SHOWN)
        except (ValueError, OSError) as error:  # damaged since: the figures stand without it
            no_sound = str(error)
        if not needed and not no_sound:
            no_sound = f"{record.prepared.folder} holds another corpus than the one that was tested"
    errors = []
    for i in shown:
        model, recording = trials.models[trials.model[i]], trials.recordings[trials.recording[i]]
        sides = [("tested", recording), ("enrolled", trials.enrolment[model][0])]
        errors.append(
            Error(
                kind=CONDITIONS[str(condition[i])],
                accepted=bool(margin[i] >= 0),
                score=float(scored.scores[i]),
                model=model,
                recording=recording,
                sounds=[(side, needed[name]) for side, name in sides if name in needed],
            )
        )
    return errors, int(wrong.sum()), no_sound
