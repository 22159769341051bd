"""Representations of a corpus, by the encoder or the front end of a run, as a folder of frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data.batches import SpeechDataset
from phonaut.data.frame_writer import FrameWriter
from phonaut.data.prepared import PreparedCorpus, UtteranceTable
from phonaut.data.unlabelled import without_spans
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.runs import encoders
from phonaut.runs.evaluation import device_of, load_model
from phonaut.runs.run import Run
from phonaut.tasks.pretraining import pretrains

SPLITS = ("train", "validation", "test")
POOL = 512  # recordings that are sorted by length together
AT_ONCE = 300_000  # samples in a batch, padding included
Front = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Extracted(NamedTuple):
    """What was written.

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


class Representations(NamedTuple):
    """What turns recordings into frames, and how these lie in time."""

    front: Front
    module: torch.nn.Module
    n_frames: Callable[[Tensor], Tensor]
    n_features: int
    sample_rate: float
    frame_shift_s: float
    frame_offset_s: float


def representations_of(run: Run, layer: str | int | None = None) -> Representations:
    """The frames that the model of a run is given: representations where there is an encoder, else normalised features.

    Args:
        run: of pre-training, or any other.
        layer: of a run of pre-training, `last` by default; another run has chosen.

    Raises:
        ValueError: the run has no weights, or no such layer.
    """
    if pretrains(run.config):
        if layer == "weighted":
            raise ValueError(
                f"layer=weighted needs weights that were trained: train a model with encoder.run={run.folder} "
                "encoder.mode=weighted, and extract from that run"
            )
        encoder = encoders.encoder_of(run.config, layer="last" if layer is None else layer)
        encoders.load(encoder, run.folder)
        return Representations(encoder.eval(), encoder, encoder.n_frames, *numbers(encoder))
    model = load_model(run)
    own = model.front_end.layer if isinstance(model.front_end, EncodedFrontEnd) else None
    if layer is not None and layer != own:
        has = f"gives layer={own}" if own is not None else "has no encoder"
        raise ValueError(f"layer={layer}: {run.folder} {has}; leave layer= out")
    return Representations(model.frames, model, model.front_end.n_frames, *numbers(model.front_end))


def numbers(front_end: torch.nn.Module) -> tuple[int, float, float, float]:
    """Features, sample rate, shift and offset of what a front end gives."""
    names = ("n_features", "sample_rate", "frame_shift_s", "frame_offset_s")
    n_features, sample_rate, shift_s, offset_s = (getattr(front_end, name) for name in names)
    return n_features, sample_rate, shift_s, offset_s


def extract(
    run: Run,
    prepared: PreparedCorpus,
    folder: Path,
    *,
    layer: str | int | None = None,
    overwrite: bool = False,
    max_recording_s: float = 30.0,
    tell: Callable[[str], None] = lambda text: None,
) -> Extracted:
    """Write the frames of all splits of a corpus, with its labels.

    Args:
        run: whose encoder or front end makes them.
        prepared: the corpus, at the sample rate of the run.
        folder: to write.
        layer: see `representations_of`.
        overwrite: replace a folder of frames that is there.
        max_recording_s: longer recordings are encoded in parts, as in training.
        tell: is told how far it is.

    Raises:
        ValueError: the run, the corpus or the folder does not fit.
    """
    made = representations_of(run, layer)
    if prepared.frames is not None:
        raise ValueError(f"{prepared.name} has frames already: extract begins with recordings")
    device = device_of(run.config.trainer.accelerator)
    made.module.to(device)
    started, samples = time.monotonic(), 0
    counts: dict[str, int] = {}
    what = f"{run.folder} layer={layer}" if layer is not None else str(run.folder)
    with FrameWriter(
        folder,
        n_features=made.n_features,
        frame_shift_s=made.frame_shift_s,
        frame_offset_s=made.frame_offset_s,
        made_from=f"{prepared.name} by {what}",
        overwrite=overwrite,
    ) as writer:
        for split in SPLITS:
            table = prepared.utterances(split)
            for row, frames in frames_of(made, table, max_recording_s, device):
                add(writer, table, row, split, frames)
                samples += int(table.n_samples[row])
                counts[split] = counts.get(split, 0) + 1
                if counts[split] % POOL == 0 or counts[split] == len(table):
                    tell(f"{split:<12}{counts[split]:,} of {len(table):,} recordings")
        for line in prepared.refused:
            writer.refuse(line["path"], line["reason"])
    hours = samples / prepared.sample_rate / 3600
    n = sum(counts.values())
    return Extracted(folder, n, hours, time.monotonic() - started, made.n_features, counts)


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


@torch.inference_mode()
def frames_of(
    made: Representations, table: UtteranceTable, max_recording_s: float, device: torch.device
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Row and frames `(T, D)` of every cut, in the order of the table; those of like length are computed together."""
    dataset = without_spans(table, max_recording_s)
    windows = dataset.windows
    row, parts = -1, list[tuple[float, NDArray[np.float32]]]()
    for first in range(0, len(windows), POOL):
        found = pool_of(made.front, dataset, np.arange(first, min(first + POOL, len(windows))), device)
        for number, frames in enumerate(found, first):
            if int(windows.row[number]) != row:
                if parts:
                    yield row, joined(made, parts, int(table.n_samples[row]))
                row, parts = int(windows.row[number]), []
            parts.append((int(windows.start[number]) / table.sample_rate, frames))
    if parts:
        yield row, joined(made, parts, int(table.n_samples[row]))


def joined(
    made: Representations, parts: Sequence[tuple[float, NDArray[np.float32]]], n_samples: int
) -> NDArray[np.float32]:
    """The frames of a recording from those of its parts: each where its time is, for parts have frames at both ends."""
    if len(parts) == 1:
        return parts[0][1]
    n = int(made.n_frames(torch.tensor([n_samples]))[0])
    whole = np.empty((n, made.n_features), np.float32)
    filled = 0
    for start_s, frames in parts:
        begin = min(round(start_s / made.frame_shift_s), filled)
        end = min(n, begin + len(frames))
        whole[begin:end] = frames[: end - begin]
        filled = end
    return whole[:filled]


def pool_of(
    front: Front, dataset: SpeechDataset, numbers: NDArray[np.int64], device: torch.device
) -> Sequence[NDArray[np.float32]]:
    """Frames of some windows, in their order."""
    samples = (dataset.windows.stop - dataset.windows.start)[numbers]
    order = np.argsort(-samples, kind="stable")
    found: list[NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(numbers)
    first = 0
    while first < len(order):
        n = max(1, AT_ONCE // max(1, int(samples[order[first]])))
        which = order[first : first + n]
        batch = dataset[numbers[which]].to(device)
        frames, lengths = front(batch.audio, batch.audio_lengths)
        on_cpu = frames.float().cpu().numpy()
        for place, own, length in zip(which.tolist(), on_cpu, lengths.tolist(), strict=True):
            found[place] = own[:length]
        first += n
    return found
