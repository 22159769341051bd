"""Commands that are killed wherever they change files, and what they must come to when they are typed again."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from helpers.processes import Command, die_at_call
from helpers.runs_of_tones import run_settings, write_tones
from helpers.words_of_tones import Tones, write_lexicon
from phonaut.data.prepared import PreparedCorpus

FEW = ["features.n_mels=10", "features.n_fft=512", "features.win_length=400"]
SMALL = [
    "model.stack_size=3",
    "model.hidden_size=8",
    "model.n_heads=2",
    "model.intermediate_size=8",
    "model.n_layers=1",
]
QUIET = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]


class Place:
    """Corpora, a run and a folder for every command that is killed.

    Args:
        folder: to work in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.n = folder, 0
        self.cache = {"PHONAUT_CACHE": str(folder / "cache")}
        tones = write_tones(folder / "tones", n_speakers=6, n_takes=2)
        speech = folder / "speech"
        corpus = Tones(folder / "sentences", 9)
        speech.mkdir()
        for name, about in (("wav.scp", lambda one: one.path), ("utt2spk", lambda one: one.id.split("/")[0][-1]),
                            ("text", lambda one: one.text)):  # fmt: skip
            lines = (f"{one.id.replace(' ', '').replace('/', '-')} {about(one)}" for one in corpus.utterances())
            (speech / name).write_text("\n".join(lines) + "\n")
        clips = [word for word in run_settings(tones, small=True) if not word.startswith("trainer.")]
        clips += [*QUIET, "trainer.max_epochs=2", "augmentation=none"]
        self.words = {
            "gradient": ["train", *clips, "model.channels=[4,4]", "experiment_id=x"],
            "em": ["train", *clips, "model=gmmhmm", "model.n_mix=1", "model.n_states=2", "experiment_id=x"],
            "pretraining": ["train", f"dataset.data_folder={tones}", "dataset=folder", "model=mockingjay_small", *SMALL,
                            *FEW, *QUIET, "batch_frames=400", "trainer.max_epochs=2", "trainer.precision=32-true",
                            "experiment_id=x"],
            "prepare": ["prepare", "dataset=folder", f"dataset.data_folder={tones}"],
            "align": ["align", "dataset=folder", f"dataset.data_folder={speech}", "aligner=hmm",
                      f"lexicon={write_lexicon(folder / 'lexicon.txt')}", "output=out"],
            "extract": ["extract", str(folder / "runs" / "trained_models" / "x"), "dataset=folder",
                        f"dataset.data_folder={tones}", "output=out", "overwrite=true"],
            "compare": ["compare", *(str(folder / "runs" / "trained_models" / name) for name in "xy"), "output=out"],
        }  # fmt: skip

    def make_runs(self) -> None:
        """The runs that are extracted from and compared."""
        for more in (["experiment_id=x"], ["seed=1", "experiment_id=y"]):
            Command(self.folder / "runs", [*self.words["gradient"][:-1], *more], **self.cache).finish()

    def start(self, name: str, folder: Path, call: int = -1) -> Command:
        """A command; of `prepare` each has a cache of its own."""
        cache = {"PHONAUT_CACHE": str(folder / "cache")} if name == "prepare" else self.cache
        return Command(folder, self.words[name], die_at_call, call, folder.parent / f"{folder.name}.calls", **cache)

    def undisturbed(self, name: str) -> tuple[dict[str, str], int, float]:
        """What a command comes to, the calls by which it changes files, and the seconds that it takes."""
        folder = self.new()
        if name in ("extract", "compare") and not (self.folder / "runs").exists():
            self.make_runs()
        if name != "prepare":  # what is in the cache is not written, and compiled code rounds otherwise the first time
            self.start(name, self.new()).finish()
        began = time.monotonic()
        self.start(name, folder).finish()
        calls = (folder.parent / f"{folder.name}.calls").stat().st_size
        return results(name, folder), calls, time.monotonic() - began

    def new(self) -> Path:
        """A folder to work in."""
        self.n += 1
        return self.folder / f"{self.n:04d}"

    def killed_at(self, name: str, call: int) -> dict[str, str]:
        """What a command comes to that was killed at a call and typed again."""
        folder = self.new()
        code = self.start(name, folder, call).wait()
        assert code == 137, f"{name} was not killed at call {call}, but ended with {code}"
        return self.again(name, folder)

    def killed_after(self, name: str, seconds: float) -> dict[str, str]:
        """The same, killed after a time."""
        folder = self.new()
        command = self.start(name, folder)
        time.sleep(seconds)
        if command.is_running:
            command.kill()
        return self.again(name, folder)

    def again(self, name: str, folder: Path) -> dict[str, str]:
        """What it comes to; nothing of what was being written may be left."""
        self.start(name, folder).finish()
        left = [path for path in folder.rglob(".*") if path.name.endswith(".part")]
        assert not left, f"{name} left {left}"
        found = results(name, folder)
        shutil.rmtree(folder)
        return found


def results(name: str, folder: Path) -> dict[str, str]:
    """Hashes of what a command has made, without times."""
    if name == "prepare":
        (corpus,) = (path for path in (folder / "cache" / "corpora").iterdir() if not path.name.startswith("."))
        return PreparedCorpus(corpus).digests
    if name in ("align", "extract", "compare"):
        files = [path for path in sorted((folder / "out").rglob("*")) if path.is_file()]
        return {path.name: hashed(path, folder) for path in files}
    (run,) = (path.parent for path in folder.glob("trained_models/x/*/config.yaml"))
    names = ("model.safetensors", "metrics.json", "history.json", "corpus.json", "config.yaml", "refused.json")
    return {name: hashed(run / name, folder) for name in (*names, "report.html") if name != "report.html"} | {
        path.name: hashed(path, folder) for path in sorted((run / "predictions").glob("*.npz"))
    }


def hashed(path: Path, folder: Path) -> str:
    """A hash of a file, whatever the folder is called and however long it took."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            data = b"".join(name.encode() + arrays[name].tobytes() for name in sorted(arrays.files))
    else:
        data = path.read_bytes().replace(str(folder).encode(), b"HERE")
    if path.suffix == ".json":
        data = json.dumps(without_times(json.loads(data))).encode()
    return hashlib.sha256(data).hexdigest()


def without_times(thing: Any) -> Any:
    """What does not depend on how fast the machine is."""
    if isinstance(thing, dict):
        return {key: without_times(one) for key, one in thing.items() if not re.search("second|per_s", key)}
    return [without_times(one) for one in thing] if isinstance(thing, list) else thing


def chosen(n_calls: int, n: int, seed: int) -> list[int]:
    """Some of the calls: the first and the last, and others between."""
    if n >= n_calls:
        return list(range(n_calls))
    return sorted({0, n_calls - 1, *random.Random(seed).sample(range(n_calls), n)})[: max(n, 1)]
