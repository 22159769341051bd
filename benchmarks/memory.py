"""Peak memory of preparing a corpus, and of training on it, over the number of cuts.

The corpus is generated: 300 WAV files of a quarter of a second. The entries of the manifest point at them again and
again, each with an id of its own, so that 100,000 entries need little disk. Entries of one file do not follow one
another, so each is decoded and kept by itself, as 100,000 files would be. Each size runs in two fresh processes, one
that prepares and one that trains an epoch of the default model; the peak is the operating system's (VmHWM). Beside it
stands the part of it that is the process's own, without pages of files (RssAnon, the largest seen).

    python benchmarks/memory.py [--entries 1000 10000 100000] [--output benchmarks/results/memory.json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RATE = 16000
N_FILES = 300
FILE_S = 0.25
BATCH = 100  # of the default configuration


class Repeated:
    """`n` cuts of the files of a folder, in turns."""

    name = "memory"
    clip_s = None

    def __init__(self, folder: Path, n: int) -> None:
        self.paths, self.n = sorted(folder.iterdir()), n

    def utterances(self) -> Iterator[Any]:
        from phonaut.data.utterance import Utterance

        for number in range(self.n):
            word = f"word{number % 20:02d}"
            path = self.paths[number % len(self.paths)]
            yield Utterance(f"{word}/{number:07d}", path, "train", f"s{number % 100:03d}", word)

    def words(self) -> None:
        return None

    def notes(self) -> list[str]:
        return []

    def refused(self) -> list[dict[str, str]]:
        return []


def write_files(folder: Path) -> None:
    """Noise under a random envelope."""
    import numpy as np

    folder.mkdir()
    generator = np.random.default_rng(0)
    n = round(FILE_S * RATE)
    for number in range(N_FILES):
        envelope = np.interp(np.arange(n), np.linspace(0, n, 12), generator.uniform(0, 8000, 12))
        with wave.open(str(folder / f"{number:03d}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(RATE)
            file.writeframes((envelope * generator.standard_normal(n)).clip(-32768, 32767).astype("<i2").tobytes())


class Peak:
    """The largest resident memory of this process, and of that the part which is its own, in MB."""

    def __enter__(self) -> Peak:
        self.own_mb, self.done = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self) -> None:
        while not self.done.wait(0.02):
            self.own_mb = max(self.own_mb, self.status("RssAnon"))

    @staticmethod
    def status(name: str) -> float:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) / 1024
        return 0.0

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
        self.own_mb = max(self.own_mb, self.status("RssAnon"))
        self.all_mb = self.status("VmHWM")


def measure(job: str, folder: Path, n: int) -> dict[str, Any]:
    """One job on `n` entries, in this process."""
    import phonaut.data.preparation.prepare
    import phonaut.data.prepared

    began = time.perf_counter()
    with Peak() as peak:
        if job == "prepare":
            prepared = phonaut.data.preparation.prepare.prepare(Repeated(folder, n), sample_rate=RATE)
            done = prepared.summary["splits"]["train"]["cuts"]
        else:
            (made,) = (Path(os.environ["PHONAUT_CACHE"]) / "corpora").glob("memory-*")
            done = train(phonaut.data.prepared.PreparedCorpus(made), folder)
    assert done == n, (done, n)
    seconds = time.perf_counter() - began
    return {"entries": n, "job": job, "peak_mb": peak.all_mb, "own_mb": peak.own_mb, "seconds": seconds}


def train(prepared: Any, folder: Path) -> int:
    """An epoch of training as `phonaut train` does it."""
    from lightning.pytorch.callbacks import ModelCheckpoint

    from phonaut.config.compose import compose
    from phonaut.runs.trainer import trainer_of
    from phonaut.tasks import build as parts
    from phonaut.tasks.classification import speech_data

    plan = ["trainer.max_epochs=1", "trainer.enable_progress_bar=false", "trainer.accelerator=cpu"]
    config = compose([*plan, "trainer.limit_val_batches=0"])
    data = speech_data(config, prepared)
    model = parts.speech_model(config, len(data.classes))
    trainer = trainer_of(config, folder.with_name("run"))
    trainer.callbacks = [c for c in trainer.callbacks if not isinstance(c, ModelCheckpoint)]  # there is no validation
    trainer.fit(parts.training_loop(config, model, data.classes), datamodule=data)
    return int(trainer.global_step) * BATCH


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        print(json.dumps(measure(arguments.job, arguments.folder, arguments.entries[0])))
        return
    rows = []
    print(f"{'entries':>8}  {'job':<8}{'peak MB':>9}{'own MB':>9}{'seconds':>9}")
    for n in arguments.entries:
        with tempfile.TemporaryDirectory(prefix="phonaut-memory-") as root:
            folder = Path(root) / "files"
            write_files(folder)
            environment = {**os.environ, "PHONAUT_CACHE": str(Path(root) / "cache")}
            for job in ("prepare", "train"):
                command = [sys.executable, __file__, "--job", job, "--folder", str(folder), "--entries", str(n)]
                result = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
                row = json.loads(result.stdout.splitlines()[-1])
                rows.append(row)
                print(f"{n:>8}  {job:<8}{row['peak_mb']:>9.0f}{row['own_mb']:>9.0f}{row['seconds']:>9.1f}", flush=True)
    from machine import machine, write_result

    write_result(arguments.output, {"machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
