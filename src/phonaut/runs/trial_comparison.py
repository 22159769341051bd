"""Verification runs side by side on the same trials, and their fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from phonaut.data.trials import TrialList, keys_of
from phonaut.metrics import (
    Cost,
    Difference,
    Estimate,
    Fusion,
    detection_differences,
    detection_figures,
    fit_fusion,
)
from phonaut.runs.comparison import short_names
from phonaut.runs.folds import Folds, check_one_task, listed, open_run
from phonaut.runs.run import Run
from phonaut.tasks.trial_scores import FOLDER, TrialScores

FUSION = "fusion"
DEVELOPMENT = "validation"


@dataclass(frozen=True)
class ComparedTrials:
    """One run among others.

    Attributes:
        name: the shortest one that no other run of the comparison has; of the fusion of all of them `fusion`.
        run: None for the fusion.
        scored: its scores, in the order of the trials of the first run.
        figures: of all conditions, by the names of `detection_figures`.
        differences: to the first run; empty of the first.
        calibration: of the fusion: see `phonaut.metrics.Fusion`.
    """

    name: str
    run: Run | None
    scored: TrialScores
    figures: dict[str, Estimate]
    differences: dict[str, Difference]
    calibration: Fusion | None = None


@dataclass(frozen=True)
class TrialComparison:
    """Runs side by side: the first is what the others are compared with, a fusion comes last.

    Attributes:
        runs: that are compared.
        split: what was scored.
        conditions: suffixes of the figures: empty for all trials, `/TW` and so on.
        remarks: what to beware of.
    """

    runs: list[ComparedTrials]
    split: str
    conditions: list[str]
    remarks: list[str]


def compare_trials(
    folders: Sequence[Path | str | Run | Folds], *, split: str = "test", fusion: bool = False
) -> TrialComparison:
    """Put verification runs side by side that scored the same trials.

    Args:
        folders: of runs; the first is what the others are compared with.
        split: `test`, or what `phonaut evaluate` gave a name.
        fusion: add the logistic fusion of all of them, fitted on their development trials alone.

    Raises:
        ValueError: fewer than two runs, an unfinished one, or runs of other trials; a fusion of runs without
            development trials, or of other ones.
    """
    if fusion and split == DEVELOPMENT:
        raise ValueError(f"split={split} fusion=true: the fusion is fitted on these trials, and would score them too "
                         "well; leave split out, for the test, or fusion")  # fmt: skip
    runs = [open_run(folder) for folder in folders]
    check_one_task(runs)
    if len(runs) < 2:
        raise ValueError(f"compare takes two runs or more; it got {len(runs)}: phonaut compare RUN RUN")
    for i, run in enumerate(runs):
        if run.folder.resolve() in [other.folder.resolve() for other in runs[:i]]:
            raise ValueError(f"{run.folder} is named twice; each run is named once")
    singles = [run for run in runs if isinstance(run, Run)]
    if len(singles) < len(runs):
        folds = next(run for run in runs if isinstance(run, Folds))
        raise ValueError(f"{folds.folder} is a sweep: name its verification runs one by one")
    names = short_names(runs)
    cost = cost_of(singles)
    tables = [TrialScores.load(run.folder, split) for run in singles]
    tables = in_order(tables, names)
    compared = [one_compared(*row, tables[0], cost) for row in zip(names, singles, tables, strict=True)]
    remarks = []
    if split == DEVELOPMENT and any(table.is_ratio for table in tables):
        remarks.append("Calibrations were fitted on these trials, and flatter them: the test says what they are worth.")
    if fusion:
        table, calibration = fused(singles, names, tables)
        made = one_compared(FUSION, None, table, tables[0], cost)
        compared.append(replace(made, calibration=calibration))
    if uncalibrated := [one.name for one in compared if not one.scored.is_ratio]:
        remarks.append(f"{listed(uncalibrated)} had no development trials: their scores are no log-likelihood ratios.")
    conditions = list(dict.fromkeys(name.partition("eer")[2] for name in compared[0].figures if name.startswith("eer")))
    return TrialComparison(compared, split, conditions, remarks)


def cost_of(runs: Sequence[Run]) -> Cost:
    """The cost of decisions of the first run, which that of the others must be.

    Raises:
        ValueError: it is not.
    """
    costs = []
    for run in runs:
        if not run.finished:
            raise ValueError(f"{run.folder} is not finished: its training can be resumed, or left out here")
        task = run.config.task
        costs.append(Cost(*(float(task[key]) for key in ("p_target", "c_miss", "c_false_alarm"))))
    if other := [run for run, cost in zip(runs, costs, strict=True) if cost != costs[0]]:
        raise ValueError(f"{other[0].folder} has other costs of decisions than {runs[0].folder}: {costs[0]}")
    return costs[0]


def in_order(tables: Sequence[TrialScores], names: Sequence[str]) -> list[TrialScores]:
    """Scores of all runs in the order of the first one's trials.

    Raises:
        ValueError: they are other trials; how they differ is said.
    """
    first, result = tables[0], [tables[0]]
    for name, table in zip(names[1:], tables[1:], strict=True):
        if wrong := difference_of_trials(first.trials, table.trials):
            raise ValueError(f"{name} cannot be compared with {names[0]}: they scored other trials, {wrong}")
        place = place_in(first.trials, table.trials)
        result.append(
            replace(
                first,
                scores=table.scores[place],
                is_ratio=table.is_ratio,
                inputs={key: column[place] for key, column in table.inputs.items()},
            )
        )
    return result


def difference_of_trials(a: TrialList, b: TrialList) -> str:
    """How two lists differ; empty where they have the same trials in any order."""
    for what, x, y in (
        ("models", set(a.models), set(b.models)),
        ("recordings", set(a.recordings), set(b.recordings)),
    ):
        if x != y:
            return f"{len(x ^ y)} {what} are in one alone ({listed(sorted(x ^ y))})"
    if different := [model for model, names in a.enrolment.items() if set(b.enrolment[model]) != set(names)]:
        return f"{len(different)} models are enrolled with other recordings ({listed(different)})"
    if len(a) != len(b):
        return f"{len(a):,} and {len(b):,} of them"
    first, other = (np.sort(key) for key in keys_in(a, b))
    if not np.array_equal(first, other):
        return f"{int((first != other).sum()):,} pairs of model and recording differ"
    place = place_in(a, b)
    if a.conditions != b.conditions or not np.array_equal(a.condition, b.condition[place]):
        return "the condition of some differs"
    return ""


def keys_in(a: TrialList, b: TrialList) -> tuple[np.ndarray, np.ndarray]:
    """A number for each pair of model and recording, the same in both lists."""
    models = {name: i for i, name in enumerate(a.models)}
    recordings = {name: i for i, name in enumerate(a.recordings)}
    of_model = np.array([models[name] for name in b.models], np.int32)
    of_recording = np.array([recordings[name] for name in b.recordings], np.int32)
    n = len(recordings)
    return keys_of(a.model, a.recording, n), keys_of(of_model[b.model], of_recording[b.recording], n)


def place_in(a: TrialList, b: TrialList) -> np.ndarray:
    """Where each trial of `a` stands in `b`."""
    first, other = keys_in(a, b)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first, kind="stable")] = np.argsort(other, kind="stable")
    return place


def one_compared(name: str, run: Run | None, table: TrialScores, first: TrialScores, cost: Cost) -> ComparedTrials:
    """Figures of a run, and their differences to those of the first."""
    figures = detection_figures(table.scores, table.tried, cost, ratios=table.is_ratio)
    differences: dict[str, Difference] = {}
    if table is not first:
        ratios = table.is_ratio and first.is_ratio
        differences = detection_differences(first.scores, table.scores, first.tried, cost, ratios=ratios)
    return ComparedTrials(name, run, table, figures, differences)


def fused(runs: Sequence[Run], names: Sequence[str], tables: Sequence[TrialScores]) -> tuple[TrialScores, Fusion]:
    """The logistic fusion of runs: of all their inputs, against each kind of non-targets, fitted on development trials.

    Raises:
        ValueError: a run has no development trials, or others than the first.
    """
    if missing := [run.folder for run in runs if not (run.folder / FOLDER / f"{DEVELOPMENT}.npz").exists()]:
        raise ValueError(f"{missing[0]} has no development trials to fit a fusion on: train with protocol.turns=3, or "
                         "with protocol.validation_speakers")  # fmt: skip
    development = in_order([TrialScores.load(run.folder, DEVELOPMENT) for run in runs], names)
    calibration = fit_fusion(inputs_of(development, names), development[0].condition)
    ratios = calibration(inputs_of(tables, names))
    return replace(tables[0], scores=ratios, is_ratio=True, inputs={}), calibration


def inputs_of(tables: Sequence[TrialScores], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Inputs of a fusion: those of each run; of what they share, as the lengths of recordings, one copy."""
    inputs: dict[str, np.ndarray] = {}
    for name, table in zip(names, tables, strict=True):
        for key, column in table.inputs.items():
            if not any(np.array_equal(column, other) for other in inputs.values()):
                inputs[f"{name} {key}"] = column
    return inputs
