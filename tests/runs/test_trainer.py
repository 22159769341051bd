"""Training says the same in a terminal as in a pipe; a terminal has a bar besides."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from phonaut.config.compose import compose
from phonaut.runs.trainer import Bar, callbacks_of
from phonaut.training.callbacks.monitoring import EpochLines


@pytest.mark.parametrize("is_terminal", [False, True])
def test_epochs_are_lines_everywhere(is_terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    found = [type(one) for one in callbacks_of(compose(), tmp_path, is_em=False)]
    assert found.count(EpochLines) == 1
    assert found.count(Bar) == is_terminal
    silent = callbacks_of(compose(["trainer.enable_progress_bar=false"]), tmp_path, is_em=False)
    assert not {EpochLines, Bar} & set(map(type, silent))


def test_the_bar_counts_epochs_as_their_lines_do(monkeypatch: pytest.MonkeyPatch) -> None:
    bar = Bar(leave=False)
    monkeypatch.setattr(Bar, "trainer", SimpleNamespace(max_epochs=3))
    assert bar._get_train_description(0) == "epoch   1/3"
