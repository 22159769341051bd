"""Text units: learned from training alone, all transcripts in them, the same bytes twice, mistakes as sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from phonaut.cli import main
from phonaut.data.preparation import text_units as units
from phonaut.data.preparation.prepare import prepare
from phonaut.data.preparation.text_units import KINDS, SPLITS, UnitSettings, write_units
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import Utterance

sentencepiece = pytest.importorskip("sentencepiece", reason="the extra 'units' is not installed")

RATE = 16000
SAID = {
    "train": [
        "The cat sat on the mat",
        "the dog ran to the red cat",
        "A red dog sat on a mat",
        "THE CAT  and the dog\nran",
        "on the mat the red cat sat and sat",
        "so many dogs ran so many times",
    ],
    "validation": ["the cat ran to the dog", None],
    "test": ["zzyzx sat on the mat", "zzyzx and zzyzx ran to the cat", "many zzyzx"] * 3,
}
N_CHARACTERS = len({c for text in SAID["train"] for c in text if not c.isspace()}) + 2  # and the space, and unknown


@pytest.fixture
def corpus(tmp_path: Path, listed: Any) -> Callable[..., PreparedCorpus]:
    """A corpus in which each split says what it is told to."""

    def make(said: dict[str, list[Any]] = SAID, n_jobs: int | None = None) -> PreparedCorpus:
        items = []
        for split, texts in said.items():
            for n, text in enumerate(texts):
                path = tmp_path / f"{split}{n}.wav"
                if not path.exists():
                    soundfile.write(path, np.random.default_rng([n, len(split)]).standard_normal(4000) / 10, RATE)
                items.append(Utterance(f"{split}/{n}", path, split, f"{split}-{n % 2}", text=text))
        return prepare(listed(items), sample_rate=RATE, n_jobs=n_jobs)

    return make


def texts_and_units(folder: Path, split: str) -> Iterator[tuple[str, list[int]]]:
    from lhotse import CutSet

    for cut in CutSet.from_jsonl_lazy(folder / f"cuts.{split}.jsonl.gz"):
        (supervision,) = cut.supervisions
        if "units" in supervision.custom:
            yield supervision.text, supervision.units


@pytest.mark.parametrize("kind", KINDS)
def test_lhotse_reads_units_that_sentencepiece_turns_into_the_transcripts_again(
    kind: str, corpus: Callable[..., PreparedCorpus], tmp_path: Path
) -> None:
    write_units(corpus(), UnitSettings(N_CHARACTERS if kind == "char" else 30, kind, tmp_path / "out"))
    oracle = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "out" / "units.model"))
    for split in ("train", "validation"):
        found = list(texts_and_units(tmp_path / "out", split))
        said = [" ".join(text.split()) for text in SAID[split] if text]
        assert [oracle.decode(ids) for _, ids in found] == said
        assert [text for text, _ in found] == [text for text in SAID[split] if text], "the manifest keeps it as it is"
        assert all(oracle.unk_id() not in ids for _, ids in found)


def test_manifests_are_those_of_the_corpus_but_for_the_units(
    corpus: Callable[..., PreparedCorpus], tmp_path: Path
) -> None:
    from lhotse import CutSet

    prepared = corpus()
    write_units(prepared, UnitSettings(30, "bpe", tmp_path / "out"))
    for split in SPLITS:
        written = [cut.to_dict() for cut in CutSet.from_jsonl_lazy(tmp_path / "out" / f"cuts.{split}.jsonl.gz")]
        for cut in written:
            (cut["supervisions"][0].get("custom") or {}).pop("units", None)
        plain = [cut.to_dict() for cut in prepared.manifest(split)]
        for cut in (*written, *plain):  # lhotse leaves out what is empty
            cut["supervisions"][0].setdefault("custom", {})
        assert written == plain


def test_what_is_said_in_the_test_alone_becomes_no_unit(corpus: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    result = write_units(corpus(), UnitSettings(30, "bpe", tmp_path / "out"))
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "out" / "units.model"))
    assert not any("z" in model.id_to_piece(n) for n in range(model.get_piece_size()))
    assert result.splits["test"].n_unknown > 0
    assert result.splits["train"].n_unknown == 0
    other = dict(SAID, test=["something else"], validation=["entirely"])
    write_units(corpus(other), UnitSettings(30, "bpe", tmp_path / "other"))
    assert (tmp_path / "out" / "units.model").read_bytes() == (tmp_path / "other" / "units.model").read_bytes()


def test_counts_are_those_of_the_manifests(corpus: Callable[..., PreparedCorpus], tmp_path: Path) -> None:
    result = write_units(corpus(), UnitSettings(30, "unigram", tmp_path / "out"))
    for split, counts in result.splits.items():
        ids = [ids for _, ids in texts_and_units(tmp_path / "out", split)]
        assert (counts.n_sentences, counts.n_units) == (len(ids), sum(map(len, ids)))
        assert counts.n_unknown == sum(units.count(0) for units in ids)
        assert counts.n_without == (split == "validation")
    assert (result.n_units, result.n_shared) == (30, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [units.MOST_SENTENCES, 101])
def test_the_same_corpus_gives_the_same_bytes(
    kind: str, most: int, corpus: Callable[..., PreparedCorpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "MOST_SENTENCES", most)
    prepared = corpus(SAID | {"train": SAID["train"] * (20 if most == 101 else 1)})
    for name, now in (("a", 1e9), ("b", 2e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        write_units(prepared, UnitSettings(18 if kind == "char" else 24, kind, tmp_path / name))
    for name in units.FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_of_too_many_units_the_largest_number_is_said_and_is_possible(
    kind: str, corpus: Callable[..., PreparedCorpus], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=rf"units=5000: .* have not so many with units_kind={kind}; the larg") as told:
        write_units(corpus(), UnitSettings(5000, kind, tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    most = int(str(told.value).rsplit(maxsplit=1)[1])
    assert write_units(corpus(), UnitSettings(most, kind, tmp_path / "out")).n_units == most
    with pytest.raises(ValueError, match="the largest number"):
        write_units(corpus(), UnitSettings(most + 1, kind, tmp_path / "out"))


def test_of_too_few_units_the_smallest_number_is_said_and_is_possible(
    corpus: Callable[..., PreparedCorpus], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"units=3: .* have more characters than that; the smallest number is") as told:
        write_units(corpus(), UnitSettings(3, "bpe", tmp_path / "out"))
    least = int(str(told.value).rsplit(maxsplit=1)[1])
    assert write_units(corpus(), UnitSettings(least, "bpe", tmp_path / "out")).n_units == least


def test_without_transcripts_or_training_there_are_no_units(
    corpus: Callable[..., PreparedCorpus], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="has no transcripts in its training split"):
        write_units(corpus({"train": [None, " "], "test": ["here"]}), UnitSettings(30, "bpe", tmp_path / "out"))
    with pytest.raises(ValueError, match="the training split of listed is empty"):
        write_units(corpus({"test": ["here", "there"]}), UnitSettings(30, "bpe", tmp_path / "out"))


def test_a_folder_with_other_files_is_left_alone_and_one_of_units_is_made_again(
    corpus: Callable[..., PreparedCorpus], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    write_units(corpus(), UnitSettings(30, "bpe", out))
    write_units(corpus(), UnitSettings(24, "bpe", out))
    assert sentencepiece.SentencePieceProcessor(model_file=str(out / "units.model")).get_piece_size() == 24
    (out / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"has other files \(thesis.tex\): name a new folder"):
        write_units(corpus(), UnitSettings(30, "bpe", out))
    assert (out / "thesis.tex").read_text() == "mine"
    with pytest.raises(ValueError, match="is a file, and must be a folder"):
        UnitSettings(30, "bpe", out / "thesis.tex").check()


def test_all_that_is_wrong_with_what_is_asked_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sentencepiece", None)
    with pytest.raises(ValueError, match="units_kind=word is none of unigram, bpe, char") as told:
        UnitSettings(1, "word", tmp_path / "out").check()
    assert "units=1: at least 2" in str(told.value)
    assert "pip install 'phonaut[units]'" in str(told.value)


def test_two_threads_prepare_what_one_does(
    corpus: Callable[..., PreparedCorpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for n_jobs in (1, 2):
        monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / f"cache{n_jobs}"))
        folder = corpus(n_jobs=n_jobs).folder
        made.append({p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})
    assert made[0] == made[1]


def librispeech(root: Path) -> Path:
    """Two chapters by each of three speakers."""
    for subset, speaker in (("train-clean-100", 19), ("dev-clean", 84), ("test-clean", 61)):
        folder = root / subset / str(speaker) / "1"
        folder.mkdir(parents=True)
        for n in range(3):
            soundfile.write(
                folder / f"{speaker}-1-{n:04d}.flac",
                np.random.default_rng([speaker, n]).standard_normal(8000) / 9,
                RATE,
            )
        lines = [f"{speaker}-1-{n:04d} THE NUMBER {speaker} IS {n} OF THREE\n" for n in range(3)]
        (folder / f"{speaker}-1.trans.txt").write_text("".join(lines))
    return root


def test_the_command_divides_by_speaker_without_phones_and_says_what_it_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[int | None] = []
    monkeypatch.setattr(
        "phonaut.data.preparation.prepare.prepare",
        lambda *a, n_jobs, **k: (asked.append(n_jobs), prepare(*a, n_jobs=n_jobs, **k))[1],
    )
    words = ["prepare", "dataset=librispeech", f"dataset.data_folder={librispeech(tmp_path / 'LibriSpeech')}"]
    assert main([*words, "units=20", "units_kind=bpe", "n_jobs=2"]) == 0
    assert asked == [2]
    told = capsys.readouterr().out
    assert "the subsets are the splits; no speaker is in two" in told
    assert "20 units (bpe) from the transcripts of training: units/librispeech" in told
    assert re.search(r"test +3 +[\d.]+ +[1-9][\d.]*%", told), "digits of the test's speaker are not in training"
    assert "speakers of validation or test are in training" not in told
    assert {path.name for path in (tmp_path / "units" / "librispeech").iterdir()} == set(units.FILES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["n_jobs=two"], "n_jobs must be a whole number >= 1, got two"),
        (["n_jobs=0"], "n_jobs must be a whole number >= 1, got 0"),
        (["units=-3"], "units must be a whole number >= 1, got -3"),
        (["units_kind=bpe"], "units_kind= goes with units=1000"),
        (["output=there"], "output= goes with units=1000"),
        (["units=30", "target=speaker"], "target=speaker has every speaker in all splits"),
        (["unit=30"], "unknown key unit"),
    ],
)
def test_a_mistake_is_a_sentence(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", *words]) == 2
    assert message in capsys.readouterr().err
