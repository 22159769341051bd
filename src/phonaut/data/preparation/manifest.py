"""From the list of decoded utterances to tables and lhotse manifests, without audio that would be in two splits."""

from __future__ import annotations

import gzip
import itertools
import json
import pickle
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phonaut.data.columns import TableWriter
from phonaut.data.draws import hash_of
from phonaut.data.preparation.clip_window import Placement
from phonaut.data.prepared import PHONE_COLUMNS, UTTERANCE_COLUMNS
from phonaut.data.utterance import NOISE_SPLITS, SILENCE, SPLITS, DividedCorpus, Utterance
from phonaut.files import naming
from phonaut.names import printable

Codes: TypeAlias = dict[str, dict[str | None, int]]  # of labels, by kind and name
# The same audio in two splits stays in the first of these; noise is nobody's test.
PRECEDENCE = ("test", "validation", "train")
NOWHERE_ELSE = 0  # in place of a hash: audio that may be in any number of splits


class Labels:
    """Names of all labels, and the split that each piece of audio may stay in. Some 30 bytes an utterance."""

    def __init__(self, spool: Path) -> None:
        self.words: set[str] = set()
        self.training_words: set[str] = set()
        self.speakers: set[str] = set()
        self.phones: set[str] = set()
        ids, contents, ranks = array("Q"), array("Q"), array("B")
        for utterance, placement in read_spool(spool):
            is_noise = utterance.split in NOISE_SPLITS
            ids.append(hash_of(utterance.id))
            contents.append(hash_of(placement.content) if placement.content and not is_noise else NOWHERE_ELSE)
            ranks.append(PRECEDENCE.index("train" if is_noise else utterance.split))
            if is_noise:
                continue
            if utterance.speaker:
                self.speakers.add(utterance.speaker)
            if utterance.word is not None:
                self.words.add(utterance.word)
                if utterance.split == "train":
                    self.training_words.add(utterance.word)
            self.phones.update(phone.label for phone in utterance.phones)
        self.rank = np.frombuffer(ranks, dtype=np.uint8)
        self.home = home_of(np.frombuffer(contents, dtype=np.uint64), self.rank)
        self.repeated = first_repeated(np.frombuffer(ids, dtype=np.uint64))

    def elsewhere(self, row: int) -> str | None:
        """The split that holds the same audio as an utterance and keeps it, if it is another one."""
        return PRECEDENCE[self.home[row]] if self.home[row] != self.rank[row] else None

    def ordered_words(self, corpus: DividedCorpus) -> list[str]:
        """The keyword labels in the corpus's order; those that training lacks come last."""
        fixed = corpus.words()
        first = fixed if fixed is not None else sorted(self.training_words)
        return [*first, *sorted(self.words - set(first))]


def home_of(content: NDArray[np.uint64], rank: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The least rank among the utterances of the same content, for each; the same rank where nothing can be compared.

    >>> home_of(np.array([7, 8, 7, 0, 0], np.uint64), np.array([2, 2, 1, 2, 0], np.uint8))
    array([1, 2, 1, 2, 0], dtype=uint8)
    """
    if not len(content):
        return rank
    # Sorted by content, then rank, each run of equal content begins with its least rank. `cumsum(is_first) - 1` is the
    # number of the run that a sorted row is in, and `order` takes it back to the row.
    order = np.lexsort((rank, content))
    ordered = content[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    home = np.empty_like(rank)
    home[order] = rank[order][is_first][np.cumsum(is_first) - 1]
    return np.where(content == NOWHERE_ELSE, rank, home)


def first_repeated(ids: NDArray[np.uint64]) -> int | None:
    """The first row whose id an earlier row has, if there is one.

    >>> first_repeated(np.array([5, 3, 5, 3], np.uint64))
    2
    """
    # A stable order leaves equal ids by row, so that all but the first of them follow their equal.
    order = np.argsort(ids, kind="stable")
    again = order[1:][ids[order[1:]] == ids[order[:-1]]]
    return int(again.min()) if len(again) else None


def write_tables(
    spool: Path, folder: Path, corpus: DividedCorpus, refuse: Callable[[Utterance, str], None], sample_rate: float
) -> dict[str, Any]:
    """Write a table and a manifest for each split that has utterances.

    Args:
        spool: the list of utterances and their placements.
        folder: that tables and manifests go to.
        corpus: its words give the order of the keyword labels.
        refuse: called with each utterance that another split keeps, and the reason.
        sample_rate: of the samples that the list counts, Hz.

    Returns:
        Labels and counts for the summary.

    Raises:
        ValueError: an id occurs twice.
    """
    labels = Labels(spool)
    if labels.repeated is not None:
        repeated, _ = next(itertools.islice(read_spool(spool), labels.repeated, None))
        raise ValueError(f"{corpus.name}: the id {repeated.id} occurs twice; ids must be unique")
    words, speakers, phones = labels.ordered_words(corpus), sorted(labels.speakers), sorted(labels.phones)
    names = {"word": words, "speaker": speakers, "phone": phones}
    codes: Codes = {kind: {name: code for code, name in enumerate(of_kind)} for kind, of_kind in names.items()}
    fits: Counter[str] = Counter()
    with ExitStack() as stack:
        writers: dict[str, SplitWriter] = {}
        for row, (utterance, placement) in enumerate(read_spool(spool)):
            home = labels.elsewhere(row)
            if home is not None:
                refuse(utterance, f"the same audio is in the {home} split, which keeps it")
                continue
            split = str(utterance.split)
            if split not in writers:
                writers[split] = SplitWriter(stack, folder, split, codes)
            writers[split].write(utterance, placement, sample_rate)
            fits[placement.fit] += 1
    splits = {split: writers[split].counted(sample_rate) for split in (*SPLITS, *NOISE_SPLITS) if split in writers}
    fitted = {"padded": fits["padded"], "loudest": fits["loudest"]}
    return {"words": words, "speakers": speakers, "phones": phones, "splits": splits, "fitted": fitted}


class SplitWriter:
    """The table and the manifest of one split."""

    def __init__(self, stack: ExitStack, folder: Path, split: str, codes: Codes) -> None:
        self.codes, self.is_speech = codes, split not in NOISE_SPLITS
        self.utterances = stack.enter_context(TableWriter(folder / f"cuts.{split}", UTTERANCE_COLUMNS))
        self.phones = stack.enter_context(TableWriter(folder / f"cuts.{split}" / "phones", PHONE_COLUMNS))
        self.n_phones = self.n_utterances = self.n_samples = 0
        self.n_of_word: Counter[str] = Counter()
        self.speakers: set[str] = set()
        # Without the time of writing in its head, the same corpus gives the same bytes.
        self.path = folder / f"cuts.{split}.jsonl.gz"
        raw = stack.enter_context(self.path.open("wb"))
        with naming(self.path):
            self.manifest = gzip.GzipFile("", "wb", 3, raw, mtime=0)
        stack.callback(self.close)

    def write(self, utterance: Utterance, placement: Placement, sample_rate: float) -> None:
        """Add an utterance."""
        for phone in utterance.phones:
            self.phones.append(label=self.codes["phone"][phone.label], start_s=phone.start_s, end_s=phone.end_s)
        self.n_phones += len(utterance.phones)
        self.utterances.append(
            id=utterance.id,
            text=utterance.text or "",
            key=hash_of(utterance.id),
            recording=placement.recording,
            start=placement.start,
            valid=placement.valid,
            before=placement.before,
            n_samples=placement.n_samples,
            word=self.codes["word"].get(utterance.word, -1),
            speaker=self.codes["speaker"].get(utterance.speaker, -1),
            sentence=utterance.sentence or "",
            session=utterance.session or "",
            phone_end=self.n_phones,
        )
        if placement.source:
            cut = lhotse_cut(utterance, placement.source, placement.before / sample_rate)
            with naming(self.path):
                self.manifest.write((json.dumps(cut, ensure_ascii=False) + "\n").encode("utf-8"))
        self.n_utterances += 1
        self.n_samples += placement.n_samples
        if utterance.speaker and utterance.word != SILENCE and self.is_speech:
            self.speakers.add(utterance.speaker)
        if utterance.word is not None:
            self.n_of_word[utterance.word] += 1

    def close(self) -> None:
        """Write what is left of the manifest."""
        with naming(self.path):
            self.manifest.close()

    def counted(self, sample_rate: float) -> dict[str, Any]:
        """Counts for the summary."""
        hours = round(self.n_samples / sample_rate / 3600, 4)
        words = dict(sorted(self.n_of_word.items()))
        return {"cuts": self.n_utterances, "speakers": len(self.speakers), "hours": hours, "words": words}


def lhotse_cut(utterance: Utterance, source: tuple[int, int, int], before_s: float) -> dict[str, Any]:
    """An utterance as lhotse's MonoCut, in the times of the user's recording: without the padding of a short clip.

    Where all channels are mixed it names the first, for a MonoCut has one.

    Args:
        utterance: with its times in the recording.
        source: `(Hz, samples, channels)` of the recording.
        before_s: length of the padding from which phones count.
    """
    source_rate, n_source, n_channels = source
    path, start_s = printable(utterance.path), utterance.start_s
    duration_s = min(utterance.duration_s or 0.0, n_source / source_rate - start_s)
    labels = {"word": utterance.word, "sentence": utterance.sentence, "session": utterance.session}
    supervision: dict[str, Any] = {
        "id": utterance.id,
        "recording_id": path,
        "start": 0.0,
        "duration": duration_s,
        "channel": utterance.channel or 0,
        "text": utterance.text or "",
        "speaker": utterance.speaker,
        "custom": {name: label for name, label in labels.items() if label},
    }
    if utterance.phones:
        supervision["alignment"] = {
            "phone": [
                [phone.label, round(phone.start_s - before_s, 6), round(phone.end_s - phone.start_s, 6), None]
                for phone in utterance.phones
            ]
        }
    return {
        "id": utterance.id,
        "start": start_s,
        "duration": duration_s,
        "channel": utterance.channel or 0,
        "supervisions": [supervision],
        "recording": {
            "id": path,
            "sources": [{"type": "file", "channels": list(range(n_channels)), "source": path}],
            "sampling_rate": source_rate,
            "num_samples": n_source,
            "duration": n_source / source_rate,
            "channel_ids": list(range(n_channels)),
        },
        "custom": {"split": utterance.split},
        "type": "MonoCut",
    }


def read_spool(path: Path) -> Iterator[tuple[Utterance, Placement]]:
    """The list of utterances and their placements, one at a time."""
    with path.open("rb") as file, suppress(EOFError):
        while True:
            yield pickle.load(file)
