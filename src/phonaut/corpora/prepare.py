"""From the items of a corpus to a folder that training reads: audio decoded once, labels in columns, manifests."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import shutil
import sys
import warnings
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from phonaut.corpora.audio import ENERGY_HOP_S, BadRecordingError, Recording, loudest_start, open_recording
from phonaut.corpora.base import NOISE_SPLITS, Corpus, Item
from phonaut.corpora.manifest import write_cuts
from phonaut.data.columns import TableWriter
from phonaut.data.prepared import (
    DAMAGED,
    FORMAT,
    RECORDING_COLUMNS,
    SUMMARY,
    DamagedCorpusError,
    PreparedCorpus,
)
from phonaut.files import atomic_folder, cache_dir, locked, write_json

LONG_S = 120.0  # longer recordings are streamed to the disk, shorter ones decoded by threads
Samples = NDArray[np.int16] | NDArray[np.float32]


def prepare(
    corpus: Corpus, *, sample_rate: int, progress: bool = True, n_jobs: int | None = None
) -> PreparedCorpus:
    """Read every recording of a corpus once, and keep what training needs.

    The result lies under `cache_dir()/corpora/<name>-<key>`; the key changes with the corpus's settings, its files
    (path, length, time of change), the sample rate, and nothing else. Where the folder is there and whole, this takes
    as long as listing the corpus; a damaged one is rebuilt. Memory does not grow with the corpus, but for some bytes a
    cut.

    Args:
        corpus: the adapter.
        sample_rate: that the audio is kept at, Hz.
        progress: show a bar, where there is a terminal.
        n_jobs: threads that decode; None: one per core.

    Raises:
        ValueError: nothing usable was found, or an id occurs twice.
        OSError: the disk of the cache is full.
    """
    key, n_items = fingerprint(corpus, sample_rate)
    folder = cache_dir() / "corpora" / f"{corpus.name}-{key}"
    with locked(folder.parent / f".{corpus.name}-{key}.lock"):
        if (folder / SUMMARY).exists() or (folder / DAMAGED).exists():
            try:
                return PreparedCorpus(folder)
            except DamagedCorpusError as error:
                warnings.warn(f"{error}; rebuilding it", stacklevel=2)
        try:
            with atomic_folder(folder) as temporary:
                build(corpus, temporary, sample_rate, n_items, progress=progress, n_jobs=n_jobs or os.cpu_count() or 1)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            free = shutil.disk_usage(folder.parent).free / 2**30
            raise OSError(
                f"the disk of {folder.parent} is full ({free:.1f} GB free) while decoding {corpus.name}; "
                "set PHONAUT_CACHE to a folder on another disk, or delete prepared corpora there"
            ) from error
        return PreparedCorpus(folder)


def fingerprint(corpus: Corpus, sample_rate: int) -> tuple[str, int]:
    """A key of everything that the prepared folder depends on, and the number of items."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps([FORMAT, sample_rate, corpus.clip_s, corpus.settings()], default=str).encode())
    n_items, last, found = 0, None, (0, 0)
    for item in corpus.items():
        if item.path != last:
            last = item.path
            try:
                status = os.stat(last)
                found = (status.st_size, status.st_mtime_ns)
            except OSError:
                found = (-1, -1)
        digest.update(repr((item, found)).encode("utf-8", "surrogateescape"))
        n_items += 1
    digest.update(json.dumps([corpus.words(), corpus.notes(), corpus.refused()], default=str).encode("utf-8", "replace"))
    return digest.hexdigest(), n_items


def build(
    corpus: Corpus, folder: Path, sample_rate: int, n_items: int, *, progress: bool, n_jobs: int
) -> None:
    """Fill `folder`: first the audio and a list of cuts as they come, then the tables without duplicates."""
    spool = folder / "spool.jsonl"
    with (
        (folder / "refused.jsonl").open("w", encoding="utf-8") as refused,
        (folder / "remarks.jsonl").open("w", encoding="utf-8") as remarks,
    ):
        with spool.open("w", encoding="utf-8") as listed, Sink(folder) as sink:
            for item, recording, number, problem in decoded(tracked(corpus, n_items, progress), sink, sample_rate, n_jobs):
                if problem is None:
                    assert recording is not None
                    problem = place(listed, item, recording, number, sink.content, sample_rate, corpus.clip_s)
                if problem is not None:
                    put(refused, path=shown(item.path), reason=problem, cut=item.id)
                elif recording is not None and recording.remarks:
                    put(remarks, path=shown(item.path), remark="; ".join(recording.remarks))
                    recording.remarks = []  # once a recording, not once a cut
        for line in corpus.refused():
            put(refused, **line)
        counts = write_cuts(spool, folder, corpus, refused, sample_rate)
    spool.unlink()
    if not counts["splits"]:
        raise ValueError(nothing_usable(corpus, folder))
    n_refused, n_remarks = (count_lines(folder / name) for name in ("refused.jsonl", "remarks.jsonl"))
    files = {str(p.relative_to(folder)): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    about = {"name": corpus.name, "sample_rate": sample_rate, "clip_s": corpus.clip_s, "notes": corpus.notes()}
    write_json(folder / SUMMARY, about | counts | {"n_refused": n_refused, "n_remarks": n_remarks, "files": files})


class Sink:
    """The decoded audio of all recordings, in one file, with a table of where each lies."""

    def __init__(self, folder: Path) -> None:
        self.file: BinaryIO = (folder / "audio.bin").open("wb")
        self.table = TableWriter(folder / "recordings", RECORDING_COLUMNS)
        self.n_recordings = 0
        self.content = ""  # hash of the recording that was written last; empty for silence

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *error: Any) -> None:
        self.table.__exit__(*error)
        self.file.close()

    def write(self, recording: Recording, parts: Iterable[Samples]) -> int:
        """Append a recording; its number. What was written of one that turns out bad is taken back.

        Raises:
            BadRecordingError: while the parts are read.
        """
        start = self.file.tell()
        crc, content = 0, hashlib.blake2b(digest_size=8)
        try:
            for part in parts:
                data = part.astype(np.float32 if recording.is_float else np.int16, copy=False).tobytes()
                self.file.write(data)
                crc = zlib.crc32(data, crc)
                content.update(data)
        except BadRecordingError:
            self.file.seek(start)
            self.file.truncate()
            raise
        self.file.write(bytes(-self.file.tell() % 4))  # what follows may be float32
        self.table.append(
            path=shown(recording.path),
            offset=start,
            n_samples=recording.n_samples,
            is_float=recording.is_float,
            crc=crc,
        )
        silent = not any(energy.any() for energy in recording.energies)
        self.content = "" if silent else content.hexdigest()
        self.n_recordings += 1
        return self.n_recordings - 1


def decoded(
    items: Iterable[Item], sink: Sink, sample_rate: int, n_jobs: int
) -> Iterator[tuple[Item, Recording | None, int, str | None]]:
    """Each item with its recording and the recording's number in `sink`, or with the reason why it cannot be used.

    Items of one recording that follow one another share it. Threads decode ahead, by no more than a few recordings.
    """
    groups = (list(group) for _, group in itertools.groupby(items, key=lambda item: item.path))
    with ThreadPoolExecutor(n_jobs) as pool:
        ahead: deque[tuple[list[Item], Future[tuple[Recording, list[Samples] | None]]]] = deque()
        while True:
            for group in itertools.islice(groups, 4 * n_jobs - len(ahead)):
                ahead.append((group, pool.submit(load, group[0].path, sample_rate)))
            if not ahead:
                return
            group, future = ahead.popleft()
            recording, number, problem = None, -1, None
            try:
                recording, parts = future.result()
                number = sink.write(recording, parts if parts is not None else stream(recording, sample_rate))
            except BadRecordingError as error:
                problem = str(error)
            for item in group:
                yield item, recording, number, problem


def load(path: Path, sample_rate: int) -> tuple[Recording, list[Samples] | None]:
    """A recording and its samples; None in place of the samples of a long one.

    Raises:
        BadRecordingError: it cannot be used.
    """
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRecordingError("the name is not UTF-8: rename the file") from error
    recording, parts = open_recording(path, sample_rate)
    if recording.n_source > LONG_S * recording.source_rate:
        return recording, None
    return recording, list(parts)


def stream(recording: Recording, sample_rate: int) -> Iterator[Samples]:
    """The samples of a long recording; what is learnt of it goes into `recording`."""
    again, parts = open_recording(recording.path, sample_rate)
    yield from parts
    recording.n_samples, recording.energies, recording.remarks = again.n_samples, again.energies, again.remarks


def place(
    listed: TextIO,
    item: Item,
    recording: Recording,
    number: int,
    content: str,
    sample_rate: int,
    clip_s: float | None,
) -> str | None:
    """Put a cut on the list; the reason where it lies outside its recording."""
    start = round(item.start_s * sample_rate)
    n = recording.n_samples - start
    if item.duration_s is not None:
        n = min(n, round(item.duration_s * sample_rate))
    if n <= 0:
        seconds = recording.n_samples / sample_rate
        return f"starts at {item.start_s:.2f} s, but the recording is {seconds:.2f} s long"
    total, valid, skipped = n, n, 0
    if clip_s is not None and item.split not in NOISE_SPLITS:
        total = round(clip_s * sample_rate)
        valid = min(n, total)
        hop = max(1, round(ENERGY_HOP_S * sample_rate))
        energies = np.concatenate(recording.energies) if n > total else np.zeros(0)
        skipped = loudest_start(energies[start // hop : (start + n) // hop], n, total, hop)
    before = (total - valid) // 2
    moved_s = (before - skipped) / sample_rate
    put(
        listed,
        id=item.id,
        split=item.split,
        speaker=item.speaker,
        word=item.word,
        text=item.text or "",
        sentence=item.sentence,
        session=item.session or "",
        phones=inside(item, moved_s, total / sample_rate),
        recording=number,
        start=start + skipped,
        valid=valid,
        before=before,
        n_samples=total,
        content=f"{content}-{start}-{n}" if content else "",
        path=shown(item.path),
        source=[recording.source_rate, recording.n_source, recording.n_channels],
    )
    return None


def inside(item: Item, moved_s: float, duration_s: float) -> list[tuple[str, float, float]]:
    """The phones of a cut that was moved by `moved_s` into a window: cut off at its ends, or left out."""
    found = []
    for phone in item.phones:
        start_s, end_s = max(0.0, phone.start_s + moved_s), min(duration_s, phone.end_s + moved_s)
        if start_s < end_s:
            found.append((phone.label, start_s, end_s))
    return found


def tracked(corpus: Corpus, n_items: int, progress: bool) -> Iterator[Item]:
    """The items, with a bar on the terminal."""
    if not (progress and sys.stderr.isatty() and n_items > 1000):
        yield from corpus.items()
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(corpus.items(), f"preparing {corpus.name}", n_items, console=Console(stderr=True))


def nothing_usable(corpus: Corpus, folder: Path) -> str:
    """Why a corpus came to nothing."""
    lines = (folder / "refused.jsonl").read_text(encoding="utf-8").splitlines()[:3]
    reasons = "; ".join(f"{line['path']}: {line['reason']}" for line in map(json.loads, lines))
    return f"{corpus.name} holds no usable recording" + (f" ({reasons} ...)" if reasons else "")


def put(file: TextIO, **line: Any) -> None:
    """Append a line of JSON."""
    file.write(json.dumps(line, ensure_ascii=False) + "\n")


def shown(path: Path) -> str:
    """A path as text, whatever bytes it is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def count_lines(path: Path) -> int:
    """Lines of a text file."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def describe(prepared: PreparedCorpus) -> str:
    """What a user sees after `phonaut prepare`."""
    summary = prepared.summary
    lines = [f"{prepared.name}: {prepared.folder}"]
    lines += [f"  {note}" for note in prepared.notes]
    lines.append(f"  {'split':<12}{'cuts':>8}{'speakers':>10}{'hours':>8}")
    for split, row in summary["splits"].items():
        lines.append(f"  {split:<12}{row['cuts']:>8}{row['speakers']:>10}{row['hours']:>8.2f}")
    if prepared.words:
        lines.append(f"  {len(prepared.words)} words: {', '.join(prepared.words[:20])}{' ...' * (len(prepared.words) > 20)}")
    if prepared.phones:
        lines.append(f"  {len(prepared.phones)} phones")
    lines.append(f"  {summary['n_refused']} refused" + (f": {prepared.folder / 'refused.jsonl'}" * bool(summary["n_refused"])))
    lines += [f"    {line['path']}: {line['reason']}" for line in prepared.refused[:10]]
    if summary["n_remarks"]:
        lines.append(f"  {summary['n_remarks']} kept with a remark: {prepared.folder / 'remarks.jsonl'}")
    return "\n".join(lines)
