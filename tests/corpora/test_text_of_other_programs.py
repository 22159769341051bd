"""Text files as other programs and systems write them: the same entries, or a refusal that names the file."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from helpers.divided import divided
from phonaut.corpora import FolderCorpus, KeywordCorpus, LibriSpeech
from phonaut.corpora.phone_alignments import Alignment
from phonaut.corpora.timit.files import read_phones
from phonaut.corpora.timit.tables import FOLDINGS
from phonaut.data.lexicon import entries_of
from phonaut.files import text_lines

SPEAKERS = [f"{i:08x}" for i in range(8)]


class Reader(NamedTuple):
    """Files of a kind, and what is read from them."""

    files: dict[str, str]
    read: Callable[[Path], Any]


def touched(*paths: str) -> Callable[[Path], None]:
    def touch(folder: Path) -> None:
        for path in paths:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()

    return touch


def of_folder(folder: Path) -> list[Any]:
    corpus = divided(FolderCorpus, data_folder=folder)
    found = [(u.id, u.word, u.speaker, u.start_s, u.path.name) for u in corpus.utterances()]
    assert corpus.refused() == []
    return found


def of_lists(folder: Path) -> list[Any]:
    corpus = divided(KeywordCorpus, data_folder=folder, wanted_words=["yes", "no"], protocol="official")
    return [(u.id, u.split) for u in corpus.utterances()]


def of_books(folder: Path) -> list[Any]:
    return [(u.id, u.text) for u in LibriSpeech(data_folder=folder, target="text").utterances()]


def of_alignment(folder: Path) -> list[Any]:
    alignment = Alignment(next(folder.glob("a.*")))
    return [(name, alignment.phones(name)) for name in alignment]


NAMES = [f"{speaker}-{word}" for speaker in SPEAKERS for word in ("nö", "yes")]
KALDI = {
    "wav.scp": "".join(f"{name} wav/{name}.flac\n" for name in NAMES),
    "text": "".join(f"{name} {name[9:]}\n" for name in NAMES),
    "utt2spk": "".join(f"{name} {name[:8]}\n" for name in NAMES),
}
LISTS = {
    f"{name}_list.txt": "".join(f"{word}/{one}_nohash_0.wav\n" for word in ("no", "yes") for one in speakers)
    for name, speakers in (("validation", SPEAKERS[:2]), ("testing", SPEAKERS[2:4]))
}
READERS: dict[str, Reader] = {
    "Kaldi": Reader(KALDI, of_folder),
    "Kaldi, segments": Reader(
        {
            "wav.scp": "".join(f"{speaker} wav/{speaker}.wav\n" for speaker in SPEAKERS),
            "segments": "".join(f"{name} {name[:8]} {i % 2}.5 {i % 2 + 1}\n" for i, name in enumerate(NAMES)),
            "text": KALDI["text"],
            "utt2spk": KALDI["utt2spk"],
        },
        of_folder,
    ),
    "a table": Reader(
        {"labels.csv": "path,label,speaker\n" + "".join(f"wav/{n}.flac,{n[9:]},{n[:8]}\n" for n in NAMES)}, of_folder
    ),
    "official lists": Reader(LISTS, of_lists),
    "transcripts": Reader({"train-a/1/2/1-2.trans.txt": "1-2-0000 ONE Ä\n1-2-0001 TWO\n"}, of_books),
    "a lexicon": Reader({"a.txt": "ä 0.5 h e\nb 1.0 w o\n"}, lambda f: entries_of(f / "a.txt")),
    "PHN": Reader({"a.phn": "0 400 h#\n400 900 iy\n"}, lambda f: read_phones(str(f / "a.phn"), FOLDINGS[39])),
}
READERS |= {
    name: Reader({f"a.{name.lower()}": text}, of_alignment)
    for name, text in {
        "CTM": "ä/1 1 0.0 0.1 A\nä/1 1 0.1 0.1 B\nb 1 0.0 0.1 A\n",
        "STM": "ä/1 1 anna 0.0 0.1 A\nb 1 anna 0.0 0.1 B\n",
        "MLF": '#!MLF!#\n"*/ä/1.lab"\n0 1000000 A\n.\n"*/b.lab"\n0 1000000 B\n.\n',
        "LAB": "0 1000000 A\n1000000 2000000 B\n",
        "TXT": "0.0\t0.1\tA\n0.1\t0.2\tB\n",
        "TextGrid": '"ooTextFile"\n"TextGrid"\n0\n1\n<exists>\n1\n"IntervalTier"\n"phones"\n0\n1\n1\n0\n1\n"A"\n',
    }.items()
}
RECORDINGS = touched(
    *(f"wav/{name}.flac" for name in NAMES),
    *(f"wav/{speaker}.wav" for speaker in SPEAKERS),
    *(f"{word}/{speaker}_nohash_0.wav" for word in ("no", "yes") for speaker in SPEAKERS),
    *(f"train-a/1/2/1-2-000{i}.flac" for i in range(2)),
)
WRITTEN: dict[str, Callable[[str], bytes]] = {
    "a byte order mark": lambda text: codecs.BOM_UTF8 + text.encode(),
    "UTF-16, as Praat and Excel write it": lambda text: text.encode("utf-16"),
    "UTF-16 in the other order": lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "line ends of Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "line ends of an old Mac": lambda text: text.replace("\n", "\r").encode(),
    "no last line end": lambda text: text.rstrip("\n").encode(),
    "empty lines": lambda text: text.replace("\n", "\n\n").encode(),
}


def made(folder: Path, reader: Reader, write: Callable[[str], bytes]) -> Path:
    RECORDINGS(folder)
    for name, text in reader.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(write(text))
    return folder


@pytest.fixture(scope="module")
def as_usual(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("usual")
    return {name: reader.read(made(folder / name, reader, str.encode)) for name, reader in READERS.items()}


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("name", READERS)
def test_a_file_of_another_program_has_the_same_entries(
    name: str, written: str, as_usual: dict[str, Any], tmp_path: Path
) -> None:
    assert as_usual[name], "there are entries"
    assert READERS[name].read(made(tmp_path, READERS[name], WRITTEN[written])) == as_usual[name]


PATHS: dict[str, Callable[[str], str]] = {
    "./": lambda path: f"./{path}",
    "a backslash": lambda path: path.replace("/", "\\"),
    "both": lambda path: ".\\" + path.replace("/", "\\"),
    "two slashes": lambda path: path.replace("/", "//"),
    "accents apart": lambda path: path.replace("ö", "o\u0308"),
}
ABOVE: dict[str, Callable[[str], str]] = {
    "the folder's name before it": lambda path: f"speech_commands_v0.02/{path}",
    "a path of another machine": lambda path: "C:\\data\\" + path.replace("/", "\\"),
    "in upper case, as some file systems shout": str.upper,
    "without a suffix": lambda path: path.removesuffix(".wav"),
}


def with_paths(text: str, change: Callable[[str], str]) -> str:
    """Every word of a text that is a path, changed."""
    return "\n".join(
        " ".join(change(word) if word.endswith((".wav", ".flac")) else word for word in line.split(" "))
        for line in text.split("\n")
    )


@pytest.mark.parametrize(
    ("name", "change"),
    [*((name, change) for name in ("Kaldi", "Kaldi, segments", "official lists") for change in PATHS.items()),
     *(("official lists", change) for change in ABOVE.items())],
    ids=lambda one: one if isinstance(one, str) else one[0],
)  # fmt: skip
def test_a_path_is_the_same_however_it_is_written(
    name: str, change: tuple[str, Callable[[str], str]], as_usual: dict[str, Any], tmp_path: Path
) -> None:
    reader = READERS[name]
    assert reader.read(made(tmp_path, reader, lambda text: with_paths(text, change[1]).encode())) == as_usual[name]


@pytest.mark.parametrize("name", LISTS)
def test_an_official_list_without_a_line_that_is_a_recording_is_refused_by_name(name: str, tmp_path: Path) -> None:
    folder = made(tmp_path, READERS["official lists"], str.encode)
    for content in ("katze/a_nohash_0.wav\nhund/b_nohash_0.wav\n", ""):
        (folder / name).write_text(content)
        with pytest.raises(ValueError, match=rf"no line of {name} is a recording in {folder}.*protocol=by_speaker"):
            of_lists(folder)
    corpus = divided(KeywordCorpus, data_folder=folder, wanted_words=["yes", "no"])
    assert {u.split for u in corpus.utterances()} >= {"train"}, "another protocol does without the lists"


NO_TEXT: dict[str, tuple[bytes, str]] = {
    "a packed file": (gzip.compress(b"a\n"), r"is compressed; unpack it \(gunzip\)"),
    "another encoding": ("caf\xe9\n".encode("latin-1"), "is not UTF-8; save it as UTF-8"),
    "half a character of UTF-16": (codecs.BOM_UTF16_LE + b"a\0b", "is not UTF-8; save it as UTF-8"),
    "UTF-16 without a mark": ("ab\n".encode("utf-16-le"), "is no text: line 1 has a null character"),
    "a line without an end": (b"a" * 2**21, "is no text: line 1 has more than 1,048,576 characters"),
}


@pytest.mark.parametrize("content", NO_TEXT)
def test_what_is_no_text_is_refused_in_a_sentence_with_its_name(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(NO_TEXT[content][0])
    with pytest.raises(ValueError, match=rf"{tmp_path}/x.txt {NO_TEXT[content][1]}"):
        list(text_lines(tmp_path / "x.txt"))


def test_a_file_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    def read(path: Path) -> Iterator[str]:
        return text_lines(path)

    with pytest.raises(ValueError, match="gone cannot be read: No such file"):
        list(read(tmp_path / "gone"))
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        list(read(tmp_path))
