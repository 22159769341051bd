"""Peak memory of preparing and of training against the size of the corpus.

1,000 to 100,000 manifest entries; the entries of each size are stretches of the same 200 recordings, because what is
asked here is what a manifest entry costs, not what a disk holds. Every size runs in a process of its own.

    python benchmarks/memory.py [--output benchmarks/results/memory.json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from machine import machine, write_result

SIZES = (1_000, 10_000, 100_000)
N_FILES = 200
CUT_S = 0.25


class Stretches:
    """`n` cuts of a few recordings, a different beginning each."""

    name = "stretches"
    clip_s = None

    def __init__(self, folder: Path, n: int) -> None:
        self.files, self.n = sorted(folder.glob("*.wav")), n

    def settings(self) -> dict[str, Any]:
        return {"n": self.n}

    def items(self) -> Iterator[Any]:
        from phonaut.corpora.base import Item

        each = self.n // len(self.files)
        for number, path in enumerate(self.files):
            split = "test" if number % 10 == 0 else "train"
            for i in range(each):
                yield Item(
                    f"recording/{number:03d}/cut/{i:06d}",
                    path,
                    split,
                    f"speaker{number}",
                    f"word{i % 10}",
                    start_s=i / each * 9.0,
                    duration_s=CUT_S,
                )

    def words(self) -> None:
        return None

    def notes(self) -> list[str]:
        return []

    def refused(self) -> list[dict[str, str]]:
        return []


def peak_mb() -> float:
    """The most memory that this process held at once (the kernel's high-water mark)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise OSError("no VmHWM in /proc/self/status: this benchmark needs Linux")


def one_size(folder: Path, n: int, stage: str) -> None:
    """Prepare, or read an epoch; print the peak."""
    from phonaut.corpora.prepare import prepare

    prepared = prepare(Stretches(folder, n), sample_rate=16000, progress=False)
    if stage == "train":
        import torch

        from phonaut.data.datamodule import SpeechData
        from phonaut.data.spans import classes_of
        from phonaut.networks import TCResNet8

        classes = classes_of(prepared, "keyword")
        data = SpeechData(prepared, target="keyword", classes=classes, batch_size=100, seed=0)
        network = TCResNet8(n_features=40, n_classes=len(classes))
        optimizer = torch.optim.AdamW(network.parameters())
        for number, batch in enumerate(data.batches("train")):
            if number < 10:  # the network's memory does not depend on the corpus: a few steps show it
                frames = batch.audio.unfold(1, 40, 40)
                lengths = torch.full((len(frames),), frames.shape[1])
                torch.nn.functional.cross_entropy(network(frames, lengths), batch.labels).backward()
                optimizer.step()
    print(peak_mb())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("FOLDER", "N", "STAGE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one_size(Path(arguments.one[0]), int(arguments.one[1]), arguments.one[2])
        return
    import numpy as np
    import soundfile

    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["PHONAUT_CACHE"] = str(folder / "cache")
        rng = np.random.default_rng(0)
        for number in range(N_FILES):
            soundfile.write(folder / f"{number:03d}.wav", 0.1 * rng.standard_normal(160_000), 16000)
        print(f"{'entries':>8} {'prepare':>10} {'train':>10}   peak MB")
        for n in SIZES:
            row: dict[str, Any] = {"entries": n}
            for stage in ("prepare", "train"):
                command = [sys.executable, __file__, "--one", str(folder), str(n), stage]
                row[f"{stage}_peak_mb"] = float(
                    subprocess.run(command, capture_output=True, text=True, check=True).stdout
                )
            rows.append(row)
            print(f"{n:>8} {row['prepare_peak_mb']:>10.0f} {row['train_peak_mb']:>10.0f}", flush=True)
    write_result(arguments.output, json.loads(json.dumps({"rows": rows, "machine": machine()})))


if __name__ == "__main__":
    main()
