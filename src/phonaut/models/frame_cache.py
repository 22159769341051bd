"""On-disk cache of frames that training does not change, mapped into memory."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.data.augmentation.resampling import STEPS
from phonaut.data.augmentation.timing import retime
from phonaut.data.batches import Batch
from phonaut.features import slice_spans
from phonaut.features.functional import length_mask
from phonaut.files import cache_dir, locked, read_arrays, read_json, write_json
from phonaut.models.em_classifier import Segments
from phonaut.models.frame_key import Description, code_version, source
from phonaut.networks.network import evaluating

if TYPE_CHECKING:
    from phonaut.data.datamodule import SpeechData
    from phonaut.models.speech_model import SpeechModel

CAP_GB = "PHONAUT_FRAMES_GB"
DEFAULT_CAP_GB = 20.0
AT_ONCE = 32  # windows
BLOCK = 2**22  # bytes
CHECKED = set[Path]()  # folders whose frames this process has compared with their checksum
FRAMES, WINDOWS, ABOUT = "frames.f32", "windows.npz", "about.json"


class FrameCache:
    """The frames of a model's front end, normaliser and encoder, for every window of a split.

    A folder for each split lies under `$PHONAUT_CACHE/frames`, named by a hash of what decides its content: front end,
    normaliser and encoder with all their settings and parameters, the source of their classes and of those that read
    the audio (without comments and docstrings), the audio, and the windows. All folders together take
    `$PHONAUT_FRAMES_GB` (20) at most: those that were used longest ago go. What is larger alone, or has no key, is kept
    for this process only.

    Args:
        model: gives the frames; only what stands before its network matters.
        data: the corpus in batches.
        speed: at which recordings are played, in tempo and pitch alike; a multiple of 0.025. Frames that the corpus
            brings have no other speed than their own.
    """

    def __init__(self, model: SpeechModel, data: SpeechData, speed: float = 1.0) -> None:
        self.model, self.data = model, data
        self.steps = round(speed * STEPS)
        self.root = cache_dir() / "frames"

    def key(self, split: str) -> str | None:
        """A name for the frames of a split; None where something that decides them cannot be hashed."""
        dataset, table = self.data.dataset(split), self.data.prepared.utterances(split)
        windows, recordings, described = dataset.windows, self.data.prepared.recordings, Description()
        try:
            settings = described.of([self.model.front_end, self.model.normalizer, self.data.prepared.sample_rate])
            described.of([type(part) for part in (self.model, dataset, table, recordings)])  # they read and run
            code = [code_version(frozenset(described.modules), frozenset(described.packages)), source(__name__).meaning]
        except (TypeError, AttributeError, RecursionError, OSError):  # an open file, a cycle, a class of a notebook
            return None
        digest = hashlib.sha256(json.dumps([code, settings]).encode())
        if self.steps != STEPS:
            digest.update(f"speed {self.steps}/{STEPS}".encode())
        columns = (
            recordings.crc[table.number], table.start, table.valid, table.before, table.n_samples, windows.row,
            windows.start, windows.stop,
        )  # fmt: skip
        for column in columns:
            digest.update(np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()[:24]

    def segments(self, split: str) -> Segments:
        """The segments of a split's spans, in the order of the corpus."""
        dataset, width = self.data.dataset(split), self.model.front_end.n_features
        windows, spans, table = dataset.windows, dataset.spans, self.data.prepared.utterances(split)
        read = self.reader(split)
        slower = STEPS / self.steps
        durations_s = torch.from_numpy(dataset.durations_s(np.arange(len(windows))) * slower)
        parts: list[NDArray[np.float32]] = []
        lengths, labels, rows = [], [], []
        for w in np.flatnonzero(windows.n_spans):
            which = windows.span[windows.offset[w] : windows.offset[w + 1]]
            start_s = windows.start[w] / table.sample_rate
            frames = torch.from_numpy(np.array(read(int(w))))
            cut, n = slice_spans(
                frames[None],
                torch.tensor([len(frames)]),
                torch.zeros(len(which), dtype=torch.int64),
                torch.from_numpy((spans.start_s[which] - start_s) * slower),
                torch.from_numpy((spans.end_s[which] - start_s) * slower),
                frame_shift_s=self.model.front_end.frame_shift_s,
                frame_offset_s=self.model.front_end.frame_offset_s,
                durations_s=durations_s[w : w + 1],
            )
            parts.append(cut[length_mask(n, cut.shape[1])].numpy())
            lengths.append(n.numpy())
            labels.append(spans.label[which])
            rows.append(np.full(len(which), windows.row[w]))
        empty = np.empty(0, np.int64)
        row = np.concatenate([empty, *rows])
        return Segments(
            np.concatenate([np.empty((0, width), np.float32), *parts]),
            np.concatenate([empty, *lengths]),
            np.concatenate([empty, *labels]),
            np.array([table.speaker_name(r) for r in row.tolist()], dtype=np.str_),
        )

    def reader(self, split: str) -> Callable[[int], NDArray[np.float32]]:
        """A reader of the frames of a window by its number: where they are known, from there, or from the corpus."""
        known = self.data.dataset(split).computed
        if known is not None and self.steps == STEPS:
            return lambda w: known[0][known[1][w] : known[1][w + 1]]
        if self.data.prepared.frames is not None and self.model.normalizer is None:
            windows, table = self.data.dataset(split).windows, self.data.prepared.utterances(split)
            return lambda w: table.frames(int(windows.row[w]), int(windows.start[w]), int(windows.stop[w]))
        frames, offset = self.frames(split)
        return lambda w: frames[offset[w] : offset[w + 1]]

    def frames(self, split: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Frames of all windows, one after another `(N, D)`, and where each begins, `(W + 1,)`."""
        key = self.key(split)
        width = self.model.front_end.n_features
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root / ".lock"):
            for left in self.root.glob(".new-*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            if key is None:
                return read_and_remove(self.compute(split), width)
            folder = self.root / key
            if not is_whole(folder):
                computed = self.compute(split)
                if not make_room(self.root, n_bytes(computed)):
                    return read_and_remove(computed, width)
                shutil.rmtree(folder, ignore_errors=True)  # what lay there unfinished or damaged
                os.replace(computed, folder)
                CHECKED.add(folder)
            os.utime(folder)
            return read(folder, width)

    @torch.no_grad()
    def compute(self, split: str) -> Path:
        """Run the front end over a split, into a folder of its own."""
        dataset, model = self.data.dataset(split), self.model
        self.root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        device = next((b.device for b in model.front_end.buffers()), torch.device("cpu"))
        n, crc = np.zeros(len(dataset), dtype=np.int64), 0
        with evaluating(model), (folder / FRAMES).open("wb") as file:  # Lightning trains in the mode that it finds
            for first in range(0, len(dataset), AT_ONCE):
                numbers = np.arange(first, min(first + AT_ONCE, len(dataset)))
                batch = self.sped(dataset[numbers].to(device))
                frames, lengths = model.frames(*batch.given)
                n[numbers] = lengths.cpu().numpy()
                valid = frames[length_mask(lengths, frames.shape[1])]
                data = valid.float().cpu().numpy().tobytes()
                file.write(data)
                crc = zlib.crc32(data, crc)
        offset = np.concatenate([np.zeros(1, np.int64), np.cumsum(n)])
        np.savez(folder / WINDOWS, offset=offset)
        about = {"split": split, "frames": int(offset[-1]), "features": model.front_end.n_features, "crc": crc}
        write_json(folder / ABOUT, about)
        return folder

    def sped(self, batch: Batch) -> Batch:
        """A batch at the speed, each recording as long as it is then, clips as well."""
        if self.steps == STEPS:
            return batch
        steps = np.full(len(batch.keys), self.steps, dtype=np.int64)
        later, rate = np.zeros_like(steps), round(self.data.prepared.sample_rate)
        return retime(
            replace(batch, clip_samples=None), steps, later, low=self.steps, high=self.steps, sample_rate=rate
        )


def is_whole(folder: Path) -> bool:
    """Whether frames are there as they were written; of each folder all is read once a process."""
    if folder in CHECKED and (folder / ABOUT).exists():
        return True
    try:
        about = read_json(folder / ABOUT, dict[str, Any]())
        read_arrays(folder / WINDOWS)
        crc = 0
        with (folder / FRAMES).open("rb") as file:
            while block := file.read(BLOCK):
                crc = zlib.crc32(block, crc)
        whole: bool = crc == about.get("crc") and read(folder, about["features"])[1][-1] == about["frames"]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return False
    if whole:
        CHECKED.add(folder)
    return whole


def read(folder: Path, n_features: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Frames and offsets of a folder."""
    with np.load(folder / WINDOWS, allow_pickle=False) as file:
        offset = file["offset"]
    if not offset[-1]:
        return np.empty((0, n_features), np.float32), offset
    return np.memmap(folder / FRAMES, np.float32, "r", shape=(int(offset[-1]), n_features)), offset


def read_and_remove(folder: Path, n_features: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Frames and offsets of a folder; its files have no names any more, and are gone with this process."""
    content = read(folder, n_features)
    shutil.rmtree(folder)
    return content


def n_bytes(folder: Path) -> int:
    """Size of the files in a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def make_room(root: Path, size: int) -> bool:
    """Remove what was used longest ago until `size` more bytes fit under the cap; whether they do."""
    cap = float(os.environ.get(CAP_GB, DEFAULT_CAP_GB)) * 2**30
    if size > cap:
        return False
    finished = (path for path in root.glob("[!.]*") if (path / ABOUT).exists())
    sizes = {path: n_bytes(path) for path in sorted(finished, key=lambda path: path.stat().st_mtime)}
    total = sum(sizes.values())
    for path in sizes:
        if total + size <= cap:
            break
        shutil.rmtree(path, ignore_errors=True)
        total -= sizes[path]
    return True
