"""A command that is killed where it changes files comes to the same when it is typed again.

Here at a few of its calls (see `helpers.kills`); `benchmarks/kills.py` goes on for all commands.
"""

from __future__ import annotations

import pytest

from helpers.kills import Place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("kills"))


@pytest.mark.slow
def test_a_run_that_is_killed_as_it_ends_comes_to_the_same(place: Place) -> None:
    expected, n_calls, _ = place.undisturbed("gradient")
    assert place.killed_at("gradient", n_calls - 4) == expected, "all is there but what says that it is finished"
