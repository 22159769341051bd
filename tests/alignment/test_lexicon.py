"""Pronunciations from files and from the dictionary of pocketsphinx."""

from __future__ import annotations

from pathlib import Path

import pytest

from phonaut.alignment import lexicon, pocket
from phonaut.alignment.lexicon import lexicon_of
from phonaut.alignment.utterances import words_of

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


H = ("h", "e", "l", "o")
ENGLISH = ("HH", "AH", "L", "OW")
LEXICONS: dict[str, tuple[str, dict[str, list[tuple[str, ...]]]]] = {
    "Kaldi, lexiconp": ("HELLO 0.5 h e l o\nWORLD 1.0 w o\n", {"HELLO": [H], "WORLD": [("w", "o")]}),
    "lexiconp of ones": ("HELLO 1 h e l o\nWORLD 1 w o\n", {"HELLO": [H], "WORLD": [("w", "o")]}),
    "lexiconp, some of one": ("HELLO 0.5 h e l o\nWORLD 1 w o\n", {"HELLO": [H], "WORLD": [("w", "o")]}),
    "Kaldi, with silence": ("HELLO 0.9 0.2 1.4 0.97 h e l o\n", {"HELLO": [H]}),
    "MFA": ("hello\t0.99\th e l o\n", {"HELLO": [H]}),
    "MFA, full": ("hello\t0.99\t0.15\t1.0\t1.0\th e l o\n", {"HELLO": [H]}),
    "MFA, some lines": ("hello\t0.99\th e l o\nworld\tw o\n", {"HELLO": [H], "WORLD": [("w", "o")]}),
    "small probabilities": ("HELLO 1e-05 h e l o\nWORLD .5 w o\n", {"HELLO": [H], "WORLD": [("w", "o")]}),
    "CMU": (";;; made\n# by me\nHELLO  HH AH0 L OW1 # greeting\nHELLO(2)  HH EH0 L OW1\n",
            {"HELLO": [ENGLISH, ("HH", "EH", "L", "OW")]}),
    "Kaldi, disambiguated": ("HELLO h e l o #1\nHELLO h e l o #2\n", {"HELLO": [H]}),
    "HTK": ("HELLO [HELLO] 0.5 h e l o\nWORLD [] w o\n", {"HELLO": [H], "WORLD": [("w", "o")]}),
    "English in lower case": ("hello hh ah0 l ow1\n", {"HELLO": [("hh", "ah", "l", "ow")]}),
    "tones": ("HELLO m a1 a2\nWORLD m a0 a5\n", {"HELLO": [("m", "a1", "a2")], "WORLD": [("m", "a0", "a5")]}),
    "tones like English": ("HELLO ao1 x er2\n", {"HELLO": [("ao1", "x", "er2")]}),
    "tones in upper case": ("HELLO AO1 X AO4\n", {"HELLO": [("AO1", "X", "AO4")]}),
    "X-SAMPA": ("HELLO h 2 l 1\nWORLD 2 o\n", {"HELLO": [("h", "2", "l", "1")], "WORLD": [("2", "o")]}),
    "X-SAMPA, first": ("HELLO 2 f\nWORLD 9 3\n", {"HELLO": [("2", "f")], "WORLD": [("9", "3")]}),
    "X-SAMPA with probabilities": ("HELLO 0.5 2 f\nWORLD 1.0 9 3\n", {"HELLO": [("2", "f")], "WORLD": [("9", "3")]}),
    "positions in words": ("HELLO h_B e_I l_I o_E\nWORLD a_S\n", {"HELLO": [H], "WORLD": [("a",)]}),
    "accents apart": ("HELLO e\u0301\n", {"HELLO": [("\xe9",)]}),
    "a mark and line ends of Windows": ("\ufeffHELLO h e l o\r\nWORLD w o\r\n", {"HELLO": [H], "WORLD": [("w", "o")]}),
    "noise and silence": ("HELLO sil h e l o sp\n<UNK> spn\n", {"HELLO": [("SIL", *H, "SIL")]}),
}  # fmt: skip


@pytest.mark.parametrize("name", LEXICONS)
def test_a_lexicon_has_its_phones_and_nothing_else(name: str, tmp_path: Path) -> None:
    text, wanted = LEXICONS[name]
    (tmp_path / "x").write_bytes(text.encode())
    assert lexicon_of(tmp_path / "x", wanted.keys()) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("HELLO h e 0.5 l\n", "x, line 1: the number 0.5 of HELLO is no phone"),
        ("A a\nHELLO 0.1 0.2 0.3 0.4 0.5 h\n", "x, line 2: the number .* of HELLO is no phone"),
        (
            "HELLO 12 7\nWORLD 3\n",
            "x has numbers in place of phones, and there is no phones.txt beside it that names 3, 7",
        ),
        ("HELLO\nWORLD 0.5\n", "has no line WORD P1 P2"),
    ],
)
def test_what_is_no_phone_is_refused_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(ValueError, match=said):
        lexicon_of(tmp_path / "x", {"HELLO"})


def test_numbers_of_phones_are_looked_up_beside_the_lexicon(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("HELLO 12 7\nWORLD 1 7 1\n")
    (tmp_path / "phones.txt").write_text("SIL 1\nh_B 12\no_E 7\n")
    assert lexicon_of(tmp_path / "x", {"HELLO", "WORLD"}) == {"HELLO": [("h", "o")], "WORLD": [("SIL", "o", "SIL")]}


def test_lines_without_phones_are_counted(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("HELLO\nWORLD w o\nEMPTY 0.5\n")
    told: list[str] = []
    assert list(lexicon_of(tmp_path / "x", {"HELLO", "WORLD"}, told.append)) == ["WORLD"]
    assert told == ["lines of the lexicon without phones, which are passed over: 2, such as HELLO"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("don\u2019t, DON'T", ("DON'T", "DON'T")),
        ("cafe\u0301 caf\xe9", ("CAF\xc9", "CAF\xc9")),
        (
            "\u0928\u092e\u0938\u094d\u0924\u0947 \u0939\u093f\u0902\u0926\u0940",
            ("\u0928\u092e\u0938\u094d\u0924\u0947", "\u0939\u093f\u0902\u0926\u0940"),
        ),
        ("well-known: 2nd (one)!", ("WELL", "KNOWN", "2ND", "ONE")),
        (" \u2026 - ", ()),
    ],
)
def test_words_of_a_transcript_are_those_of_a_lexicon(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    assert words_of(text) == words
    (tmp_path / "x").write_text("".join(f"{word.lower()} a b\n" for word in words) + "other a\n")
    assert lexicon_of(tmp_path / "x", set(words)).keys() == set(words)


def test_a_lexicon_without_any_of_the_words_is_refused(tmp_path: Path) -> None:
    """Which would be passed over for the dictionary without a word."""
    (tmp_path / "l.txt").write_text("oui W IY\nnon N OW\n")
    with pytest.raises(ValueError, match="has none of the 2 words that are spoken, such as NO; its first is OUI"):
        lexicon_of(tmp_path / "l.txt", {"YES", "NO"})


@pytest.mark.parametrize(
    "text", ["yes,Y EH S\nno,N OW\n", "yes,Y,EH,S\nno,N,OW\n", "yes, Y\nno, N\n", "word;phones\nyes;Y\n"]
)
def test_a_table_is_no_lexicon(text: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(ValueError, match=r"l.csv is a table with [,;] between its columns: lines WORD P1 P2"):
        lexicon_of(tmp_path / "l.csv", {"YES", "NO"})
