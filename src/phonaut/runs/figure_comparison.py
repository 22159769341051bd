"""Runs whose items have no predictions, such as generators, side by side: the figures that each has written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonaut.config.metrics import registered_metrics
from phonaut.metrics import Estimate, Metric, unregistered
from phonaut.names import did_you_mean
from phonaut.runs.comparison import short_names
from phonaut.runs.folds import Folds, check_one_task, listed, open_run, settings_of
from phonaut.runs.run import Run

ALIKE = ("target", "features", "normalizer", "protocol", "task", "objective", "target_features")
MAY_DIFFER = ("task.condition", "task.conditions", "task._target_")  # the last of a generator and of its priors


@dataclass(frozen=True)
class FigureComparison:
    """Runs side by side.

    Attributes:
        runs: by the shortest names that tell them apart.
        split: what was measured.
        figures: metric, with its condition after a slash -> the figure of each run, None where it has none.
        metrics: those of the figures, without conditions.
        remarks: what makes the runs less alike than they look.
    """

    runs: dict[str, Run]
    split: str
    figures: dict[str, list[Estimate | None]]
    metrics: dict[str, Metric]
    remarks: list[str]

    def metric(self, figure: str) -> Metric:
        """The metric of a figure."""
        return self.metrics[figure.partition("/")[0]]

    def label(self, figure: str) -> str:
        """A figure in words: `MMD`, `MMD (floor)`."""
        condition = figure.partition("/")[2].replace("_", " ")
        return self.metric(figure).label + (f" ({condition})" if condition else "")

    def best(self, figure: str) -> set[int]:
        """The runs of the best value, by their numbers; none where fewer than two have it."""
        values = {i: one.value for i, one in enumerate(self.figures[figure]) if one is not None}
        if len(values) < 2:
            return set()
        best = (max if self.metric(figure).direction == "higher" else min)(values.values())
        return {i for i, value in values.items() if value == best}


def compare_figures(
    folders: Sequence[Path | str | Run | Folds], *, split: str = "test", metric: str | None = None
) -> FigureComparison:
    """Put runs side by side that were measured on the same items.

    Args:
        folders: of runs.
        split: `test`, or any name that `phonaut evaluate` gave.
        metric: one that a run has, which is shown with its conditions, such as the floor of a distance; None: all.

    Raises:
        ValueError: fewer than two runs, one twice, an unfinished one, runs of other items, or none has the figure.
    """
    opened = [open_run(folder) for folder in folders]
    check_one_task(opened)
    runs = list[Run]()
    for run in opened:
        if isinstance(run, Folds):
            raise ValueError(f"{run.folder} is a sweep over folds, whose figures without predictions cannot be pooled")
        if run.folder.resolve() in [other.folder.resolve() for other in runs]:
            raise ValueError(f"{run.folder} is named twice; each run is named once")
        if not run.finished:
            raise ValueError(f"{run.folder} is not finished: its training can be resumed, or left out here")
        if split not in run.metrics:
            raise ValueError(f"{run.folder} has no figures of split={split}; it has: {', '.join(run.metrics)}")
        runs.append(run)
    if len(runs) < 2:
        raise ValueError(f"compare takes two runs or more; it got {len(runs)}: phonaut compare RUN RUN")
    names = short_names(runs)
    for name, run in zip(names[1:], runs[1:], strict=True):
        if different := differences(runs[0], run):
            raise ValueError(
                f"{name} cannot be compared with {names[0]}: they were not measured on the same items, and differ in "
                f"{listed(different)}"
            )
    registered, rank = registered_metrics(), list(registered_metrics())
    found = list(dict.fromkeys(figure for run in runs for figure in run.metrics[split]))
    bases = list(dict.fromkeys(figure.partition("/")[0] for figure in found))
    bases.sort(key=lambda base: rank.index(base) if base in rank else len(rank))
    if metric is not None and metric not in bases:
        raise ValueError(f"metric={metric}: no run has it{did_you_mean(metric, bases)}; they have {', '.join(bases)}")
    shown = [one for base in bases if metric in (None, base) for one in found if one.partition("/")[0] == base]
    figures = {
        figure: [Estimate(**run.metrics[split][figure]) if figure in run.metrics[split] else None for run in runs]  # type: ignore[arg-type]
        for figure in shown
    }
    metrics = {base: registered.get(base, unregistered(base)) for base in bases}
    return FigureComparison(dict(zip(names, runs, strict=True)), split, figures, metrics, remarks_on(figures))


def differences(first: Run, other: Run) -> list[str]:
    """What makes the items of two runs others: keys of the configuration, or the corpus."""
    ours, theirs = items_of(first), items_of(other)
    keys = sorted(
        key
        for key in ours.keys() | theirs.keys()
        if key.partition(".")[0] in ALIKE and key not in MAY_DIFFER and ours.get(key) != theirs.get(key)
    )
    corpora = [(run.corpus.get("name"), run.corpus.get("digests")) for run in (first, other)]
    named = [str(name) for name, _ in corpora]
    apart = [f"the corpus ({named[0]} and {named[1]})" if named[0] != named[1] else f"the data of {named[0]}"]
    return (apart if corpora[0] != corpora[1] else []) + keys


def items_of(run: Run) -> dict[str, Any]:
    """The configuration of a run as flat keys, with the kind of windows that `auto` stands for."""
    settings = settings_of(run)
    if settings.get("task.windows") == "auto":
        settings["task.windows"] = "segments" if settings.get("target") == "phone" else "sliding"
    return settings


def remarks_on(figures: dict[str, list[Estimate | None]]) -> list[str]:
    """Remarks on figures that rest on other numbers of items."""
    uneven = [
        figure
        for figure, of in figures.items()
        if "/" not in figure and len({one.n for one in of if one is not None}) > 1
    ]
    if not uneven:
        return []
    return [f"n differs for {listed(uneven)}: some runs were measured on a part of the items, as a model costs more."]
