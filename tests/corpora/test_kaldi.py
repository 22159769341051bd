"""Kaldi data directories: wav.scp without commands, text, utt2spk, segments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.divided import divided
from phonaut.corpora import FolderCorpus
from phonaut.corpora.kaldi import Lookup
from phonaut.corpora.phone_alignments import write_ctm
from phonaut.data.utterance import Phone

SPEAKERS = ("anna", "bert", "carl", "dora")


def make(root: Path, *, folder: str = "data", speakers: tuple[str, ...] = SPEAKERS, base: str = "wav") -> Path:
    """Two words by each speaker, sorted as Kaldi wants it."""
    (root / base).mkdir(parents=True, exist_ok=True)
    (root / folder).mkdir(parents=True)
    lines: dict[str, list[str]] = {"wav.scp": [], "text": [], "utt2spk": []}
    for speaker in speakers:
        for word in ("NO", "YES"):
            name = f"{speaker}-{word}"
            (root / base / f"{name}.flac").touch()
            lines["wav.scp"].append(f"{name}\t{base}/{name}.flac")
            lines["text"].append(f"{name} {word}")
            lines["utt2spk"].append(f"{name} {speaker}")
    for file, content in lines.items():
        (root / folder / file).write_text("\n".join(content) + "\n")
    return root / folder


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def test_a_data_directory_is_read_with_paths_relative_to_the_one_above(tmp_path: Path) -> None:
    corpus = divided(FolderCorpus, data_folder=make(tmp_path))
    items = list(corpus.utterances())
    assert [(i.id, i.word, i.text, i.speaker) for i in items[:2]] == [
        ("anna-NO", "NO", "NO", "anna"), ("anna-YES", "YES", "YES", "anna")
    ]  # fmt: skip
    assert items[0].path == tmp_path / "wav" / "anna-NO.flac"
    assert {item.split for item in items} == {"train", "validation", "test"}
    assert "read by the table: anna in anna-NO" in corpus.notes()[1]


def test_paths_may_be_absolute_or_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "run", base="wav")
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "data")
    with pytest.raises(ValueError, match="run from the directory that its paths are relative to"):
        list(divided(FolderCorpus, data_folder=moved).utterances())
    monkeypatch.chdir(tmp_path / "run")
    assert next(divided(FolderCorpus, data_folder=moved).utterances()).path == tmp_path / "run" / "wav" / "anna-NO.flac"
    edit(moved / "wav.scp", "\twav/", f"\t{tmp_path}/run/wav/")
    monkeypatch.chdir("/")
    assert next(divided(FolderCorpus, data_folder=moved).utterances()).path == tmp_path / "run" / "wav" / "anna-NO.flac"


def test_commands_and_archives_are_refused_by_name_and_never_run(tmp_path: Path) -> None:
    folder = make(tmp_path)
    edit(folder / "wav.scp", "wav/anna-NO.flac", f"touch {tmp_path}/ran |")
    edit(folder / "wav.scp", "wav/bert-NO.flac", "wav/all.ark:1234")
    corpus = divided(FolderCorpus, data_folder=folder)
    assert len(list(corpus.utterances())) == 6
    assert not (tmp_path / "ran").exists()
    refused = {line["path"].rpartition(" ")[2]: line["reason"] for line in corpus.refused()}
    assert (
        refused["anna-NO"]
        == f"a command, which is not run; write its output to a file and list that: touch {tmp_path}/ran |"
    )
    assert "a place in an archive" in refused["bert-NO"]


def test_nothing_but_commands_is_an_error(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "wav.scp").write_text("a sph2pipe -f wav a.sph |\n")
    with pytest.raises(ValueError, match=r"names commands or archives .sph2pipe.*which are not run"):
        list(divided(FolderCorpus, data_folder=folder).utterances())


def test_segments_are_parts_of_recordings(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "segments").write_text(
        "anna-NO anna-NO 0.5 1.25\nanna-YES anna-NO 2 -1\nbert-NO bert-NO 0 1\nbert-YES gone 0 1\ncarl-NO carl-NO 3 2\n"
        "carl-YES carl-YES x 2\ndora-NO anna-NO 1.5 2\n"
    )
    corpus = divided(FolderCorpus, data_folder=folder)
    found = {item.id: (item.path.stem, item.start_s, item.duration_s) for item in corpus.utterances()}
    assert found == {
        "anna-NO": ("anna-NO", 0.5, 0.75), "anna-YES": ("anna-NO", 2.0, None), "bert-NO": ("bert-NO", 0.0, 1.0),
        "dora-NO": ("anna-NO", 1.5, 0.5),
    }  # fmt: skip
    refused = {line["path"].rpartition(" ")[2]: line["reason"] for line in corpus.refused()}
    assert refused["bert-YES"] == "wav.scp has no recording gone"
    unlisted = "segments lacks 1 of its utterances, such as dora-YES"
    assert {name: refused.pop(str(folder / name)) for name in ("text", "utt2spk")} == dict.fromkeys(
        ("text", "utt2spk"), unlisted
    )
    assert set(refused) == {"bert-YES", "carl-NO", "carl-YES"}


@pytest.mark.parametrize(("column", "channel"), [("0", 0), ("1", 1), ("A", 0), ("b", 1), ("-1", None), ("", None)])
def test_a_fifth_column_of_segments_is_a_channel(tmp_path: Path, column: str, channel: int | None) -> None:
    folder = make(tmp_path)
    (folder / "segments").write_text(f"anna-NO anna-NO 0.5 1.25 {column}\n")
    (found,) = FolderCorpus(data_folder=folder).utterances()
    assert (found.start_s, found.duration_s, found.channel) == (0.5, 0.75, channel)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("anna-NO 3 2", "it starts at 3 s and ends at 2 s: no part of a recording"),
        ("anna-NO 2 2", "it starts at 2 s and ends at 2 s: no part of a recording"),
        ("anna-NO -3 2", "it starts at -3 s and ends at 2 s: no part of a recording"),
        ("anna-NO nan 2", "it starts at nan s and ends at 2 s: no part of a recording"),
        ("anna-NO 0 inf", "it starts at 0 s and ends at inf s: no part of a recording"),
        ("anna-NO 0 -2", "it starts at 0 s and ends at -2 s: no part of a recording"),
        ("anna-NO 0 2 left", "not 'utterance recording start end [channel]': anna-NO 0 2 left"),
        ("anna-NO 0 2 0 0", "not 'utterance recording start end [channel]': anna-NO 0 2 0 0"),
        ("anna-NO 0", "not 'utterance recording start end [channel]': anna-NO 0"),
        ("anna-NO", "not 'utterance recording start end [channel]': anna-NO"),
        ("", "not 'utterance recording start end [channel]': "),
        ("anna-NO a b", "not 'utterance recording start end [channel]': anna-NO a b"),
    ],
)
def test_a_line_of_segments_that_is_none_is_refused_and_the_others_are_read(
    tmp_path: Path, line: str, reason: str
) -> None:
    folder = make(tmp_path)
    (folder / "segments").write_text(f"anna-NO {line}\nbert-NO bert-NO 0 1\n")
    corpus = FolderCorpus(data_folder=folder)
    assert [item.id for item in corpus.utterances()] == ["bert-NO"]
    assert {"path": f"{folder}/segments: anna-NO", "reason": reason} in corpus.refused()


def test_a_file_of_two_channels_has_the_one_that_its_recording_is_and_a_file_of_its_own_is_whole(
    tmp_path: Path,
) -> None:
    folder = make(tmp_path)
    soundfile.write(tmp_path / "wav" / "both.wav", np.zeros((800, 2)), 16000)
    soundfile.write(tmp_path / "wav" / "one.wav", np.zeros(800), 16000)
    edit(folder / "wav.scp", "wav/anna-NO.flac", "wav/both.wav")
    edit(folder / "wav.scp", "wav/anna-YES.flac", "wav/both.wav")
    edit(folder / "wav.scp", "wav/bert-NO.flac", "wav/one.wav")
    (folder / "reco2file_and_channel").write_text("anna-NO both A\nanna-YES both B\nbert-NO one B\n")
    found = {item.id: item.channel for item in FolderCorpus(data_folder=folder).utterances()}
    assert found == dict.fromkeys(found, None) | {"anna-NO": 0, "anna-YES": 1}
    (folder / "segments").write_text("anna-NO anna-NO 0 0.02\nanna-YES anna-YES 0 0.02 0\n")
    assert [item.channel for item in FolderCorpus(data_folder=folder).utterances()] == [0, 0], "segments is nearer"


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)], ids=["sorted", "unsorted"])
@pytest.mark.parametrize("name", ["wav.scp", "text", "utt2spk", "segments"])
def test_a_name_that_is_listed_twice_is_named_and_its_first_line_counts(
    tmp_path: Path, name: str, order: slice
) -> None:
    folder = make(tmp_path)
    if name == "segments":
        (folder / name).write_text("anna-NO anna-NO 0 1\nbert-NO bert-NO 0 1\n")
    expected = list(FolderCorpus(data_folder=folder).utterances())
    lines = (folder / name).read_text().splitlines()[order]
    second = lines[1].split(maxsplit=1)[0]
    (folder / name).write_text(
        "\n".join([*lines, f"{second} {'wav/dora-NO.flac' if name != 'segments' else 'dora-NO 0 1'}"]) + "\n"
    )
    corpus = FolderCorpus(data_folder=folder)
    assert sorted(corpus.utterances(), key=lambda u: u.id) == sorted(expected, key=lambda u: u.id)
    assert {"path": f"{folder / name}: {second}", "reason": "listed twice: the first line counts"} in corpus.refused()


@pytest.mark.parametrize("name", ["text", "utt2spk"])
def test_lines_of_utterances_that_are_not_listed_are_counted(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path)
    edit(folder / "wav.scp", "anna-YES\twav/anna-YES.flac\n", "")
    edit(folder / "wav.scp", "carl-NO\twav/carl-NO.flac\n", "")
    corpus = FolderCorpus(data_folder=folder)
    assert len(list(corpus.utterances())) == 6
    assert {
        "path": str(folder / name), "reason": "wav.scp lacks 2 of its utterances, such as anna-YES"
    } in corpus.refused()  # fmt: skip


def test_files_in_another_order_are_read_all_the_same(tmp_path: Path) -> None:
    folder = make(tmp_path)
    expected = list(divided(FolderCorpus, data_folder=folder).utterances())
    for name in ("text", "utt2spk"):
        lines = (folder / name).read_text().splitlines()
        (folder / name).write_text("\n".join(lines[3:] + lines[2::-1]) + "\n")
    assert list(divided(FolderCorpus, data_folder=folder).utterances()) == expected


def test_only_lines_that_were_passed_over_are_held(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("".join(f"{i:05d} {i}\n" for i in range(5000)))
    lookup = Lookup(path)
    for i in range(0, 5000, 2):
        assert lookup.get(f"{i:05d}") == lookup.get(f"{i:05d}") == str(i)
        assert len(lookup._passed) == i // 2
    assert lookup.get("nobody") is None


def test_utterances_without_text_or_speaker_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path)
    edit(folder / "text", "anna-NO NO\n", "")
    edit(folder / "utt2spk", "bert-NO bert\n", "")
    corpus = divided(FolderCorpus, data_folder=folder)
    assert len(list(corpus.utterances())) == 6
    assert {(Path(x["path"]).stem, x["reason"]) for x in corpus.refused()} == {
        ("anna-NO", "its class is not known"), ("bert-NO", "its speaker is not known")
    }  # fmt: skip


def test_speakers_come_from_spk2utt_where_there_is_no_utt2spk(tmp_path: Path) -> None:
    folder = make(tmp_path)
    expected = list(divided(FolderCorpus, data_folder=folder).utterances())
    (folder / "utt2spk").unlink()
    (folder / "spk2utt").write_text("".join(f"{one} {one}-NO {one}-YES\n" for one in reversed(SPEAKERS)))
    assert list(divided(FolderCorpus, data_folder=folder).utterances()) == expected
    edit(folder / "spk2utt", "anna-YES", "anna-YES anna-HM")
    corpus = FolderCorpus(data_folder=folder)
    list(corpus.utterances())
    assert "wav.scp lacks 1 of its utterances, such as anna-HM" in {one["reason"] for one in corpus.refused()}


def test_directories_of_splits_are_taken_as_given(tmp_path: Path) -> None:
    make(tmp_path, folder="data/train", speakers=SPEAKERS[:2])
    make(tmp_path, folder="data/dev", speakers=SPEAKERS[2:3])
    make(tmp_path, folder="data/test", speakers=SPEAKERS[3:])
    found = {item.speaker: item.split for item in divided(FolderCorpus, data_folder=tmp_path / "data").utterances()}
    assert found == {"anna": "train", "bert": "train", "carl": "validation", "dora": "test"}


def test_sentences_are_no_keywords(tmp_path: Path) -> None:
    folder = make(tmp_path, speakers=tuple(f"s{i:02d}" for i in range(40)))
    lines = (folder / "text").read_text().splitlines()
    (folder / "text").write_text("".join(f"{line} number {i}\n" for i, line in enumerate(lines)))
    with pytest.raises(ValueError, match=r"80 different texts in 80 recordings are sentences.*type target=speaker"):
        list(divided(FolderCorpus, data_folder=folder).utterances())
    assert {item.word for item in divided(FolderCorpus, data_folder=folder, target="speaker").utterances()} == {None}


@pytest.mark.parametrize(("content", "said"), [(b"", "wav.scp is empty"), (b"caf\xe9 x.wav\n", "wav.scp is not UTF-8")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    folder = make(tmp_path)
    (folder / "wav.scp").write_bytes(content)
    with pytest.raises(ValueError, match=said):
        list(divided(FolderCorpus, data_folder=folder).utterances())


@pytest.mark.corpus
def test_real_speech_of_45_speakers_is_read(real_speech) -> None:
    corpus = divided(FolderCorpus, data_folder=real_speech("speechocean762") / "train", target="speaker")
    items = list(corpus.utterances())
    assert len(items) == 900
    assert len({item.speaker for item in items}) == 45
    assert all(item.path.is_file() and item.text for item in items)
    assert all({i.speaker for i in items if i.split == s} == {i.speaker for i in items} for s in ("train", "test"))
    assert corpus.refused() == []


def aligned(path: Path, *names: str) -> Path:
    phones = [Phone("SIL", 0.0, 0.1), Phone("N", 0.1, 0.2), Phone("OW", 0.2, 0.3)]
    write_ctm(path, [(name, phones) for name in names])
    return path


def test_phones_come_from_an_alignment_of_the_utterances(tmp_path: Path) -> None:
    folder = make(tmp_path)
    names = [f"{speaker}-{word}" for speaker in SPEAKERS for word in ("NO", "YES")]
    path = aligned(tmp_path / "a.ctm", *names[1:])
    edit(folder / "text", "dora-YES YES\n", "")
    corpus = divided(FolderCorpus, data_folder=folder, target="phone", alignment=path, min_phone_count=1)
    items = list(corpus.utterances())
    assert {item.id for item in items} == set(names[1:]), "an utterance without text has phones all the same"
    assert all([phone.label for phone in item.phones] == ["N", "OW"] for item in items)
    assert {item.split for item in items} == {"train", "validation", "test"}
    assert [line["reason"] for line in corpus.refused()] == [f"{path} does not align it"]
    assert corpus.notes()[-1].startswith(f"phones by {path}, those with at least 1 tokens")


def test_phones_without_an_alignment_or_with_that_of_another_corpus_say_what_is_wrong(tmp_path: Path) -> None:
    folder = make(tmp_path)
    with pytest.raises(ValueError, match=r"target=phone needs the times of phones: dataset.alignment=FILE; phonaut al"):
        divided(FolderCorpus, data_folder=folder, target="phone")
    other = aligned(tmp_path / "a.ctm", "anna_NO")
    with pytest.raises(ValueError, match="It has anna_NO and so on; the corpus has dora-YES"):
        list(divided(FolderCorpus, data_folder=folder, target="phone", alignment=other, min_phone_count=1).utterances())
    (found,) = FolderCorpus.problems(data_folder=folder, target="phone", alignment=tmp_path / "gone.ctm")
    assert "gone.ctm is not there" in found


def test_sentences_have_phones_and_their_spelling_is_no_class(tmp_path: Path) -> None:
    folder = make(tmp_path)
    edit(folder / "text", "anna-NO NO", "anna-NO no")
    path = aligned(tmp_path / "a.ctm", *(f"{speaker}-{word}" for speaker in SPEAKERS for word in ("NO", "YES")))
    corpus = divided(FolderCorpus, data_folder=folder, target="phone", alignment=path, min_phone_count=1)
    assert not any("differ in case" in note for note in (list(corpus.utterances()), corpus.notes())[1])


def test_a_folder_that_is_all_tested_keeps_rare_phones(tmp_path: Path) -> None:
    folder = make(tmp_path)
    path = aligned(tmp_path / "a.ctm", "anna-NO")
    corpus = divided(FolderCorpus, data_folder=folder, target="phone", alignment=path, protocol="all_test")
    assert [(item.id, len(item.phones)) for item in corpus.utterances()] == [("anna-NO", 2)]


def test_only_speakers_who_are_aligned_are_divided(tmp_path: Path) -> None:
    many = tuple(f"s{i:02d}" for i in range(40))
    folder = make(tmp_path, speakers=many)
    path = aligned(tmp_path / "a.ctm", *(f"{speaker}-NO" for speaker in many[:5]))
    corpus = divided(FolderCorpus, data_folder=folder, target="phone", alignment=path, min_phone_count=1)
    found = {item.speaker: item.split for item in corpus.utterances()}
    assert set(found) == set(many[:5])
    assert set(found.values()) == {"train", "validation", "test"}, "no split is left empty"
    assert "5 speakers" in corpus.notes()[1]
