"""Batches of a corpus: resumable in mid-epoch, divided among processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from phonaut.checks import below, refuse
from phonaut.data.batches import Batch, SpeechDataset
from phonaut.data.draws import uniform
from phonaut.data.sampler import BatchSampler, EpochSampler
from phonaut.data.spans import label_names, spans_of, target_problems
from phonaut.data.utterance import SPLITS
from phonaut.data.windows import GRID, windows_of

if TYPE_CHECKING:
    from phonaut.data.prepared import PreparedCorpus, UtteranceTable
    from phonaut.data.spans import Spans


class BatchLoader:
    """Batches of an epoch, from where the Trainer stands.

    Lightning asks for an iterator before it has restored from a checkpoint where it is, and workers would at once begin
    to read. So nothing happens before the first batch is wanted; only then is the Trainer asked for epoch and position.

    Args:
        dataset: gives the batches.
        sampler: chooses them.
        position: gives the current epoch, and how many of its batches are done.
        n_workers: processes that read; 0: this one.
        same_order: every epoch has the batches of epoch 0.
    """

    def __init__(
        self,
        dataset: SpeechDataset,
        sampler: EpochSampler,
        *,
        position: Callable[[], tuple[int, int]],
        n_workers: int = 0,
        same_order: bool = False,
    ) -> None:
        self.batch_sampler = sampler
        self.position = position
        self.same_order = same_order
        self.source = read_by_workers(dataset, sampler, n_workers) if n_workers else read_here(dataset, sampler)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[Batch]:
        epoch, n_done = self.position()
        self.batch_sampler.set_epoch(0 if self.same_order else epoch)
        self.batch_sampler.start = n_done
        for batch in self.source():
            batch.epoch = epoch
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Nothing, for the Trainer keeps epoch and position; that there is a state tells it that it may resume here."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """There is nothing to restore."""


def read_here(dataset: SpeechDataset, sampler: EpochSampler) -> Callable[[], Iterator[Batch]]:
    """Batches read in this process."""
    return lambda: map(dataset.__getitem__, sampler)


def read_by_workers(dataset: SpeechDataset, sampler: EpochSampler, n_workers: int) -> Callable[[], Iterator[Batch]]:
    """Batches read by processes of their own, which live for an epoch.

    Kept for longer, they would be left to the garbage collector, which waits five seconds for each.
    """
    loader: DataLoader[Any] = DataLoader(
        dataset,  # type: ignore[arg-type]  # indexed by arrays of rows, not by single ones
        batch_size=None,
        sampler=sampler,
        num_workers=n_workers,
        collate_fn=as_it_is,
        generator=torch.Generator(),  # else it would draw from the generator that dropout draws from
    )
    return lambda: iter(loader)


def as_it_is(batch: Any) -> Any:
    """A batch comes collated."""
    return batch


class CorpusData:
    """A prepared corpus as batches; a subclass says of what.

    Args:
        prepared: the corpus.
        seed: of the run.
        n_workers: processes that read audio; 0 is fastest for decoded audio, which is all there is.
        max_recording_s: longer recordings are read in parts.

    Attributes:
        refused: recordings that were left out, `{"path", "reason"}`.
        whole_epochs: an epoch is one step of a training loop that has the data already: EM.
    """

    def __init__(self, prepared: PreparedCorpus, *, seed: int, n_workers: int, max_recording_s: float) -> None:
        self.prepared, self.seed = prepared, seed
        self.n_workers, self.max_recording_s = n_workers, max_recording_s
        self.refused: list[dict[str, str]] = []
        self.whole_epochs = False
        self.datasets: dict[str, SpeechDataset] = {}

    @classmethod
    def problems(cls, *, n_workers: int = 0, max_recording_s: float = 30.0, **options: Any) -> list[str]:
        """All problems of the options, as sentences; the constructor raises them."""
        problems = below(1, **{key: value for key, value in options.items() if key in ("batch_size", "batch_frames")})
        problems += below(0, n_workers=n_workers)
        if not max_recording_s > 0:
            problems.append(f"max_recording_s must be > 0, got {max_recording_s}")
        return problems

    @property
    def notes(self) -> list[str]:
        """Sentences that a reader of the figures must know: the corpus's notes."""
        return self.prepared.notes

    def dataset(self, split: str) -> SpeechDataset:
        """The source of the batches of a split."""
        if split not in self.datasets:
            self.datasets[split] = self.read(split)
        return self.datasets[split]

    def read(self, split: str) -> SpeechDataset:
        """Open a split."""
        raise NotImplementedError

    def sampler(self, split: str, *, rank: int = 0, world_size: int = 1) -> EpochSampler:
        """The recordings that make up the batches of a split."""
        raise NotImplementedError

    def batches(self, split: str) -> Iterator[Batch]:
        """All batches of a split, in this process."""
        return map(self.dataset(split).__getitem__, self.sampler(split))


class SpeechData(CorpusData):
    """A prepared corpus as batches of spans for one target.

    Training batches are shuffled by (seed, epoch); those of the other splits keep the order of the corpus, but for
    sorting by duration within a few batches.

    Args:
        prepared: the corpus.
        target: one of `TARGETS`.
        classes: what the labels count.
        batch_size: spans in a batch, over all processes.
        seed: of the run.
        n_workers: see `CorpusData`.
        max_recording_s: likewise; a longer span is refused.
        context_s: what a model sees of a recording before and after a span, seconds.
        limited: spans of other classes are left out of all splits; else they are kept, with the label -1.
        labels_pct: per cent of the training recordings whose labels are used, at least one recording; those of a
            smaller share are among those of a larger one.
        labels_each: recordings of each class and speaker whose labels are used in training; None: all.

    Attributes:
        n_left_out: spans of other classes that were left out, by split.
        generated: of training, segments that a model made: how, and how many of each class; none until there are some.

    Raises:
        ValueError: the target does not exist, a number is out of range, or all spans of the training split are refused.
    """

    def __init__(
        self,
        prepared: PreparedCorpus,
        *,
        target: str,
        classes: Sequence[str],
        batch_size: int,
        seed: int,
        n_workers: int = 0,
        max_recording_s: float = 30.0,
        context_s: float = 0.0,
        limited: bool = False,
        labels_pct: float = 100.0,
        labels_each: int | None = None,
    ) -> None:
        refuse(
            self.problems(
                target=target,
                batch_size=batch_size,
                n_workers=n_workers,
                max_recording_s=max_recording_s,
                context_s=context_s,
                labels_pct=labels_pct,
                labels_each=labels_each,
            )
        )
        super().__init__(prepared, seed=seed, n_workers=n_workers, max_recording_s=max_recording_s)
        self.target, self.classes, self.batch_size = target, list(classes), batch_size
        self.context_s, self.limited = context_s, limited
        self.labels_pct, self.labels_each = labels_pct, labels_each
        self.n_left_out: dict[str, int] = {}
        self.generated: dict[str, Any] = {}
        self.spans: dict[str, Spans] = {}
        self.known: dict[str, NDArray[np.bool_]] = {}  # which spans of the table these are
        for split in SPLITS:
            self.read_spans(split)
        n_spans = len(self.spans["train"].label)
        if len(prepared.utterances("train")) and not n_spans:
            raise ValueError(
                f"nothing is left to train on: {self.refused[0]['reason'] if self.refused else 'no spans'}"
            )

    @classmethod
    def problems(
        cls,
        *,
        target: str = "keyword",
        context_s: float = 0.0,
        labels_pct: float = 100.0,
        labels_each: int | None = None,
        **options: Any,
    ) -> list[str]:
        """All problems of the options, as sentences; the constructor raises them."""
        problems = [*target_problems(target), *super().problems(**options)]
        if not 0 < labels_pct <= 100:
            problems.append(f"labels_pct must be > 0 and <= 100, got {labels_pct}")
        if labels_each is not None:
            problems += below(1, labels_each=labels_each)
        if not context_s >= 0:
            problems.append(f"context_s must be >= 0, got {context_s}")
        return problems

    def read_spans(self, split: str) -> None:
        """The spans of a split; too long ones are refused, and those of other classes left out where that is asked."""
        table = self.prepared.utterances(split)
        spans = spans_of(table, self.target, self.classes)
        other = (spans.label < 0) & self.limited
        self.n_left_out[split] = int(other.sum())
        too_long = (spans.end_s - spans.start_s > self.max_recording_s) & ~other
        for row, seconds in zip(spans.row[too_long], (spans.end_s - spans.start_s)[too_long], strict=True):
            reason = f"{seconds:.1f} s to classify at once; max_recording_s={self.max_recording_s:g} is the limit"
            self.refused.append({"path": table.recording(row), "reason": reason})
        used = ~(too_long | other)
        if split == "train":
            used &= self.labelled(table, spans)
        self.spans[split] = spans if used.all() else spans.select(used)
        self.known[split] = used

    def labelled(self, table: UtteranceTable, spans: Spans) -> NDArray[np.bool_]:
        """The spans of the training split that keep their label; recordings are drawn by ids, whatever the seed."""
        draw = uniform(table.key, seed=0, epoch=0, stream="labels")[:, 0]
        rows, used = spans.row, np.ones(len(spans.label), dtype=np.bool_)
        if self.labels_pct < 100:
            there = np.unique(rows)
            n_used = max(1, round(self.labels_pct / 100 * len(there)))
            used &= np.isin(rows, there[np.argsort(draw[there], kind="stable")[:n_used]])
        if self.labels_each is not None:
            # Sort spans by class, speaker and draw of their recording; count within each run of equal class and
            # speaker (`nth`), and drop those beyond the limit.
            order = np.lexsort((draw[rows], table.speaker[rows], spans.label))
            same = np.stack([spans.label, table.speaker[rows]])[:, order]
            first = np.r_[True, (same[:, 1:] != same[:, :-1]).any(axis=0)] if len(order) else np.zeros(0, np.bool_)
            begin = np.flatnonzero(first)
            nth = np.arange(len(order)) - np.repeat(begin, np.diff(np.r_[begin, len(order)]))
            used[order[nth >= self.labels_each]] = False
        return used

    @property
    def notes(self) -> list[str]:
        """The corpus's notes; limits to few labels or to some classes stand in the first."""
        notes = self.prepared.notes
        if self.labels_pct < 100 or self.labels_each is not None:
            share = f"labels_pct={self.labels_pct:g}, labels_each={self.labels_each}"
            n = f"{len(self.spans['train'].label):,} spans of {len(np.unique(self.spans['train'].row)):,} recordings"
            about = f"trained on few labels ({share}): {n}"
            notes = [f"{notes[0]}; {about}" if notes else about, *notes[1:]]
        if self.generated:
            n_made = sum(self.generated["segments"].values())
            how = f"trained on {n_made:,} generated segments beside {len(self.spans['train'].label):,} recorded ones"
            about = f"{how} ({self.generated['how']}, {self.generated['run']})"
            notes = [f"{notes[0]}; {about}" if notes else about, *notes[1:]]
        if not self.limited:
            return notes
        totals = {split: n + len(self.spans[split].label) for split, n in self.n_left_out.items()}
        counts = [f"{self.n_left_out[split]:,} of {total:,} in {split}" for split, total in totals.items() if total]
        names = f"{len(self.classes)} classes, {', '.join(self.classes)}"
        limit = f"limited to {names}; spans of others are left out: {', '.join(counts)}"
        return [f"{notes[0]}; {limit}" if notes else limit, *notes[1:]]

    def label_names(self, split: str) -> list[str]:
        """The true label of every span as text, known to a model or not, in the order of the corpus."""
        names = label_names(self.prepared.utterances(split), self.target)
        return [name for name, known in zip(names, self.known[split], strict=True) if known]

    def read(self, split: str) -> SpeechDataset:
        """The windows of a split that hold spans."""
        table, spans = self.prepared.utterances(split), self.spans[split]
        spans = spans.widened(self.context_s, table.durations_s)
        rate, clip_s, longest_s = self.prepared.sample_rate, self.prepared.clip_s, self.max_recording_s
        frames = self.prepared.frames
        windows = windows_of(
            table.n_samples, spans, sample_rate=rate, max_recording_s=longest_s, grid=1 if frames else GRID
        ).with_spans()
        clip_samples = round(clip_s * rate) if clip_s is not None and clip_s <= longest_s else None
        n_features = frames.n_features if frames else None
        return SpeechDataset(table, spans, windows, clip_samples=clip_samples, n_features=n_features)

    def sampler(self, split: str, *, rank: int = 0, world_size: int = 1) -> BatchSampler:
        """The recordings that make up the batches of a split."""
        windows = self.dataset(split).windows
        durations = windows.stop - windows.start
        shuffle = split == "train"
        return BatchSampler(windows.n_spans, durations, self.batch_size, self.seed, shuffle, rank, world_size)
