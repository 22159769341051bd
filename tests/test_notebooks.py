"""The notebooks run from top to bottom, and hold no output."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


def code(name: str) -> list[dict[str, Any]]:
    cells = json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs_and_is_in_the_list(name: str) -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code(name))
    assert f"]({name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_notebooks_opened_in_one_folder_do_not_share_data() -> None:
    made = {name: {*re.findall(r'Path\("(\w+)"\)', str([cell["source"] for cell in code(name)]))} for name in NOTEBOOKS}
    folders = [folder for of_notebook in made.values() for folder in of_notebook]
    assert len(folders) >= len(NOTEBOOKS)
    assert len(folders) == len(set(folders)), made


@pytest.mark.slow
@pytest.mark.readme
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_top_to_bottom(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, cell in enumerate(code(name), 1):
        exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), names)
    if name == "phones_with_hmms.ipynb":
        right = names["right"]
        assert isinstance(right, list)
        assert sum(right) > 0.9 * len(right), "tones are told apart"
