"""What `make docs` adds to the pages of docs/: README.md as the first, and pages of docstrings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

README = Path(__file__).resolve().parent.parent / "README.md"
DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", flags=re.MULTILINE)
REFERENCE = {
    "phonaut": ["phonaut.api.train", "phonaut.api.compare", "phonaut.runs.load.load", "phonaut.runs.load.LoadedRun",
                "phonaut.runs.prediction.Prediction", "phonaut.runs.speakers.Speakers",
                "phonaut.runs.speakers.Decision"],
    "phonaut.features": ["phonaut.features", "phonaut.features.options"],
    "phonaut.hmm": ["phonaut.hmm"],
    "phonaut.metrics": ["phonaut.metrics"],
    "phonaut.networks": ["phonaut.networks"],
}  # fmt: skip


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    home = re.sub(r"\]\(docs/", "](", README.read_text(encoding="utf-8"))
    files.append(File.generated(config, "index.md", content=home))
    for name, objects in REFERENCE.items():
        content = "\n\n".join([f"# {name}", *(directive(one, of=name) for one in objects)])
        files.append(File.generated(config, f"reference/{name}.md", content=content))
    return files


def directive(name: str, *, of: str) -> str:
    """What stands for the docstrings of an object: of a module without its name, which is that of the page."""
    if name == of:
        return f"::: {name}\n    options:\n      show_root_heading: false"
    inherits = "true" if name == "phonaut.runs.load.LoadedRun" else "false"  # whose answers are in its base class
    return f"::: {name}\n    options:\n      inherited_members: {inherits}"


class Doctests(griffe.Extension):
    """Examples of docstrings are code, not the quotations that Markdown takes `>>>` for."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fence them."""
        if obj.docstring is not None:
            obj.docstring.value = DOCTEST.sub(lambda match: f"```pycon\n{match[0]}\n```", obj.docstring.value)
