"""How long a user waits: `phonaut --help`, and `phonaut train` on prepared data until its first step.

python benchmarks/startup.py [--repeats 5] [--output benchmarks/results/startup.json]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import machine, write_result

# Trains, and leaves the moment that the first training step begins.
FIRST_STEP = """
import os, sys, time
started = float(sys.argv.pop(1))
from lightning.pytorch.callbacks import Callback
import phonaut.runs.trainer as parts
class Leave(Callback):
    def on_train_batch_start(self, *_):
        print(time.time() - started, flush=True)
        os._exit(0)
made = parts.callbacks_of
parts.callbacks_of = lambda *a, **k: [Leave(), *made(*a, **k)]
from phonaut.cli import main
sys.exit(main(["train", *sys.argv[1:]]))
"""
IMPORTS = "import time; t = time.time(); import torch, lightning, lightning.pytorch; print(time.time() - t)"


def seconds(command: list[str], folder: str, *, told: bool) -> float:
    """Wall-clock time of a command, or the time that it tells."""
    started = time.time()
    command = [word if word != "{started}" else repr(started) for word in command]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return float(result.stdout.split()[-1]) if told else time.time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    phonaut = str(Path(sys.executable).with_name("phonaut"))
    overrides = ["dataset=fsdd", "overwrite=true", "experiment_id=startup", "trainer.accelerator=cpu"]
    found: dict[str, list[float]] = {"help": [], "imports of torch and lightning": [], "train to its first step": []}
    os.environ["PHONAUT_DATA"] = str(Path(os.environ.get("PHONAUT_DATA", "datasets")).resolve())
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([phonaut, "prepare", *overrides[:1]], cwd=folder, check=True, capture_output=True)
        for _ in range(arguments.repeats):
            found["help"].append(seconds([phonaut, "--help"], folder, told=False))
            found["imports of torch and lightning"].append(seconds([sys.executable, "-c", IMPORTS], folder, told=True))
            command = [sys.executable, "-c", FIRST_STEP, "{started}", *overrides]
            found["train to its first step"].append(seconds(command, folder, told=True))
    result = {name: {"median_s": statistics.median(times), "highest_s": max(times)} for name, times in found.items()}
    for name, row in result.items():
        print(f"{name:<32} {row['median_s']:.2f} s (at most {row['highest_s']:.2f} s in {arguments.repeats})")
    write_result(arguments.output, result | {"repeats": arguments.repeats, "machine": machine()})


if __name__ == "__main__":
    main()
