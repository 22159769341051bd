"""Recordings listed in a CSV or TSV table: columns, splits, parts of recordings, and what is wrong with rows."""

from __future__ import annotations

import csv
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.divided import divided
from phonaut.corpora import FolderCorpus, Utterance
from phonaut.data.preparation.prepare import fingerprint

SPEAKERS = ("anna", "bert", "carl", "dora")
ROWS = [(f"{s}{i}.wav", word, s) for s in SPEAKERS for i, word in enumerate(("yes", "no"))]


def write(
    root: Path,
    rows: list[tuple[object, ...]],
    header: str = "path,label,speaker",
    *,
    name: str = "labels.csv",
    d: str = ",",
) -> Path:
    """A table and (empty) recordings for it."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=d)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    for row in rows:
        if not (root / str(row[0])).exists():
            (root / str(row[0])).parent.mkdir(parents=True, exist_ok=True)
            (root / str(row[0])).touch()
    return root


def items(root: Path, **options: object) -> list[Utterance]:
    return list(divided(FolderCorpus, data_folder=root, **options).utterances())


def facts(root: Path, **options: object) -> list[tuple[str, str | None, str]]:
    return [(item.path.name, item.word, item.speaker) for item in items(root, **options)]


@pytest.mark.parametrize("d", [",", "\t", ";", "|"])
def test_the_delimiter_is_found(tmp_path: Path, d: str) -> None:
    assert facts(write(tmp_path, ROWS, d=d)) == ROWS


@pytest.mark.parametrize("header", ["file,word,spk", "Filename,CLASS,Speaker ID", "audio_path,keyword,client_id"])
def test_columns_go_by_many_names(tmp_path: Path, header: str) -> None:
    assert facts(write(tmp_path, ROWS, header)) == ROWS


def test_other_names_of_columns_can_be_given(tmp_path: Path) -> None:
    write(tmp_path, ROWS, "wo,was,wer")
    assert facts(tmp_path, columns={"path": "wo", "label": "was", "speaker": "wer"}) == ROWS
    with pytest.raises(ValueError, match=r"has no column wess for speaker \(nearest: wer"):
        items(tmp_path, columns={"path": "wo", "label": "was", "speaker": "wess"})
    with pytest.raises(ValueError, match="has who; it may name path, label, speaker"):
        items(tmp_path, columns={"who": "wer"}, table="labels.csv")


def test_the_table_itself_can_be_given(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    write(tmp_path, ROWS[:4], name="some.csv")
    assert facts(tmp_path / "some.csv", protocol="all_test") == ROWS[:4]
    assert facts(tmp_path, table="labels.csv") == ROWS
    with pytest.raises(ValueError, match=r"several tables of recordings \(labels.csv, some.csv\); type dataset.table="):
        items(tmp_path)


def test_recordings_are_found_in_the_usual_folders_and_without_suffix(tmp_path: Path) -> None:
    write(tmp_path, [(f"clips/{path}", *rest) for path, *rest in ROWS])
    write(tmp_path, [(Path(path).stem, *rest) for path, *rest in ROWS])
    for path, *_ in ROWS:
        (tmp_path / Path(path).stem).unlink()
    assert facts(tmp_path) == ROWS


def test_a_byte_order_mark_windows_paths_and_quotes_are_read(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    lines = [f'"sub\\{path}","{word}, please",{speaker}\r\n' for path, word, speaker in ROWS]
    (tmp_path / "labels.csv").write_bytes(("\ufeffpath,label,speaker\r\n" + "".join(lines)).encode())
    (tmp_path / "sub").mkdir()
    for path, *_ in ROWS:
        (tmp_path / path).rename(tmp_path / "sub" / path)
    assert facts(tmp_path) == [(path, f"{word}, please", speaker) for path, word, speaker in ROWS]


BEFORE = {
    "a comment": "# made by hand\n",
    "comments and empty lines": "# made by hand\n\n# in 2024, by us\n\n",
    "Excel's line": "sep=;\n",
    "Excel's line in quotes": '"sep=;"\n',
    "commas alone": ";;\n",
    "nothing": "",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("before", BEFORE)
def test_what_programs_write_before_the_columns_is_read(before: str, end: str, encoding: str, tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    rows = "".join(f"{path};{word};{speaker}\n" for path, word, speaker in ROWS)
    text = f"{BEFORE[before]}path;label;speaker\n{rows}x.wav;;anna\n"
    (tmp_path / "labels.csv").write_bytes(text.replace("\n", end).encode(encoding))
    corpus = divided(FolderCorpus, data_folder=tmp_path)
    assert [(one.path.name, one.word, one.speaker) for one in corpus.utterances()] == ROWS
    line = 2 + len(ROWS) + BEFORE[before].count("\n")
    assert corpus.refused() == [{"path": f"{tmp_path / 'labels.csv'}:{line}", "reason": "no label"}]


def test_names_of_columns_in_a_comment_are_read(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    text = (tmp_path / "labels.csv").read_text()
    (tmp_path / "labels.csv").write_text(f"# words of four people\n# {text}")
    assert facts(tmp_path) == ROWS


def test_names_with_accents_are_found_however_they_are_written(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    (tmp_path / "ze\u0301.wav").touch()
    with (tmp_path / "labels.csv").open("a", encoding="utf-8") as file:
        file.write("z\u00e9.wav,yes,anna\n")
    assert items(tmp_path)[-1].path == tmp_path / "ze\u0301.wav"


def test_a_split_column_is_taken_as_given(tmp_path: Path) -> None:
    names = {"anna": "Train", "bert": "train", "carl": "dev", "dora": "TEST"}
    write(tmp_path, [(*row, names[row[2]]) for row in ROWS], "path,label,speaker,split")
    assert {item.speaker: item.split for item in items(tmp_path)} == {
        "anna": "train", "bert": "train", "carl": "validation", "dora": "test"
    }  # fmt: skip


def test_a_table_per_split_is_taken_as_given(tmp_path: Path) -> None:
    for split, rows in (("train", ROWS[:4]), ("dev", ROWS[4:6]), ("test", ROWS[6:])):
        write(tmp_path, rows, name=f"{split}.tsv", d="\t")
    assert {item.speaker: item.split for item in items(tmp_path)} == {
        "anna": "train", "bert": "train", "carl": "validation", "dora": "test"
    }  # fmt: skip


def test_a_speaker_in_two_splits_is_named(tmp_path: Path) -> None:
    rows = [(*row, "train" if i % 2 else "test") for i, row in enumerate(ROWS)]
    with pytest.raises(ValueError, match=r"speaker anna is in test and train, and 3 more .*protocol=by_speaker"):
        items(write(tmp_path, rows, "path,label,speaker,split"))


def test_recordings_with_an_unknown_split_are_refused_unless_divided_anew(tmp_path: Path) -> None:
    names = {"anna": "train", "bert": "train", "carl": "dev", "dora": "test"}
    rows = [(*row, names[row[2]]) for row in ROWS[:-1]] + [(*ROWS[-1], "fold7")]
    corpus = divided(FolderCorpus, data_folder=write(tmp_path, rows, "path,label,speaker,split"))
    assert len(list(corpus.utterances())) == 7
    reason = "its split is none of train, validation, test"
    assert corpus.refused() == [{"path": str(tmp_path / "dora1.wav"), "reason": reason}]
    assert len(items(tmp_path, protocol="by_speaker")) == 8


def test_splits_of_other_names_are_named(tmp_path: Path) -> None:
    rows = [(*row, f"fold{i}") for i, row in enumerate(ROWS)]
    with pytest.raises(ValueError, match=r"has none of train, validation, test.; type protocol=by_speaker"):
        items(write(tmp_path, rows, "path,label,speaker,split"))


def test_speakers_are_told_apart_on_a_given_split_that_shares_them(tmp_path: Path) -> None:
    parts = ("train", "dev", "test")
    rows = [(f"{s}{i}.wav", "yes", s, parts[i]) for s in SPEAKERS for i in range(3)]
    write(tmp_path, rows, "path,label,speaker,split")
    assert {item.split: item.path.stem[-1] for item in items(tmp_path, target="speaker")} == {
        "train": "0", "validation": "1", "test": "2"
    }  # fmt: skip
    alone = [
        (f"{s}{i}.wav", "yes", s, part) for s, part in zip(SPEAKERS, ("train", *parts), strict=True) for i in range(3)
    ]
    write(tmp_path, alone, "path,label,speaker,split")
    with pytest.raises(ValueError, match=r"has none of them there; protocol=within_speakers"):
        items(tmp_path, target="speaker")
    assert {item.split for item in items(tmp_path, target="speaker", protocol="by_recording")} == {
        "train",
        "validation",
        "test",
    }


@pytest.mark.parametrize("options", [{"protocol": "by_recording"}, {"target": "speaker"}])
def test_parts_of_one_recording_stay_in_one_split(tmp_path: Path, options: dict[str, object]) -> None:
    rows = [
        (f"{s}{i}.wav", word, s, j, j + 1) for s in SPEAKERS for i in range(9) for j, word in enumerate(("yes", "no"))
    ]
    splits: dict[Path, set[str]] = {}
    for item in items(write(tmp_path, rows, "path,label,speaker,start,end"), **options):
        splits.setdefault(item.path, set()).add(item.split)
    assert all(len(found) == 1 for found in splits.values())
    assert set().union(*splits.values()) == {"train", "validation", "test"}


def test_parts_of_recordings_are_cuts_of_their_own(tmp_path: Path) -> None:
    rows = [
        (f"{s}.wav", word, s, start, end) for s in SPEAKERS for word, start, end in (("yes", "0", 1.5), ("no", 2, ""))
    ]
    found = items(write(tmp_path, rows, "path,label,speaker,start,end"))
    assert [(i.id, i.start_s, i.duration_s) for i in found[:2]] == [("anna@0.000", 0, 1.5), ("anna@2.000", 2, None)]
    assert len({item.id for item in found}) == 8


def test_a_column_of_durations_alone_describes_whole_recordings(tmp_path: Path) -> None:
    assert items(write(tmp_path, [(*row, 1.0) for row in ROWS], "path,label,speaker,duration"))[0].duration_s is None


def test_rows_that_make_no_sense_are_refused_by_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = [(*row, "0", "1") for row in ROWS]
    bad = [
        ("x.wav", "yes", "anna", "soon", "1"), ("x.wav", "yes", "anna", "3", "2"), ("x.wav", "", "anna", "", ""),
        ("", "yes", "anna", "", ""), good[0], ("x.wav", "yes", "anna", "nan", ""), ("x.wav", "yes", "anna", "0", "inf"),
    ]  # fmt: skip
    corpus = divided(FolderCorpus, data_folder=write(tmp_path, [*good, *bad], "path,label,speaker,start,end"))
    assert len(list(corpus.utterances())) == 8
    reasons = {int(line["path"].rpartition(":")[2]): line["reason"] for line in corpus.refused()}
    assert reasons == {
        10: "start 'soon' is not a number of seconds",
        11: "start 3 s and duration -1 s are no part of a recording",
        12: "no label",
        13: "no path",
        14: "anna0@0.000 is listed twice",
        15: "start nan s are no part of a recording",
        16: "start 0 s and duration inf s are no part of a recording",
    }


def test_decimals_with_a_comma_are_read_between_semicolons_and_else_refused(tmp_path: Path) -> None:
    rows = [(*row, "0,1", "0,35") for row in ROWS]
    found = items(write(tmp_path / "a", rows, "path,label,speaker,start,end", d=";"))
    assert [(one.start_s, one.duration_s) for one in found] == [(0.1, 0.25)] * len(ROWS)
    write(tmp_path / "b", rows, "path,label,speaker,start,end")
    with pytest.raises(ValueError, match="start '0,1' is not a number of seconds: write decimals with a point"):
        items(tmp_path / "b")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_paths_are_found_whichever_way_accents_are_written_in_each_folder(form: str, tmp_path: Path) -> None:
    other = "NFD" if form == "NFC" else "NFC"
    root = tmp_path / normalize(form, "Gerät")
    folder = root / normalize(form, "größe")
    folder.mkdir(parents=True)
    rows = [(normalize(other, f"größe/ä_{name}"), *rest) for name, *rest in ROWS]
    for name, *_ in ROWS:
        (folder / normalize(other, f"ä_{name}")).touch()
    (root / "labels.csv").write_text("path,label,speaker\n" + "\n".join(map(",".join, rows)) + "\n")
    found = items(tmp_path / normalize(other, "Gerät"))
    assert len(found) == len(ROWS)
    assert all(one.path.is_file() for one in found)


def test_a_transcript_is_the_class_where_there_is_no_label(tmp_path: Path) -> None:
    found = items(write(tmp_path, ROWS, "path,transcript,speaker"))
    assert {item.word for item in found} == {"yes", "no"}
    assert {item.text for item in found} == {"yes", "no"}


def test_the_speaker_is_guessed_where_there_is_no_column_and_that_is_said(tmp_path: Path) -> None:
    rows = [(f"{s}_{i}.wav", word) for s in SPEAKERS for i, word in enumerate(("yes", "no"))]
    corpus = divided(FolderCorpus, data_folder=write(tmp_path, rows, "path,label"))
    assert {item.speaker for item in corpus.utterances()} == set(SPEAKERS)
    assert "what stands before the first _" in corpus.notes()[1]


def test_sessions_keep_a_speakers_recordings_together(tmp_path: Path) -> None:
    rows = [(f"{s}{i}{j}.wav", "yes", s, f"day{i}") for s in SPEAKERS for i in range(4) for j in range(3)]
    corpus = divided(FolderCorpus, data_folder=write(tmp_path, rows, "path,label,speaker,session"), target="speaker")
    splits: dict[tuple[str, str | None], set[str]] = {}
    for item in corpus.utterances():
        splits.setdefault((item.speaker, item.session), set()).add(item.split)
    assert all(len(found) == 1 for found in splits.values())
    assert "each speaker's sessions are divided" in corpus.notes()[0]


def test_too_few_sessions_are_not_kept_together_and_that_is_said(tmp_path: Path) -> None:
    rows = [
        (f"{s}{i}{j}.wav", "yes", s, f"day{i}")
        for s in SPEAKERS
        for i in range(2 + 2 * (s == "anna"))
        for j in range(9)
    ]
    notes = divided(
        FolderCorpus, data_folder=write(tmp_path, rows, "path,label,speaker,session"), target="speaker"
    ).notes()
    assert "each speaker's recordings are divided" in notes[0]
    assert "fewer than 3" in notes[1]


def test_a_table_that_says_nothing_of_recordings_is_not_taken_for_one(tmp_path: Path) -> None:
    for word in ("yes", "no"):
        for speaker in SPEAKERS:
            (tmp_path / word).mkdir(exist_ok=True)
            (tmp_path / word / f"{speaker}_1.wav").touch()
    (tmp_path / "prices.csv").write_text("item,price\nx,1\n")
    assert len(items(tmp_path)) == 8


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"item,price\nx,1\n", "labels.csv: it has the columns item, price; needed are path and label"),
        (b"", r"has the columns \(none\)"),
        (b"anna0.wav,yes,anna\n", r"its first line names a recording .anna0.wav, yes, anna., not columns: put a line"),
        (b"p\0a\0t\0h\0", "is no text in UTF-8; save it as UTF-8"),
        (b"path,label\n" + b"x" * 2_000_000, "is no text in UTF-8; save it as UTF-8"),
        (b"path,label\ngone.wav,yes\n", "names recordings that are not there: gone.wav"),
        (b"path,label\n", "it has no rows"),
        (b"path,label\ncaf\xe9.wav,yes\n", "is not UTF-8; save it as UTF-8"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        items(tmp_path / "labels.csv")


def test_a_changed_table_is_another_corpus(tmp_path: Path) -> None:
    before = fingerprint(divided(FolderCorpus, data_folder=write(tmp_path, ROWS)), 16000)
    rows = [*ROWS[1:], ("anna0.wav", "no", "anna")]
    assert fingerprint(divided(FolderCorpus, data_folder=write(tmp_path, rows)), 16000) != before


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.text("ab, ;'", min_size=1, max_size=4), st.sampled_from("xyzw")), min_size=8, max_size=30
    )
)
def test_no_speaker_of_any_table_is_in_two_splits(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    root = tmp_path_factory.mktemp("table")
    write(
        root,
        [(f"{i}.wav", "yes" if i % 2 else "no", f"{speaker}{name.strip()}") for i, (name, speaker) in enumerate(rows)],
    )
    if len({f"{speaker}{name.strip()}" for name, speaker in rows}) == 1:
        with pytest.raises(ValueError, match="of one speaker"):
            items(root)
        return
    found = items(root)
    splits: dict[str, set[str]] = {}
    for item in found:
        splits.setdefault(item.speaker, set()).add(item.split)
    by_recording = len(splits) == 2  # then validation is cut from the one who trains
    assert all(len(parts) == 1 or (by_recording and parts == {"train", "validation"}) for parts in splits.values())
    assert {item.split for item in found} >= {"train", "test"}
