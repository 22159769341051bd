"""Report of a run: one self-contained HTML file, composed of the sections that the run's task names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from phonaut.config.nodes import instantiate
from phonaut.files import write_text
from phonaut.reports.html import encodable, render
from phonaut.reports.record import Record, page_of, read
from phonaut.reports.sections import Section
from phonaut.reports.text import value

OF_THE_RUN = ("detection", "training", "densities", "filters", "setup")  # sections that are of no one evaluation
Renderer = Callable[[Record], Section | None]


def write_report(run_folder: Path, name: str | None = None) -> Path:
    """Write `report.html` of a finished run, or `report.NAME.html` of one of its evaluations, and return its path.

    The page is a function of the run's files alone: the same files give the same bytes. Players and spectrograms are
    left out, with the reason, where the prepared corpus has gone.

    Args:
        run_folder: the run.
        name: of an evaluation, whose mistakes, speakers and confusions are to be seen; None: that of the headline.

    Raises:
        ValueError: the folder holds no finished run or no such evaluation, or a file of it is damaged.
    """
    record = read(run_folder, name)
    path = record.run.folder / ("report.html" if name is None else page_of(name))
    write_text(path, encodable(page(record)))
    return path


def page(record: Record) -> str:
    """The report as HTML: the first section in the page's header, the others below it in their order."""
    sections = [section for name in sections_of(record) if (section := renderer(name)(record))]
    metric = record.main.metric
    title = f"{record.title} · {value(record.main.rates[metric.name].value, metric.format)}"
    return render("page.html", {"title": title, "sections": sections, "record": record})


def sections_of(record: Record) -> tuple[str | Renderer, ...]:
    """Sections of the report: names of modules in `reports/sections`, or functions from a record to a section.

    The page of one evaluation has those that are of its recordings.
    """
    report: tuple[str | Renderer, ...] = instantiate(record.run.config.task).report
    return report if record.part is None else tuple(one for one in report if one not in OF_THE_RUN)


def renderer(section: str | Renderer) -> Renderer:
    """The function that renders a section.

    Raises:
        ValueError: there is no such section.
    """
    if callable(section):
        return section
    try:
        render: Renderer = import_module(f"phonaut.reports.sections.{section}").render
    except ModuleNotFoundError as error:
        names = ", ".join(sorted(path.stem for path in (Path(__file__).parent / "sections").glob("[!_]*.py")))
        raise ValueError(f"a report has no section {section}; it has: {names}") from error
    return render
