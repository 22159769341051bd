"""Kaldi data directories: `wav.scp`, `text`, `utt2spk` or `spk2utt`, and `segments` for parts of recordings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from phonaut.corpora.disk import Refused, base_of, entries, existing
from phonaut.corpora.folder.layouts import split_name
from phonaut.data.draws import hash_of
from phonaut.data.utterance import Utterance
from phonaut.files import composed, listed_path, text_lines
from phonaut.names import shown

CHANNELS = "reco2file_and_channel"
TO_THE_END = -1.0  # in place of a segment's end
TWICE = "listed twice: the first line counts"
ARCHIVE = re.compile(r":\d+(\[.*\])?$")


class KaldiDirectory:
    """One Kaldi data directory, or one per split (`train/`, `test/`).

    `text` is the transcript, and the class of keyword spotting. Commands in `wav.scp` (`sph2pipe ... |`) are refused
    by name: nothing that a corpus says is run. A channel is read where `segments` has one in its fifth column, or
    `reco2file_and_channel` for a recording of several channels.

    Args:
        folders: the data directories.
        refused: gets the lines that cannot be used.

    Raises:
        ValueError: no recording of `wav.scp` is found, or a file is not UTF-8.
    """

    def __init__(self, folders: Sequence[Path], refused: Refused) -> None:
        self._folders = folders
        self._refused = refused
        self._bases = [_base(folder) for folder in folders]
        self.has_splits = len(folders) > 1
        self.has_speakers = all((folder / "utt2spk").exists() or (folder / "spk2utt").exists() for folder in folders)

    def pattern_text(self, utterance: Utterance) -> str:
        """The text that `speaker_pattern` is searched for in: the utterance id."""
        return utterance.id

    def utterances(self) -> Iterator[Utterance]:
        """Every utterance; its text is its word too."""
        for folder, base in zip(self._folders, self._bases, strict=True):
            split = split_name(folder.name) if self.has_splits else None
            speakers, texts = speakers_of(folder, self._refused), Lookup(folder / "text", self._refused)
            seen, listing, lost = Seen(), listing_of(folder), set[str]()
            for utterance in self._listed(folder, base, lost):
                name = utterance.id
                if seen.again(name):
                    self._refused.add(f"{listing}: {name}", TWICE)
                    continue
                speaker, text = speakers.get(name) or "", " ".join((texts.get(name) or "").split()) or None
                word = composed(text) if text else None
                yield replace(utterance, split=split, speaker=speaker, word=word, text=text)
            for lookup in (speakers, texts):
                lookup.close(listing.name, lost)

    def _listed(self, folder: Path, base: Path, lost: set[str]) -> Iterator[Utterance]:
        """The utterances without their labels; the names of refused ones go to `lost`."""
        recordings = self._recordings(folder, base, lost)
        channels = dict(read(folder / CHANNELS)) if (folder / CHANNELS).exists() else {}
        if channels:
            recordings = (replace(one, channel=channel_of_file(one, channels)) for one in recordings)
        if not (folder / "segments").exists():
            yield from recordings
            return
        by_name: dict[str, Utterance] = {}  # segments may return to a recording: all of them are held
        for one in recordings:
            if by_name.setdefault(one.id, one) is not one:
                self._refused.add(f"{folder / 'wav.scp'}: {one.id}", TWICE)
        for name, value in read(folder / "segments"):
            try:
                recording, start_s, duration_s, channel = segment(value)
                if recording not in by_name:
                    raise ValueError(f"wav.scp has no recording {recording}")
            except ValueError as error:
                self._refused.add(f"{folder / 'segments'}: {name}", str(error))
                lost.add(name)
                continue
            one = by_name[recording]
            channel = one.channel if channel is None else channel
            yield replace(one, id=name, start_s=start_s, duration_s=duration_s, channel=channel)

    def _recordings(self, folder: Path, base: Path, lost: set[str]) -> Iterator[Utterance]:
        """The recordings of `wav.scp` that are files."""
        for name, path in read(folder / "wav.scp"):
            if why := _not_a_file(path):
                self._refused.add(f"{folder / 'wav.scp'}: {name}", why)
                lost.add(name)
            else:
                yield Utterance(name, Path(existing(str(base / listed_path(path)))), recording=name)


def listing_of(folder: Path) -> Path:
    """The file of a data directory that lists utterances."""
    return folder / ("segments" if (folder / "segments").exists() else "wav.scp")


def segment(value: str) -> tuple[str, float, float | None, int | None]:
    """Recording, start, duration and channel of a line of `segments`; no duration: to the end.

    >>> segment("call 0.5 2.0 B"), segment("call 0.5 -1")
    (('call', 0.5, 1.5, 1), ('call', 0.5, None, None))

    Raises:
        ValueError: it is none.
    """
    fields = value.split()
    try:
        recording, (start_s, end_s), *channel = fields[0], map(float, fields[1:3]), *fields[3:]
        of_file = channel_number(*channel) if channel else None
    except (ValueError, TypeError, IndexError):
        raise ValueError(f"not 'utterance recording start end [channel]': {value}") from None
    if not 0 <= start_s < float("inf") or not (end_s == TO_THE_END or start_s < end_s < float("inf")):
        raise ValueError(f"it starts at {start_s:g} s and ends at {end_s:g} s: no part of a recording")
    return recording, start_s, None if end_s == TO_THE_END else round(end_s - start_s, 6), of_file


def channel_number(text: str) -> int | None:
    """A channel from 0, of a number from 0 on, as Kaldi counts in `segments`, or of a letter; None for -1, a mix.

    >>> channel_number("1"), channel_number("B")
    (1, 1)

    Raises:
        ValueError: it is none.
    """
    if text == "-1":
        return None
    if not re.fullmatch(r"[0-9]{1,3}|[A-Za-z]", text):
        raise ValueError(f"{text} is no channel: a number from 0 on, or a letter from A on, is wanted")
    return int(text) if text.isdecimal() else ord(text.upper()) - ord("A")


def channel_of_file(one: Utterance, channels: Mapping[str, str]) -> int | None:
    """The channel that `reco2file_and_channel` gives a recording, where its file has several.

    Kaldi's recipes write the line `call-B call B` also where the channel has a file of its own.
    """
    try:
        number = channel_number(channels.get(one.id, "").split()[-1])
    except (ValueError, IndexError):
        return None
    import soundfile

    try:
        return number if number is not None and soundfile.info(one.path).channels > 1 else None
    except (soundfile.SoundFileError, OSError):
        return None  # refused with its reason when it is read


class Seen:
    """Names that were met, by a hash of 8 bytes each."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def again(self, name: str) -> bool:
        """Tell whether a name was met before."""
        n = len(self._hashes)
        self._hashes.add(hash_of(name))
        return len(self._hashes) == n


class Lookup:
    """Values of a Kaldi file by key, read in step with whoever asks.

    Kaldi's files are sorted alike, so that hardly a line is held in memory; what is out of step is. A key can be asked
    for once, or several times in a row. A file that is not there has no values. Where a key has several lines the first
    counts, and the others are refused.
    """

    def __init__(
        self, path: Path, refused: Refused | None = None, lines: Iterator[tuple[str, str]] | None = None
    ) -> None:
        self._path, self._refused = path, Refused() if refused is None else refused
        self._lines = lines or (read(path) if path.exists() else iter(()))
        self._passed: dict[str, str] = {}
        self._seen = Seen()
        self._last: tuple[str, str] | None = None

    def get(self, key: str) -> str | None:
        """The value of `key`, or None."""
        if self._last and self._last[0] == key:
            return self._last[1]
        value = self._passed.pop(key, None)
        while value is None:
            line = self._next()
            if line is None:
                return None
            if line[0] == key:
                value = line[1]
            else:
                self._passed[line[0]] = line[1]
        self._last = (key, value)
        return value

    def _next(self) -> tuple[str, str] | None:
        """The next line, of a key that had none before."""
        for key, value in self._lines:
            if not self._seen.again(key):
                return key, value
            self._refused.add(f"{self._path}: {key}", TWICE)
        return None

    def close(self, listing: str, lost: Set[str]) -> None:
        """Refuse, in one line, the keys that nobody asked for: `listing` lacks them, and they are not `lost` in it."""
        first, n = "", 0
        for key, _ in chain(self._passed.items(), iter(self._next, None)):
            if key not in lost:
                first, n = first or key, n + 1
        if n:
            self._refused.add(str(self._path), f"{listing} lacks {n} of its utterances, such as {first}")


def speakers_of(folder: Path, refused: Refused) -> Lookup:
    """The speaker of each utterance, by `utt2spk`, or by `spk2utt` where there is no other."""
    path = folder / "spk2utt"
    if (folder / "utt2spk").exists() or not path.exists():
        return Lookup(folder / "utt2spk", refused)
    return Lookup(path, refused, ((name, speaker) for speaker, names in read(path) for name in names.split()))


def read(path: Path) -> Iterator[tuple[str, str]]:
    """Key and rest of each line.

    Raises:
        ValueError: the file is not UTF-8.
    """
    for line in text_lines(path):
        key, _, value = composed(line).strip().replace("\t", " ", 1).partition(" ")
        if key:
            yield key, value.strip()


def find_kaldi(root: Path) -> list[Path]:
    """Kaldi data directories: `root`, or those in it that are named like splits; none: it is no Kaldi directory."""
    if (root / "wav.scp").exists():
        return [root]
    folders = [root / name for name in entries(str(root), Refused())[1]]
    return [folder for folder in folders if split_name(folder.name) and (folder / "wav.scp").exists()]


def _base(folder: Path) -> Path:
    """The folder of relative paths in `wav.scp`: the directory, one of those above it, or the current one."""
    paths = [path for _, path in islice(read(folder / "wav.scp"), 200) if not _not_a_file(path)]
    if not paths:
        some = next((path for _, path in read(folder / "wav.scp")), None)
        if some is None:
            raise ValueError(f"{folder / 'wav.scp'} is empty")
        raise ValueError(
            f"{folder / 'wav.scp'} names commands or archives ({some}), which are not run; write the recordings to "
            "files (Kaldi's wav-copy does) and list these"
        )
    here = folder.absolute()
    base = base_of([listed_path(path) for path in paths[:20]], [here, *here.parents[:3], Path.cwd()])
    if base is None or base[1]:
        raise ValueError(
            f"{folder / 'wav.scp'} names recordings that are not there: {shown(paths[0])} is neither in {folder} nor "
            "above it, nor in the current directory; run from the directory that its paths are relative to"
        )
    return base[0]


def _not_a_file(path: str) -> str | None:
    """Why an entry of `wav.scp` is not used, or None."""
    if path.startswith("|") or path.endswith("|"):
        return f"a command, which is not run; write its output to a file and list that: {path}"
    if ARCHIVE.search(path):
        return f"a place in an archive; write it to a file of its own and list that: {path}"
    return None if path else "no path"
