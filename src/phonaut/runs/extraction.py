"""Representations of a corpus, by the encoder or the front end of a run, as a folder of frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.data.frame_writer import FrameWriter
from phonaut.data.prepared import PreparedCorpus, UtteranceTable
from phonaut.data.utterance import SPLITS
from phonaut.runs.load import LoadedRun
from phonaut.tasks.build import device_of
from phonaut.tasks.frame_source import POOL, frames_of


class Extracted(NamedTuple):
    """Summary of the frames that were written.

    Attributes:
        folder: of the frames.
        n_sequences: recordings.
        hours: of audio.
        seconds: that it took, reading and writing included.
        n_features: of a frame.
        splits: recordings by split.
    """

    folder: Path
    n_sequences: int
    hours: float
    seconds: float
    n_features: int
    splits: dict[str, int]


def extract(
    run: LoadedRun,
    prepared: PreparedCorpus,
    folder: Path,
    *,
    layer: str | int | None = None,
    overwrite: bool = False,
    max_recording_s: float = 30.0,
    progress: Callable[[str], None] = lambda text: None,
) -> Extracted:
    """Write the frames of all splits of a corpus, with its labels.

    Args:
        run: whose encoder or front end makes them.
        prepared: the corpus, at the sample rate of the run.
        folder: to write.
        layer: of an encoder: `last`, `all` or a number; None: what the run gives its network.
        overwrite: replace a folder of frames that is there.
        max_recording_s: longer recordings are encoded in parts, as in training.
        progress: called with a line of text.

    Raises:
        ValueError: the run, the corpus or the folder does not fit.
    """
    source = run.task.frames(run, layer)
    front_end = source.front_end
    if prepared.frames is not None:
        raise ValueError(f"{prepared.name} has frames already: extract begins with recordings")
    device = device_of(run.config.trainer)
    source.module.to(device)
    started, samples = time.monotonic(), 0
    counts: dict[str, int] = {}
    what = f"{run.folder} layer={layer}" if layer is not None else str(run.folder)
    with FrameWriter(
        folder,
        n_features=front_end.n_features,
        frame_shift_s=front_end.frame_shift_s,
        frame_offset_s=front_end.frame_offset_s,
        made_from=f"{prepared.name} by {what}",
        overwrite=overwrite,
    ) as writer:
        for split in SPLITS:
            table = prepared.utterances(split)
            for row, frames in frames_of(source, table, max_recording_s, device):
                add(writer, table, row, split, frames)
                samples += int(table.n_samples[row])
                counts[split] = counts.get(split, 0) + 1
                if counts[split] % POOL == 0 or counts[split] == len(table):
                    progress(f"{split:<12}{counts[split]:,} of {len(table):,} recordings")
        for line in prepared.refused:
            writer.refuse(line["path"], line["reason"])
    hours = samples / prepared.sample_rate / 3600
    n = sum(counts.values())
    return Extracted(folder, n, hours, time.monotonic() - started, front_end.n_features, counts)


def add(writer: FrameWriter, table: UtteranceTable, row: int, split: str, frames: NDArray[np.float32]) -> None:
    """Add a recording with all its labels."""
    a, b = int(table.phone_offset[row]), int(table.phone_offset[row + 1])
    phones = [
        (table.phones[int(table.phone_label[i])], float(table.phone_start_s[i]), float(table.phone_end_s[i]))
        for i in range(a, b)
    ]
    writer.add(
        frames,
        id=table.id(row),
        split=split,
        recording=table.recording(row),
        speaker=table.speaker_name(row),
        word=table.word_name(row),
        text=table.text(row),
        sentence=table.sentence(row),
        session=table.session(row),
        phones=phones,
        duration_s=float(table.durations_s[row]),
    )
