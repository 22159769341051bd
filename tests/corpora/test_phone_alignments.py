"""Phones by alignment: one piece for every corpus that takes them, and what it says of files that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from phonaut.corpora.disk import Refused
from phonaut.corpora.librispeech import LibriSpeech
from phonaut.corpora.phone_alignments import AlignedPhones, Alignment, write_ctm
from phonaut.data.utterance import Phone

PHONES = [Phone("SIL", 0.0, 0.1), Phone("AA", 0.1, 0.25), Phone("B", 0.25, 0.3), Phone("ZH", 0.3, 0.4)]


def write(path: Path, *cuts: str) -> Path:
    write_ctm(path, [(cut, PHONES if cut != "odd" else PHONES[:3]) for cut in cuts])
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    alignment = Alignment(write(tmp_path / "a.ctm", "x", "y"))
    assert list(alignment) == ["x", "y"]
    for found, phone in zip(alignment.phones("y"), PHONES, strict=True):
        assert found.label == phone.label
        assert (found.start_s, found.end_s) == pytest.approx((phone.start_s, phone.end_s))


def test_classes_are_frequent_enough_and_not_dropped(tmp_path: Path) -> None:
    aligned = AlignedPhones(write(tmp_path / "a.ctm", "x", "odd"), ["SIL"], 2)
    assert aligned.classes == {"AA", "B"}
    found = aligned.phones("x", "x.wav", Refused())
    assert [phone.label for phone in found or ()] == ["AA", "B"]
    assert "at least 2 tokens in the whole corpus (ZH 1 have fewer)" in aligned.note()


def test_one_dropped_phone_may_be_typed_without_brackets(tmp_path: Path) -> None:
    assert AlignedPhones(write(tmp_path / "a.ctm", "x"), "SIL", 1).classes == {"AA", "B", "ZH"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("x 1 0.0 0.2 AA\nx 1 0.1 0.2 B\n", "B at 0.1 s begins before AA ends, at 0.2 s"),
        ("x 1 0.3 0.1 AA\nx 1 0.1 0.1 B\n", "B at 0.1 s begins before AA ends"),
        ("x 1 0.3 0 AA\n", "a phone starts at 0 or later and lasts; AA goes from 0.3 to 0.3 s"),
        ("x 1 -0.3 0.1 AA\n", "a phone starts at 0 or later"),
        ("x 1 0.3 inf AA\n", "a phone starts at 0 or later and lasts"),
        ("x 1 nan 0.1 AA\n", "a phone starts at 0 or later and lasts"),
        ("x 1 now 0.1 AA\n", "not a time in 'x 1 now 0.1 AA'"),
    ],
)
def test_times_that_cannot_be_are_refused_by_name_and_the_rest_goes_on(lines: str, reason: str, tmp_path: Path) -> None:
    write(tmp_path / "a.ctm", "y", "z")
    with (tmp_path / "a.ctm").open("a") as file:
        file.write(lines)
    aligned, refused = AlignedPhones(tmp_path / "a.ctm", [], 1), Refused()
    assert aligned.phones("x", "x.wav", refused) is None
    assert reason in refused.as_list()[0]["reason"]
    assert len(aligned.phones("y", "y.wav", refused) or ()) == 4
    assert len(refused) == 1


def test_a_cut_that_is_not_aligned_is_refused_by_name(tmp_path: Path) -> None:
    aligned, refused = AlignedPhones(write(tmp_path / "a.ctm", "x"), [], 1), Refused()
    assert aligned.phones("y", "y.wav", refused) is None
    assert refused.as_list() == [{"path": "y.wav", "reason": f"{tmp_path}/a.ctm does not align it"}]
    aligned.phones("x", "x.wav", refused)
    aligned.check_met()


def test_an_alignment_of_another_corpus_is_an_error(tmp_path: Path) -> None:
    aligned = AlignedPhones(write(tmp_path / "a.ctm", "x"), [], 1)
    aligned.phones("a/y", "y.wav", Refused())
    with pytest.raises(ValueError, match=r"no utterance of this corpus.*It has x and so on; the corpus has a/y"):
        aligned.check_met()


def test_a_count_that_leaves_nothing_is_an_error_with_the_counts(tmp_path: Path) -> None:
    aligned = AlignedPhones(write(tmp_path / "a.ctm", "x", "y"), ["SIL"], 3)
    with pytest.raises(ValueError, match=r"min_phone_count=3 leaves 0 phones.*most frequent are SIL 2, AA 2"):
        aligned.phones("x", "x.wav", Refused())


def test_options_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match="target=phone needs") as error:
        LibriSpeech(data_folder="x", target="phone", min_phone_count=0)
    assert str(error.value).split("; ") == [
        "target=phone needs the times of phones: dataset.alignment=FILE.ctm",
        "phonaut align dataset=librispeech makes one",
        "dataset.min_phone_count must be >= 1, got 0",
    ]
    assert LibriSpeech(data_folder="x", target="speaker", alignment="a.ctm").aligned is None


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone.ctm is not a file; phonaut align makes one"):
        Alignment(tmp_path / "gone.ctm")
    (tmp_path / "b.ctm").write_text("x 1 0.1\n")
    with pytest.raises(ValueError, match=r"b.ctm, line 1: .*is wanted, got 'x 1 0.1'"):
        Alignment(tmp_path / "b.ctm")
    (tmp_path / "c.ctm").write_text("x 1 0 1 A\ny 1 0 1 A\nx 1 1 1 A\n")
    with pytest.raises(ValueError, match="line 3: the lines of x do not stand together"):
        Alignment(tmp_path / "c.ctm")
