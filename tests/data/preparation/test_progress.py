"""What takes long says how far it is, on a terminal by a bar, elsewhere by lines."""

import pytest

from phonaut.data.preparation import progress


@pytest.mark.parametrize("patience_s", [-1.0, 60.0])
def test_lines_say_how_far_it_is_once_it_takes_long(
    patience_s: float, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_S", patience_s)
    monkeypatch.setattr(progress, "LINES_S", 60.0)
    assert list(progress.tracked(iter("abcd"), "speaking", 4)) == ["a", "b", "c", "d"]
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == ("speaking: 1 of 4, 0 s left\n" if patience_s < 0 else "")
