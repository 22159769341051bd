"""Verification systems on real speech, side by side, with their fusion.

    python benchmarks/speakers.py arabic --output benchmarks/results/speakers.json

`arabic`: the Arabic command words with halves exchanged: background speakers 1 to 10, evaluation 11 to 20, and the
reverse, pooled over both: 20 evaluation speakers, enrolled with takes 1-3, tested on 4-10; development by leaving
background speakers out in three turns. Each row has as many trials as the others (`TRIALS`), on the first half;
development chooses (mean of the equal error rates of the conditions), evaluation reports.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from machine import machine, write_result
from phonaut.metrics import Cost, detection_figures
from phonaut.runs import Run
from phonaut.runs.trial_comparison import fused, in_order
from phonaut.tasks.trial_scores import TrialScores
from phonaut.tasks.verification import pooled

DATA = Path(os.environ["PHONAUT_DATA"])
HALVES = {"a": range(11, 21), "b": range(1, 11)}  # evaluation speakers
COST = Cost(0.5, 1.0, 1.0)
# Settings of each row, the defaults first.
TRIALS: dict[str, list[str]] = {
    "gmm_ubm": ["", "module.speeds=[]"],
    "dtw_verification": [""],
    "supervector": ["", "module.speeds=[]"],
    "ivector": ["", "module.speeds=[]"],
    "sentence_hmm": [""],
    "phone_hmm": [""],
}


class Bench:
    """Runs of one set of recordings, in a folder."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder = kind, folder / kind

    def words(self, half: str) -> list[str]:
        speakers = ",".join(map(str, HALVES[half]))
        return ["dataset=folder", f"dataset.data_folder={DATA / 'arabic_speech_commands'}", "protocol.test_takes=4-10",
                f"protocol.test_speakers=[{speakers}]", "protocol.turns=3"]  # fmt: skip

    def train(self, row: str, number: int, half: str) -> Run:
        folder = self.folder / f"{row}-{number}-{half}"
        model = row.partition(":")[0]
        run = folder / "run" / model
        if not (run / "metrics.json").exists():
            words = [*self.words(half), f"model={model}", *TRIALS[row][number].split()]
            where = [f"output_dir={folder}", "experiment_id=run", "trainer.enable_progress_bar=false"]
            with (self.folder / f"{row}-{number}-{half}.log").open("a") as log:
                threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
                command = [sys.executable, "-m", "phonaut", "train", *words, *where]
                subprocess.run(command, stdout=log, stderr=log, env=os.environ | threads, check=False)
        return Run(run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["arabic"])
    parser.add_argument("--only", nargs="*", default=list(TRIALS))
    parser.add_argument("--folder", type=Path, default=Path("trained_models/speakers"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    bench = Bench(arguments.kind, arguments.folder.resolve())
    bench.folder.mkdir(parents=True, exist_ok=True)
    rows = arguments.only
    with ThreadPoolExecutor(arguments.jobs) as pool:
        tried = list(pool.map(lambda job: (job, bench.train(*job, "a")),
                              [(row, n) for row in rows for n in range(len(TRIALS[row]))]))  # fmt: skip
    development: dict[str, dict[int, float]] = {}
    for (row, n), run in tried:
        rates = run.metrics["validation"]
        value = float(np.mean([rates[name]["value"] for name in ("eer/IC", "eer/TW", "eer/IW") if name in rates]))
        development.setdefault(row, {})[n] = value
        print(f"{row:20} {value:.4f}  {TRIALS[row][n]}", flush=True)
    best = {row: min(found, key=lambda n: found[n]) for row, found in development.items()}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda row: bench.train(row, best[row], "b"), rows))
    table: dict[str, Any] = {}
    halves: dict[str, list[TrialScores]] = {}
    runs = {half: [bench.train(row, best[row], half) for row in rows] for half in HALVES}
    for of_half in runs.values():
        tables = in_order([TrialScores.load(run.folder, "test") for run in of_half], rows)
        for row, one in zip(rows, tables, strict=True):
            halves.setdefault(row, []).append(one)
        if len(rows) > 1:
            halves.setdefault("fusion", []).append(fused(of_half, rows, tables)[0])
    for row, parts in halves.items():
        whole = replace(pooled(parts), is_ratio=True)
        figures = detection_figures(whole.scores, whole.tried, COST)
        table[row] = {name: estimate.as_dict() for name, estimate in figures.items()}
        shown = "  ".join(
            f"{name.partition('/')[2] or 'all'} {100 * figures[name].value:.2f} "
            f"[{100 * figures[name].low:.2f}, {100 * figures[name].high:.2f}]"
            for name in figures if name.startswith("eer")
        )  # fmt: skip
        print(f"{row:20} {shown}  Cllr {figures['cllr'].value:.3f} least {figures['min_cllr'].value:.3f}", flush=True)
    if arguments.output:
        chosen = {row: TRIALS[row][n] for row, n in best.items()}
        write_result(arguments.output, {"machine": machine(), "development": development, "chosen": chosen,
                                        "trials": TRIALS, "rows": json.loads(json.dumps(table))})  # fmt: skip


if __name__ == "__main__":
    main()
