"""A prepared corpus, read from disk: audio, labels and times of utterances, in memory that does not grow with it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import weakref
import zlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from phonaut.data.columns import TextColumn, read_column
from phonaut.data.frame_shards import FrameLayout, ShardTable
from phonaut.data.trials import TrialList
from phonaut.files import read_arrays

if TYPE_CHECKING:
    from lhotse import CutSet

FORMAT = 2  # of the folder; what has another number is prepared anew

# The files of a prepared folder. Tables of utterances and manifests are there for the splits that have utterances.
SUMMARY = "summary.json"  # what a person reads: notes, labels, counts
FILES = "files.json"  # name -> length, and checksum where `PreparedCorpus` reads all of it
AUDIO = "audio.bin"  # the samples of all recordings, one after another
RECORDINGS = "recordings"  # where each recording lies in it
REFUSED = "refused.jsonl"
REMARKS = "remarks.jsonl"
TRIALS = "trials.{}.npz"  # of a split, where the protocol makes trials
CHECKED_AT_ONCE = 500_000  # samples
LABELS = re.compile(r"^cuts\..*/(id|id_end|word|speaker|n_samples|phone_end|label|start_s|end_s)\.\w+$")
CHECKSUMS = re.compile(rf"^{RECORDINGS}/(crc|n_samples|n_frames)\.\w+$")
DAMAGED = "damaged"  # there once damage was found in reading: prepare again

RECORDING_COLUMNS = {"path": "text", "offset": "i8", "n_samples": "i8", "is_float": "u1", "crc": "u4"}
UTTERANCE_COLUMNS = {
    "id": "text",
    "text": "text",
    "sentence": "text",
    "session": "text",
    "key": "u8",
    "recording": "i8",
    "start": "i8",
    "valid": "i8",
    "before": "i8",
    "n_samples": "i8",
    "word": "i4",
    "speaker": "i4",
    "phone_end": "i8",
}
PHONE_COLUMNS = {"label": "i4", "start_s": "f8", "end_s": "f8"}


class DamagedCorpusError(ValueError):
    """A prepared folder that cannot be trusted; the command that prepared it rebuilds it."""


class PreparedCorpus:
    """A prepared corpus on disk. Opening it reads and checks the tables; audio is checked when it is first read.

    Args:
        folder: of the prepared corpus.

    Attributes:
        name: of the corpus.
        sample_rate: of the audio, Hz; where there are frames in its place, a sample is a frame.
        frames: what they share, where there are frames in place of audio; else None.
        clip_s: length that utterances are fitted to, seconds, or None.
        summary: counts of utterances, speakers, hours and words.
        notes: what a user must know, the protocol first.
        words: keyword labels; codes of tables are indices into them.
        speakers: speaker ids.
        phones: phone labels.
        genders: `f` or `m` of the speakers whose gender is known.

    Raises:
        DamagedCorpusError: a file is missing or is not what was written, or another version of Phonaut wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
            self.name: str = self.summary["name"]
            self.sample_rate: float = self.summary["sample_rate"]
            about = self.summary.get("frames")
            self.frames = FrameLayout(**about["layout"]) if about else None
            self.clip_s: float | None = self.summary["clip_s"]
            self.notes: list[str] = self.summary["notes"]
            self.words: list[str] = self.summary["words"]
            self.speakers: list[str] = self.summary["speakers"]
            self.phones: list[str] = self.summary["phones"]
            self.genders: dict[str, str] = self.summary.get("genders", {})
            problem = problem_of(folder, self.summary["format"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DamagedCorpusError(f"{folder} is damaged: {type(error).__name__}, {error}") from error
        if problem:
            raise DamagedCorpusError(f"{folder} {problem}")
        self.recordings: RecordingTable | ShardTable
        if self.frames is None:
            self.recordings = RecordingTable(folder)
        else:
            self.recordings = ShardTable(folder / RECORDINGS, Path(about["folder"]), about["shards"], self.frames)
        self.tables: dict[str, UtteranceTable] = {}

    def __repr__(self) -> str:
        """Its name, its splits, its folder."""
        splits = ", ".join(f"{one['cuts']:,} {name}" for name, one in self.summary["splits"].items())
        return f"PreparedCorpus({self.name}: {splits}; {self.folder})"

    def __reduce__(self) -> tuple[type[PreparedCorpus], tuple[Path]]:
        """To another process goes the path, not what lies there."""
        return PreparedCorpus, (self.folder,)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Hashes of `labels` (ids, lengths, labels and splits) and of `audio`, wherever recordings and cache lie."""
        files = json.loads((self.folder / FILES).read_text(encoding="utf-8"))
        words = [self.sample_rate, self.clip_s, self.words, self.speakers, self.phones]
        return {
            kind: hashlib.blake2b(
                json.dumps([words, sorted((name, what) for name, what in files.items() if part.search(name))]).encode(),
                digest_size=16,
            ).hexdigest()
            for kind, part in (("labels", LABELS), ("audio", CHECKSUMS))
        }

    @property
    def refused(self) -> list[dict[str, str]]:
        """Recordings that were left out, `{"path", "reason"}`."""
        return read_lines(self.folder / REFUSED)

    @property
    def remarks(self) -> list[dict[str, str]]:
        """Remarks on recordings that are used, `{"path", "remark"}`."""
        return read_lines(self.folder / REMARKS)

    def utterances(self, split: str) -> UtteranceTable:
        """The utterances of a split; an empty table where the corpus has no such split."""
        if split not in self.tables:
            self.tables[split] = UtteranceTable(self, split)
        return self.tables[split]

    def trials(self, split: str) -> TrialList | None:
        """The verification trials of a split, of recordings by their ids; None: the protocol makes none."""
        path = self.folder / TRIALS.format(split)
        return TrialList.from_arrays(read_arrays(path)) if path.exists() else None

    def manifest_file(self, split: str) -> Path:
        """Path of the manifest of a split, which is there if the split has utterances."""
        return self.folder / f"cuts.{split}.jsonl.gz"

    def manifest(self, split: str) -> CutSet:
        """The split as lhotse's cuts of the user's own recordings, read lazily; empty where there is no such split.

        Raises:
            ImportError: lhotse is not installed.
        """
        try:
            from lhotse import CutSet
        except ImportError as error:
            raise ImportError(
                "manifests as lhotse's cuts need an optional extra: pip install 'phonaut[lhotse]'"
            ) from error

        path = self.manifest_file(split)
        return CutSet.from_jsonl_lazy(path) if path.exists() else CutSet([])


def problem_of(folder: Path, version: int) -> str | None:
    """The problem of a prepared folder, if there is one."""
    if version != FORMAT:
        return f"was prepared by another version of Phonaut (format {version}, not {FORMAT}); prepare the corpus again"
    if (folder / DAMAGED).exists():
        return f"is damaged: {(folder / DAMAGED).read_text(encoding='utf-8').strip()}"
    files: dict[str, tuple[int, int | None]] = json.loads((folder / FILES).read_text(encoding="utf-8"))
    for name, (size, crc) in files.items():
        if (folder / name).stat().st_size != size:
            return f"is damaged: {name} is not as long as it was"
        if crc is not None and zlib.crc32((folder / name).read_bytes()) != crc:
            return f"is damaged: {name} is not what was written"
    return None


class RecordingTable:
    """Decoded recordings, one after another in one file.

    Audio is read, not mapped: pages of a mapped file count as memory of the process, which would seem to grow with the
    corpus, and a file that is cut off while it is mapped kills the process.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = TextColumn(folder / RECORDINGS, "path")
        self.offset, self.n_samples, self.is_float, self.crc = (
            read_column(folder / RECORDINGS, name, RECORDING_COLUMNS[name])
            for name in ("offset", "n_samples", "is_float", "crc")
        )
        self.checked = np.zeros(len(self.offset), dtype=bool)
        self.file = os.open(folder / AUDIO, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.file)

    def samples(self, number: int, start: int, stop: int, into: NDArray[np.float32]) -> None:
        """Write samples `start` to `stop` of a recording, in [-1, 1], to `into (stop - start,)`.

        Raises:
            DamagedCorpusError: the recording is not what was written; the folder is marked, to be rebuilt.
        """
        if not self.checked[number]:
            self.check(number)
        if self.is_float[number]:
            into[:] = self.read(number, start, stop, np.dtype(np.float32))
        else:  # exact, and half the time of a division
            np.multiply(self.read(number, start, stop, np.dtype(np.int16)), np.float32(1 / 32768), out=into)

    def read(self, number: int, start: int, stop: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Samples as they lie in the file."""
        part = np.empty(max(0, stop - start), dtype=dtype)
        if os.preadv(self.file, [part.data], int(self.offset[number]) + start * dtype.itemsize) != part.nbytes:
            self.damaged(number)
        return part

    def check(self, number: int) -> None:
        """Compare a recording with its checksum, the first time that it is read."""
        dtype = np.dtype(np.float32 if self.is_float[number] else np.int16)
        n, crc = int(self.n_samples[number]), 0
        for start in range(0, n, CHECKED_AT_ONCE):
            crc = zlib.crc32(self.read(number, start, min(start + CHECKED_AT_ONCE, n), dtype).data, crc)
        if crc != int(self.crc[number]):
            self.damaged(number)
        self.checked[number] = True

    def damaged(self, number: int) -> NoReturn:
        """Mark the folder, and say so."""
        what = f"the audio of {self.path[number]} is not what was written"
        with contextlib.suppress(OSError):  # in a folder that may not be written, the message has to do
            (self.folder / DAMAGED).write_text(what + "\n", encoding="utf-8")
        raise DamagedCorpusError(f"{self.folder} is damaged: {what}; run the same command again: it will be rebuilt")


class UtteranceTable:
    """The utterances of one split; columns are mapped into memory.

    Attributes:
        key: what random draws derive from, a hash of the utterance's id, `(N,)` uint64.
        n_samples: length, `(N,)`.
        word: code of the keyword label or -1, `(N,)`.
        speaker: code of the speaker, -1 for noise, `(N,)`.
        phone_offset: the phones of row r are `phone_offset[r]` to `phone_offset[r + 1]`, `(N + 1,)`.
        phone_label: codes of phones, `(P,)`.
        phone_start_s: seconds from the start of the utterance, `(P,)`.
        phone_end_s: likewise, `(P,)`.
    """

    def __init__(self, corpus: PreparedCorpus, split: str) -> None:
        self.corpus = corpus
        self.split = split
        self.sample_rate = corpus.sample_rate
        self.words, self.speakers, self.phones = corpus.words, corpus.speakers, corpus.phones
        self.recordings = corpus.recordings
        folder = corpus.folder / f"cuts.{split}"  # a split without utterances has none
        read = {name: read_column(folder, name, kind) for name, kind in UTTERANCE_COLUMNS.items() if kind != "text"}
        self.key: NDArray[np.uint64] = read["key"]
        self.n_samples: NDArray[np.int64] = read["n_samples"]
        self.word: NDArray[np.int32] = read["word"]
        self.speaker: NDArray[np.int32] = read["speaker"]
        self.number, self.start, self.valid, self.before = (
            read[name] for name in ("recording", "start", "valid", "before")
        )
        self.phone_offset: NDArray[np.int64] = np.concatenate([np.zeros(1, np.int64), read["phone_end"]])
        self.phone_label, self.phone_start_s, self.phone_end_s = (
            read_column(folder / "phones", name, kind) for name, kind in PHONE_COLUMNS.items()
        )
        self.ids, self.texts, self.sentences, self.sessions = (
            TextColumn(folder, name) for name in ("id", "text", "sentence", "session")
        )

    def __reduce__(self) -> tuple[type[UtteranceTable], tuple[PreparedCorpus, str]]:
        """To another process goes the path, not what lies there."""
        return UtteranceTable, (self.corpus, self.split)

    def __len__(self) -> int:
        return len(self.key)

    def id(self, row: int) -> str:
        """Utterance id."""
        return self.ids[row]

    def recording(self, row: int) -> str:
        """Path of the recording."""
        return self.recordings.path[int(self.number[row])]

    @property
    def durations_s(self) -> NDArray[np.float64]:
        """Durations of the utterances, seconds, `(N,)`."""
        if isinstance(self.recordings, ShardTable):
            return np.asarray(self.recordings.duration_s[self.number], dtype=np.float64)
        return self.n_samples / self.sample_rate

    def text(self, row: int) -> str:
        """Transcript; empty where there is none."""
        return self.texts[row]

    def sentence(self, row: int) -> str:
        """Id of the sentence, where speakers repeat sentences; else empty."""
        return self.sentences[row]

    def session(self, row: int) -> str:
        """Recording session; empty where it is not known."""
        return self.sessions[row]

    def speaker_name(self, row: int) -> str:
        """Speaker id; empty for noise."""
        return self.speakers[int(self.speaker[row])] if self.speaker[row] >= 0 else ""

    def word_name(self, row: int) -> str | None:
        """Keyword label."""
        return self.words[int(self.word[row])] if self.word[row] >= 0 else None

    def audio(self, row: int, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Samples `start` to `stop` of an utterance (by default all), in [-1, 1]; a short clip lies between zeros.

        Raises:
            DamagedCorpusError: the audio is not what was written.
        """
        n = int(self.n_samples[row])
        audio = np.empty(max(0, (n if stop is None else min(stop, n)) - start), dtype=np.float32)
        self.write_audio(row, start, audio)
        return audio

    def write_audio(self, row: int, start: int, into: NDArray[np.float32]) -> None:
        """Write the samples of an utterance from `start` on to `into`, which ends where the utterance does or before.

        Raises:
            DamagedCorpusError: the audio is not what was written.
            ValueError: the corpus has frames, and no audio.
        """
        if not isinstance(self.recordings, RecordingTable):
            raise ValueError(f"{self.corpus.name} has frames, and no audio")
        stop = start + len(into)
        before, valid, first = int(self.before[row]), int(self.valid[row]), int(self.start[row])
        a, b = max(start, before), min(stop, before + valid)
        if a >= b:
            into[:] = 0.0
            return
        into[: a - start] = 0.0
        into[b - start :] = 0.0
        self.recordings.samples(
            int(self.number[row]), first + a - before, first + b - before, into[a - start : b - start]
        )

    def frames(self, row: int, start: int, stop: int) -> NDArray[np.float32]:
        """Frames `start` to `stop` of an utterance, where there are frames, `(stop - start, D)`; not to be written to.

        Raises:
            ValueError: they are not there any more, or the corpus has audio.
        """
        if not isinstance(self.recordings, ShardTable):
            raise ValueError(f"{self.corpus.name} has audio, and no frames")
        return self.recordings.frames(int(self.number[row]), start, stop)


def read_lines(path: Path) -> list[dict[str, str]]:
    """A file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
