"""`phonaut compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phonaut.cli.options import Command, option


@dataclass(frozen=True)
class Compare(Command):
    """Put runs side by side on the same test items.

    With intervals, paired tests, classes, the curves in noise and those of
    training; as a table here, a page and a file of figures.
    """

    usage = ("RUN RUN ... [KEY=VALUE ...]", "SWEEP [KEY=VALUE ...]")
    arguments = {"RUN ...": "trained_models/ID, or a sweep, all of its runs; the others are compared with the first"}
    place = "output="
    examples = {
        "trained_models/A trained_models/B": "side by side, with intervals and paired tests",
        "trained_models/SWEEP": "all runs of a sweep; of one over folds, the pooled figure",
        "trained_models/A trained_models/B metric=f1 split=validation": "another figure, of another split",
        "trained_models/A trained_models/B trained_models/C": "generators: all figures, and how they were trained",
        "trained_models/A trained_models/B fusion=true": "verification runs, and their fusion",
    }

    split: str = option("test", "the split, or the name of a folder that both were evaluated on")
    metric: str | None = option(
        None, "the figure that is compared", group="metric", otherwise="accuracy; of verification and generators all"
    )
    fusion: bool = option(False, "verification runs: add their logistic fusion, fitted on development trials")
    output: Path | None = option(None, "folder of the page and the table", otherwise="beside the runs, in comparisons/")

    def run(self) -> int:
        """Compare, write the page, and print the table."""
        from phonaut.runs.folds import Folds, open_sweep

        runs = [run for path in self.paths for run in open_sweep(path)]
        first = runs[0]
        if first.config.choices.get("task") == "verification":
            if self.given("metric"):
                raise ValueError(f"metric={self.metric} has no effect: of verification runs all figures are compared")
            from phonaut.reports.trial_comparison import show_trials, write_trial_comparison
            from phonaut.runs.trial_comparison import compare_trials

            trials = compare_trials(runs, split=self.split, fusion=self.fusion)
            show_trials(trials, write_trial_comparison(trials, self.output))
            return 0
        if self.fusion:
            raise ValueError(f"fusion=true is of verification runs, and {first.folder} is none")
        if first.finished and not (first.folder / "predictions").exists() and not isinstance(first, Folds):
            from phonaut.reports.figure_comparison import show_figures, write_figure_comparison
            from phonaut.runs.figure_comparison import compare_figures

            figures = compare_figures(runs, split=self.split, metric=self.metric)
            show_figures(figures, write_figure_comparison(figures, self.output))
            return 0
        from phonaut.reports.comparison import write_comparison
        from phonaut.reports.comparison_table import show
        from phonaut.runs.comparison import compare

        comparison = compare(runs, split=self.split, metric=self.metric or "accuracy")
        show(comparison, write_comparison(comparison, self.output))
        return 0
