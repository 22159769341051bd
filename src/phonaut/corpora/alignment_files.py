"""Alignments as other programs write them, in files or folders: CTM, STM, TextGrid, labels of HTK and of Audacity.

In ids of CTM files, white space and % are written as in addresses, `%20` and `%25`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from phonaut.corpora.textgrids import phone_tier, read_textgrid
from phonaut.files import composed, listed_path, text_lines
from phonaut.names import excerpt, is_utf8

HTK_TICK_S = 1e-7
HTK_TRIPHONE = re.compile(r"(?:[^-+]+-)?([^-+]+)(?:\+[^-+]+)?")  # sh-iy+hh is iy
HTS_CONTEXT = re.compile(r"[^-]*-([^-+]+)\+.*[@/:=].*")  # x^sil-hh+ax=l@1_2/A:...
HTK_STATE = re.compile(r"s\d+")


class Interval(NamedTuple):
    """A stretch of time with its label, as a file has it.

    Attributes:
        name: of the utterance or of the recording.
        channel: as the file calls it; empty where it does not.
        start_s, end_s: from the beginning of what is named.
        label: empty where there is none, but time passes.
        problem: why the times of the whole utterance cannot be used; else empty.
    """

    name: str
    channel: str
    start_s: float
    end_s: float
    label: str
    problem: str = ""


Reader = Callable[[Path, str, str | None], Iterator[Interval]]  # file, its name, the tier that is asked for


def intervals_in(path: Path, tier: str | None = None) -> Iterator[Interval]:
    """The intervals of a file, or of all files of one kind in a folder: TextGrid before CTM, STM, MLF, `.lab`, `.txt`.

    In a folder, files of one utterance are named by their path in it, without suffix. One that cannot be read is a
    problem of its own utterance, unless none can; so are two files that align the same one.

    Raises:
        ValueError: there are none, or they cannot be read; the message names the line.
    """
    if not path.is_dir():
        yield from reader_of(path)(path, composed(path.stem), tier)
        return
    files = next(iter(files_by_kind(path).values()))
    first, n_wrong = "", 0
    file_of: dict[tuple[str, str], Path] = {}
    for file in files:
        name = composed(os.path.splitext(file.relative_to(path).as_posix())[0])
        try:
            for one in list(reader_of(file)(file, name, tier)):
                other = file_of.setdefault((one.name, one.channel), file)
                yield one if other == file else one._replace(problem=f"{other} and {file} both align it")
        except ValueError as error:
            first, n_wrong = first or str(error), n_wrong + 1
            yield Interval(name, "", math.nan, math.nan, "", str(error))
    if n_wrong == len(files):
        raise ValueError(f"none of the {n_wrong} alignments in {path} can be used; {first}")


def files_by_kind(folder: Path) -> dict[str, list[Path]]:
    """The files of alignments in a folder and below it, by their suffix; those of the first kind are read.

    Raises:
        ValueError: there are none.
    """
    by_kind: dict[str, list[Path]] = {}
    for here, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            kind = os.path.splitext(name)[1].lower()
            if kind in READERS and not name.startswith(".") and is_utf8(name):
                by_kind.setdefault(kind, []).append(Path(here, name))
    if not by_kind:
        raise ValueError(f"{folder} holds no alignments: files ending in {' '.join(READERS)}, in upper or lower case")
    return {kind: by_kind[kind] for kind in READERS if kind in by_kind}


def passed_over(path: Path) -> str:
    """How many files of other kinds lie in a folder beside those that are read, by suffix; empty for a file.

    Those may be of the same utterances: corpora for the Montreal aligner have transcripts as .lab or .txt.
    """
    _, *others = files_by_kind(path).items() if path.is_dir() else [("", [])]
    return " and ".join(f"{len(files)} {kind}" for kind, files in others)


def reader_of(path: Path) -> Reader:
    """The reader of a file, by its suffix where that tells, else by its first line."""
    kind = path.suffix.lower()
    if kind in READERS and kind != ".txt":
        return READERS[kind]
    for line in islice(text_lines(path), 100):
        fields = line.split()
        if fields and not line.startswith(";;"):
            if "ooTextFile" in line:
                return textgrid
            if fields[0] == "#!MLF!#":
                return master_labels
            return audacity if len(fields) > 1 and len(audacity_fields(line)) < 4 and times(*fields[:2])[2] else ctm
    return ctm


def times(first: str, second: str) -> tuple[float, float, bool]:
    """Two numbers, and whether they are numbers."""
    try:
        if "_" in first + second:
            raise ValueError
        return float(first), float(second), True
    except ValueError:
        return math.nan, math.nan, False


def not_times(line: str) -> str:
    """The problem of an utterance with a line without times."""
    return f"not a time in {excerpt(line.strip())!r}"


def nist_lines(path: Path, wanted: str) -> Iterator[tuple[int, str, list[str]]]:
    """Number, text and fields of each line that is no comment of NIST's.

    Raises:
        ValueError: a line has fewer than five fields; `wanted` names them.
    """
    for number, line in enumerate(text_lines(path), 1):
        fields = line.split()
        if not fields or line.lstrip().startswith(";;"):
            continue
        if len(fields) < 5:
            raise wrong_line(path, number, wanted, line)
        yield number, line, fields


def ctm(path: Path, name: str, tier: str | None) -> Iterator[Interval]:
    """NIST's CTM: `<id> <channel> <start_s> <duration_s> <phone> [<confidence> ...]`; of alternatives the first.

    Source: NIST's SCTK, "ctm file format".
    """
    is_other = False
    for _, line, fields in nist_lines(path, "<id> <channel> <start> <duration> <phone>"):
        id, channel, first, second, label = fields[:5]
        if label.startswith("<ALT") and first == second == "*":
            is_other = label == "<ALT>" or (is_other and label != "<ALT_END>")
            continue
        if not is_other:
            start_s, duration_s, is_known = times(first, second)
            problem = "" if is_known else not_times(line)
            yield Interval(composed(unquote(id)), channel, start_s, start_s + duration_s, label, problem)


def stm(path: Path, name: str, tier: str | None) -> Iterator[Interval]:
    """NIST's STM: `<id> <channel> <speaker> <start_s> <end_s> [<label>] <phone>`."""
    for number, line, fields in nist_lines(path, "<id> <channel> <speaker> <start> <end> <phone>"):
        id, channel, _, first, second, *said = fields
        if len(said) > 1 and said[0].startswith("<") and said[0].endswith(">"):
            said = said[1:]
        if said in (["inter_segment_gap"], ["ignore_time_segment_in_scoring"]):
            said = []
        if len(said) > 1:
            raise ValueError(
                f"{path}, line {number}: {excerpt(' '.join(said))!r} are words; target=phone needs a line a phone"
            )
        start_s, end_s, is_known = times(first, second)
        yield Interval(
            composed(unquote(id)), channel, start_s, end_s, "".join(said), "" if is_known else not_times(line)
        )


def textgrid(path: Path, name: str, tier: str | None) -> Iterator[Interval]:
    """Praat's TextGrid: its tier of phones."""
    yield Interval(name, "", 0.0, 0.0, "")
    for start_s, end_s, text in phone_tier(path, read_textgrid(path), tier).intervals:
        yield Interval(name, "", start_s, end_s, text)


def audacity(path: Path, name: str, tier: str | None) -> Iterator[Interval]:
    """Labels that Audacity exports: `<start_s>` tab `<end_s>` tab `<phone>`; also with spaces, as WaveSurfer does."""
    yield Interval(name, "", 0.0, 0.0, "")
    for number, line in enumerate(text_lines(path), 1):
        if not line.strip() or line.startswith("\\"):  # the range of frequencies of the label before it
            continue
        fields = audacity_fields(line)
        start_s, end_s, is_known = times(*fields[:2]) if len(fields) > 1 else (0.0, 0.0, False)
        if not is_known or len(fields) > 3:
            raise wrong_line(path, number, "<start> <end> <phone>", line)
        yield Interval(name, "", start_s, end_s, "".join(fields[2:]).strip())


def audacity_fields(line: str) -> list[str]:
    """Start, end and label of a line, and what else there is."""
    return line.strip("\r\n").split("\t") if "\t" in line else line.split()


def htk(path: Path, name: str, tier: str | None) -> Iterator[Interval]:
    """HTK's labels: `<start> <end> <phone> [<score> ...]`, in units of 100 ns, or in seconds where there is a point."""
    yield from htk_intervals(path, name, enumerate(text_lines(path), 1))


def master_labels(path: Path, name: str, tier: str | None) -> Iterator[Interval]:
    """HTK's master label file: `"*/name.lab"`, the lines of a label file, and a point, for each utterance."""
    lines = enumerate(text_lines(path), 1)
    for number, line in lines:
        text = line.strip()
        if not text or text == "#!MLF!#":
            continue
        if not (text.startswith('"') and text.endswith('"') and len(text) > 2):
            raise wrong_line(path, number, 'a name in quotes, "*/name.lab",', line)
        inside = os.path.splitext(listed_path(text.strip('"')))[0].removeprefix("*/")
        yield from htk_intervals(path, inside, lines)


def htk_intervals(path: Path, name: str, lines: Iterator[tuple[int, str]]) -> Iterator[Interval]:
    """The lines of one utterance, to the end or to a line `.`; of alternatives the first."""
    rows: list[tuple[float, float, str]] = []
    is_in_seconds = is_other = False
    for number, line in lines:
        fields = line.split()
        if fields == ["."]:
            break
        is_other = is_other or fields == ["///"]
        if not fields or is_other:
            continue
        start, end, is_known = times(*fields[:2]) if len(fields) > 2 else (0.0, 0.0, False)
        if not is_known:
            raise wrong_line(path, number, "<start> <end> <phone>", line)
        is_in_seconds = is_in_seconds or "." in fields[0] + fields[1]
        rows.append((start, end, fields[2].strip('"')))
    if rows and all(HTK_STATE.fullmatch(label) for *_, label in rows):
        raise ValueError(f"{path} aligns states ({rows[0][2]}), not phones: run HVite without -f")
    scale = 1.0 if is_in_seconds else HTK_TICK_S
    yield Interval(name, "", 0.0, 0.0, "")
    is_in_context = any("-" in label and "+" in label for *_, label in rows)  # TIMIT's ax-h is a phone
    for start, end, label in rows:
        context = is_in_context and (HTS_CONTEXT.fullmatch(label) or HTK_TRIPHONE.fullmatch(label))
        yield Interval(name, "", start * scale, end * scale, context[1] if context else label)


def wrong_line(path: Path, number: int, wanted: str, line: str) -> ValueError:
    """The error of a line that is none of a format's."""
    return ValueError(f"{path}, line {number}: {wanted} is wanted, got {excerpt(line.strip())!r}")


READERS: dict[str, Reader] = {
    ".textgrid": textgrid,
    ".ctm": ctm,
    ".stm": stm,
    ".mlf": master_labels,
    ".lab": htk,
    ".txt": audacity,
}
