"""Several finished runs on the same test items: figures, differences to the first run, and what they disagree about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phonaut.config.metrics import registered_metrics
from phonaut.metrics import (
    Difference,
    Disagreement,
    Estimate,
    McNemar,
    Metric,
    by_class,
    difference_by_class,
    disagreements,
    mcnemar_of_predictions,
    unregistered,
)
from phonaut.runs.folds import Folds, check_one_task, open_run
from phonaut.runs.pairing import paired
from phonaut.runs.run import DETECTION_FILE, Run
from phonaut.tasks.noise_test import NOISE_FILE, parsed
from phonaut.tasks.predictions import Predictions


@dataclass(frozen=True)
class Compared:
    """One run among others.

    Attributes:
        name: the shortest one that no other run of the comparison has.
        run: the run, or the folds of one.
        rate: its figure.
        difference: to the first run; None of the first.
        mcnemar: likewise.
        log_likelihood_per_frame: of the true classes; None where the model is no density.
        classes: recall of each class, in the order of the comparison's classes.
        class_differences: of these, to the first run; empty of the first.
        confusions: predictions of the first run and this one for the items on which they differ; empty of the first.
        in_noise: kind of noise -> SNR in dB -> figure.
    """

    name: str
    run: Run | Folds
    rate: Estimate
    difference: Difference | None
    mcnemar: McNemar | None
    log_likelihood_per_frame: float | None
    classes: list[Estimate]
    class_differences: list[Difference] = field(default_factory=list)
    confusions: list[Disagreement] = field(default_factory=list)
    in_noise: dict[str, dict[float, Estimate]] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model's name; of folds with their number."""
        model = str(self.run.model.get("model", self.run.folder.name))
        return f"{model}, {len(self.run.runs)} folds" if isinstance(self.run, Folds) else model

    def cost(self, key: str) -> float | None:
        """`parameters`, `macs` or `train_seconds`, where the run has it."""
        value = self.run.model.get(key)
        return None if value is None else float(value)

    def detected(self, figure: str) -> Estimate | None:
        """A figure of words in long sound, `misses` or `false_alarms_per_hour`, where a built stream was heard."""
        rate = None if isinstance(self.run, Folds) else self.run.metrics.get("detection", {}).get(figure)
        return Estimate(**rate) if rate else None  # type: ignore[arg-type]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: the first is what the others are compared with.
        split: what was scored.
        metric: the figure that is compared.
        target: what is classified.
        n: items that count.
        n_unknown: items of classes that the models do not know; they count for nothing.
        n_speakers: who said the items that count.
        classes: their names.
        remarks: what makes the runs less alike than they look.
    """

    runs: list[Compared]
    split: str
    metric: Metric
    target: str
    n: int
    n_unknown: int
    n_speakers: int
    classes: list[str]
    remarks: list[str]

    @property
    def noises(self) -> list[str]:
        """Kinds of noise that any run was tested in."""
        return sorted({kind for run in self.runs for kind in run.in_noise}, key=lambda kind: (kind != "white", kind))


def compare(
    folders: Sequence[Path | str | Run | Folds], *, split: str = "test", metric: str = "accuracy"
) -> Comparison:
    """Put runs side by side that scored the same items.

    Args:
        folders: of runs, or of folds of a run, or these; the first is what the others are compared with.
        split: `test`, or any name that `phonaut evaluate` gave: of another split, or of a folder.
        metric: a name of the registry: `accuracy`, `recall`, `f1` or, of models that classify frames, `frame_accuracy`.

    Raises:
        ValueError: fewer than two runs, one twice, an unfinished one, or runs of other items; how they differ is named.
    """
    registered = registered_metrics()
    runs = [open_run(folder) for folder in folders]
    check_one_task(runs)
    for i, run in enumerate(runs):
        if place_of(run) in [place_of(other) for other in runs[:i]]:
            raise ValueError(f"{run.folder} is named twice; each run is named once")
        if not run.finished:
            raise ValueError(f"{run.folder} is not finished: its training can be resumed, or left out here")
    if len(runs) < 2 and not any(isinstance(run, Folds) for run in runs):
        raise ValueError(f"compare takes two runs or more; it got {len(runs)}: phonaut compare RUN RUN")
    names = short_names(runs)
    tables = paired([run.predictions(split) for run in runs], names)
    first = tables[0]
    figure = registered.get(metric, unregistered(metric))
    if figure(first.scored()) is None:
        there = ", ".join(name for name, one in registered.items() if not math.isnan(one.value(first.scored())))
        lacks = f"{names[0]} has no {figure.needs}; " if metric in registered else ""
        raise ValueError(f"metric={metric}: {lacks}it is one of {there}")
    counted = first.label >= 0 if len(first.classes) else np.ones(len(first), dtype=bool)
    compared = [compared_run(*row, first, split, figure) for row in zip(names, runs, tables, strict=True)]
    return Comparison(
        runs=compared,
        split=split,
        metric=figure,
        target=runs[0].config.target,
        n=int(counted.sum()),
        n_unknown=int((~counted).sum()),
        n_speakers=first.n_speakers(counted),
        classes=[str(name) for name in first.classes],
        remarks=remarks(compared, split),
    )


def compared_run(
    name: str, run: Run | Folds, table: Predictions, first: Predictions, split: str, metric: Metric
) -> Compared:
    """Figures of a run, and their differences to those of the first.

    Raises:
        ValueError: the predictions lack what the metric needs.
    """
    scored = table.scored()
    estimate = metric(scored)
    if estimate is None:
        raise ValueError(f"metric={metric.name}: {name} has no {metric.needs}; leave it out")
    differs = table is not first
    difference = metric.difference(first.scored(), scored) if differs else None
    if scored.label is None:
        return Compared(name, run, estimate, difference, None, None, [], in_noise=in_noise(run, split, metric))
    answers = (first.label, first.predicted, table.predicted)
    n_classes, classes = len(first.classes), [str(c) for c in first.classes]
    others = by_class(table.label, table.predicted, table.speaker, classes)
    return Compared(
        name=name,
        run=run,
        rate=estimate,
        difference=difference,
        mcnemar=mcnemar_of_predictions(*answers) if differs else None,
        log_likelihood_per_frame=likelihood(run, table, split),
        classes=[one.recall for one in others],
        class_differences=difference_by_class(*answers, first.speaker, n_classes=n_classes) if differs else [],
        confusions=disagreements(*answers, classes),
        in_noise=in_noise(run, split, metric),
    )


def likelihood(run: Run | Folds, predictions: Predictions, split: str) -> float | None:
    """Log-likelihood per frame, from the predictions or from what training wrote down."""
    value = predictions.log_likelihood_per_frame()
    return run.model.get("log_likelihood_per_frame", {}).get(split) if value is None else value


def in_noise(run: Run | Folds, split: str, metric: Metric) -> dict[str, dict[float, Estimate]]:
    """Kind of noise -> SNR -> figure. Those of folds are counted anew, over the cuts of all of them."""
    curves: dict[str, dict[float, Estimate]] = {}
    for condition in run.conditions(split):
        level = parsed(condition)
        if level is None:
            continue
        if isinstance(run, Folds):
            try:
                rate = metric(run.predictions(f"{split}.{condition}").scored())
            except ValueError:  # `noise_10_db` of training has figures, but no predictions to pool
                continue
        else:
            values = run.metrics[split].get(f"{metric.name}/{condition}")
            rate = Estimate(**values) if values else None  # type: ignore[arg-type]
        if rate:
            curves.setdefault(level[0], {})[level[1]] = rate
    return {kind: dict(sorted(curve.items())) for kind, curve in curves.items()}


def place_of(run: Run | Folds) -> tuple[Path, str]:
    """What tells a run from all others."""
    return run.folder.resolve(), run.name if isinstance(run, Folds) else ""


def short_names(runs: Sequence[Run | Folds]) -> list[str]:
    """The shortest names that tell runs apart: of the model, the experiment, or as much of the path as it takes."""
    paths = []
    for run in runs:
        parts = run.folder.resolve().parts
        name = (run.name or str(run.config.choices.get("model"))) if isinstance(run, Folds) else ""
        paths.append((*parts, name) if name else parts)
    ways = [[path[-1] for path in paths], [path[-2] for path in paths]]
    ways += [["/".join(path[-length:]) for path in paths] for length in range(2, max(map(len, paths)) + 1)]
    return next(names for names in ways if len(set(names)) == len(names))


def remarks(runs: list[Compared], split: str) -> list[str]:
    """Remarks on what makes the runs less alike than they look."""
    result = []
    noise: list[dict[str, Any] | None] = [run.run.read(NOISE_FILE, {}) for run in runs]
    digests = {
        (one.get(split, {}).get("recorded") or {}).get("digest") if one is not None else math.nan
        for one, run in zip(noise, runs, strict=True)
        if "recorded" in run.in_noise
    }
    if len(digests) > 1:
        result.append("The recorded noise was not the same for all runs: their curves in it are no comparison.")
    heard: list[dict[str, Any]] = [run.run.read(DETECTION_FILE, {}) for run in runs if run.detected("misses")]
    if len({one.get("streams", {}).get("detection", {}).get("digest") for one in heard}) > 1:
        result.append("The long sound was not the same for all runs: their misses and false alarms are no comparison.")
    features = {str(run.run.config.features) + str(run.run.config.normalizer) for run in runs
                if run.log_likelihood_per_frame is not None}  # fmt: skip
    if len(features) > 1:
        result.append(
            "Log-likelihoods per frame are of different features: they are densities over different spaces, and "
            "cannot be compared."
        )
    return result
