"""The head of a profiler's table is ten lines that say where time went."""

from pathlib import Path

import pytest
from lightning.pytorch.profilers import AdvancedProfiler

from phonaut.runs.profile import head_of, profiler_of

PROFILERS = "lightning.pytorch.profilers"


@pytest.mark.parametrize("kind", ["SimpleProfiler", "AdvancedProfiler"])
def test_the_longest_action_stands_in_ten_lines_and_all_in_the_file(kind: str, tmp_path: Path) -> None:
    (tmp_path / "fit-profile.txt").write_text("of an earlier training")
    profiler = profiler_of({"_target_": f"{PROFILERS}.{kind}"}, tmp_path)
    profiler.setup("fit")
    for name, n in (("short", 1), *((f"other {i}", 1) for i in range(12)), ("longest", 200_000)):
        with profiler.profile(name):
            sorted(range(n), key=lambda i: -i)
    profiler.describe()
    lines = head_of(tmp_path)
    assert len(lines) <= 10
    assert any(line.startswith("longest") for line in lines)
    assert lines[-1].endswith("fit-profile.txt")
    whole = (tmp_path / "fit-profile.txt").read_text()
    assert "short" in whole
    assert "earlier" not in whole
    assert isinstance(profiler, AdvancedProfiler) == any("function calls in" in line for line in lines)


def test_a_run_without_a_profiler_has_no_table(tmp_path: Path) -> None:
    assert profiler_of(None, tmp_path) is None
    assert head_of(tmp_path) == []
