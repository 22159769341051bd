"""Frames computed before: a folder of shards as a corpus, for every target that it has labels for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from phonaut.checks import refuse
from phonaut.corpora.base import Corpus, target_problems
from phonaut.corpora.hashing import Shares
from phonaut.corpora.protocols import Divided, Protocol
from phonaut.data.columns import TableWriter
from phonaut.data.frame_shards import (
    MANIFEST,
    REFUSED_FILES,
    SHARD_COLUMNS,
    FrameLayout,
    FrameSequence,
    FrameShards,
    hash_of_frames,
    read_layout,
)
from phonaut.data.preparation.clip_window import Placement
from phonaut.data.preparation.prepare import cached_corpus, tables
from phonaut.data.prepared import FORMAT, RECORDINGS, PreparedCorpus, read_lines
from phonaut.data.utterance import Phone, Utterance
from phonaut.files import expanded


class FrameCorpus(Corpus):
    """A folder of frames (`phonaut.data.frame_shards`), whose lines carry their official split.

    Args:
        data_folder: the folder.
        target: `keyword`, `phone` or `speaker`.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "frames"
    targets: ClassVar[tuple[str, ...]] = ("keyword", "phone", "speaker")
    published_split: ClassVar[bool] = True
    shares: ClassVar[Shares] = Shares(70, 10, 20, of_training=10)

    def __init__(self, *, data_folder: str | Path, target: str = "keyword") -> None:
        refuse(target_problems(target, type(self)))
        self.data_folder, self.target = expanded(data_folder), target

    def first_look(self) -> None:
        """Read the header of the manifest.

        Raises:
            ValueError: the folder holds no frames.
        """
        self.frame_layout()

    def frame_layout(self) -> FrameLayout | None:
        """The settings that all frames share; None where the folder is not there.

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

    def utterances(self) -> Iterator[Utterance]:
        """All sequences.

        Raises:
            ValueError: a line of the manifest is wrong.
        """
        found = map(self.utterance, FrameShards(self.source()).sequences())
        return (utterance for utterance in found if utterance is not None)

    def utterance(self, line: FrameSequence) -> Utterance | None:
        """The utterance of a line of the manifest; None: the corpus has it not."""
        return utterance_of(line)

    def choice(self) -> object:
        """What else decides the utterances, for the key of the tables; written as JSON."""
        return None

    def title(self) -> str:
        """Frames."""
        return "frames"

    def notes(self) -> list[str]:
        """The maker of the frames."""
        made = read_layout(self.source()).made_from
        return [f"made from {made}"] if made else []

    def official(self) -> str:
        """By the manifest."""
        return "in the splits of their folder"

    def refused(self) -> list[dict[str, str]]:
        """Recordings that the writer of the folder left out."""
        path = self.source() / REFUSED_FILES
        return read_lines(path) if path.exists() else []


def utterance_of(line: FrameSequence) -> Utterance:
    """A line of the manifest as an utterance; sequences of one session stay together."""
    return Utterance(
        id=line.id,
        path=Path(line.recording or line.id),
        split=line.split,
        speaker=line.speaker,
        word=line.word,
        text=line.text,
        phones=tuple(Phone(*phone) for phone in line.phones),
        sentence=line.sentence,
        session=line.session or None,
        recording=line.session or None,
    )


def prepare_frames(corpus: FrameCorpus, protocol: Protocol) -> PreparedCorpus:
    """Tables of a folder of frames; the frames stay where they are, and are mapped into memory.

    Every frame is read once, so that what is no number is found before training. The key of the tables in the cache
    changes with the target, the protocol, the manifest, and the shards (length and time of change).

    Raises:
        ValueError: the folder or a line of its manifest is wrong.
    """
    source = corpus.source().resolve()
    digest = hashlib.blake2b(digest_size=8)
    digest.update(json.dumps([FORMAT, str(source), corpus.target == "speaker", repr(protocol)]).encode())
    if (choice := corpus.choice()) is not None:
        digest.update(json.dumps(choice).encode())
    digest.update((source / MANIFEST).read_bytes() if (source / MANIFEST).exists() else b"")
    for path in sorted(source.glob("*.safetensors")):
        digest.update(repr((path.name, path.stat().st_size, path.stat().st_mtime_ns)).encode())
    divided = protocol.divide(corpus)
    name = f"{corpus.name}-{digest.hexdigest()}"
    return cached_corpus(name, lambda folder: build(corpus, divided, source, folder))


def build(corpus: FrameCorpus, divided: Divided, source: Path, folder: Path) -> None:
    """Fill `folder` with the tables."""
    shards, names, n = FrameShards(source), dict[str, int](), 0
    with (
        tables(divided, folder, 1.0 / shards.layout.frame_shift_s) as ledger,
        TableWriter(folder / RECORDINGS, SHARD_COLUMNS) as places,
    ):
        for line in shards.sequences():
            listed = corpus.utterance(line)
            if listed is None:
                continue
            utterance = replace(listed, split=divided.plan.split(listed))
            frames = shards.frames(line)
            if not np.isfinite(frames).all():
                ledger.refuse(replace(utterance, path=source / line.shard), "its frames hold NaN or infinity")
                continue
            crc = hash_of_frames(frames)
            places.append(
                path=line.recording or line.id,
                shard=names.setdefault(line.shard, len(names)),
                offset=line.offset,
                n_frames=line.n_frames,
                duration_s=line.duration_s,
                crc=crc,
            )
            ledger.append(
                utterance,
                Placement(n, 0, line.n_frames, 0, line.n_frames, "", f"{crc:016x}", None),
            )
            n += 1
        ledger.about["frames"] = {"folder": str(source), "layout": asdict(shards.layout), "shards": list(names)}
