"""A corpus of tones, of which every time is known, aligned; and what is left when that is stopped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lhotse import SupervisionSet

from helpers.words_of_tones import RATE, Tones, write_lexicon
from phonaut.alignment import phone_hmm, pocket
from phonaut.alignment.align import Result, align
from phonaut.alignment.phone_hmm import TrainingConfig
from phonaut.alignment.utterances import Aligned
from phonaut.corpora.phone_alignments import Alignment, write_ctm
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import Phone


@pytest.fixture
def corpus(tmp_path: Path) -> Tones:
    return Tones(tmp_path / "tones", texts=["", "ams zzz"])


def prepared(corpus: Tones) -> PreparedCorpus:
    return prepare(corpus, sample_rate=RATE)


def run(corpus: Tones, folder: Path, **options: Any) -> tuple[Result, list[str]]:
    """Align; what came of it, and what was told."""
    told: list[str] = []
    settings = {"aligner": "hmm", "lexicon": folder / "lexicon.txt", "output": folder / "out", "tell": told.append}
    return align(prepared(corpus), **(settings | options)), told


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_phone_models_from_an_even_division_find_the_known_times_and_all_files_say_the_same(
    corpus: Tones, tmp_path: Path
) -> None:
    write_lexicon(tmp_path / "lexicon.txt")
    result, told = run(corpus, tmp_path)
    assert told[1].startswith("hmm, 1 components a state, step 1: log-likelihood -")
    (found,) = result.differences
    assert (found.first, found.second, found.n_utterances) == ("known", "hmm", 22)
    assert found.n_matched == found.n_phones, "of two pronunciations, the one that is spoken is found"
    assert found.median_ms.value < 12.5, "half a window: where a tone begins, frames before it hear it"
    assert found.p90_ms.value < 30
    assert found.median_ms.low <= found.median_ms.value <= found.median_ms.high

    out = tmp_path / "out"
    assert json.loads((out / "not_aligned.json").read_text()) == [
        {"id": "speaker 0/s0", "aligner": "hmm", "reason": "it has no transcript"},
        {"id": "speaker 1/s1", "aligner": "hmm", "reason": "no pronunciation is known of ZZZ"},
    ]
    figures = json.loads((out / "align.json").read_text())
    assert figures["differences"][0]["median_ms"] == found.median_ms.as_dict()
    assert figures["aligners"]["hmm"]["n_aligned"] == 22
    assert "speaker%200/s3 1 0.0000" in (out / "hmm.ctm").read_text()
    phones, words = Alignment(out / "hmm.ctm"), Alignment(out / "hmm_words.ctm")
    assert len(phones) == len(words) == 22
    texts = {item.id: str(item.text).upper().split() for item in corpus.list}
    for name in phones:
        assert [word.label for word in words.phones(name)] == texts[name]
        starts = {round(phone.start_s, 3) for phone in phones.phones(name)}
        assert {round(word.start_s, 3) for word in words.phones(name)} <= starts
    grid = (out / "textgrid" / "speaker 0" / "s3.TextGrid").read_text()
    assert [f'name = "{name}"' in grid for name in ("words (hmm)", "phones (hmm)", "phones (known)")] == [True] * 3
    assert not (out / "textgrid" / "speaker 0" / "s0.TextGrid").read_text().count("hmm")

    manifest = SupervisionSet.from_jsonl(out / "hmm.jsonl.gz")
    assert len(manifest) == 22
    one = manifest["speaker 0/s3"]
    assert (one.text.upper().split(), one.speaker) == (texts[one.id], "speaker 0")
    kept = [(item.symbol, item.start, item.duration) for item in one.alignment["phone"]]
    wanted = [(p.label, p.start_s, p.end_s - p.start_s) for p in phones.phones(one.id)]
    assert [label for label, _, _ in kept] == [label for label, _, _ in wanted]
    np.testing.assert_allclose([k[1:] for k in kept], [w[1:] for w in wanted], atol=2e-4)
    assert [item.symbol for item in one.alignment["word"]] == texts[one.id]
    manifest.write_alignment_to_ctm(tmp_path / "lhotse.ctm", type="phone")
    exported = Alignment(tmp_path / "lhotse.ctm")
    for item in corpus.list[2:4]:
        place = exported.place(replace(item, recording=item.path.stem))
        assert place is not None
        back, own = exported.phones(place), phones.phones(item.id)
        assert [phone.label for phone in back] == [phone.label for phone in own]
        np.testing.assert_allclose(
            [p.end_s for p in back], [p.end_s for p in own], atol=0.0151
        )  # lhotse rounds to 10 ms


def test_the_same_settings_again_change_nothing_and_say_so_and_others_begin_anew(corpus: Tones, tmp_path: Path) -> None:
    write_lexicon(tmp_path / "lexicon.txt")
    first, _ = run(corpus, tmp_path)
    before = contents(tmp_path / "out")
    second, told = run(corpus, tmp_path)
    assert (first.again, second.again) == (False, True)
    assert [text for text in told if "step" in text] == []
    assert contents(tmp_path / "out") == before
    assert second.differences == first.differences
    (tmp_path / "out" / "hmm_words.ctm").unlink()
    third, told = run(corpus, tmp_path)
    assert not third.again
    assert any("step" in text for text in told)
    write_lexicon(tmp_path / "lexicon.txt", without=["OA"])
    fourth, _ = run(corpus, tmp_path)
    assert not fourth.again
    assert "OA" in (tmp_path / "out" / "not_aligned.json").read_text()


class Pretended:
    """In the place of pocketsphinx: the known times, a little late; it stops when it is told to."""

    def __init__(self, corpus: Tones, most: int | None = None) -> None:
        self.corpus, self.most, self.asked = corpus, most, list[str]()

    def align(self, _: object, wanted: list[Any], lexicon: object, n_jobs: int) -> Iterator[list[Aligned]]:
        for number, one in enumerate(wanted):
            if number == self.most:
                raise KeyboardInterrupt
            self.asked.append(one.id)
            moved = [Phone(p.label, p.start_s + 0.02, p.end_s + 0.02) for p in self.corpus.truth[one.id]]
            yield [
                Aligned(one.id, tuple(moved), (Phone("WORD", 0.1, 0.2),)) if one.words else Aligned(one.id, reason="x")
            ]


def test_what_pocketsphinx_aligned_before_it_was_stopped_is_not_aligned_again(
    corpus: Tones, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lexicon(tmp_path / "lexicon.txt")
    whole = Pretended(corpus)
    monkeypatch.setattr(pocket, "missing", lambda: None)
    monkeypatch.setattr("phonaut.alignment.align.version", lambda name: "1")
    monkeypatch.setattr(pocket, "align", whole.align)
    run(corpus, tmp_path, aligner="pocketsphinx", output=tmp_path / "whole")

    monkeypatch.setattr(pocket, "align", Pretended(corpus, most=9).align)
    with pytest.raises(KeyboardInterrupt):
        run(corpus, tmp_path, aligner="pocketsphinx")
    with (tmp_path / "out" / ".pocketsphinx.jsonl").open("a") as file:
        file.write('["speaker 1/s10", [["A", 0.')  # a line that the kill cut off
    rest = Pretended(corpus)
    monkeypatch.setattr(pocket, "align", rest.align)
    _, told = run(corpus, tmp_path, aligner="pocketsphinx")
    assert rest.asked == whole.asked[9:]
    assert told[1] == "pocketsphinx: 9 utterances are there from a run that was stopped"
    there, other = contents(tmp_path / "out"), contents(tmp_path / "whole")
    assert there.keys() == other.keys()
    assert [name for name in there if there[name] != other[name]] == []

    both, told = run(corpus, tmp_path, aligner="both")
    assert rest.asked == whole.asked[9:]
    assert told[1].startswith("pocketsphinx: ")
    assert told[1].endswith("pocketsphinx.ctm is there, made with the same settings")
    named = {(one.first, one.second): one for one in both.differences}
    assert list(named) == [("known", "pocketsphinx"), ("known", "hmm"), ("pocketsphinx", "hmm")]
    assert named["known", "pocketsphinx"].median_ms.value == pytest.approx(20, abs=0.2)
    assert abs(named["pocketsphinx", "hmm"].bias_ms) < named["known", "hmm"].bias_ms, "EM stays near where it started"


def test_mistakes_are_named_with_what_to_type_instead(
    corpus: Tones, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lexicon(tmp_path / "lexicon.txt")
    monkeypatch.setitem(__import__("sys").modules, "pocketsphinx", None)
    with pytest.raises(ValueError, match=r"pip install 'phonaut\[align\]'; aligner=hmm works without it"):
        run(corpus, tmp_path, aligner="both")
    with pytest.raises(ValueError, match=r"aligner=kaldi is none of pocketsphinx, hmm, both; n_jobs=0: at least 1"):
        run(corpus, tmp_path, aligner="kaldi", n_jobs=0)
    with pytest.raises(ValueError, match=r"how words are said is not known: .* lexicon=FILE .* pip install"):
        run(corpus, tmp_path, lexicon=None)
    with pytest.raises(ValueError, match=r"lexicon=.*none.txt is not a file; lines WORD P1 P2 ... are wanted"):
        run(corpus, tmp_path, lexicon=tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("word\n")
    with pytest.raises(ValueError, match=r"empty.txt has no line WORD P1 P2"):
        run(corpus, tmp_path, lexicon=tmp_path / "empty.txt")
    (tmp_path / "other.txt").write_text("X\tA\n")
    with pytest.raises(
        ValueError, match=r"other.txt has none of the \d+ words that are spoken, such as .*its first is X"
    ):
        run(corpus, tmp_path, lexicon=tmp_path / "other.txt")
    run(corpus, tmp_path)
    with pytest.raises(
        ValueError, match=r"output=.*out has alignments of tones; type output=FOLDER for those of others"
    ):
        run(Tones(tmp_path / "others", 6, name="others"), tmp_path)


def test_words_without_a_pronunciation_are_told_with_their_counts(
    corpus: Tones, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(phone_hmm, "TrainingConfig", partial(TrainingConfig, n_flat=1, n_iter=1, n_splits=0))
    write_lexicon(tmp_path / "lexicon.txt", without=["OA"])
    with (tmp_path / "lexicon.txt").open("a") as file:
        file.write("oa\n")
    _, told = run(corpus, tmp_path)
    counts = Counter(word for item in corpus.list for word in str(item.text).upper().split())
    n = sum(bool({"OA", "ZZZ"} & set(str(item.text).upper().split())) for item in corpus.list)
    assert told[:2] == [
        "lines of the lexicon without phones, which are passed over: 1, such as OA",
        f"words without a pronunciation, in {n} of 24 utterances: 2, OA {counts['OA']}, ZZZ 1",
    ]


def test_a_recording_that_is_too_short_for_its_words_is_listed(tmp_path: Path) -> None:
    write_lexicon(tmp_path / "lexicon.txt")
    run(Tones(tmp_path / "tones", 6, texts=["ams " * 90]), tmp_path)
    (one,) = json.loads((tmp_path / "out" / "not_aligned.json").read_text())
    assert one["id"] == "speaker 0/s0"
    assert one["reason"].endswith("frames, and its phones need 810")


def test_a_ctm_file_is_read_back_whatever_its_ids_are(tmp_path: Path) -> None:
    names = ["plain", "with space/and\ttab", "100%", "%20", "ü"]
    phones = [Phone("SIL", 0.0, 0.1234), Phone("AA", 0.1234, 1.5)]
    write_ctm(tmp_path / "x.ctm", [(name, phones) for name in names])
    alignment = Alignment(tmp_path / "x.ctm")
    assert list(alignment) == names
    for name in names:
        for found, wanted in zip(alignment.phones(name), phones, strict=True):
            assert found.label == wanted.label
            assert (found.start_s, found.end_s) == pytest.approx((wanted.start_s, wanted.end_s), abs=1e-4)
