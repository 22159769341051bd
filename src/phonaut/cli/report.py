"""`phonaut report`."""

from __future__ import annotations

from dataclasses import dataclass

from phonaut.cli.options import Command


@dataclass(frozen=True)
class Report(Command):
    """Write the report of a run again."""

    arguments = {"RUN ...": "trained_models/ID, or trained_models/ID/MODEL"}
    examples = {"trained_models/ID": "after report.html was deleted, or with a newer version"}

    def run(self) -> int:
        """Write them, and print where they are."""
        from phonaut.reports import write_report
        from phonaut.runs import Run

        for path in self.paths:
            print(write_report(Run(path).folder))
        return 0
