"""Batches with a fixed frame budget and nothing to classify, for pre-training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from phonaut.checks import refuse
from phonaut.data.batches import SpeechDataset
from phonaut.data.datamodule import CorpusData
from phonaut.data.draws import nth_key
from phonaut.data.sampler import FrameSampler
from phonaut.data.spans import Spans
from phonaut.data.windows import windows_of

if TYPE_CHECKING:
    from phonaut.data.prepared import PreparedCorpus, UtteranceTable


def without_spans(table: UtteranceTable, max_recording_s: float) -> SpeechDataset:
    """All utterances of a table, nothing in them to classify; longer ones in parts."""
    nothing = np.zeros(0)
    spans = Spans(np.zeros(len(table) + 1, np.int64), nothing, nothing, np.zeros(0, np.int64))
    windows = windows_of(
        table.n_samples, spans, sample_rate=table.sample_rate, max_recording_s=max_recording_s, margin_s=0.0
    )
    return SpeechDataset(table, spans, windows)


class UnlabelledData(CorpusData):
    """A prepared corpus as batches of recordings; longer ones are read in parts.

    Args:
        prepared: the corpus; its splits are `train` and `validation`.
        frame_samples: from one frame to the next, which is what `batch_frames` counts.
        batch_frames: in a batch, over all processes.
        seed: of the run.
        weights: how often the recordings of a corpus come in an epoch, by what stands before the slash of their ids.
        n_workers: processes that read audio.
        max_recording_s: the longest that is read in one go.

    Raises:
        ValueError: a number is out of range, or a split is empty.
    """

    def __init__(
        self,
        prepared: PreparedCorpus,
        *,
        frame_samples: int,
        batch_frames: int,
        seed: int,
        weights: Mapping[str, float] | None = None,
        n_workers: int = 0,
        max_recording_s: float = 30.0,
    ) -> None:
        refuse(self.problems(batch_frames=batch_frames, n_workers=n_workers, max_recording_s=max_recording_s))
        super().__init__(prepared, seed=seed, n_workers=n_workers, max_recording_s=max_recording_s)
        self.frame_samples, self.batch_frames, self.weights = frame_samples, batch_frames, dict(weights or {})
        for split in ("train", "validation"):
            if not len(prepared.utterances(split)):
                raise ValueError(f"{prepared.name} has no recordings in its {split} split")

    def read(self, split: str) -> SpeechDataset:
        """All recordings of a split."""
        return without_spans(self.prepared.utterances(split), self.max_recording_s)

    def n_frames(self, split: str) -> NDArray[np.int64]:
        """Approximate number of frames of each recording of a split."""
        windows = self.dataset(split).windows
        counts: NDArray[np.int64] = np.maximum((windows.stop - windows.start) // self.frame_samples, 1)
        return counts

    def weights_of(self, split: str) -> NDArray[np.float64]:
        """Occurrences of each recording of a split in an epoch; in validation, one."""
        windows, table = self.dataset(split).windows, self.prepared.utterances(split)
        if split != "train" or not self.weights:
            return np.ones(len(windows))
        by_row = [self.weights.get(table.id(row).partition("/")[0], 1.0) for row in range(len(table))]
        return np.array(by_row)[windows.row]

    def sampler(self, split: str, *, rank: int = 0, world_size: int = 1) -> FrameSampler:
        """The recordings that make up the batches of a split."""
        windows, table = self.dataset(split).windows, self.prepared.utterances(split)
        return FrameSampler(
            self.n_frames(split),
            self.batch_frames,
            self.seed,
            split == "train",
            weights=self.weights_of(split),
            keys=nth_key(table.key[windows.row], windows.part),
            rank=rank,
            world_size=world_size,
        )

    def utterances(self) -> Iterator[str]:
        """A line for each utterance: split and id."""
        for split in ("train", "validation"):
            table = self.prepared.utterances(split)
            yield from (f"{split} {table.id(row)}" for row in range(len(table)))
