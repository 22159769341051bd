"""Samples of a generator by its own prior, and by a density of its codes: distances to the test windows.

    phonaut train dataset=fsdd model=cvae features.sample_rate=8000 features.n_fft=256 features.win_length=200 \\
      features.hop_length=80 features.n_mels=40 trainer.max_epochs=6 experiment_id=generator
    phonaut train dataset=fsdd model=gmm model.n_mix=4 encoder.run=trained_models/generator trainer.max_epochs=8 \\
      experiment_id=prior
    python benchmarks/priors.py trained_models/generator trained_models/prior --output benchmarks/results/priors.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from machine import machine, write_result
from phonaut.models.frame_cache import FrameCache
from phonaut.runs.generation import drawn_codes
from phonaut.runs.load import load
from phonaut.tasks.classification import own_corpus
from phonaut.tasks.generation_figures import Figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator", type=Path)
    parser.add_argument("prior", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    run = load(arguments.generator)
    task, model = run.task, run.model
    data = task.data_of(run.config, own_corpus(run.config, run.folder), list(run.about["classes"]))
    data.frames_of = FrameCache(model, data.speech).frames
    figures = Figures(model, data)
    with torch.inference_mode():
        own = figures.samples("test")
        n = len(own.rows)
        codes = torch.from_numpy(drawn_codes(run.generator(), arguments.prior, n, 1, 0)[:, 0])
        windows = model.network.decode(codes, own.condition)
    rows: dict[str, Any] = {}
    for name, samples in (("own prior", own), ("density of codes", own._replace(windows=windows))):
        found = figures.of_samples("test", samples)
        rows[name] = {key: estimate.as_dict() for key, estimate in found.items()}
        print(name, *(f"{key} {e.value:.4g} [{e.low:.4g}, {e.high:.4g}]" for key, e in found.items()), sep="\n  ")
    if arguments.output:
        write_result(arguments.output, {"machine": machine(), "n": n, "rows": rows})


if __name__ == "__main__":
    main()
