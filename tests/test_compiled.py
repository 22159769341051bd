"""Compiled code runs wherever its cache may or may not lie."""

from __future__ import annotations

import os
from pathlib import Path

import numba
import pytest

from phonaut import compiled


def one_more(x: float) -> float:
    return x + 1.0


@pytest.fixture(autouse=True)
def numbas_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")


def test_where_the_code_may_not_be_written_its_cache_lies_in_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert compiled.njit()(one_more)(1.0) == 2.0
    assert list((tmp_path / "numba").rglob("*.nbi"))


def test_where_no_folder_may_be_written_it_is_compiled_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> None:
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr("numba.core.registry.CPUDispatcher.enable_caching", nowhere)
    assert compiled.njit()(one_more)(1.0) == 2.0


def test_a_full_disk_or_damage_in_the_cache_ends_no_computation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert compiled.njit()(one_more)(1.0) == 2.0
    for path in tmp_path.rglob("*.nb*"):
        path.write_bytes(path.read_bytes()[:20])
    assert compiled.njit()(one_more)(1.0) == 2.0, "the index is cut off"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.load", lambda *_: None)
    assert compiled.njit()(one_more)(1.0) == 2.0
