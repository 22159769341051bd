"""Phones by alignment: one piece for every corpus that takes them, and what it says of files that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phonaut.corpora.disk import Refused
from phonaut.corpora.librispeech import LibriSpeech
from phonaut.corpora.phone_alignments import AlignedPhones, Alignment, write_ctm
from phonaut.data.utterance import Phone, Utterance

PHONES = [Phone("SIL", 0.0, 0.1), Phone("AA", 0.1, 0.25), Phone("B", 0.25, 0.3), Phone("ZH", 0.3, 0.4)]


def write(path: Path, *cuts: str) -> Path:
    write_ctm(path, [(cut, PHONES if cut != "odd" else PHONES[:3]) for cut in cuts])
    return path


def said(name: str, **about: Any) -> Utterance:
    return Utterance(name, Path(f"{name.rpartition('/')[2]}.wav"), **about)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    alignment = Alignment(write(tmp_path / "a.ctm", "x", "y"))
    assert list(alignment) == ["x", "y"]
    for found, phone in zip(alignment.phones("y"), PHONES, strict=True):
        assert found.label == phone.label
        assert (found.start_s, found.end_s) == pytest.approx((phone.start_s, phone.end_s))


def test_classes_are_frequent_enough_and_not_dropped(tmp_path: Path) -> None:
    aligned = AlignedPhones(write(tmp_path / "a.ctm", "x", "odd"), ["SIL"], 2)
    assert aligned.classes == {"AA", "B"}
    found = aligned.phones(said("x"), Refused())
    assert [phone.label for phone in found or ()] == ["AA", "B"]
    assert "at least 2 tokens in the whole corpus (ZH 1 have fewer)" in aligned.note()


def test_one_dropped_phone_may_be_typed_without_brackets(tmp_path: Path) -> None:
    assert AlignedPhones(write(tmp_path / "a.ctm", "x"), "SIL", 1).classes == {"AA", "B", "ZH"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("x 1 0.0 0.2 AA\nx 1 0.1 0.2 B\n", "B at 0.1 s begins before AA ends, at 0.2 s"),
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
    assert aligned.phones(said("x"), refused) is None
    assert reason in refused.as_list()[0]["reason"]
    assert len(aligned.phones(said("y"), refused) or ()) == 4
    assert len(refused) == 1


def test_a_cut_that_is_not_aligned_is_refused_by_name(tmp_path: Path) -> None:
    aligned, refused = AlignedPhones(write(tmp_path / "a.ctm", "x"), [], 1), Refused()
    assert aligned.phones(said("y"), refused) is None
    assert refused.as_list() == [{"path": "y.wav", "reason": f"{tmp_path}/a.ctm does not align it"}]
    aligned.phones(said("x"), refused)
    aligned.check_met()


def test_an_alignment_of_another_corpus_is_an_error(tmp_path: Path) -> None:
    aligned = AlignedPhones(write(tmp_path / "a.ctm", "x"), [], 1)
    aligned.phones(said("a/y"), Refused())
    with pytest.raises(ValueError, match=r"no utterance of this corpus.*It has x and so on; the corpus has a/y"):
        aligned.check_met()


def test_a_count_that_leaves_nothing_is_an_error_with_the_counts(tmp_path: Path) -> None:
    aligned = AlignedPhones(write(tmp_path / "a.ctm", "x", "y"), ["SIL"], 3)
    with pytest.raises(ValueError, match=r"min_phone_count=3 leaves 0 phones.*most frequent are AA 2, B 2"):
        aligned.phones(said("x"), Refused())


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ("0.05 0.10 B", "B at 0.05 s begins before A ends, at 0.1 s"),
        ("-0.10 0.10 B", "a phone starts at 0 or later and lasts; B goes from -0.1 to 0 s"),
        ("0.10 -0.05 B", "B goes from 0.1 to 0.05 s"),
        ("nan 0.10 B", "B goes from nan to nan s"),
        ("0.1 inf B", "B goes from 0.1 to inf s"),
    ],
)
def test_times_that_cannot_be_are_the_reason_why_no_phones_are_left(second: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ctm"
    path.write_text(f"u 1 0.00 0.10 A\nu 1 {second}\n")
    with pytest.raises(ValueError, match=f"none of its 1 utterances can be used; u: .*{why}"):
        _ = AlignedPhones(path, (), 1).classes
    path.write_text(f"u 1 0.00 0.10 A\nu 1 {second}\nv 1 0.00 0.10 A\n")
    with pytest.raises(ValueError, match=rf"leaves 1 phones.*1 of its 2 utterances cannot be used \(u: .*{why}"):
        _ = AlignedPhones(path, (), 1).classes


def test_options_are_checked_at_once() -> None:
    with pytest.raises(ValueError, match="target=phone needs") as error:
        LibriSpeech(data_folder="x", target="phone", min_phone_count=0)
    assert str(error.value).split("; ") == [
        "target=phone needs the times of phones: dataset.alignment=FILE",
        "phonaut align dataset=librispeech makes one",
        "dataset.min_phone_count must be >= 1, got 0",
    ]
    assert LibriSpeech(data_folder="x", target="speaker", alignment="a.ctm").aligned is None


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone.ctm is not there; phonaut align makes one"):
        Alignment(tmp_path / "gone.ctm")
    (tmp_path / "b.ctm").write_text("x 1 0.1\n")
    with pytest.raises(ValueError, match=r"b.ctm, line 1: .*is wanted, got 'x 1 0.1'"):
        Alignment(tmp_path / "b.ctm")


CALL = "call {0} 0.0 0.5 SIL\ncall {0} 0.5 0.3 {1}A\ncall {0} 0.8 0.4 {1}B\ncall {0} 1.2 0.1 {1}C\n"


@pytest.mark.parametrize(
    ("one", "other", "channel", "wanted"),
    [("A", "B", 1, "B"), ("1", "2", 1, "2"), ("0", "1", 1, "1"), ("A", "B", 0, "A"), ("1", "2", 0, "1"),
     ("1", "1", None, "1"), ("2", "2", 1, "2"), ("1", "1", 1, None)],
)  # fmt: skip
def test_times_of_a_recording_are_moved_to_its_parts_and_channels_are_told_apart(
    one: str, other: str, channel: int | None, wanted: str | None, tmp_path: Path
) -> None:
    (tmp_path / "a.ctm").write_text("".join(CALL.format(c, c) for c in dict.fromkeys((one, other))))
    alignment = Alignment(tmp_path / "a.ctm")
    part = said("call-7", recording="call", start_s=0.6, duration_s=0.5, channel=channel)
    place = alignment.place(part)
    if wanted is None:
        assert place is None
        return
    assert place is not None
    phones = alignment.phones(place)
    assert [phone.label for phone in phones] == [f"{wanted}A", f"{wanted}B"]
    times = [time for phone in phones for time in (phone.start_s, phone.end_s)]
    assert times == pytest.approx([0.0, 0.2, 0.2, 0.5]), "what begins before or ends after the part is cut"


def test_channels_without_one_that_is_meant_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.ctm").write_text(CALL.format("A", "") + CALL.format("B", ""))
    with pytest.raises(ValueError, match=r"has channels A and B of call, and the corpus does not say which is meant"):
        Alignment(tmp_path / "a.ctm").place(said("call"))


@pytest.mark.parametrize(
    ("name", "of_corpus"),
    [("yes/a", {"id": "yes/a"}), ("a", {"id": "yes/a"}), ("a.wav", {"id": "yes/a", "recording": "yes/a.wav"}),
     ("yes/a.wav", {"id": "yes/a", "recording": "yes/a.wav"}), ("grids/yes/a", {"id": "yes/a"}),
     ("a", {"id": "yes/a@0.000", "recording": "yes/a.wav"}), ("cafe\u0301", {"id": "caf\xe9"}),
     ("/data/yes/a.flac", {"id": "a"})],
)  # fmt: skip
def test_names_may_have_other_folders_suffixes_and_accents(
    name: str, of_corpus: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "a.ctm").write_text(f"{name} 1 0 0.1 A\n{name} 1 0.1 0.1 B\n")
    alignment = Alignment(tmp_path / "a.ctm")
    place = alignment.place(said(of_corpus.pop("id"), **of_corpus))
    assert place is not None
    assert [phone.label for phone in alignment.phones(place)] == ["A", "B"]
    assert alignment.place(said("yes/b")) is None


def test_a_name_of_two_recordings_is_refused(tmp_path: Path) -> None:
    alignment = Alignment(write(tmp_path / "a.ctm", "a"))
    assert alignment.place(said("yes/a")) == alignment.place(said("yes/a")) is not None
    with pytest.raises(ValueError, match=r"calls an alignment a, and the corpus has yes/a and no/a"):
        alignment.place(said("no/a"))


def labelled(folder: Path, *labels: str) -> Alignment:
    lines = (f"x 1 {i / 10} 0.1 {label}\n" for i, label in enumerate(labels))
    (folder / "a.ctm").write_text("".join(lines))
    return Alignment(folder / "a.ctm")


@pytest.mark.parametrize(
    ("labels", "phones"),
    [
        (["SIL", "HH_B", "AH0_I", "OW_E", "AY_S", "SPN_S", "LAUGH"], ["SIL", "HH", "AH0", "OW", "AY", "SPN", "LAUGH"]),
        (["a_B", "b", "c", "d"], ["a_B", "b", "c", "d"]),  # X-SAMPA: an extra low tone
        (["sil", "sp", "<p:>", "h#", "<eps>", "#"], ["SIL"] * 6),
        (["spn", "NSN", "<unk>"], ["SPN"] * 3),
        (["2", "9", "a"], ["2", "9", "a"]),  # X-SAMPA
        (["cafe\u0301", "caf\xe9"], ["caf\xe9"] * 2),
        (["s", "S", "AA", "aa"], ["s", "S", "AA", "aa"]),
    ],
)
def test_labels_are_the_phones_that_they_mean(labels: list[str], phones: list[str], tmp_path: Path) -> None:
    assert [phone.label for phone in labelled(tmp_path, *labels).phones("x")] == phones


def test_numbers_are_looked_up_beside_the_file_and_refused_without_names(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"numbers in place of phones, and there is no phones.txt beside it that names 1, "
    ):
        labelled(tmp_path, "1", "6", "12", "13")
    (tmp_path / "phones.txt").write_text("\ufeff<eps> 0\r\nSIL 1\r\nSIL_S 5\r\nAA_B 6\r\nZ_E 12\r\n#0 400\r\n")
    assert [phone.label for phone in labelled(tmp_path, "1", "5", "6", "12").phones("x")] == ["SIL", "SIL", "AA", "Z"]
    with pytest.raises(ValueError, match=r"its phones.txt has no 13, 99"):
        labelled(tmp_path, "1", "99", "13")


def test_what_was_done_to_labels_is_said(tmp_path: Path) -> None:
    labelled(tmp_path, "AA_B", "aa_E", "B_I", "SIL")
    note = AlignedPhones(tmp_path / "a.ctm", ["sil"], 1).note()
    assert (
        "in the whole corpus; positions in words (_B, _I, _E, _S) are left out; AA and aa differ in case alone" in note
    )


def test_an_alignment_of_words_is_no_alignment_of_phones(tmp_path: Path) -> None:
    (tmp_path / "a.ctm").write_text("x 1 0 0.2 SIL\nx 1 0.2 0.4 HELLO\nx 1 0.6 0.4 World\ny 1 0 0.5 AGAIN\nz 1 0 1 A\n")
    texts = {"x": "hello world", "y": "again", "z": "a"}
    aligned = AlignedPhones(tmp_path / "a.ctm", [], 1)
    assert all(aligned.has(said(name, text=text), Refused()) for name, text in texts.items())
    with pytest.raises(ValueError, match="has the words of utterances: target=phone needs the times of phones"):
        aligned.check_met()
    phones = AlignedPhones(write(tmp_path / "b.ctm", "x", "y", "z"), [], 1)
    assert all(phones.has(said(name, text=text), Refused()) for name, text in texts.items())
    phones.check_met()


def test_words_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.ctm").write_text("x 1 0 4 PAUSE\nx 1 4 4 NOISE\n")
    assert [word.label for word in Alignment(tmp_path / "a.ctm", has_words=True).phones("x")] == ["PAUSE", "NOISE"]
