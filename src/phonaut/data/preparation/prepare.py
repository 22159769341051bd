"""From the utterances of a corpus to a folder that training reads: decoded audio, labels in columns, manifests."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from phonaut.data.preparation.audio import BadRecordingError
from phonaut.data.preparation.clip_window import clip_window
from phonaut.data.preparation.decoding import AudioWriter, decode
from phonaut.data.preparation.manifest import write_tables
from phonaut.data.preparation.progress import tracked
from phonaut.data.preparation.refused import Ledger
from phonaut.data.prepared import (
    AUDIO,
    FILES,
    FORMAT,
    REFUSED,
    REMARKS,
    SUMMARY,
    TRIALS,
    DamagedCorpusError,
    PreparedCorpus,
)
from phonaut.data.trials import TrialList
from phonaut.data.utterance import DividedCorpus
from phonaut.files import atomic_folder, cache_dir, locked, write_arrays, write_json

T = TypeVar("T")

MOST_JOBS = 16  # beyond it, one thread cannot write what the others decode


class Divides(Protocol):
    """A protocol, as preparation uses it."""

    def divide(self, corpus: Any, target: str | None = None) -> DividedCorpus:
        """The corpus with a split for each utterance."""
        ...


def prepare(
    corpus: DividedCorpus,
    protocol: Divides | None = None,
    *,
    sample_rate: int,
    target: str | None = None,
    n_jobs: int | None = None,
) -> PreparedCorpus:
    """Read every recording of a corpus once, and keep what training needs.

    The result lies under `cache_dir()/corpora/<name>-<key>`; the key changes with the corpus's utterances and their
    splits, its files (path, length, time of change), and the sample rate. Where the folder is there and whole, this
    takes as long as listing the corpus; a damaged one is rebuilt. Folders of former states stay until they are deleted,
    which is safe at any time. Memory does not grow with the corpus, but for some 30 bytes an utterance. A second
    process that needs the same folder waits for the first.

    Args:
        corpus: the adapter.
        protocol: that divides it; None: its utterances have the splits that they are to have.
        sample_rate: that the audio is kept at, Hz.
        target: of the run, for the protocol.
        n_jobs: threads that decode; None: one per core.

    Raises:
        ValueError: nothing usable is left in a split, or an id occurs twice.
        OSError: the disk of the cache is full.
    """
    divided = corpus if protocol is None else protocol.divide(corpus, target)
    key, n = fingerprint(divided, sample_rate)
    n_jobs = n_jobs or min(os.cpu_count() or 1, MOST_JOBS)
    return cached_corpus(f"{corpus.name}-{key}", lambda folder: build(divided, folder, sample_rate, n, n_jobs))


def cached_corpus(name: str, make: Callable[[Path], None]) -> PreparedCorpus:
    """The prepared corpus of a name in the cache; where it is not there and whole, `make` fills its folder.

    Raises:
        OSError: the disk of the cache is full.
    """
    folder = cache_dir() / "corpora" / name
    ready = whole(folder, quiet=True)
    if ready is not None:
        return ready
    with locked(folder.parent / f".{folder.name}.lock"):
        ready = whole(folder)  # another process may have made it while this one waited
        if ready is not None:
            return ready
        for left in folder.parent.glob(f".{folder.name}.*/"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        try:
            with atomic_folder(folder) as temporary:
                make(temporary)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise
            free = shutil.disk_usage(folder.parent).free / 2**30
            file = f" at {Path(error.filename).name}: {error.strerror}" if error.filename else ""
            raise OSError(
                f"the disk of {folder.parent} is full ({free:.1f} GB free) while preparing {name}{file}; "
                "set PHONAUT_CACHE to a folder on another disk, or delete prepared corpora there"
            ) from error
        return PreparedCorpus(folder)


def whole(folder: Path, *, quiet: bool = False) -> PreparedCorpus | None:
    """The prepared corpus in `folder`, where it is there and whole; damage is warned of."""
    if not folder.exists():
        return None
    try:
        return PreparedCorpus(folder)
    except DamagedCorpusError as error:
        if not quiet:
            warnings.warn(f"{error}; rebuilding it", stacklevel=3)
        return None


def fingerprint(corpus: DividedCorpus, sample_rate: int) -> tuple[str, int]:
    """A key of everything that the prepared folder depends on, and the number of utterances."""
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps([FORMAT, sample_rate, corpus.clip_s], default=str).encode())
    n = 0
    last: Path | None = None
    state = (-1, -1)
    for utterance in corpus.utterances():
        if utterance.path != last:
            last = utterance.path
            try:
                status = os.stat(last)
                state = (status.st_size, status.st_mtime_ns)
            except OSError:
                state = (-1, -1)
        channel = "" if utterance.channel is None else f" channel {utterance.channel}"
        pcm = "" if utterance.pcm_rate is None else f" PCM {utterance.pcm_rate}"
        digest.update(f"{(utterance, state)!r}{channel}{pcm}".encode("utf-8", "surrogateescape"))
        n += 1
    about = json.dumps([corpus.words(), corpus.notes(), corpus.refused()], default=str)
    digest.update(about.encode("utf-8", "surrogateescape"))
    if genders := genders_of(corpus):
        digest.update(json.dumps(sorted(genders.items())).encode())
    for split, trials in sorted(trials_of(corpus).items()):
        digest.update(split.encode())
        for array in trials.arrays().values():
            digest.update(array.tobytes())
    return digest.hexdigest(), n


def trials_of(corpus: DividedCorpus) -> Mapping[str, TrialList]:
    """Lists of verification trials by split; none where the protocol makes none."""
    trials: Mapping[str, TrialList] | None = getattr(corpus, "trials", None)
    return trials if isinstance(trials, Mapping) else {}  # of what no protocol has divided, they are not known


def genders_of(corpus: DividedCorpus) -> Mapping[str, str]:
    """The gender of each speaker, where the corpus knows it."""
    genders: Mapping[str, str] | None = getattr(corpus, "genders", None)
    return genders if isinstance(genders, Mapping) else {}


def build(corpus: DividedCorpus, folder: Path, sample_rate: int, n_utterances: int, n_jobs: int) -> None:
    """Fill `folder`: first audio and a list of utterances as they come, then tables and manifests without duplicates.

    Args:
        corpus: that is prepared.
        folder: that is empty.
        sample_rate: of the audio, Hz.
        n_utterances: how many there are, for the progress bar.
        n_jobs: threads that decode.
    """
    with (
        tables(corpus, folder, sample_rate) as ledger,
        AudioWriter(folder) as writer,
        closing(decode(corpus.utterances(), writer, sample_rate, n_jobs)) as decoded,
        # Closed, for else the bar goes on below an error's message.
        closing(tracked(decoded, f"preparing {corpus.name}", n_utterances)) as shown,
    ):
        for utterance, recording in shown:
            try:
                if isinstance(recording, str):
                    raise BadRecordingError(recording)
                ledger.append(*clip_window(utterance, recording, sample_rate, corpus.clip_s))
            except BadRecordingError as error:
                ledger.refuse(utterance, str(error))
                continue
            if recording.remarks:
                ledger.remark(utterance, recording.remarks)
                recording.remarks = []  # once a recording, not once an utterance


@contextmanager
def tables(corpus: DividedCorpus, folder: Path, sample_rate: float) -> Iterator[Ledger]:
    """A ledger to list utterances in; once all are, `folder` gets tables, manifests and a summary of them.

    Raises:
        ValueError: an id occurs twice, or a split came to nothing.
    """
    spool = folder / "spool.pickle"
    with ExitStack() as stack:
        with spool.open("wb") as file:
            ledger = Ledger(stack, folder, file)
            yield ledger
        for line in corpus.refused():
            ledger.refuse_file(line)
        counts = write_tables(spool, folder, corpus, ledger.refuse, sample_rate)
        spool.unlink()
    for split, trials in trials_of(corpus).items():
        write_arrays(folder / TRIALS.format(split), trials.arrays())
    ledger.check_splits(corpus.name, counts["splits"])
    about = {"format": FORMAT, "name": corpus.name, "sample_rate": sample_rate, "clip_s": corpus.clip_s}
    remarks = {"n_remarks": ledger.n_remarks, "remarks": dict(ledger.remarks.most_common())}
    if genders := {name: of for name, of in sorted(genders_of(corpus).items()) if name in set(counts["speakers"])}:
        about["genders"] = genders
    about |= (
        ledger.about
        | {"notes": corpus.notes() + ledger.notes(counts["speakers"])}
        | counts
        | {"n_refused": ledger.n_refused}
        | remarks
    )
    write_json(folder / SUMMARY, about)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    write_json(folder / FILES, {str(path.relative_to(folder)): measured(path) for path in files})


def measured(path: Path) -> tuple[int, int | None]:
    """The length of a file and its checksum; none for audio, which has one for each recording, and for manifests."""
    is_read = path.name != AUDIO and path.suffix != ".gz"
    return path.stat().st_size, zlib.crc32(path.read_bytes()) if is_read else None


def describe(prepared: PreparedCorpus) -> str:
    """The output of `phonaut prepare`: the place, the protocol, the sizes of splits, and refused recordings."""
    summary, rate = prepared.summary, prepared.sample_rate
    lines = [f"{prepared.name}: {prepared.folder}", *(f"  {note}" for note in prepared.notes)]
    lines.append(f"  {'split':<12}{'utterances':>12}{'speakers':>10}{'hours':>9}")
    for split, row in summary["splits"].items():
        lines.append(f"  {split:<12}{row['cuts']:>12,}{row['speakers']:>10,}{row['hours']:>9.2f}")
    for kind, names in (("words", prepared.words), ("phones", prepared.phones)):
        if names:
            lines.append(f"  {len(names)} {kind}: {', '.join(names[:20])}{' ...' * (len(names) > 20)}")
    if prepared.frames is not None:
        lines.append(f"  frames of {prepared.frames.n_features} features, one every {1000 / rate:g} ms")
    else:
        lines.append(f"  audio at {rate} Hz")
    padded, loudest = summary["fitted"]["padded"], summary["fitted"]["loudest"]
    if padded or loudest:
        lines[-1] += f" in clips of {prepared.clip_s:g} s: {padded:,} padded, of {loudest:,} the loudest part"
    lines.append(f"  {summary['n_refused']:,} refused")
    if summary["n_refused"]:
        lines[-1] += f": {prepared.folder / REFUSED}"
        lines += [f"    {line['path']}: {line['reason']}" for line in prepared.refused[:10]]
    if summary["n_remarks"]:
        lines.append(f"  {summary['n_remarks']:,} kept with a remark: {prepared.folder / REMARKS}")
        lines += [f"    {n:,} {remark}" for remark, n in summary["remarks"].items()]
    return "\n".join(lines)
