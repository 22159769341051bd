"""Every reader keeps the law of `helpers.fuzz` on damaged files; `benchmarks/fuzz.py` goes on for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.fuzz import Reader, fuzz, readers

SECONDS, MOST = 0.5, 100


@pytest.mark.parametrize("name", sorted(readers()))
def test_a_damaged_file_is_read_or_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    result = fuzz(readers()[name], tmp_path, seconds=SECONDS, most=MOST)
    assert not result.findings, "\n\n".join(f"{one.file}: {one.what}\n{one.trace}" for one in result.findings)
    assert result.n_refused, "some damage is beyond reading"


def text(path: Path) -> str:
    return path.read_text()  # a UnicodeDecodeError is a ValueError, and none of ours


def number(path: Path) -> int:
    return int(path.read_bytes() and path.read_bytes().decode("latin-1"))


def bomb(path: Path) -> bytearray:
    return bytearray(1 << (36 if path.read_bytes() != b"12" else 3))


def endless(path: Path) -> None:
    while path.read_bytes() != b"12":
        pass


def silent(path: Path) -> None:
    if path.read_bytes() != b"12":
        raise ValueError("it is broken")


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (text, "not raised by us: UnicodeDecodeError"),
        (number, "not raised by us: ValueError: invalid literal"),
        (bomb, "MemoryError"),
        (endless, "TookTooLongError"),
        (silent, "not raised by us"),
    ],
)
def test_a_reader_that_breaks_the_law_is_found(
    read: object, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seeds(folder: Path) -> list[Path]:
        (folder / "x").write_bytes(b"12")
        return [folder / "x"]

    monkeypatch.setattr("helpers.fuzz.LONGEST_S", 0.05)
    findings = fuzz(Reader(seeds, read), tmp_path, seconds=5, most=20).findings  # type: ignore[arg-type]
    assert any(finding.what.startswith(what) for finding in findings), findings
