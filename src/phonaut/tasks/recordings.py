"""A few recordings without labels as a corpus, for the time that it takes to score them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from phonaut.corpora.base import Corpus
from phonaut.data.preparation.prepare import build
from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import Utterance


class Files(Corpus):
    """Recordings by their paths, each a test recording of an unknown class and speaker.

    Args:
        paths: of the recordings.
        clip_s: the window of a clip in seconds, or None.
    """

    name = "files"

    def __init__(self, paths: Sequence[Path], clip_s: float | None) -> None:
        self.paths, self.clip_s = paths, clip_s

    def utterances(self) -> Iterator[Utterance]:
        """Every recording, in the order given."""
        for number, path in enumerate(self.paths):
            id = f"{number:09d}-{path.stem}"
            yield Utterance(id=id, path=path, split="test", speaker=f"{number:09d}", word="?")


@contextmanager
def prepared_files(paths: Sequence[Path], sample_rate: int, clip_s: float | None = None) -> Iterator[PreparedCorpus]:
    """Recordings decoded into a temporary folder, in the order given, as the split `test`.

    Raises:
        ValueError: a recording is not there or cannot be used; all of them are named.
    """
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise ValueError(f"no such recording: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="phonaut-") as folder:
        build(Files(paths, clip_s), Path(folder), sample_rate, len(paths), 1)
        prepared = PreparedCorpus(Path(folder))
        if prepared.refused:
            refused = "; ".join(f"{line['path']}: {line['reason']}" for line in prepared.refused)
            raise ValueError(f"recordings that cannot be used: {refused}")
        yield prepared
