"""Representations of a corpus, by the encoder or the front end of a run, as a folder of frames."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from phonaut.data.frame_shards import FrameShards
from phonaut.data.frame_writer import FrameWriter
from phonaut.data.prepared import PreparedCorpus, UtteranceTable
from phonaut.data.utterance import SPLITS
from phonaut.peers import ALONE, Peers, see
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
    peers: Peers = ALONE,
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
        peers: the processes that each make a share of the frames; the first one puts them together.

    Raises:
        ValueError: the run, the corpus or the folder does not fit.
        OSError: another process is gone.
    """
    source = run.task.frames(run, layer)
    front_end = source.front_end
    if prepared.frames is not None:
        raise ValueError(f"{prepared.name} has frames already: extract begins with recordings")
    device = device_of(run.config.trainer)
    source.module.to(device)
    started = time.monotonic()
    tables = {split: prepared.utterances(split) for split in SPLITS}
    mine = shares({split: len(table) for split, table in tables.items()}, peers.n)[peers.rank]
    what = f"{run.folder} layer={layer}" if layer is not None else str(run.folder)
    made: dict[str, Any] = {
        "n_features": front_end.n_features,
        "frame_shift_s": front_end.frame_shift_s,
        "frame_offset_s": front_end.frame_offset_s,
        "made_from": f"{prepared.name} by {what}",
    }

    def write(writer: FrameWriter) -> None:
        for split, rows in mine.items():
            for row, frames in frames_of(source, tables[split], max_recording_s, device, rows):
                add(writer, tables[split], row, split, frames)
                if (n := row + 1 - rows.start) % POOL == 0 or n == len(rows):
                    progress(f"{split:<12}{n:,} of {len(rows):,} recordings")

    if peers.rank > 0:
        write_share(write, mine, made, prepared, peers)
    else:
        with FrameWriter(folder, **made, overwrite=overwrite) as writer:
            peers.say("begun", json.dumps([str(writer.temporary.absolute()), prepared.digests]))
            write(writer)
            for rank in range(1, peers.n):
                if share := peers.hear("written", rank):
                    see(Path(share).exists, share)
                    writer.take(FrameShards(Path(share)))
                    shutil.rmtree(share)
            for line in prepared.refused:
                writer.refuse(line["path"], line["reason"])
    counts = {split: len(table) for split, table in tables.items() if len(table)}
    hours = sum(int(table.n_samples.sum()) for table in tables.values()) / prepared.sample_rate / 3600
    seconds = time.monotonic() - started
    return Extracted(folder, sum(counts.values()), hours, seconds, front_end.n_features, counts)


def shares(n_rows: Mapping[str, int], n: int) -> list[dict[str, range]]:
    """The rows of each split for each of `n` processes: one after another, and none divides what is computed together.

    >>> shares({"train": 1200, "test": 3}, 2)
    [{'train': range(0, 1024)}, {'train': range(1024, 1200), 'test': range(0, 3)}]
    """
    pools = [(split, first) for split in n_rows for first in range(0, n_rows[split], POOL)]
    ends = [len(pools) * (k + 1) // n for k in range(n)]
    found = []
    for begin, end in zip([0, *ends], ends, strict=False):
        firsts = {split: [first for name, first in pools[begin:end] if name == split] for split in n_rows}
        found.append({split: range(of[0], min(of[-1] + POOL, n_rows[split])) for split, of in firsts.items() if of})
    return found


def write_share(
    write: Callable[[FrameWriter], None],
    mine: Mapping[str, range],
    made: Mapping[str, Any],
    prepared: PreparedCorpus,
    peers: Peers,
) -> None:
    """Write the share of a process that is not the first into the folder of the first one, which takes it from there.

    Raises:
        ValueError: this machine has another corpus, or another disk.
    """
    temporary, digests = json.loads(peers.hear("begun"))
    if digests != prepared.digests:
        raise ValueError(f"{prepared.name} is not what it is on the first machine: give every machine the same one")
    see(Path(temporary).exists, temporary)
    share = Path(temporary) / f"share-{peers.rank}"
    if mine:
        with FrameWriter(share, **made) as writer:
            write(writer)
    peers.say("written", str(share) if mine else "")


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
