"""`phonaut compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from phonaut.cli.options import Command, option


@dataclass(frozen=True)
class Compare(Command):
    """Put runs side by side on the same test items.

    With intervals, paired tests, classes and the curves in noise; as a table
    here, a page and a file of figures.
    """

    usage = ("RUN RUN ... [KEY=VALUE ...]",)
    arguments = {"RUN ...": "trained_models/ID, or a sweep over folds; the others are compared with the first"}
    examples = {
        "trained_models/A trained_models/B": "side by side, with intervals and paired tests",
        "trained_models/A trained_models/B metric=f1 split=validation": "another figure, of another split",
    }

    split: str = option("test", "the split, or the name of a folder that both were evaluated on")
    metric: str = option("accuracy", "the figure that is compared", group="metric")
    output: Path | None = option(None, "folder of the page and the table", otherwise="beside the runs, in comparisons/")

    def run(self) -> int:
        """Compare, write the page, and print the table."""
        from phonaut.reports.comparison import write_comparison
        from phonaut.reports.comparison_table import show
        from phonaut.runs.comparison import compare

        comparison = compare(self.paths, split=self.split, metric=self.metric)
        show(comparison, write_comparison(comparison, self.output))
        return 0
