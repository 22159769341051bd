"""Pronunciations from files and from the dictionary of pocketsphinx."""

from __future__ import annotations

from pathlib import Path

import pytest

from phonaut.alignment import lexicon, pocket
from phonaut.alignment.lexicon import lexicon_of

needs_pocketsphinx = pytest.mark.skipif(pocket.missing() is not None, reason="the extra 'align' is not installed")


def test_variants_are_kept_once_in_any_case_without_stress_and_other_words_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.txt"
    path.write_text("the DH AH0\nthe DH AH1\nThe(2) DH IY0\nCAT\tK AE1 T\nunused Z\n")
    wanted = {"THE": [("DH", "AH"), ("DH", "IY")], "CAT": [("K", "AE", "T")]}
    assert lexicon_of(path, {"THE", "CAT", "QQQ"}) == wanted


@needs_pocketsphinx
def test_the_dictionary_has_english_words_that_the_lexicon_lacks(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("CAT K AE T\nPHONAUT F OW N AO T\n")
    found = lexicon_of(tmp_path / "x", {"PHONAUT", "READ", "CAT"})
    assert found["PHONAUT"] == [("F", "OW", "N", "AO", "T")]
    assert sorted(found["READ"]) == [("R", "EH", "D"), ("R", "IY", "D")]
    assert lexicon_of(None, {"READ"})["READ"] == found["READ"]


@needs_pocketsphinx
def test_a_lexicon_with_phones_of_its_own_is_not_mixed_with_english(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("katze k a t s @\n")
    assert lexicon_of(tmp_path / "x", {"KATZE", "CAT"}) == {"KATZE": [("k", "a", "t", "s", "@")]}


def test_without_the_dictionary_a_lexicon_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon, "dictionary", lambda words: None)
    (tmp_path / "x").write_text("CAT K AE T\n")
    assert lexicon_of(tmp_path / "x", {"CAT", "DOG"}) == {"CAT": [("K", "AE", "T")]}
    with pytest.raises(ValueError, match="the corpus has no lexicon"):
        lexicon_of(None, {"CAT"})
