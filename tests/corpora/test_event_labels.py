"""Words and times are read out of tables and labels of Audacity, and what is wrong in them is said in one sentence."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phonaut.corpora.event_labels import Said, check_times, labelled, read_labels


def test_tables_and_labels_of_audacity_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("word,start_s,end_s,speaker\nyes,1.5,2,ann\nno,7,7,\n", encoding="utf-8-sig")
    (tmp_path / "a.txt").write_text("1.500000\t2.000000\tyes\n\\\t100.0\t4000.0\n7.0\t7.0\tno\n\n")
    assert read_labels(tmp_path / "a.csv") == [Said("yes", 1.5, 2.0, "ann"), Said("no", 7.0, 7.0)]
    assert read_labels(tmp_path / "a.txt") == [Said("yes", 1.5, 2.0), Said("no", 7.0, 7.0)]


def test_tables_with_semicolons_or_tabs_may_have_decimal_commas(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("start_s;end_s;word\n1,5;2;yes\n7;7,25;no\n")
    (tmp_path / "b.csv").write_text("start_s\tend_s\tword\n1.5\t2\tyes\n7\t7,25\tno\n")
    for name in ("a.csv", "b.csv"):
        assert read_labels(tmp_path / name) == [Said("yes", 1.5, 2.0), Said("no", 7.0, 7.25)]


def test_a_table_as_excel_begins_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("\ufeffsep=;\r\nStart_s;End_s;Word\r\n1,5;2;yes\r\n".encode())
    assert read_labels(tmp_path / "a.csv") == [Said("yes", 1.5, 2.0)]


@pytest.mark.parametrize(("name", "text"), [("a.csv", "start_s,end_s,word\n1,2,{}\n"), ("a.txt", "1\t2\t{}\n")])
def test_accents_that_macos_writes_apart_are_those_of_the_word(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text.format(unicodedata.normalize("NFD", "öffne")), encoding="utf-8")
    assert [one.word for one in read_labels(tmp_path / name)] == ["öffne"]


def test_an_empty_file_says_that_nothing_is_said(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16000)
    (tmp_path / "a.txt").write_text("")
    assert list(labelled(tmp_path)) == [(tmp_path / "a.wav", [])]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "start,end,word\n1,2,yes\n", "a.csv has no column start_s, end_s: its first line is to name"),
        ("a.csv", "start_s,end_s,word\n1,x,yes\n", "a.csv, line 2: start and end must be seconds, got '1' and 'x'"),
        ("a.csv", "start_s,end_s,word\n1,2,\n", "a.csv, line 2: no word is named"),
        ("a.csv", "start_s,end_s,word\n3,2,yes\n", "line 2: a word must end where it begins or later, got 3 to 2"),
        ("a.csv", "start_s,end_s,word\nnan,2,yes\n", "line 2: a word must end where it begins or later, got nan to 2"),
        (
            "a.txt",
            "1\t2\tyes\n4\t5\tno\n1.5\t3\tyes\n",
            "a.txt: yes is said twice at once, at 1 to 2 and at 1.5 to 3 s",
        ),
        ("a.txt", "1\t1\tyes\n1\t1\tyes\n", "a.txt: yes is said twice at once"),
        ("a.txt", "1 2 yes\n", "a.txt, line 1: start and end must be seconds"),
        ("a.txt", "-1\t2\tyes\n", "line 1: a word must end where it begins or later, got -1 to 2"),
        ("b.csv", "", r"a.wav has no labels: a.csv or a.txt is missing \(an empty one says that no word is said\)"),
    ],
)
def test_wrong_labels_are_named_with_their_line(name: str, text: str, said: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16000)
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said):
        list(labelled(tmp_path))


def test_folders_and_times_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder; it is to hold recordings, each with labels"):
        list(labelled(tmp_path / "gone"))
    with pytest.raises(ValueError, match="holds no recordings; labels lie beside each"):
        list(labelled(tmp_path))
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16000)
    for suffix in (".csv", ".txt"):
        (tmp_path / f"a{suffix}").write_text("")
    with pytest.raises(ValueError, match=r"a\.wav has two files of labels, a\.csv and a\.txt: remove one"):
        list(labelled(tmp_path))
    with pytest.raises(ValueError, match=r"ends after 3\.00 s, and its labels say yes at 2 to 4 s"):
        check_times(Path("a.wav"), [Said("yes", 2.0, 4.0)], 3.0)
