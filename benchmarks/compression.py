"""What few bits cost: test accuracy of runs in floating point and in integers, pooled over folds, paired.

    python benchmarks/compression.py 'trained_models/fsdd-*/tc-res8' --schemes linear_8_8_8 linear_4_4_4
    python benchmarks/compression.py 'trained_models/fsdd-*/tc-res8' --trained 'trained_models/fsdd4-*/tc-res8'

Without `--trained` the runs are rounded as they are, their ranges calibrated on training recordings (what
`phonaut export RUN compress=` does). With it, runs trained with `compress=` stand beside those without, fold by fold.
"""

from __future__ import annotations

import argparse
import json
from glob import glob
from pathlib import Path

import numpy as np
import torch

from machine import machine
from phonaut.metrics.intervals import mean_over
from phonaut.metrics.paired import difference
from phonaut.networks.quantized import Scheme
from phonaut.runs.load import load
from phonaut.tasks.build import prepared_corpus
from phonaut.tasks.classification import speech_data
from phonaut.tasks.predictions import Predictions
from phonaut.tasks.scoring import predict
from phonaut.training.compression import round_network

RESULT = Path(__file__).parent / "results" / "compression.json"


def in_integers(folder: Path, scheme: str) -> Predictions:
    """Predictions on the test split of a run whose network is rounded as it is."""
    run = load(folder)
    data = speech_data(run.config, prepared_corpus(run.config), list(run.about["classes"]))
    round_network(run.model, Scheme.of(scheme), data.batches("train"))
    return predict(run.model, data, "test", device=torch.device("cpu"))


def figures(floating: list[Predictions], integers: list[Predictions]) -> dict[str, object]:
    """Accuracies of both, pooled over folds, and what lies between them."""
    columns = {
        name: np.concatenate([getattr(one, name) for one in floating]) for name in ("label", "speaker", "predicted")
    }
    predicted = np.concatenate([one.predicted for one in integers])
    right = {"float": columns["predicted"] == columns["label"], "integers": predicted == columns["label"]}
    rows: dict[str, object] = {}
    for name, correct in right.items():
        pairs = np.stack([correct, np.ones(len(correct))], axis=1).astype(float)
        rows[name] = mean_over(pairs, columns["speaker"])._asdict()
    paired = difference(
        columns["label"], columns["predicted"], predicted, columns["speaker"], n_classes=len(floating[0].classes)
    )
    return {**rows, "difference": paired._asdict(), "changed": int((columns["predicted"] != predicted).sum())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", help="folders of runs in floating point, a pattern: one for each fold")
    parser.add_argument("--schemes", nargs="*", default=["linear_8_8_8"])
    parser.add_argument("--trained", help="folders of the same folds trained with compress=, a pattern")
    parser.add_argument("--name", default="runs", help="of the corpus, in the result")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folders = sorted(map(Path, glob(arguments.runs)))
    floating = [load(folder).run.predictions("test") for folder in folders]
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if arguments.trained:
        trained = sorted(map(Path, glob(arguments.trained)))
        scheme = json.loads((trained[0] / "model.json").read_text())["compress"]
        found = {f"{scheme}, trained": [load(folder).run.predictions("test") for folder in trained]}
    else:
        found = {scheme: [in_integers(folder, scheme) for folder in folders] for scheme in arguments.schemes}
    for scheme, integers in found.items():
        assert all((one.cut == other.cut).all() for one, other in zip(floating, integers, strict=True))
        row = figures(floating, integers)
        results[f"{arguments.name} {scheme}"] = {"machine": machine(), "folds": len(folders), **row}
        print(arguments.name, scheme, row, flush=True)
        RESULT.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
