"""Is what a generator makes of recordings still heard as the same word? By a keyword model, on the test recordings.

    phonaut train dataset=fsdd experiment_id=words
    python benchmarks/recognised.py trained_models/generator trained_models/words \\
      --output benchmarks/results/recognised.json

Four versions of each recording are scored: itself; its frames inverted, once from its own phase and once without it,
which is what Griffin and Lim's method costs; and its frames rebuilt by the generator and inverted alike. Intervals are
those over speakers; of a difference, of the recordings that both have.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from machine import machine, write_result
from phonaut.arrays import spread
from phonaut.files import read_arrays
from phonaut.metrics import accuracy
from phonaut.runs.evaluation import evaluate
from phonaut.runs.load import load
from phonaut.tasks.base import Request
from phonaut.tasks.classification import own_corpus

N_RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator", type=Path)
    parser.add_argument("words", type=Path, help="a run of target=keyword")
    parser.add_argument("--n", type=int, default=1000, help="recordings at most")
    parser.add_argument("--split", default="test")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    run = load(arguments.generator)
    model, rate = run.model, int(run.model.front_end.sample_rate)
    table = own_corpus(run.config, run.folder).utterances(arguments.split)
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for row in spread(len(table), arguments.n).tolist():
            audio = table.audio(row)
            with torch.inference_mode():
                frames = model.frames(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))[0][0]
            made = {"recorded": audio}
            for what, shown in (("frames", frames), ("rebuilt", model.rebuilt(frames))):
                made[f"{what}, phase of the recording"] = model.audio(shown.numpy(), phase_of=audio)
                made[f"{what}, no phase"] = model.audio(shown.numpy())
            for name, samples in made.items():
                place = Path(folder) / name / table.word_name(row)
                place.mkdir(parents=True, exist_ok=True)
                soundfile.write(place / f"{table.speaker_name(row)}_{row}.wav", samples, rate)
        right: dict[str, Any] = {}
        for name in made:
            request = Request(data_folder=Path(folder) / name, overrides=("dataset.speaker_pattern='([^_]+)_'",))
            scored, key = evaluate(arguments.words, request)
            found = read_arrays(scored.folder / "predictions" / f"{key}.npz")
            order = np.argsort(found["cut"])
            labels, said = found["label"][order], found["scores"][order].argmax(axis=1)
            speakers = found["speaker"][order]
            right[name] = labels == said
            rows[name] = accuracy(labels, said, speakers).as_dict()
    names = np.unique(speakers)
    draws = np.random.default_rng(0).integers(len(names), size=(N_RESAMPLES, len(names)))
    for phase in ("phase of the recording", "no phase"):
        lost = right[f"rebuilt, {phase}"].astype(float) - right[f"frames, {phase}"]
        sums = np.array([[lost[speakers == name].sum(), (speakers == name).sum()] for name in names])
        drawn = sums[draws].sum(axis=1)
        low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
        rows[f"difference, {phase}"] = {"value": lost.mean(), "low": low, "high": high, "n": len(lost)}
    for name, one in rows.items():
        print(f"{name:38} {one['value']:7.3f} [{one['low']:.3f}, {one['high']:.3f}], n = {one['n']}")
    if arguments.output:
        write_result(arguments.output, {"machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
