"""What other programs on the machine cost: steps of training alone, beside two busy loops, and two at once.

Each workload is a process that makes one step at a time and tells its wall and its processor time. The conditions take
turns, so that what else the machine does falls on all, and the medians over the rounds are printed: time beside busy
loops, time of two at once and processor time, each as a ratio to the time or processor time alone. Settings of the
environment may be compared: --environment OMP_WAIT_POLICY=ACTIVE.

    python benchmarks/contention.py [--only gmmhmm mfcc] [--rounds 5] [--environment NAME=VALUE ...]
        [--output benchmarks/results/contention.json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import phonaut  # noqa: F401  before torch, as in a user's program

WORKLOADS = ("gmmhmm", "genhmm", "tc-res8", "gru", "mfcc", "prepare")
CONDITIONS = ("alone", "beside two busy loops", "two at once")
STEPS = {"gmmhmm": 8, "genhmm": 2, "tc-res8": 12, "gru": 12, "mfcc": 12, "prepare": 1}
BUSY = "while True: pass"


def steps_of(name: str) -> Callable[[], Any]:
    """One step of a workload, ready to be called again and again."""
    import numpy as np
    import torch

    draws = np.random.default_rng(0)
    if name in ("gmmhmm", "genhmm"):
        from phonaut.hmm import GMMHMM, GenHMM

        lengths = [300] * (40 if name == "gmmhmm" else 4)
        frames = draws.standard_normal((sum(lengths), 39))
        model: Any = GMMHMM(3, 8, n_iter=1, tol=-1.0, random_state=0) if name == "gmmhmm" else GenHMM(
            3, n_mix=2, n_iter=1, tol=-1.0, random_state=0)  # fmt: skip
        model.fit(frames, lengths)
        model.init_params = ""
        return lambda: model.fit(frames, lengths)
    if name == "mfcc":
        from phonaut.features import MFCC

        front_end, audio = MFCC(), torch.from_numpy(draws.standard_normal((64, 16000))).float()
        return lambda: front_end(audio, torch.full((64,), 16000))
    if name == "prepare":
        import soundfile

        from phonaut import cli

        folder = Path(tempfile.mkdtemp(prefix="contention-"))
        for word in ("yes", "no"):
            (folder / "words" / word).mkdir(parents=True)
            for i in range(100):
                noise = 0.1 * draws.standard_normal(16000)
                soundfile.write(folder / "words" / word / f"s{i % 10}_{i // 10}.wav", noise, 16000)
        return prepare_again(cli.main, folder)
    from phonaut.config.compose import compose
    from phonaut.tasks.build import speech_model

    config = compose([f"model={name}", "recipe=none"])
    network = speech_model(config, 12).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.001)
    audio, labels = torch.from_numpy(draws.standard_normal((100, 16000))).float(), torch.arange(100) % 12

    def step() -> None:
        frames, lengths = network.front_end(audio, torch.full((100,), 16000))
        loss = torch.nn.functional.cross_entropy(network.network(frames, lengths), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def prepare_again(main: Callable[[list[str]], int], folder: Path) -> Callable[[], Any]:
    """Preparation of a folder of recordings, into a cache that is new each time."""
    n = iter(range(1000))

    def step() -> None:
        os.environ["PHONAUT_CACHE"] = str(folder / f"cache{next(n)}")
        out, sys.stdout = sys.stdout, sys.stderr
        status = main(["prepare", "dataset=folder", f"dataset.data_folder={folder / 'words'}", "n_jobs=1"])
        sys.stdout = out
        assert status == 0

    return step


def work(name: str) -> None:
    """Make steps for every line on standard input; print wall and processor seconds of a step, the median."""
    step = steps_of(name)
    for _ in range(2):
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        found = []
        for _ in range(STEPS[name]):
            wall, processor = time.perf_counter(), time.process_time()
            step()
            found.append((time.perf_counter() - wall, time.process_time() - processor))
        print(json.dumps([statistics.median(column) for column in zip(*found, strict=True)]), flush=True)


@contextmanager
def worker(name: str, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A process of a workload that waits for a line."""
    command = [sys.executable, __file__, "--work", name]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True, env={**os.environ, **environment})  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", f"{name} did not begin"
    yield process
    process.kill()
    process.wait()


def turn(processes: list[subprocess.Popen[str]]) -> list[float]:
    """Wall and processor seconds of a step where all make steps at once: the means over the processes."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [json.loads(process.stdout.readline()) for process in processes if process.stdout is not None]
    return [statistics.mean(column) for column in zip(*found, strict=True)]


def measure(name: str, rounds: int, environment: dict[str, str]) -> dict[str, list[float]]:
    """Medians of wall and processor seconds of a step, by condition."""
    found: dict[str, list[list[float]]] = {condition: [] for condition in CONDITIONS}
    with worker(name, environment) as one, worker(name, environment) as other:
        for _ in range(rounds):
            found["alone"].append(turn([one]))
            loops = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)]
            found["beside two busy loops"].append(turn([one]))
            for loop in loops:
                loop.kill()
                loop.wait()
            found["two at once"].append(turn([one, other]))
    return {key: [statistics.median(column) for column in zip(*turns, strict=True)] for key, turns in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, default=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--environment", nargs="+", default=[])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--work", choices=WORKLOADS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work)
        return
    from machine import machine, write_result

    environment = dict(setting.split("=", 1) for setting in arguments.environment)
    result: dict[str, Any] = {"machine": machine(), "environment": environment, "workloads": {}}
    print(f"{'':8} {'alone, ms':>10} {'processor':>10}   {'busy loops':>12} {'two at once':>12} {'processor time':>15}")
    for name in arguments.only:
        found = measure(name, arguments.rounds, environment)
        alone, busy, two = (found[condition] for condition in CONDITIONS)
        most = max(busy[1], two[1]) / alone[1]
        result["workloads"][name] = found | {"ratios": [busy[0] / alone[0], two[0] / alone[0], most]}
        print(f"{name:8} {alone[0] * 1e3:10.1f} {alone[1] * 1e3:10.1f}   {busy[0] / alone[0]:12.2f} "
              f"{two[0] / alone[0]:12.2f} {most:15.2f}", flush=True)  # fmt: skip
    write_result(arguments.output, result)


if __name__ == "__main__":
    main()
