"""Sections of a report, one module each: `render(record)` returns a `Section`, or None where it has nothing to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        html: safe HTML, which is inserted as it is; `phonaut.reports.html.render` escapes what it is given.
        links: id of an element -> its label in the page's navigation.
    """

    html: str
    links: Mapping[str, str] = field(default_factory=dict)
