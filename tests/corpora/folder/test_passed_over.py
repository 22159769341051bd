"""What lies in a folder and is no word of the corpus is read, or named: nothing vanishes."""

from __future__ import annotations

from pathlib import Path
from unicodedata import normalize

import pytest

from helpers.divided import divided
from phonaut.corpora import FolderCorpus
from phonaut.corpora.disk import AUDIO_SUFFIXES, UNREAD_SUFFIXES


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two words of three speakers."""
    for word in ("yes", "no"):
        fill(tmp_path / word, "wav")
    return tmp_path


def fill(folder: Path, suffix: str, speakers: str = "abc") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for speaker in speakers:
        (folder / f"{speaker}_1.{suffix}").touch()


def words_and_refused(root: Path) -> tuple[set[str | None], dict[str, str]]:
    corpus = divided(FolderCorpus, data_folder=root)
    words = {utterance.word for utterance in corpus.utterances()}
    return words, {str(Path(line["path"]).relative_to(root)): line["reason"] for line in corpus.refused()}


@pytest.mark.parametrize("suffix", sorted(AUDIO_SUFFIXES))
def test_a_word_of_any_kind_that_is_read_is_a_word(suffix: str, root: Path) -> None:
    fill(root / "go", suffix if len(suffix) % 2 else suffix.upper())
    assert words_and_refused(root) == ({"yes", "no", "go"}, {})


@pytest.mark.parametrize("suffix", [*sorted(UNREAD_SUFFIXES), "wav.gz", "flac.zip", "mp3.part", "wav.crdownload"])
def test_a_word_of_a_kind_that_is_not_read_is_refused_by_name(suffix: str, root: Path) -> None:
    fill(root / "go", suffix)
    words, refused = words_and_refused(root)
    assert words == {"yes", "no"}
    last = suffix.rpartition(".")[2]
    assert set(refused) == {"go", *(f"go/{speaker}_1.{suffix}" for speaker in "abc")}
    assert refused["go"] == f"a folder without recordings that can be read, but 3 .{last} files"
    assert all(reason.startswith(f".{last} is not read: ") for name, reason in refused.items() if name != "go")


def test_one_recording_of_a_kind_that_is_not_read_is_refused_and_the_rest_goes_on(root: Path) -> None:
    (root / "yes" / "d_1.m4a").touch()
    words, refused = words_and_refused(root)
    assert words == {"yes", "no"}
    assert refused == {"yes/d_1.m4a": ".m4a is not read: convert it, ffmpeg -i d_1.m4a d_1.flac"}


def test_folders_and_links_without_recordings_are_named(root: Path) -> None:
    (root / "empty").mkdir()
    (root / "deep" / "er").mkdir(parents=True)
    fill(root / "texts", "txt")
    (root / "gone").symlink_to(root / "nowhere")
    (root / "yes" / "gone.wav").symlink_to(root / "nowhere.wav")
    words, refused = words_and_refused(root)
    assert words == {"yes", "no"}
    assert refused == {
        "empty": "a folder without recordings that can be read",
        "deep": "a folder without recordings that can be read",
        "texts": "a folder without recordings that can be read, but 3 .txt files",
        "gone": "a link to nothing",
        "yes/gone.wav": "a link to nothing",
    }


def test_a_class_that_is_empty_in_one_split_is_named(tmp_path: Path) -> None:
    for split, speakers in (("train", "abcdef"), ("test", "xyz")):
        for word in ("yes", "no"):
            fill(tmp_path / split / word, "wav", speakers)
    (tmp_path / "test" / "go").mkdir()
    words, refused = words_and_refused(tmp_path)
    assert words == {"yes", "no"}
    assert refused == {"test/go": "a folder without recordings that can be read"}


TABLES = {
    "a table of other things": ("prices.csv", b"item,price\nx,1\n", "it has the columns item, price; needed are path"),
    "a table without header": ("labels.csv", b"yes/a_1.wav,yes,a\n", "its first line names a recording (yes/a_1.wav"),
    "an empty table": ("labels.tsv", b"", "it has the columns (none); needed are path and label"),
    "a table in latin-1": ("labels.csv", b"caf\xe9,path,label\n", "is not UTF-8; save it as UTF-8"),
    "a binary table": ("labels.csv", b"\0\1\2\3" * 99, "is no text in UTF-8"),
    "a sheet of Excel": ("labels.xlsx", b"PK", "a table of this kind is not read: save it as CSV"),
    "a table in parquet": ("train.parquet", b"PAR1", "a table of this kind is not read: save it as CSV"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_that_is_not_read_is_named_and_folders_are(kind: str, root: Path) -> None:
    name, content, reason = TABLES[kind]
    (root / name).write_bytes(content)
    words, refused = words_and_refused(root)
    assert words == {"yes", "no"}
    assert list(refused) == [name]
    assert refused[name].startswith(reason)


@pytest.mark.parametrize("kind", TABLES)
def test_without_folders_of_words_the_message_is_about_the_table(kind: str, tmp_path: Path) -> None:
    name, content, reason = TABLES[kind]
    fill(tmp_path, "wav")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"is not read: ") as caught:
        divided(FolderCorpus, data_folder=tmp_path).notes()
    assert str(caught.value).startswith(f"{tmp_path / name} is not read: {reason}")


@pytest.mark.parametrize("name", ["jö/a_1.wav", "yes/ä_1.wav"])
def test_names_that_differ_in_how_accents_are_written_are_named(name: str, root: Path) -> None:
    for form in ("NFC", "NFD"):
        path = root / normalize(form, name)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (root / "no" / "ä_1.wav").touch()
    corpus = divided(FolderCorpus, data_folder=root)
    ids = [utterance.id for utterance in corpus.utterances()]
    assert len(ids) == len(set(ids))
    (line,) = corpus.refused()
    assert line["reason"].endswith("with accents written in another way: rename one")
