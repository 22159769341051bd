"""From the list of decoded cuts to tables and lhotse manifests, without cuts that would be in two splits."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from phonaut.corpora.base import NOISE_SPLITS, SPLITS, Corpus
from phonaut.data.columns import TableWriter
from phonaut.data.prepared import CUT_COLUMNS, PHONE_COLUMNS

# The same audio in two splits stays in the first of these; noise is nobody's test.
PRECEDENCE = ("test", "validation", "train")


class Labels:
    """What the list holds: names, and where each piece of audio may stay. Some bytes a cut."""

    def __init__(self, spool: Path) -> None:
        self.words: set[str] = set()
        self.training_words: set[str] = set()
        self.speakers: set[str] = set()
        self.phones: set[str] = set()
        self.home: dict[int, int] = {}  # hash of the audio -> split of the greatest precedence
        self.twice: str | None = None
        seen: set[int] = set()
        for cut in lines(spool):
            if (key := hash_of(cut["id"])) in seen:
                self.twice = cut["id"]
            seen.add(key)
            if cut["split"] in NOISE_SPLITS:
                continue
            self.speakers.add(cut["speaker"])
            if cut["word"] is not None:
                self.words.add(cut["word"])
                if cut["split"] == "train":
                    self.training_words.add(cut["word"])
            self.phones.update(phone[0] for phone in cut["phones"])
            if cut["content"]:
                rank = PRECEDENCE.index(cut["split"])
                audio = hash_of(cut["content"])
                self.home[audio] = min(rank, self.home.get(audio, rank))

    def elsewhere(self, cut: dict[str, Any]) -> str | None:
        """The split that holds the same audio and keeps it, if it is another one."""
        if not cut["content"] or cut["split"] in NOISE_SPLITS:
            return None
        home = PRECEDENCE[self.home[hash_of(cut["content"])]]
        return home if home != cut["split"] else None

    def ordered_words(self, corpus: Corpus) -> list[str]:
        """The keyword labels in the corpus's order; those that training lacks come last."""
        fixed = corpus.words()
        first = fixed if fixed is not None else sorted(self.training_words)
        return [*first, *sorted(self.words - set(first))]


def write_cuts(spool: Path, folder: Path, corpus: Corpus, refused: TextIO, sample_rate: int) -> dict[str, Any]:
    """Write a table and a manifest per split.

    Returns:
        Labels and counts for the summary.

    Raises:
        ValueError: an id occurs twice.
    """
    labels = Labels(spool)
    if labels.twice is not None:
        raise ValueError(f"{corpus.name}: the id {labels.twice} occurs twice; ids must be unique")
    words, speakers, phones = labels.ordered_words(corpus), sorted(labels.speakers), sorted(labels.phones)
    codes = {
        "word": {name: code for code, name in enumerate(words)},
        "speaker": {name: code for code, name in enumerate(speakers)},
        "phone": {name: code for code, name in enumerate(phones)},
    }
    counts: dict[str, Counter[str]] = {}
    words_of: dict[str, Counter[str]] = {}
    speakers_of: dict[str, set[str]] = {}
    with ExitStack() as stack:
        writers = {split: SplitWriter(stack, folder, split, codes) for split in (*SPLITS, *NOISE_SPLITS, "none")}
        for cut in lines(spool):
            split = cut["split"]
            home = labels.elsewhere(cut)
            if home is not None:
                reason = f"the same audio is in the {home} split, which keeps it"
                line = {"path": cut["path"], "reason": reason, "cut": cut["id"]}
                refused.write(json.dumps(line, ensure_ascii=False) + "\n")
                continue
            writers[split].write(cut, sample_rate)
            count = counts.setdefault(split, Counter())
            count["cuts"] += 1
            count["samples"] += cut["n_samples"]
            speakers_of.setdefault(split, set()).add(cut["speaker"])
            if cut["word"] is not None:
                words_of.setdefault(split, Counter())[cut["word"]] += 1
    splits = {
        split: {
            "cuts": counts[split]["cuts"],
            "speakers": len(speakers_of[split]),
            "hours": round(counts[split]["samples"] / sample_rate / 3600, 4),
            "words": dict(words_of.get(split, {})),
        }
        for split in (*SPLITS, *NOISE_SPLITS)
        if split in counts
    }
    return {"words": words, "speakers": speakers, "phones": phones, "splits": splits}


class SplitWriter:
    """The table and the manifest of one split."""

    def __init__(self, stack: ExitStack, folder: Path, split: str, codes: dict[str, dict[str, int]]) -> None:
        self.codes = codes
        self.cuts = stack.enter_context(TableWriter(folder / f"cuts.{split}", CUT_COLUMNS))
        self.phones = stack.enter_context(TableWriter(folder / f"cuts.{split}" / "phones", PHONE_COLUMNS))
        self.n_phones = 0
        # Without the time of writing in its head, the same corpus gives the same bytes.
        raw = stack.enter_context((folder / f"cuts.{split}.jsonl.gz").open("wb"))
        self.manifest = stack.enter_context(gzip.GzipFile("", "wb", 3, raw, mtime=0))

    def write(self, cut: dict[str, Any], sample_rate: int) -> None:
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
            session=cut["session"],
            phone_end=self.n_phones,
        )
        self.manifest.write((json.dumps(lhotse_cut(cut, sample_rate), ensure_ascii=False) + "\n").encode("utf-8"))


def lhotse_cut(cut: dict[str, Any], sample_rate: int) -> dict[str, Any]:
    """A cut as lhotse's MonoCut, in the times of the user's own recording."""
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
