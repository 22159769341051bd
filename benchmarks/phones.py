"""Every kind of model on the same phones: speechocean762, 36 classes, 5 folds, tuned on the validation part of fold 0.

Each row is tuned by its trials on fold 0, the validation accuracy chooses, and the chosen settings are trained on all
folds; test figures are those of all speakers together. Densities are scored once more with a linear layer on their
log-likelihoods. What is done already is not done again, so that the script may be stopped at any time.

    python benchmarks/phones.py alignments/speechocean762/pocketsphinx.ctm --noise NOISE_FOLDER

needs PHONAUT_DATA, and writes runs below --folder and figures to --output. `--only gmmhmm lstm` does some rows.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from machine import machine, write_result
from phonaut.config.compose import to_yaml
from phonaut.runs import Run
from phonaut.runs.training import build, conclude

FOLDS = 5
PLAIN_TOOLS = ("hmmlearn", "bare-lstm")  # of benchmarks/plain_phones.py
MFCC = ["features.n_mfcc=13", "features.deltas=2", "normalizer=cmvn"]
COMMON = ["dataset=speechocean762", "target=phone", "trainer.enable_progress_bar=false"]
MEL = ["features=melspec", "features.n_mels=40", "features.deltas=1", "normalizer=cmvn"]
EM = ["trainer.max_epochs=40"]
WEIGHED = ["model.duration_model=true", "model.acoustic_scale=0.25"]
SMALL = ["model.n_couplings=4", "model.n_hidden=16", "model.n_passes=2", "model.learning_rate=0.002"]
SMALL += ["model.gmm_init_steps=15", "trainer.max_epochs=6"]
FLOW = [*MFCC, *SMALL]
BOTH = ["model.hidden_size=128", "model.bidirectional=true", "model.dropout=0.5", "optimizer.lr=0.003"]
BOTH += ["trainer.max_epochs=25"]
RECURRENT = [
    [*MFCC, *BOTH],
    [*MFCC, *BOTH, "model.n_layers=2"],
    [*MFCC, *BOTH, "model.hidden_size=192", "trainer.max_epochs=30"],
    [*MEL, *BOTH],
]
# The loss of segments says little of a network that is trained on frames.
FRAMEWISE = ["trainer.max_epochs=10", "checkpoint.monitor=validation/accuracy", "checkpoint.mode=max"]
# Four trials a row, one of the majority class, which has no settings; the first row is what the others are compared
# with.
TRIALS: dict[str, list[list[str]]] = {
    "gmmhmm": [
        [*MFCC, *EM, "model.n_mix=16"],
        [*MFCC, *EM, "model.n_mix=16", "model.n_states=3"],
        [*MFCC, *EM, "model.n_mix=16", *WEIGHED],
        [*MFCC, *EM, "model.n_mix=16", "model.n_states=3", *WEIGHED],
    ],
    "majority": [[*MFCC]],
    "dtw": [
        [*MFCC],
        [*MFCC, "model.n_nearest=1"],
        [*MFCC, "model.n_templates=50"],
        [*MFCC, "model.n_templates=50", "model.n_nearest=5"],
    ],
    "genhmm": [
        [*FLOW, "model.n_mix=2", "model.flow_prior=100"],
        [*FLOW, "model.n_mix=4", "model.flow_prior=100"],
        [*FLOW, "model.n_mix=4", "model.flow_prior=100", *WEIGHED],
        [*FLOW, "model.n_mix=4", "model.flow_prior=100", "model.n_states=3", *WEIGHED],
    ],
    "lathmm": [
        [*FLOW, "model.n_mix=8", "model.flow_prior=10"],
        [*FLOW, "model.n_mix=8", "model.flow_prior=100"],
        [*FLOW, "model.n_mix=8", "model.flow_prior=100", *WEIGHED],
        [*FLOW, "model.n_mix=16", "model.flow_prior=100", *WEIGHED],
    ],
    "gshmm": [
        [*FLOW, "model.n_mix=8", "model.flow_prior=10"],
        [*FLOW, "model.n_mix=8", "model.flow_prior=100"],
        [*FLOW, "model.n_mix=8", "model.flow_prior=100", *WEIGHED],
        [*FLOW, "model.n_mix=16", "model.flow_prior=100", *WEIGHED],
    ],
    "dnnhmm": [
        [*MFCC, "augmentation=none", *FRAMEWISE, "optimizer.lr=0.002"],
        [*MFCC, "augmentation=none", *FRAMEWISE, "optimizer.lr=0.001"],
        [*MFCC, *FRAMEWISE, "optimizer.lr=0.001"],
        [*MFCC, *FRAMEWISE, "optimizer.lr=0.002", "trainer.max_epochs=20"],
    ],
    "lstm": RECURRENT,
    "gru": [[*settings, "trainer.max_epochs=15"] for settings in RECURRENT],
    "tc-res8": [
        [*MFCC, "trainer.max_epochs=25"],
        [*MFCC, "trainer.max_epochs=25", "context_s=0.05"],
        [*MFCC, "trainer.max_epochs=25", "context_s=0.1"],
        [*MEL, "trainer.max_epochs=25", "context_s=0.05"],
    ],
}
TWO, HELD = [*FLOW, "model.n_mix=2"], "model.flow_prior=10"
RESEARCH = ["model.n_couplings=8", "model.n_hidden=24", "model.n_passes=5", "model.learning_rate=0.004"]
# What else was tried for GenHMM, and the GMM-HMM of the same features, states and components beside it.
ABLATION: dict[str, list[list[str]]] = {
    "gmmhmm": [
        [*MFCC, *EM, "model.n_mix=1"],
        [*MFCC, *EM, "model.n_mix=2"],
        [*MFCC, *EM, "model.n_mix=4"],
        [*MFCC, *EM, "model.n_mix=2", "model.n_states=3"],
        [*MFCC, *EM, "model.n_mix=2", "features.deltas=0"],
        ["features=melspec", "normalizer=cmvn", *EM, "model.n_mix=2"],
    ],
    "genhmm": [
        [*FLOW, "model.n_mix=1"],
        [*FLOW, "model.n_mix=1", HELD],
        [*FLOW, *RESEARCH, "model.n_mix=1", "model.gmm_init_steps=0"],
        [*FLOW, *RESEARCH, "model.n_mix=1"],
        [*TWO, HELD, "model.permutation=reverse"],
        [*TWO, HELD, "model.permutation=conv1x1"],
        [*TWO, HELD, "model.mask=chunk"],
        [*TWO, HELD, "model.n_couplings=2"],
        [*TWO, HELD, "model.learning_rate=0.0005"],
        [*TWO, HELD, "model.n_states=3"],
        [*TWO, HELD, "features.deltas=0"],
        ["features=melspec", "normalizer=cmvn", *SMALL, "model.n_mix=2", HELD],
        TWO,
        [*TWO, HELD],
    ],
}
TABLES = {"trials": TRIALS, "ablation": ABLATION}
DENSITIES = ("gmmhmm", "genhmm", "lathmm", "gshmm")


class Bench:
    """Runs in a folder.

    Args:
        folder: of the runs.
        alignment: CTM file of the phones.
    """

    def __init__(self, folder: Path, alignment: Path) -> None:
        self.folder = folder
        self.common = [*COMMON, f"dataset.alignment={alignment.resolve()}"]

    def phonaut(self, *words: str, log: Path) -> bool:
        """Run a command; what it says goes to a file."""
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
        with log.open("a") as out:
            done = subprocess.run(
                [sys.executable, "-m", "phonaut", *{word.partition("=")[0]: word for word in words}.values()],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=os.environ | threads,
            )
        if done.returncode:
            print(f"failed: {' '.join(words)}; see {log}", flush=True)
        return done.returncode == 0

    def trial(self, row: str, number: int, table: str = "trials") -> None:
        """One setting on fold 0."""
        if not self.metrics(row, number, table):
            where = [f"output_dir={self.folder / table / row}", f"experiment_id=t{number}", f"model={row}"]
            log = self.folder / f"logs/{table}_{row}_{number}.log"
            self.phonaut("train", *self.common, *TABLES[table][row][number], *where, log=log)

    def metrics(self, row: str, number: int, table: str = "trials") -> dict[str, Any]:
        """Figures of a trial, or none."""
        path = self.folder / table / row / f"t{number}" / row / "metrics.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def trials(self, row: str, table: str = "trials") -> list[dict[str, Any]]:
        """Settings and validation accuracy of what is done."""
        found = []
        for number, settings in enumerate(TABLES[table].get(row, [])):
            if metrics := self.metrics(row, number, table):
                model = json.loads((self.folder / table / row / f"t{number}" / row / "model.json").read_text())
                found.append(
                    {"settings": " ".join(settings), "validation": metrics["validation"]["accuracy"]}
                    | {key: model[key] for key in ("parameters", "train_seconds", "epochs", "best_epoch")}
                )
        return found

    def fold(self, row: str, fold: int) -> None:
        """The chosen settings on one fold."""
        scores = {n: self.metrics(row, n)["validation"]["accuracy"]["value"] for n in range(len(TRIALS[row]))}
        best = max(scores, key=lambda n: scores[n])
        run = self.folder / "folds" / row / f"{fold}_fold" / row
        if fold == 0 and not run.exists():  # the trial is that run
            part = run.with_name("part")  # a copy that was broken off is no run
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(self.folder / "trials" / row / f"t{best}" / row, part)
            part.rename(run)
        if not (run / "metrics.json").exists():
            where = [f"output_dir={self.folder / 'folds' / row}", f"experiment_id={fold}_fold", f"model={row}"]
            words = [*self.common, *TRIALS[row][best], *where, f"protocol.fold={fold}"]
            self.phonaut("train", *words, log=self.folder / f"logs/{row}_fold{fold}.log")

    def linear(self, row: str, fold: int) -> None:
        """A linear layer on the log-likelihoods of densities that are trained: what `model.calibration=true` fits."""
        done, run = (self.folder / "folds" / name / f"{fold}_fold" / row for name in (row, f"{row}_linear"))
        if not (run / "metrics.json").exists() and (done / "metrics.json").exists():
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(
                done, run, ignore=shutil.ignore_patterns("checkpoints", "*.html", "events.*", "metrics.json")
            )
            config, before, weights = Run(done).config, Run(done), load_file(done / "model.safetensors")
            config.model["calibration"] = True
            (run / "config.yaml").write_text(to_yaml(config))
            task, loop, data = build(config)
            loop.model.network.adopt(weights, prefix="network.")
            loop.model.load_state_dict(weights, strict=False)  # it lacks the layer
            loop.history, loop.seconds = before.history, before.model["train_seconds"]
            conclude(config, run, task, loop, data)

    def noise(self, name: str, fold: int, noise_folder: Path, snr_db: str) -> None:
        """Score a fold in noise."""
        (run,) = (self.folder / "folds" / name / f"{fold}_fold").iterdir()
        missing = [n for n in snr_db.split(",") if not (run / "predictions" / f"test.recorded_{n}_db.npz").exists()]
        if missing:
            words = ["evaluate", str(run), "noise=white,recorded", f"snr_db={','.join(missing)}"]
            words.append(f"noise_folder={noise_folder}")
            self.phonaut(*words, log=self.folder / f"logs/{name}_noise{fold}.log")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alignment", type=Path)
    parser.add_argument("--noise", type=Path, help="folder of noise recordings; without it nothing is scored in noise")
    parser.add_argument("--snr-db", default="5,15,25")
    parser.add_argument("--folder", type=Path, default=Path("trained_models/phones"))
    parser.add_argument("--only", nargs="*", default=list(TRIALS), choices=list(TRIALS))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--steps", nargs="*", default=["trials", "ablation", "folds", "noise", "compare"])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    bench, rows = Bench(arguments.folder.resolve(), arguments.alignment), arguments.only
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for table in (name for name in TABLES if name in arguments.steps):
            jobs = [(row, n, table) for row in rows for n in range(len(TABLES[table].get(row, [])))]
            list(pool.map(lambda job: bench.trial(*job), jobs))
            for row in rows:
                for trial in bench.trials(row, table):
                    print(f"{row:9} {trial['validation']['value']:.4f}  {trial['settings']}", flush=True)
        if "folds" in arguments.steps:
            list(pool.map(lambda job: bench.fold(*job), [(row, fold) for row in rows for fold in range(FOLDS)]))
            for row in (row for row in rows if row in DENSITIES):
                for fold in range(FOLDS):
                    bench.linear(row, fold)
        names = [name for row in rows for name in (row, *[f"{row}_linear"] * (row in DENSITIES))]
        names = [name for name in names if len(list((bench.folder / "folds" / name).glob("*/*/metrics.json"))) == FOLDS]
        if "noise" in arguments.steps and arguments.noise:
            jobs = [(name, fold, arguments.noise, arguments.snr_db) for name in names for fold in range(FOLDS)]
            list(pool.map(lambda job: bench.noise(*job), jobs))
    if "compare" in arguments.steps:
        runs = [str(bench.folder / "folds" / name) for name in names]
        runs += [str(path) for name in PLAIN_TOOLS if (path := bench.folder / "folds" / name).exists()]
        subprocess.run([sys.executable, "-m", "phonaut", "compare", *runs, f"output={bench.folder / 'comparison'}"])
        with (bench.folder / "comparison" / "compare.csv").open(newline="") as table_file:
            compared = [{k: v for k, v in row.items() if k != "folder"} for row in csv.DictReader(table_file)]
        tried = {table: {row: bench.trials(row, table) for row in rows} for table in TABLES}
        write_result(arguments.output, {"machine": machine(), "rows": compared, **tried})


if __name__ == "__main__":
    main()
