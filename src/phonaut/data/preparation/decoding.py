"""All recordings of a corpus in one file: decoded by threads, written in order, in bounded memory."""

from __future__ import annotations

import itertools
import zlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from phonaut.data.columns import TableWriter
from phonaut.data.preparation.audio import BadRecordingError, Recording, Samples, open_recording
from phonaut.data.prepared import AUDIO, RECORDING_COLUMNS, RECORDINGS
from phonaut.data.utterance import Utterance
from phonaut.files import naming
from phonaut.names import printable

LONG_S = 60.0  # longer recordings go to the disk block by block, shorter ones are decoded ahead by threads
AHEAD = 4  # recordings in memory for each thread
GROUP = 1000  # utterances in memory of one recording


class AudioWriter:
    """The file of audio, and a table of where each recording lies in it."""

    def __init__(self, folder: Path) -> None:
        self.file: BinaryIO = (folder / AUDIO).open("wb")
        self.table = TableWriter(folder / RECORDINGS, RECORDING_COLUMNS)
        self.n_recordings = 0

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        with naming(self.file.name), self.file:
            self.table.__exit__(*error)

    def write(self, recording: Recording, parts: Iterable[Samples]) -> None:
        """Append a recording and number it. What was written of one that turns out bad is taken back.

        Raises:
            BadRecordingError: while the parts are read.
        """
        start, crc = self.file.tell(), 0
        try:
            for part in parts:
                data = part.astype(np.float32 if recording.is_float else np.int16, copy=False).tobytes()
                with naming(self.file.name, len(data)):
                    self.file.write(data)
                crc = zlib.crc32(data, crc)
        except BadRecordingError:
            self.file.seek(start)
            self.file.truncate()
            raise
        self.table.append(
            path=printable(recording.path),
            offset=start,
            n_samples=recording.n_samples,
            is_float=recording.is_float,
            crc=crc,
        )
        recording.number = self.n_recordings
        self.n_recordings += 1


def decode(
    utterances: Iterable[Utterance], writer: AudioWriter, sample_rate: int, n_jobs: int
) -> Generator[tuple[Utterance, Recording | str]]:
    """Each utterance with its recording, in order, once that is written; or with the reason why it cannot be used.

    Those of one recording that follow one another share it. Threads decode ahead, by no more than a few recordings.
    """
    waiting = groups(utterances)
    ahead: deque[tuple[list[Utterance], Future[tuple[Recording, Iterable[Samples]]] | None]] = deque()
    recording: Recording | str
    with ThreadPoolExecutor(n_jobs) as pool:
        while True:
            for is_new, group in itertools.islice(waiting, AHEAD * n_jobs - len(ahead)):
                ahead.append((group, pool.submit(load, group[0], sample_rate) if is_new else None))
            if not ahead:
                return
            group, future = ahead.popleft()
            if future is not None:
                try:
                    recording, parts = future.result()
                    writer.write(recording, parts)
                except BadRecordingError as error:
                    recording = str(error)
            for utterance in group:
                yield utterance, recording


def groups(utterances: Iterable[Utterance]) -> Iterator[tuple[bool, list[Utterance]]]:
    """Utterances of one recording that follow one another, some at a time; true for the first of them."""
    for _, same in itertools.groupby(utterances, key=lambda utterance: (utterance.path, utterance.channel)):
        is_new = True
        while group := list(itertools.islice(same, GROUP)):
            yield is_new, group
            is_new = False


def load(utterance: Utterance, sample_rate: int) -> tuple[Recording, Iterable[Samples]]:
    """The recording of an utterance and its samples, decoded; those of a long one are decoded when they are asked for.

    Raises:
        BadRecordingError: it cannot be used.
    """
    recording, parts = open_recording(utterance.path, sample_rate, utterance.channel, utterance.pcm_rate)
    is_long = recording.n_source > LONG_S * recording.source_rate
    return recording, parts if is_long else list(parts)
