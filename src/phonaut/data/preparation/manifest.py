"""From the list of decoded cuts to tables and lhotse manifests, without cuts that would be in two splits."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.data.columns import TableWriter
from phonaut.data.prepared import PHONE_COLUMNS, UTTERANCE_COLUMNS
from phonaut.data.utterance import NOISE_SPLITS, SPLITS, DividedCorpus

# The same audio in two splits stays in the first of these; noise is nobody's test.
PRECEDENCE = ("test", "validation", "train")
NOWHERE_ELSE = 0  # in place of a hash: audio that may be in any number of splits


class Labels:
    """Names of all labels, and the split that each piece of audio may stay in. Some 30 bytes a cut."""

    def __init__(self, spool: Path) -> None:
        self.words: set[str] = set()
        self.training_words: set[str] = set()
        self.speakers: set[str] = set()
        self.phones: set[str] = set()
        ids, contents, ranks = array("Q"), array("Q"), array("B")
        for cut in lines(spool):
            is_noise = cut["split"] in NOISE_SPLITS
            ids.append(hash_of(cut["id"]))
            contents.append(hash_of(cut["content"]) if cut["content"] and not is_noise else NOWHERE_ELSE)
            ranks.append(PRECEDENCE.index("train" if is_noise else cut["split"]))
            if is_noise:
                continue
            if cut["speaker"]:
                self.speakers.add(cut["speaker"])
            if cut["word"] is not None:
                self.words.add(cut["word"])
                if cut["split"] == "train":
                    self.training_words.add(cut["word"])
            self.phones.update(phone[0] for phone in cut["phones"])
        self.rank = np.frombuffer(ranks, dtype=np.uint8)
        self.home = home_of(np.frombuffer(contents, dtype=np.uint64), self.rank)
        self.twice = first_repeated(np.frombuffer(ids, dtype=np.uint64))

    def elsewhere(self, row: int) -> str | None:
        """The split that holds the same audio as a cut and keeps it, if it is another one."""
        return PRECEDENCE[self.home[row]] if self.home[row] != self.rank[row] else None

    def ordered_words(self, corpus: DividedCorpus) -> list[str]:
        """The keyword labels in the corpus's order; those that training lacks come last."""
        fixed = corpus.words()
        first = fixed if fixed is not None else sorted(self.training_words)
        return [*first, *sorted(self.words - set(first))]


def home_of(content: NDArray[np.uint64], rank: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The least rank among the cuts of the same content, for each cut; its own where there is nothing to compare.

    >>> home_of(np.array([7, 8, 7, 0, 0], np.uint64), np.array([2, 2, 1, 2, 0], np.uint8))
    array([1, 2, 1, 2, 0], dtype=uint8)
    """
    if not len(content):
        return rank
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
    order = np.argsort(ids, kind="stable")
    again = order[1:][ids[order[1:]] == ids[order[:-1]]]
    return int(again.min()) if len(again) else None


def write_cuts(
    spool: Path, folder: Path, corpus: DividedCorpus, refuse: Callable[..., None], sample_rate: float
) -> dict[str, Any]:
    """Write a table and a manifest for each split that has cuts.

    Args:
        spool: the list of fitted cuts.
        folder: that tables and manifests go to.
        corpus: its words give the order of the keyword labels.
        refuse: called with the cut, its split and the reason for each that another split keeps.
        sample_rate: of the samples that the list counts, Hz.

    Returns:
        Labels and counts for the summary.

    Raises:
        ValueError: an id occurs twice.
    """
    labels = Labels(spool)
    if labels.twice is not None:
        twice = next(itertools.islice(lines(spool), labels.twice, None))["id"]
        raise ValueError(f"{corpus.name}: the id {twice} occurs twice; ids must be unique")
    words, speakers, phones = labels.ordered_words(corpus), sorted(labels.speakers), sorted(labels.phones)
    names = {"word": words, "speaker": speakers, "phone": phones}
    codes = {kind: {name: code for code, name in enumerate(of_kind)} for kind, of_kind in names.items()}
    fits: Counter[str] = Counter()
    with ExitStack() as stack:
        writers: dict[str, SplitWriter] = {}
        for row, cut in enumerate(lines(spool)):
            home = labels.elsewhere(row)
            if home is not None:
                refuse(cut, cut["split"], f"the same audio is in the {home} split, which keeps it")
                continue
            if cut["split"] not in writers:
                writers[cut["split"]] = SplitWriter(stack, folder, cut["split"], codes)
            writers[cut["split"]].write(cut, sample_rate)
            fits[cut["fit"]] += 1
    splits = {split: writers[split].counted(sample_rate) for split in (*SPLITS, *NOISE_SPLITS) if split in writers}
    fitted = {"padded": fits["padded"], "loudest": fits["loudest"]}
    return {"words": words, "speakers": speakers, "phones": phones, "splits": splits, "fitted": fitted}


class SplitWriter:
    """The table and the manifest of one split."""

    def __init__(self, stack: ExitStack, folder: Path, split: str, codes: dict[str, dict[str, int]]) -> None:
        self.codes = codes
        self.cuts = stack.enter_context(TableWriter(folder / f"cuts.{split}", UTTERANCE_COLUMNS))
        self.phones = stack.enter_context(TableWriter(folder / f"cuts.{split}" / "phones", PHONE_COLUMNS))
        self.n_phones = self.n_cuts = self.n_samples = 0
        self.n_of_word: Counter[str] = Counter()
        self.speakers: set[str] = set()
        # Without the time of writing in its head, the same corpus gives the same bytes.
        raw = stack.enter_context((folder / f"cuts.{split}.jsonl.gz").open("wb"))
        self.manifest = stack.enter_context(gzip.GzipFile("", "wb", 3, raw, mtime=0))

    def write(self, cut: dict[str, Any], sample_rate: float) -> None:
        """Add a cut."""
        for label, start_s, end_s in cut["phones"]:
            self.phones.append(label=self.codes["phone"][label], start_s=start_s, end_s=end_s)
        self.n_phones += len(cut["phones"])
        self.cuts.append(
            id=cut["id"],
            text=cut["text"],
            key=hash_of(cut["id"]),
            recording=cut["recording"],
            start=cut["start"],
            valid=cut["valid"],
            before=cut["before"],
            n_samples=cut["n_samples"],
            word=self.codes["word"].get(cut["word"], -1),
            speaker=self.codes["speaker"].get(cut["speaker"], -1),
            sentence=cut["sentence"],
            session=cut["session"],
            phone_end=self.n_phones,
        )
        if cut["source"]:  # frames have no recording that could be read
            self.manifest.write((json.dumps(lhotse_cut(cut, sample_rate), ensure_ascii=False) + "\n").encode("utf-8"))
        self.n_cuts += 1
        self.n_samples += cut["n_samples"]
        if cut["speaker"]:
            self.speakers.add(cut["speaker"])
        if cut["word"] is not None:
            self.n_of_word[cut["word"]] += 1

    def counted(self, sample_rate: float) -> dict[str, Any]:
        """Counts for the summary."""
        hours = round(self.n_samples / sample_rate / 3600, 4)
        words = dict(sorted(self.n_of_word.items()))
        return {"cuts": self.n_cuts, "speakers": len(self.speakers), "hours": hours, "words": words}


def lhotse_cut(cut: dict[str, Any], sample_rate: float) -> dict[str, Any]:
    """A cut as lhotse's MonoCut, in the times of the user's own recording: without the padding of a short clip.

    Of several channels it names the first, for a MonoCut has one; the tables hold the mix of all.
    """
    source_rate, n_source, n_channels = cut["source"]
    start_s, duration_s, moved_s = cut["start"] / sample_rate, cut["valid"] / sample_rate, cut["before"] / sample_rate
    duration_s = min(duration_s, n_source / source_rate - start_s)
    labels = {name: cut[name] for name in ("word", "sentence", "session") if cut[name]}
    supervision: dict[str, Any] = {
        "id": cut["id"],
        "recording_id": cut["path"],
        "start": 0.0,
        "duration": duration_s,
        "channel": 0,
        "text": cut["text"],
        "speaker": cut["speaker"],
        "custom": labels,
    }
    if cut["phones"]:
        times = [(label, round(start - moved_s, 6), round(end - start, 6)) for label, start, end in cut["phones"]]
        supervision["alignment"] = {"phone": [[label, start, duration, None] for label, start, duration in times]}
    return {
        "id": cut["id"],
        "start": start_s,
        "duration": duration_s,
        "channel": 0,
        "supervisions": [supervision],
        "recording": {
            "id": cut["path"],
            "sources": [{"type": "file", "channels": list(range(n_channels)), "source": cut["path"]}],
            "sampling_rate": source_rate,
            "num_samples": n_source,
            "duration": n_source / source_rate,
            "channel_ids": list(range(n_channels)),
        },
        "custom": {"split": cut["split"]},
        "type": "MonoCut",
    }


def lines(spool: Path) -> Iterator[dict[str, Any]]:
    """The list, a cut at a time."""
    with spool.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def hash_of(text: str) -> int:
    """64 bits that are the same on every machine.

    >>> hash_of("bed/0_nohash_0")
    17712680856301673444
    """
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "little")
