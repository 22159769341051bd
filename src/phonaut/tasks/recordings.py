"""Recordings beside a run's own: some without labels as a corpus for a moment, and what is to be said of a folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from phonaut.corpora.base import Corpus
from phonaut.data.preparation.prepare import build
from phonaut.data.prepared import REFUSED, PreparedCorpus, read_lines
from phonaut.data.utterance import SILENCE, SPLITS, Utterance
from phonaut.files import read_json, write_json

if TYPE_CHECKING:
    from phonaut.tasks.base import Trained

FOLDERS_FILE = "folders.json"  # of a run: what is to be said of the folders that it scored


class Part(NamedTuple):
    """A recording, or a part of one.

    Attributes:
        path: of the recording.
        start_s: of the part.
        duration_s: None: to the end.
    """

    path: Path
    start_s: float = 0.0
    duration_s: float | None = None


class Files(Corpus):
    """Recordings, each a test recording of an unknown class and speaker; ids begin with their number.

    Args:
        parts: the recordings, or parts of them.
        clip_s: the window of a clip in seconds, or None.
    """

    name = "files"

    def __init__(self, parts: Sequence[Part], clip_s: float | None) -> None:
        self.parts, self.clip_s = parts, clip_s

    def utterances(self) -> Iterator[Utterance]:
        """Every recording, in the order given."""
        for number, (path, start_s, duration_s) in enumerate(self.parts):
            yield Utterance(
                id=f"{number:09d}-{path.stem}", path=path, split="test", speaker=f"{number:09d}", word="?",
                start_s=start_s, duration_s=duration_s,
            )  # fmt: skip


class UnusableError(ValueError):
    """Recordings that cannot be used.

    Attributes:
        reasons: a text each.
    """

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = list(reasons)
        super().__init__(f"recordings that cannot be used: {'; '.join(reasons)}")


@contextmanager
def prepared_files(
    paths: Sequence[Path] | Files, sample_rate: int, clip_s: float | None = None, *, strict: bool = True
) -> Iterator[PreparedCorpus]:
    """Recordings decoded into a temporary folder, in the order given, as the split `test`.

    Args:
        paths: of the recordings, or what they are.
        sample_rate: Hz, to which they are brought.
        clip_s: the window of a clip in seconds, of paths.
        strict: none may be refused.

    Raises:
        ValueError: a recording is not there; one cannot be used, or where not `strict`, none can: all are named.
    """
    files = paths if isinstance(paths, Files) else Files([Part(path) for path in paths], clip_s)
    missing = [str(part.path) for part in files.parts if not part.path.is_file()]
    if missing:
        raise ValueError(f"no such recording: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="phonaut-") as folder:
        try:
            build(files, Path(folder), sample_rate, len(files.parts), 1)
        except ValueError as error:
            if why := reasons(Path(folder)):
                raise UnusableError(why) from error
            raise
        prepared = PreparedCorpus(Path(folder))
        if (why := reasons(Path(folder))) and strict:
            raise UnusableError(why)
        yield prepared


def sample_rate_of(run: Trained) -> int:
    """The rate that a run hears recordings at, Hz.

    Raises:
        ValueError: it was trained on frames.
    """
    if "sample_rate" not in run.config.features:
        raise ValueError(f"{run.folder} was trained on frames, and takes no recordings: phonaut evaluate scores frames")
    return int(run.config.features["sample_rate"])


def reasons(prepared: Path) -> list[str]:
    """Why recordings of a prepared folder were refused, a text each."""
    return [f"{line['path']}: {line['reason']}" for line in read_lines(prepared / REFUSED)]


def name_beside_splits(name: str, kind: str) -> str:
    """The name of an evaluation of a folder or a list, that is none of a split's.

    >>> name_beside_splits("test", "list"), name_beside_splits("mine", "list")
    ('list_test', 'mine')
    """
    return f"{kind}_{name}" if name in SPLITS else name


def about_folder(
    run: Path, name: str, tested: PreparedCorpus, refused: Sequence[dict[str, str]], trained: str | None
) -> None:
    """Write down, in a run, where a folder that it scored is prepared, what was refused of it, and whom the run was
    trained or validated on.

    Args:
        run: its folder.
        name: of the evaluation.
        tested: the folder's recordings, prepared.
        refused: `{"path", "reason"}` of those that were left out.
        trained: the prepared folder of the run's own corpus; None: who was trained on does not matter.
    """
    about: dict[str, object] = {"refused": list(refused), "prepared": str(tested.folder)}
    if trained is not None:
        speakers = speakers_of(tested, "test")
        about["n_speakers"] = len(speakers)
        try:
            own = PreparedCorpus(Path(trained))
            known = speakers_of(own, "train")
            about["trained_speakers"] = sorted(speakers & known)
            about["validation_speakers"] = sorted(speakers & speakers_of(own, "validation") - known)
        except (ValueError, OSError):
            about["trained_speakers"] = None  # it was deleted since
    write_json(run / FOLDERS_FILE, read_json(run / FOLDERS_FILE, {}) | {name: about})


def speakers_of(prepared: PreparedCorpus, *splits: str) -> set[str]:
    """The names of all speakers in some splits; the rooms of `_silence_` are none."""
    silence = prepared.words.index(SILENCE) if SILENCE in prepared.words else -2
    tables = [prepared.utterances(split) for split in splits]
    codes = (np.unique(table.speaker[table.word != silence]).tolist() for table in tables)
    return {prepared.speakers[code] for of_split in codes for code in of_split if code >= 0}
