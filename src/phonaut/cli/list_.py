"""`phonaut list`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phonaut.cli.options import Command, option


@dataclass(frozen=True)
class List(Command):
    """Show the runs that are there, with their figures, and how to go on.

    A sweep is one line, with its best run; a cross-validation with its pooled
    figure.
    """

    arguments = {"[FOLDER]": "of runs, or a sweep, whose runs are shown; by default trained_models"}
    examples = {
        "": "those in trained_models",
        "trained_models/SWEEP": "each run of a sweep",
        "format=csv": "for other programs",
    }

    format: Literal["table", "csv", "json"] = option("table", "table, csv or json")

    def run(self) -> int:
        """Print a line for each."""
        from phonaut.reports.listed import lines_of
        from phonaut.runs.listing import listing

        folder = Path(self.paths[0] if self.paths else "trained_models")
        for line in lines_of(listing(folder) if self.paths or folder.exists() else [], self.format):
            print(line)
        return 0
