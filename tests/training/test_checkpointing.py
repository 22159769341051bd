"""Checkpoints are whole or absent, and a damaged one costs an interval, not the run."""

from pathlib import Path

import pytest
import torch

from phonaut.training.checkpointing import BEFORE_LAST, LAST, AtomicCheckpointIO, newest_readable_checkpoint

CHECKPOINT = {"phonaut": {"history": []}, "state_dict": {"w": torch.ones(3)}}


def test_a_failed_write_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / LAST
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("phonaut.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        AtomicCheckpointIO().save_checkpoint(CHECKPOINT | {"epoch": 2}, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [LAST], "and no half file beside it"


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path: Path) -> None:
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, tmp_path / BEFORE_LAST)
    AtomicCheckpointIO().save_checkpoint(CHECKPOINT, tmp_path / LAST)
    assert newest_readable_checkpoint(tmp_path) == tmp_path / LAST
    whole = (tmp_path / LAST).read_bytes()
    (tmp_path / LAST).write_bytes(whole[: len(whole) // 2])
    with pytest.warns(UserWarning, match=r"last\.ckpt cannot be read"):
        assert newest_readable_checkpoint(tmp_path) == tmp_path / BEFORE_LAST


def test_nothing_to_resume_from_is_no_error(tmp_path: Path) -> None:
    assert newest_readable_checkpoint(tmp_path) is None


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("/tmp/phonaut-was-here"),)  # type: ignore[return-value]


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"phonaut": Trap()}, tmp_path / LAST)
    with pytest.warns(UserWarning, match="cannot be read"):
        assert newest_readable_checkpoint(tmp_path) is None
    with pytest.raises(Exception, match=r"[Ww]eights"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / LAST)
