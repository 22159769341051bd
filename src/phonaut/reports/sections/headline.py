"""Headline of a report: the task's first metric, its interval, and the hardest classes and speakers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from phonaut.metrics import Estimate, mean_over, wilson
from phonaut.plots.verification import CONDITIONS
from phonaut.reports.html import render as rendered
from phonaut.reports.record import Evaluation, Record
from phonaut.reports.sections import Section
from phonaut.reports.sections.classes import RateRow, class_rows, scale_start, speaker_rows
from phonaut.reports.sections.confusions import confused
from phonaut.reports.sections.setup import model_size, moment
from phonaut.reports.text import seconds, things, whole
from phonaut.runs.hyper_parameters import GROUPS, KEYS, hyper_parameters
from phonaut.tasks.trial_scores import FOLDER, TrialScores

FEW_SPEAKERS = 5


def render(record: Record) -> Section:
    """The section, for the page's header."""
    evaluation, model = record.main, record.run.model
    metric = evaluation.metric
    rate = evaluation.rates[metric.name]
    counted = evaluation.classified and rate.n > 0
    classes = class_rows(evaluation) if counted else []
    speakers = speaker_rows(evaluation) if counted and record.target != "speaker" else []
    costs = [(name, value) for name, value, _ in model_size(record)]
    content = {
        "record": record,
        "started": moment(record.run.environment.get("started", "")),
        "metric": metric,
        "rate": rate,
        "n_right": (round(rate.value * rate.n) if rate.n else 0) if metric.name == "accuracy" else None,
        "n_speakers": evaluation.n_speakers if counted else None,
        "how": interval_method(record, evaluation),
        "absent": absent_trials(record, evaluation),
        "chance": evaluation.confusion.sum(axis=1).max() / evaluation.confusion.sum() if counted else None,
        "floor": scale_start([rate]),
        "confused": next(iter(confused(evaluation)), None) if counted else None,
        "weakest_class": imperfect(classes),
        "weakest_speaker": imperfect(speakers) if len(speakers) > 1 else None,
        "expected_cost": expected_cost(record) if counted else None,
        "hyper_parameters": grouped(hyper_parameters(record.run.config)),
        "strip": costs + ([("Trained in", seconds(model["train_seconds"]))] if "train_seconds" in model else []),
    }
    return Section(rendered("headline.html", content))


def grouped(settings: dict[str, Any]) -> list[tuple[str, str]]:
    """Hyper-parameters in a line for each group; what is off is left out.

    >>> grouped({"model": "gru", "model.hidden_size": 64, "model.causal": False, "optimizer": "adam", "seed": 0})
    [('model', 'gru, hidden_size 64'), ('optimizer', 'adam'), ('besides', 'seed 0')]
    """
    lines: dict[str, list[str]] = {}
    for key, value in settings.items():
        group, _, option = key.partition(".")
        if key in GROUPS:
            lines[group] = [str(value)]
        elif group in lines and value not in (False, 0):
            lines[group].append(f"{option} {plain(value)}")
    besides = [f"{key.rpartition('.')[2]} {plain(value)}" for key, value in settings.items() if key in KEYS]
    return [(group, ", ".join(texts)) for group, texts in lines.items()] + ([("besides", ", ".join(besides))]
                                                                           if besides else [])  # fmt: skip


def plain(value: Any) -> str:
    """A value in few characters: numbers without needless digits, classes without their modules."""
    if isinstance(value, float):
        return f"{value:g}"
    return value.rpartition(".")[2] if isinstance(value, str) and value.startswith("phonaut.") else str(value)


def expected_cost(record: Record) -> tuple[Estimate, float] | None:
    """Mean of `model.costs` over the items, and that of the one class whose answer would cost least; None without.

    Both as measured: an item of class i that is taken for j costs `costs[i][j]`.
    """
    costs = np.array(record.run.config.model.get("costs") or [], dtype=np.float64)
    p = record.main.predictions
    if p is None or costs.shape != (len(p.classes), len(p.classes)):
        return None
    known = record.main.known
    of_each = costs[p.label[known], p.predicted[known]]
    rate = mean_over(np.stack([of_each, np.ones_like(of_each)], axis=1), p.speaker[known])
    return rate, float(costs[p.label[known]].mean(axis=0).min())


def absent_trials(record: Record, evaluation: Evaluation) -> str:
    """Sentence on the kinds of trials that an evaluation of verification has not, and what was left out; or nothing."""
    if record.target != "verification" or not (record.run.folder / FOLDER / f"{evaluation.name}.npz").exists():
        return ""
    absent = TrialScores.load(record.run.folder, evaluation.name).absent
    kinds = "; ".join(CONDITIONS[name] for name in absent)
    return f"no trials of {kinds}: the rates say nothing of these" if absent else ""


def imperfect(rows: list[RateRow]) -> RateRow | None:
    """The first row, if its rate is below 1."""
    return rows[0] if rows and rows[0].rates[0].value < 1 else None


def interval_method(record: Record, evaluation: Evaluation) -> str:
    """Sentence on the method of the headline's interval; empty where the predictions of a classifier have gone."""
    rate, item = evaluation.rates[evaluation.metric.name], record.item
    if evaluation.classified:
        return method_over_speakers(evaluation, item) if rate.n else ""
    if rate.method:
        return rate.method
    if "classes" in record.run.model and record.target != "generation":
        return ""
    splits = record.run.corpus.get("summary", {}).get("splits", {})
    n = splits.get(evaluation.name, {}).get("speakers", 0)
    if n < 2:
        return f"bootstrap over {item}s, because there is one speaker: it says nothing about other speakers"
    return f"bootstrap over the {things(n, 'speaker')} of the {evaluation.name} split"


def method_over_speakers(evaluation: Evaluation, item: str) -> str:
    """Sentence on which of Wilson's interval and the bootstrap over speakers the interval is."""
    n, rate = evaluation.n_speakers, evaluation.rates[evaluation.metric.name]
    if n < 2:
        return f"Wilson's interval over {item}s, because there is one speaker: it says nothing about other speakers"
    if np.allclose((rate.low, rate.high), wilson(rate.value * rate.n, rate.n), rtol=0, atol=1e-9):
        return f"Wilson's interval over {item}s: wider than the bootstrap over the {whole(n)} speakers, who are alike"
    rough = "; with so few, it is rough" if n < FEW_SPEAKERS else ""
    return f"bootstrap over the {whole(n)} speakers{rough}"


def unknown_labels(evaluation: Evaluation) -> Counter[str]:
    """Counts of the labels that the model has no class for."""
    if evaluation.predictions is None:
        return Counter()
    names, counts = np.unique(evaluation.predictions.label_name[~evaluation.known], return_counts=True)
    return Counter({str(name): int(n) for name, n in zip(names, counts, strict=True)})
