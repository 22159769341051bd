"""Runs as pages and lines for people: `write_report` and `terminal.summarize`."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phonaut.reports.page import write_report

__all__ = ["write_report"]


def __getattr__(name: str) -> object:
    # When it is asked for: a line in a terminal needs no templates of pages.
    if name != "write_report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.page").write_report
