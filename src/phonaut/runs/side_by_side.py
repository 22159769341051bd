"""The figures of several runs of one task as rows, whatever the task is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from phonaut.metrics import Difference, Estimate
from phonaut.names import did_you_mean
from phonaut.runs.comparison import compare
from phonaut.runs.figure_comparison import compare_figures
from phonaut.runs.folds import Folds, open_sweep
from phonaut.runs.run import Run
from phonaut.runs.trial_comparison import compare_trials

COSTS = ("parameters", "macs", "train_seconds")


def side_by_side(
    runs: Sequence[Path | str | Run | Folds], *, split: str = "test", metric: str | None = None
) -> list[dict[str, Any]]:
    """A row for each run and figure, as `phonaut compare` shows them.

    Args:
        runs: or folders of them; a sweep is all of its runs. The first is what the others are compared with.
        split: `test`, or any name that `phonaut evaluate` gave.
        metric: the figure; None: of classifiers the accuracy, of verification and generators all.

    Raises:
        ValueError: fewer than two runs, one twice, an unfinished one, runs of other tasks or other items; how they
            differ is named.
    """
    opened = [one for run in runs for one in ([run] if isinstance(run, (Run, Folds)) else open_sweep(run))]
    if not opened:
        raise ValueError("which runs? phonaut.compare(['trained_models/A', 'trained_models/B'])")
    found = list(figures_of(opened, split, metric))
    return [row(*one, split) for one in found]


Figure = tuple[str, "Run | Folds | None", str, Estimate, "Difference | None"]


def figures_of(runs: Sequence[Run | Folds], split: str, metric: str | None) -> Iterator[Figure]:
    """Name of the run, the run, the figure's name, the figure, its difference to the first run."""
    first = runs[0] if runs else None
    if first is not None and first.config.choices.get("task") == "verification":
        trials = compare_trials(runs, split=split).runs
        names = list(dict.fromkeys(name.partition("/")[0] for run in trials for name in run.figures))
        if metric is not None and metric not in names:
            raise ValueError(f"metric={metric}: no run has it{did_you_mean(metric, names)}; they have "
                             f"{', '.join(names)}")  # fmt: skip
        for run in trials:
            for name, rate in run.figures.items():
                if metric in (None, name.partition("/")[0]):
                    yield run.name, run.run, name, rate, run.differences.get(name)
    elif isinstance(first, Run) and first.finished and not (first.folder / "predictions").exists():
        comparison = compare_figures(runs, split=split, metric=metric)
        for i, (name, of) in enumerate(comparison.runs.items()):
            for figure, estimates in comparison.figures.items():
                if (estimate := estimates[i]) is not None:
                    yield name, of, figure, estimate, None
    else:
        classified = compare(runs, split=split, metric=metric or "accuracy")
        for one in classified.runs:
            yield one.name, one.run, classified.metric.name, one.rate, one.difference


def row(
    name: str, run: Run | Folds | None, metric: str, rate: Estimate, difference: Difference | None, split: str
) -> dict[str, Any]:
    """A row; numbers in full, None where there is none."""
    about = run.model if run else {}
    notes = run.corpus.get("notes", []) if run else []
    return {
        "run": name,
        "task": run.config.choices.get("task") if run else None,
        "model": about.get("model"),
        "split": split,
        "metric": metric,
        "value": rate.value,
        "low": rate.low,
        "high": rate.high,
        "n": rate.n,
        "difference": difference and difference.value,
        "difference_low": difference and difference.low,
        "difference_high": difference and difference.high,
        "p": difference and difference.p,
        **{key: about.get(key) for key in COSTS},
        "protocol": next(iter(notes), ""),
        "folder": str(run.folder) if run else None,
    }
