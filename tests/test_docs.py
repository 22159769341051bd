"""The programs of the documents run as they stand."""

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)
PAGES = sorted(page.name for page in (ROOT / "docs").glob("*.md") if FENCE.search(page.read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_from_top_to_bottom(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program = "\n".join(FENCE.findall((ROOT / "docs" / page).read_text(encoding="utf-8")))
    names: dict[str, object] = {}
    exec(compile(program, page, "exec"), names)
    if page == "hmm.md":
        gained = names["model"].score(names["X"]) - names["plain"].score(names["X"])  # type: ignore[attr-defined]
        assert gained > 0.1 * 3000, "flows should explain what is bent better than Gaussians"
        assert (tmp_path / "hmm.png").stat().st_size > 20_000
        agreement = [np.mean(np.array(order)[names["states"]] == names["truth"]) for order in ORDERS]  # type: ignore[index]
        assert max(agreement) > 0.9


ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
