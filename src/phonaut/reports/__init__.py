"""Runs as pages and lines for people: `write_report` and `terminal.summarize`."""

from phonaut.reports.page import write_report

__all__ = ["write_report"]
