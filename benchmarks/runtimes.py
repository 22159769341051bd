"""Milliseconds of a tc-res8, features in, batch 1, one thread: eager, ONNX Runtime and ExecuTorch, in float and int8.

    python benchmarks/runtimes.py 'trained_models/fsdd-*/tc-res8'

Runs that were not trained with `compress=` are rounded as they are to linear_8_8_8, ranges calibrated on their training
recordings. All run in turns, 20 calls a round, of which the best counts; a ratio is the median of those of rounds, with
its middle 95 %. Beside it, over the test recordings of all runs: decisions that the int8 files change against the
integer program (`phonaut.deploy`), and how far scores differ.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np
import torch

from machine import machine
from phonaut.deploy.backends import backend, in_floating_point
from phonaut.deploy.integer_program import program_of
from phonaut.deploy.interpreter import Interpreter
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.quantized import QuantizedNetwork, Scheme
from phonaut.runs.load import load
from phonaut.tasks.build import prepared_corpus
from phonaut.tasks.classification import speech_data
from phonaut.training.compression import round_network

ROUNDS, EACH = 100, 20
RUNTIMES = ("onnxruntime", "executorch")
RESULT = Path(__file__).parent / "results" / "runtimes.json"


def quantised(folder: Path) -> tuple[SpeechModel, Any]:
    """The model of a run in integers, and its data."""
    run = load(folder)
    data = speech_data(run.config, prepared_corpus(run.config), list(run.about["classes"]))
    model = run.model.eval()
    if not isinstance(model.network, QuantizedNetwork):
        round_network(model, Scheme.of("linear_8_8_8"), data.batches("train"))
    return model, data


def recordings(data: Any, n_samples: int) -> list[np.ndarray]:
    """Test recordings, cut or filled up with zeros to one length."""
    table = data.prepared.utterances("test")
    found = [np.asarray(table.audio(row, 0, int(table.n_samples[row])), dtype=np.float32) for row in range(len(table))]
    return [np.pad(one[:n_samples], (0, max(0, n_samples - len(one)))) for one in found]


def written(model: SpeechModel, place: Path, n_samples: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The networks as files, run by their runtimes."""
    runs = {}
    for name in RUNTIMES:
        for kind, one in (("int8", model), ("float", in_floating_point(model))):
            path = place / f"{name}-{kind}{backend(name).SUFFIX}"
            runs[f"{name} {kind}"] = backend(name).write(one, path, n_samples=n_samples, about={}, features=True).run
    return runs


@torch.inference_mode()
def milliseconds(calls: dict[str, Callable[[], Any]]) -> dict[str, np.ndarray]:
    """Of each call, in turns: the best of each round, `(ROUNDS,)`."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            each = []
            for _ in range(EACH):
                begun = time.perf_counter()
                call()
                each.append(time.perf_counter() - begun)
            times[name].append(1000 * min(each))
    return {name: np.array(one) for name, one in times.items()}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", help="folders of runs, a pattern")
    parser.add_argument("--name", default="runs", help="of the corpus, in the result")
    parser.add_argument("--most", type=int, default=None, help="test recordings of each run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    changed, largest, n, times = dict.fromkeys(RUNTIMES, 0), dict.fromkeys(RUNTIMES, 0.0), 0, {}
    for i, folder in enumerate(sorted(glob(arguments.runs))):
        model, data = quantised(Path(folder))
        n_samples = int(model.front_end.sample_rate)
        clips = recordings(data, n_samples)[: arguments.most]
        with torch.inference_mode():
            frames = [model.frames(torch.from_numpy(c)[None], torch.tensor([n_samples]))[0] for c in clips]
        interpreter = Interpreter(program_of(model.network, frames[0].shape[2]))  # type: ignore[arg-type]
        reference = np.stack([interpreter.logits(one[0].numpy()) for one in frames])
        with tempfile.TemporaryDirectory() as place:
            files = written(model, Path(place), n_samples)
            for name in RUNTIMES:
                scores = np.concatenate([files[f"{name} int8"](one.numpy()) for one in frames])
                changed[name] += int((scores.argmax(1) != reference.argmax(1)).sum())
                largest[name] = max(largest[name], float(np.abs(scores - reference).max()))
            n += len(frames)
            if not i:
                lengths = torch.tensor([frames[0].shape[1]])
                calls: dict[str, Callable[[], Any]] = {
                    "eager": partial(in_floating_point(model).network, frames[0], lengths)
                }
                calls |= {name: partial(call, frames[0].numpy()) for name, call in files.items()}
                times = milliseconds(calls)
    rows: dict[str, Any] = {name: {"ms": float(np.median(one))} for name, one in times.items()}
    for name in RUNTIMES:
        for other in (f"{name} float", "eager"):
            ratios = times[other] / times[f"{name} int8"]
            low, middle, high = np.percentile(ratios, [2.5, 50, 97.5])
            rows[f"{name} int8 over {other}"] = {"times as fast": middle, "low": low, "high": high}
        rows[f"{name} int8 beside the integer program"] = {"n": n, "changed": changed[name], "largest": largest[name]}
    for name, row in rows.items():
        print(name.ljust(48), "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    results[arguments.name] = {"machine": machine(), "rows": rows}
    RESULT.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
