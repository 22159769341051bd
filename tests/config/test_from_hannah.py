"""What docs/from_hannah.md says to type is taken."""

import re
from pathlib import Path

import pytest

from phonaut.config.compose import compose

PAGE = Path(__file__).parents[2] / "docs" / "from_hannah.md"
ROWS = [line.split("|")[1:3] for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
WORD = re.compile(r"(?:-m )?[a-z_.]+=\S")


@pytest.fixture(autouse=True)
def no_corpora(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on this machine's disk does not count."""
    monkeypatch.delenv("PHONAUT_DATA", raising=False)


def typed(cell: str) -> list[list[str]]:
    """The overrides of each command line in a cell, of sweeps the first of their values."""
    lines = [code.removeprefix("-m ").split() for code in re.findall(r"`([^`]+)`", cell) if WORD.match(code)]
    return [
        [word if "[" in word else word.partition(",")[0] for word in line if "FOLDER" not in word] for line in lines
    ]


@pytest.mark.parametrize(("there", "here"), ROWS, ids=lambda cell: cell.strip())
def test_what_the_page_says_is_taken(there: str, here: str) -> None:
    for overrides in typed(here):
        compose(overrides)


def test_the_page_has_words_to_type() -> None:
    assert sum(len(typed(here)) for _, here in ROWS) > 35
