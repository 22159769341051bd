"""Frames that were computed before: a folder of shards as a corpus, for every target that it has labels for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from phonaut.corpora.options import refuse, seen_at_once, wrong_choice
from phonaut.corpora.protocols.hashing import (
    WithinSpeakers,
    balanced_cuts,
    hash_percent,
    speakers_to_validate,
    wrong_target,
)
from phonaut.data.columns import TableWriter
from phonaut.data.frame_shards import MANIFEST, REFUSED_FILES, FrameLayout, FrameSequence, FrameShards, read_layout
from phonaut.data.preparation.manifest import write_cuts
from phonaut.data.preparation.prepare import Ledger, files_in, kept, measured, put
from phonaut.data.prepared import FILES, FORMAT, RECORDINGS, SUMMARY, PreparedCorpus, read_lines
from phonaut.data.shard_table import SHARD_COLUMNS
from phonaut.data.spans import TARGETS
from phonaut.files import write_json

PROTOCOLS = ("auto", "given", "all_test")
DEV_PCT, TEST_PCT = 10.0, 20.0


class FrameCorpus:
    """A folder of frames (`phonaut.data.frame_shards`), divided as it says.

    Where nothing is for validation, it is cut from training: by speaker where the test speakers are absent from
    training and enough are left, else by session where it is known, else by sequence. With `target=speaker` and
    speakers in the test that training lacks, each speaker's sequences are divided among the splits likewise.

    Args:
        data_folder: the folder.
        target: `keyword`, `phone` or `speaker`.
        protocol: `auto` as said; `given`: the split of the folder, whoever is in it; `all_test`: everything is tested.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "frames"
    clip_s: float | None = None

    def __init__(self, *, data_folder: str | Path, target: str = "keyword", protocol: str = "auto") -> None:
        refuse([*wrong_target(target, self.name, TARGETS), *wrong_choice("protocol", protocol, PROTOCOLS)])
        self.data_folder, self.target, self.protocol = Path(data_folder).expanduser(), target, protocol
        self._split: dict[str, str] | None = None
        self._how = ""

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """What is wrong with options, as far as can be seen at a glance, for the check of a configuration."""
        return seen_at_once(cls, lambda corpus: corpus.frame_layout(), options)

    def frame_layout(self) -> FrameLayout | None:
        """What the frames share; None where the folder is not there.

        Raises:
            ValueError: there is a folder, and it holds no frames.
        """
        return read_layout(self.data_folder) if self.data_folder.exists() else None

    def source(self) -> Path:
        """The folder of the frames.

        Raises:
            ValueError: it is not there.
        """
        if not self.data_folder.is_dir():
            raise ValueError(f"dataset.data_folder={self.data_folder} is not there: name a folder of frames")
        return self.data_folder

    def settings(self) -> dict[str, Any]:
        """Everything beside the folder that decides which cuts there are."""
        return {"corpus": self.name, "by_speaker": self.target == "speaker", "protocol": self.protocol}

    def words(self) -> list[str] | None:
        """The words of the training split, sorted."""
        return None

    def sequences(self) -> Iterator[FrameSequence]:
        """All sequences; their own splits are not yet those of the protocol.

        Raises:
            ValueError: a line of the manifest is wrong.
        """
        return FrameShards(self.source()).sequences()

    def split(self, sequence: FrameSequence) -> str:
        """The split of a sequence."""
        if self.protocol == "all_test":
            return "test"
        if self._split is None:
            self._split, self._how = self._divided()
        return self._split.get(sequence.id, sequence.split)

    def notes(self) -> list[str]:
        """The protocol; complete once a split was asked for."""
        made = read_layout(self.source()).made_from
        return [f"frames, {self._how or 'everything is tested'}", *([f"made from {made}"] if made else [])]

    def refused(self) -> list[dict[str, str]]:
        """What the writer of the folder left out."""
        path = self.source() / REFUSED_FILES
        return read_lines(path) if path.exists() else []

    def _divided(self) -> tuple[dict[str, str], str]:
        """The splits of sequences where they are not the folder's own, and the protocol in words."""
        speakers: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
        units: list[tuple[str, str, str]] = []
        training: dict[str, str] = {}
        for line in self.sequences():
            speakers[line.split].add(line.speaker)
            units.append((line.id, line.speaker, line.session or line.id))
            if line.split == "train":
                training[line.id] = line.session or line.id
        if self.target == "speaker" and self.protocol == "auto" and speakers["test"] - speakers["train"]:
            within = WithinSpeakers(DEV_PCT, TEST_PCT)
            for speaker, unit in sorted({(speaker, unit) for _, speaker, unit in units}):
                within.add(speaker, unit)
            return {name: within.split(speaker, unit) for name, speaker, unit in units}, (
                "speakers: every speaker in all splits, divided by session where known, else by sequence: 70 % train, "
                "10 % validate, 20 % test"
            )
        if speakers["validation"] or not training or self.protocol == "given":
            return {}, "in the splits of their folder"
        chosen = speakers_to_validate(speakers["train"], speakers["test"], DEV_PCT)
        if chosen and "" not in speakers["train"]:
            moved = {name for name, speaker, _ in units if speaker in chosen}
            how = "by speaker"
        else:
            cuts = balanced_cuts(map(hash_percent, training.values()), DEV_PCT, 0.0)
            moved = {name for name, unit in training.items() if cuts.split(unit) == "validation"}
            how = "by a hash of the session where it is known, else of the sequence"
        return dict.fromkeys(moved & training.keys(), "validation"), (
            f"in the splits of their folder; validation is cut from training {how}"
        )


def prepare_frames(corpus: FrameCorpus) -> PreparedCorpus:
    """Tables of a folder of frames; the frames stay where they are, and are mapped into memory.

    Every frame is read once, so that what is no number is found before training. The key of the tables in the cache
    changes with the settings, the manifest, and the shards (length and time of change).

    Raises:
        ValueError: the folder or a line of its manifest is wrong.
    """
    source = corpus.source().resolve()
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps([FORMAT, str(source), corpus.settings()]).encode())
    digest.update((source / MANIFEST).read_bytes() if (source / MANIFEST).exists() else b"")
    for path in sorted(source.glob("*.safetensors")):
        digest.update(repr((path.name, path.stat().st_size, path.stat().st_mtime_ns)).encode())
    return kept(f"{corpus.name}-{digest.hexdigest()}", lambda folder: build(corpus, source, folder))


def build(corpus: FrameCorpus, source: Path, folder: Path) -> None:
    """Fill `folder` with the tables."""
    shards, spool = FrameShards(source), folder / "spool.jsonl"
    layout = shards.layout
    rate = 1.0 / layout.frame_shift_s
    names: dict[str, int] = {}
    with ExitStack() as stack:
        ledger = Ledger(stack, folder)
        with spool.open("w", encoding="utf-8") as listed, TableWriter(folder / RECORDINGS, SHARD_COLUMNS) as places:
            n_kept = 0
            for line in shards.sequences():
                split = corpus.split(line)
                ledger.n_listed[split] += 1
                frames = shards.frames(line)
                if not np.isfinite(frames).all():
                    where = {"path": f"{source / line.shard}", "id": line.id}
                    ledger.refuse(where, split, "its frames hold NaN or infinity")
                    continue
                content = hashlib.blake2b(frames.tobytes(), digest_size=8).digest()
                places.append(
                    path=line.recording or line.id,
                    shard=names.setdefault(line.shard, len(names)),
                    offset=line.offset,
                    n_frames=line.n_frames,
                    duration_s=line.duration_s,
                    crc=int.from_bytes(content, "little"),
                )
                put(listed, **cut_of(line, split, n_kept, content.hex()))
                n_kept += 1
        for refused in corpus.refused():
            ledger.refuse_file(refused)
        counts = write_cuts(spool, folder, corpus, ledger.refuse, rate)
        spool.unlink()
    ledger.check_splits(corpus.name, counts["splits"])
    write_json(
        folder / SUMMARY,
        {
            "format": FORMAT,
            "name": corpus.name,
            "sample_rate": rate,
            "clip_s": corpus.clip_s,
            "frames": {"folder": str(source), "layout": asdict(layout), "shards": list(names)},
            "notes": corpus.notes(),
            **counts,
            "n_refused": ledger.n_refused,
            "n_remarks": 0,
            "remarks": {},
        },
    )
    write_json(folder / FILES, {str(path.relative_to(folder)): measured(path) for path in files_in(folder)})


def cut_of(line: FrameSequence, split: str, number: int, content: str) -> dict[str, Any]:
    """A line of the manifest as preparation lists cuts; a frame is a sample."""
    return {
        "id": line.id,
        "split": split,
        "speaker": line.speaker,
        "word": line.word,
        "text": line.text,
        "sentence": line.sentence,
        "session": line.session,
        "phones": [list(phone) for phone in line.phones],
        "recording": number,
        "start": 0,
        "valid": line.n_frames,
        "before": 0,
        "n_samples": line.n_frames,
        "fit": "",
        "content": content,
        "path": line.recording or line.id,
        "source": None,
    }
