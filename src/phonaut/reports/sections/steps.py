"""What to do next with a run."""

from __future__ import annotations

from phonaut.reports.html import render as rendered
from phonaut.reports.ideas import ideas
from phonaut.reports.record import Record
from phonaut.reports.sections import Section


def render(record: Record) -> Section | None:
    """The section; None where nothing comes to mind."""
    steps = [step for step in ideas(record) if step[1] != "open the report in a browser"]
    return Section(rendered("steps.html", {"steps": steps}), {"next": "What next"}) if steps else None
