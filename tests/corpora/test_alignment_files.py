"""Alignments of other programs: the phones and times that each format says, and what is no tier of phones refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from phonaut.corpora.alignment_files import READERS, passed_over
from phonaut.corpora.phone_alignments import Alignment
from phonaut.data.utterance import Phone

# By utterance; a gap before the last phone. Times are those of frames, whole units of 100 ns.
SPOKEN = {
    "anna/one": [Phone("N", 0.1, 0.25), Phone("OW", 0.25, 0.3), Phone("Z", 0.42, 0.5)],
    "bert/two": [Phone("T", 0.0, 0.08), Phone("UW", 0.08, 0.2)],
}
Grid = list[tuple[str, str, list[tuple[float, float, str]]]]  # class, name, and intervals or points of each tier


def long_grid(tiers: Grid, end: float = 0.6) -> str:
    """As Praat's `Save as text file` and praatio write it."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", f"xmax = {end} "]
    lines += ["tiers? <exists> ", f"size = {len(tiers)} ", "item []: "]
    for i, (kind, name, parts) in enumerate(tiers, 1):
        what = "intervals" if kind == "IntervalTier" else "points"
        lines += [f"    item [{i}]:", f'        class = "{kind}" ', f'        name = "{name}" ', "        xmin = 0 "]
        lines += [f"        xmax = {end} ", f"        {what}: size = {len(parts)} "]
        for j, (start, stop, text) in enumerate(parts, 1):
            lines.append(f"        {what} [{j}]:")
            if kind == "IntervalTier":
                lines += [
                    f"            xmin = {start} ",
                    f"            xmax = {stop} ",
                    f'            text = "{text}" ',
                ]
            else:
                lines += [f"            number = {start} ", f'            mark = "{text}" ']
    return "\n".join(lines) + "\n"


def short_grid(tiers: Grid, end: float = 0.6) -> str:
    """As Praat's `Save as short text file` and praatio write it."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", f"{end}", "<exists>", f"{len(tiers)}"]
    for kind, name, parts in tiers:
        lines += [f'"{kind}"', f'"{name}"', "0", f"{end}", f"{len(parts)}"]
        for start, stop, text in parts:
            lines += [f"{start}", f"{stop}", f'"{text}"'] if kind == "IntervalTier" else [f"{start}", f'"{text}"']
    return "\n".join(lines) + "\n"


def tiers(phones: list[Phone], name: str = "phones") -> Grid:
    """Words, phones with intervals without text between them, and a tier of points."""
    filled, at = [], 0.0
    for phone in phones:
        filled += [(at, phone.start_s, "")] * (phone.start_s > at) + [(phone.start_s, phone.end_s, phone.label)]
        at = phone.end_s
    return [
        ("IntervalTier", "words", [(0.0, at, 'say ""no"" ! <exists> 1')]),
        ("TextTier", "tones", [(0.1, 0.1, "H*")]),
        ("IntervalTier", name, filled),
    ]


def ctm(confidence: str = "", channel: str = "1", shuffle: bool = False) -> str:
    lines = [
        f"{name.replace('/', '%2F')} {channel} {p.start_s:.2f} {p.end_s - p.start_s:.2f} {p.label}{confidence}"
        for name, phones in SPOKEN.items()
        for p in phones
    ]
    random.Random(0).shuffle(lines) if shuffle else None
    return "\n".join([";; a comment", *lines]) + "\n"


ALTERNATIVES = """\
anna/one A * * <ALT_BEGIN>
anna/one A 0.10 0.15 N 0.9
anna/one A * * <ALT>
anna/one A 0.10 0.15 M 0.1
anna/one A * * <ALT_END>
anna/one A 0.25 0.05 OW
anna/one A 0.42 0.08 Z
bert/two A 0.00 0.08 T
bert/two A 0.08 0.12 UW
"""


def stm(label: str = "") -> str:
    return ";; a comment\n" + "".join(
        f"{name} A {name[:4]} {p.start_s} {p.end_s} {label}{p.label}\n"
        for name, phones in SPOKEN.items()
        for p in (*phones, Phone("inter_segment_gap", 0.5, 0.6))
    )


def lab(phones: list[Phone], score: str = "") -> str:
    return "".join(f"{p.start_s * 1e7:.0f} {p.end_s * 1e7:.0f} {p.label}{score}\n" for p in phones)


def in_context(phones: list[Phone]) -> str:
    names = ["sil", *(p.label for p in phones), "sil"]
    labels = [f"{a}-{b}+{c}" for a, b, c in zip(names, names[1:], names[2:], strict=False)]
    return "".join(f"{p.start_s * 1e7:.0f} {p.end_s * 1e7:.0f} {x}\n" for p, x in zip(phones, labels, strict=True))


def mlf(score: str = "") -> str:
    return "#!MLF!#\n" + "".join(f'"*/{name}.lab"\n{lab(phones, score)}.\n' for name, phones in SPOKEN.items())


def tabbed(phones: list[Phone]) -> str:
    return "".join(f"{p.start_s:.6f}\t{p.end_s:.6f}\t{p.label}\n\\\t300.0\t4000.0\n" for p in phones)


# What one file holds for all utterances.
FILES: dict[str, tuple[str, str]] = {
    "CTM": ("a.ctm", ctm()),
    "CTM with confidence": ("a.ctm", ctm(" 0.98 phn")),
    "CTM, unsorted": ("a.ctm", ctm(shuffle=True)),
    "CTM by tabs, another name": ("a", ctm().replace(" 1 ", "\t1\t")),
    "CTM with alternatives": ("a.ctm", ALTERNATIVES),
    "STM": ("a.stm", stm()),
    "STM with labels": ("a.STM", stm("<o,f0,female> ")),
    "HTK, master labels": ("a.mlf", mlf()),
    "HTK, master labels with scores": ("a.txt", mlf(" -62.5 N")),
}
# What a file of one utterance holds, in a folder.
IN_FOLDERS: dict[str, tuple[str, Callable[[list[Phone]], str]]] = {
    "TextGrid, long": (".TextGrid", lambda phones: long_grid(tiers(phones))),
    "TextGrid, short": (".textgrid", lambda phones: short_grid(tiers(phones))),
    "TextGrid of MFA": (".TextGrid", lambda phones: long_grid(tiers(phones, "anna - phones"))),
    "TextGrid of WebMAUS": (".TextGrid", lambda phones: long_grid([("IntervalTier", "ORT-MAU", []),
        ("IntervalTier", "KAN-MAU", []), ("IntervalTier", "MAU", tiers(phones)[2][2])])),
    "TextGrid, one tier": (".TextGrid", lambda phones: short_grid([("IntervalTier", "Mary", tiers(phones)[2][2])])),
    "HTK": (".lab", lab),
    "HTK with scores": (".lab", lambda phones: lab(phones, " -62.5 WORD")),
    "HTK, triphones": (".lab", in_context),
    "HTK, alternatives": (".lab", lambda phones: lab(phones) + "///\n" + lab([Phone("X", 0, 1)])),
    "labels in seconds": (".lab", lambda phones: "".join(f"{p.start_s:.2f} {p.end_s:.2f} {p.label}\n" for p in phones)),
    "Audacity": (".txt", tabbed),
    "CTM": (".ctm", lambda phones: "".join(f"x 1 {p.start_s} {p.end_s - p.start_s} {p.label}\n" for p in phones)),
}  # fmt: skip


def same(found: tuple[Phone, ...], wanted: list[Phone]) -> bool:
    return [p.label for p in found] == [p.label for p in wanted] and all(
        abs(a.start_s - b.start_s) + abs(a.end_s - b.end_s) < 1e-6 for a, b in zip(found, wanted, strict=True)
    )


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_many_utterances_says_their_phones(name: str, tmp_path: Path) -> None:
    file, content = FILES[name]
    (tmp_path / file).write_text(content, encoding="utf-16" if "CTM" in name else "utf-8")
    alignment = Alignment(tmp_path / file)
    assert sorted(alignment) == sorted(SPOKEN)
    assert all(same(alignment.phones(one), phones) for one, phones in SPOKEN.items())
    assert alignment.labels == ["N", "OW", "T", "UW", "Z"]
    assert sum(alignment.counts().values()) == 5


@pytest.mark.parametrize("name", IN_FOLDERS)
def test_a_folder_of_files_says_the_phones_of_each(name: str, tmp_path: Path) -> None:
    suffix, text = IN_FOLDERS[name]
    for one, phones in SPOKEN.items():
        (tmp_path / "all" / one).parent.mkdir(parents=True)
        said = text(phones).replace("x 1", f"{one} 1")
        (tmp_path / "all" / f"{one}{suffix}").write_text(said, encoding="utf-16" if "Text" in name else "utf-8")
    (tmp_path / "all" / "README").touch()
    (tmp_path / "all" / f"._hidden{suffix}").write_bytes(b"\0\1")
    alignment = Alignment(tmp_path / "all")
    assert sorted(alignment) == sorted(SPOKEN)
    assert all(same(alignment.phones(one), phones) for one, phones in SPOKEN.items())
    alone = Alignment(tmp_path / "all" / f"anna/one{suffix}")
    assert same(alone.phones("anna/one" if name == "CTM" else "one"), SPOKEN["anna/one"])


def test_a_gap_a_comment_and_numbers_within_texts_are_no_tokens_of_a_grid(tmp_path: Path) -> None:
    text = long_grid(tiers(SPOKEN["anna/one"])).replace("size = 3 \nitem", "size = 3 ! three \nitem")
    (tmp_path / "x.TextGrid").write_text(text)
    assert same(Alignment(tmp_path / "x.TextGrid").phones("x"), SPOKEN["anna/one"])


PHONES = tiers(SPOKEN["anna/one"])[2][2]
WORDS = ("IntervalTier", "words", [(0.0, 0.5, "no")])
GRIDS: dict[str, tuple[Grid, str]] = {
    "words alone": (
        [WORDS],
        "no tier may be that of phones: x.TextGrid has the tiers words; type dataset.alignment_ti",
    ),
    "words by another name": ([("IntervalTier", "ORT-MAU", WORDS[2])], "no tier may be that of phones"),
    "sentences": ([("IntervalTier", "Mary", [(0, 0.5, "oh no")])], "the tier Mary has no phones, but 'oh no'"),
    "several of phones": (
        [("IntervalTier", name, PHONES) for name in ("phones (hmm)", "phones (pocketsphinx)")],
        r"several tiers may be .* has the tiers phones \(hmm\), phones \(pocketsphinx\); type",
    ),
    "two without a known name": ([("IntervalTier", name, PHONES) for name in "ab"], "no tier .* has the tiers a, b;"),
    "points": ([("TextTier", "phones", [(0.1, 0, "N")])], "no tier .* has the tiers none of intervals"),
    "no tiers": ([], "no tier .* none of intervals"),
}


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("form", [long_grid, short_grid])
def test_a_grid_without_one_tier_of_phones_is_refused_with_those_that_it_has(
    form: Callable[[Grid], str], name: str, tmp_path: Path
) -> None:
    (tmp_path / "x.TextGrid").write_text(form(GRIDS[name][0]))
    with pytest.raises(ValueError, match=GRIDS[name][1]):
        Alignment(tmp_path / "x.TextGrid")


def test_the_tier_that_is_asked_for_is_taken_and_one_that_is_not_there_is_refused_with_the_choice(
    tmp_path: Path,
) -> None:
    grid = [
        ("IntervalTier", "phones (hmm)", PHONES),
        ("IntervalTier", "Phones (old)", [(0.0, 0.5, "A"), (0.5, 0.6, "B")]),
    ]
    (tmp_path / "x.TextGrid").write_text(long_grid(grid))
    assert Alignment(tmp_path / "x.TextGrid", "phones (hmm)").labels == ["N", "OW", "Z"]
    assert Alignment(tmp_path / "x.TextGrid", "phones (old)").labels == ["A", "B"], "in any case"
    with pytest.raises(
        ValueError, match=r"alignment_tier=phon is none of them: x.TextGrid has the tiers phones \(hmm\), "
    ):
        Alignment(tmp_path / "x.TextGrid", "phon")


LINES: dict[str, tuple[str, str, str]] = {
    "too few fields": ("a.ctm", "x 1 0.1\n", "a.ctm, line 1: .*<phone> is wanted, got 'x 1 0.1'"),
    "a transcript": ("a.stm", "x 1 anna 0 1 OH NO\n", "a.stm, line 1: 'OH NO' are words"),
    "no label file": ("x.lab", "hello there\n", "x.lab, line 1: <start> <end> <phone> is wanted, got 'hello there'"),
    "labels without times": ("x.lab", "0 10000 a\nb\n", "x.lab, line 2: .* got 'b'"),
    "states": ("x.lab", "0 300000 s2 -1 sil\n300000 600000 s3\n", r"x.lab aligns states \(s2\), not phones"),
    "no name": ("a.mlf", "#!MLF!#\n0 10000 a\n", 'a.mlf, line 2: a name in quotes, .* is wanted'),
    "text of Audacity": ("x.txt", "0.0\t0.1\ta\nhm\n", "x.txt, line 2: .* is wanted, got 'hm'"),
    "no grid": ("x.TextGrid", '"ooTextFile" "Pitch"\n', "x.TextGrid is no TextGrid"),
    "a binary grid": ("x.TextGrid", "ooBinaryFile\x08TextGrid\0\0", "x.TextGrid is binary; in Praat, Save as text"),
    "a grid cut off": ("x.TextGrid", long_grid(tiers(SPOKEN["anna/one"]))[:-300], "x.TextGrid ends where .* is wanted"),
    "a number that is none": (
        "x.TextGrid", short_grid(tiers(SPOKEN["anna/one"])).replace("0.25\n", '"N"\n', 1), 'line 32: a number .* "N"'
    ),
    "no end of intervals": ("x.TextGrid", long_grid([("IntervalTier", "p", [])]).replace("size = 0", "size = 1e99"),
                            "1e.99 is no number of tiers or intervals"),
    "milliseconds": ("a.ctm", "x 1 0 80 A\nx 1 80 120 B\n", "a.ctm: phones last 100 s in the median"),
    "seconds in HTK's units": ("x.lab", "0 1 A\n1 2 B\n", "x.lab: phones last 1e-07 s in the median"),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_file_that_is_none_is_refused_with_the_line(name: str, tmp_path: Path) -> None:
    file, content, said = LINES[name]
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=said):
        Alignment(tmp_path / file)


@pytest.mark.parametrize("suffix", READERS)
def test_a_file_of_a_folder_that_cannot_be_read_costs_its_own_utterance(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"bad{suffix}").write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(ValueError, match=rf"none of the 1 alignments in .* can be used; .*bad{suffix} is not UTF-8"):
        Alignment(tmp_path)
    good = {".textgrid": short_grid(tiers(SPOKEN["anna/one"])), ".ctm": ctm(), ".stm": stm(), ".mlf": mlf(),
            ".lab": lab(SPOKEN["anna/one"]), ".txt": tabbed(SPOKEN["anna/one"])}  # fmt: skip
    (tmp_path / f"good{suffix}").write_text(good[suffix])
    alignment = Alignment(tmp_path)
    with pytest.raises(ValueError, match=r"bad\S* is not UTF-8"):
        alignment.phones("bad")
    assert alignment.phones(next(name for name in alignment if name != "bad"))


def test_a_folder_without_alignments_says_what_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    with pytest.raises(ValueError, match=r"holds no alignments: files ending in \.textgrid \.ctm"):
        Alignment(tmp_path)


def test_files_of_another_kind_beside_those_that_are_read_are_counted(tmp_path: Path) -> None:
    for name in ("one.lab", "one.txt", "two.lab", "below/one.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("0 1000000 AA\n")
    assert passed_over(tmp_path) == "2 .txt"
    assert passed_over(tmp_path / "one.lab") == ""


@pytest.mark.parametrize("names", [("a.ctm", "b.ctm"), ("u.lab", "u.LAB")])
def test_two_files_that_align_one_utterance_are_named_with_it(names: tuple[str, str], tmp_path: Path) -> None:
    for name, phone in zip(names, ("AA", "IY"), strict=True):
        line = f"u 1 0.0 0.1 {phone}" if name.endswith("ctm") else f"0 1000000 {phone}"
        (tmp_path / name).write_text(line + "\n")
    with pytest.raises(ValueError, match=r"a.ctm and .*b.ctm both align it|u.LAB and .*u.lab both align it"):
        Alignment(tmp_path).phones("u")
