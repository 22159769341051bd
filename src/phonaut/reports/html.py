"""HTML of templates: everything that comes from runs is escaped, and only the page's own script may run."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from phonaut import __version__
from phonaut.reports import text

FILTERS = (
    "capital",
    "percent",
    "value",
    "probability",
    "interval",
    "whole",
    "things",
    "seconds",
    "figure",
    "short",
    "points",
    "probability_of_chance",
)
TEMPLATES = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """The templates, with the filters and constants that all of them use."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {name: getattr(text, name) for name in FILTERS}
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    made.globals |= {"script": script, "script_hash": f"sha256-{digest}", "version": __version__}
    return made


def render(template: str, content: dict[str, Any]) -> str:
    """A template, or a page, as HTML."""
    return environment().get_template(template).render(content)


def encodable(html: str) -> str:
    """A page without what UTF-8 cannot encode: lone surrogates, out of file names that are not UTF-8."""
    return html.encode("utf-8", "backslashreplace").decode("utf-8")
