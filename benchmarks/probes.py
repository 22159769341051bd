"""What pre-trained representations are worth: probes of phones, speakers and words, beside frames and a random encoder.

Every cell of the table is the best of as many trials as every other, two learning rates, chosen by the validation
split; the test split is scored for all, and shown for the chosen one alone. Speakers who are tested are in no
pre-training (`leave_out_speakers`). Encoders are runs in a folder, `<encoders>/<name>`; runs that are finished are not
repeated.

    python benchmarks/probes.py ENCODERS --alignment FILE.ctm [--tasks phone,speaker,keyword,gmmhmm] [--rows ...]
        [--finished] [--runs FOLDER] [--output benchmarks/results/representations.json]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

from machine import machine, write_result
from phonaut.configuration import compose
from phonaut.metrics import bootstrap
from phonaut.runs import Run
from phonaut.runs.training import train

TESTED = ["0006", "0145", "1033", "1419", "2981", "3020", "3083", "9614", "9615", "9624"]  # of protocol=fixed
CONTEXT = 10  # frames on each side of a stacked one: 0.26 s in all
LABELS = {"100": (20, 400), "10": (20, 100), "1": (40, 20)}  # per cent of the recordings -> epochs, spans in a batch
FROZEN, FINETUNED = (0.003, 0.01), (0.0003, 0.001)  # learning rates
FINETUNED_FOR = {"phone 100 %": 4, "phone 10 %": 10, "phone 1 %": 20, "speaker": 20, "keyword": 10}  # epochs
FRAMES = ["features=mel", "normalizer=cmvn"]


def rows_of(encoders: Path, names: list[str]) -> dict[str, list[str]]:
    """Name of a row -> what stands in front of its model."""
    found = {"log-mel": FRAMES, "log-mel, stacked": [*FRAMES, f"model.context={CONTEXT}"]}
    found |= {name: [f"encoder.run={encoders / name}"] for name in names}
    return found | {
        f"{name}, fine-tuned": [f"encoder.run={encoders / name}", "encoder.mode=finetune"]
        for name in names
        if name in ("mockingjay", "tera", "apc")
    }


def tasks_of(alignment: str) -> dict[str, tuple[str, list[str]]]:
    """Name of a task -> the metric that counts, and its words."""
    ocean = ["dataset=speechocean762", "dataset.protocol=fixed"]
    phones = [*ocean, f"dataset.alignment={alignment}", "target=phone", "model=probe"]
    arabic = Path(os.environ["PHONAUT_DATA"]) / "arabic_speech_commands"
    words = ["dataset=folder", f"dataset.data_folder={arabic}", "dataset.validation_speakers=[15,16,17]"]
    words += ["dataset.test_speakers=[18,19,20]", "labels_each=1", "batch_size=100"]
    speakers = ",".join(f"'{name}'" for name in TESTED)
    found = {
        f"phone {share} %": (
            "frame_accuracy",
            [*phones, f"labels_pct={share}", f"trainer.max_epochs={epochs}", f"batch_size={size}"],
        )
        for share, (epochs, size) in LABELS.items()
    }
    whole = ["model=probe", "model.over=segment", "trainer.max_epochs=30"]
    found["speaker"] = ("accuracy", [*ocean, "target=speaker", f"classes=[{speakers}]", "batch_size=20", *whole])
    found["keyword"] = ("accuracy", [*words, *whole])
    return found


def trial(words: list[str], folder: Path) -> Run:
    """A run, trained where that was not done before."""
    config = compose([*words, "trainer.enable_progress_bar=false", "module.label_smoothing=0.0"])
    folder.mkdir(parents=True, exist_ok=True)
    train(config, folder, ["phonaut", "train", *words])
    return Run(folder)


def best_of(words: list[str], rates: tuple[float, ...], folder: Path, metric: str) -> tuple[Run, dict[str, float]]:
    """The run of the best validation figure, and the figures of all trials."""
    runs = {str(rate): trial([*words, f"optimizer.lr={rate}"], folder / str(rate)) for rate in rates}
    figures = {name: float(run.metrics["validation"][metric]["value"]) for name, run in runs.items()}
    return runs[max(figures, key=figures.__getitem__)], figures


def gap(ours: Run, theirs: Run, metric: str) -> dict[str, float]:
    """How much better `ours` is on the test split, with its interval by a paired bootstrap over speakers."""
    a, b = (np.load(run.folder / "predictions" / "test.npz", allow_pickle=False) for run in (ours, theirs))
    speakers, group = np.unique(a["speaker"], return_inverse=True)
    counts = np.zeros((len(speakers), 4))
    for column, file in ((0, a), (2, b)):
        of_frames = metric == "frame_accuracy"
        right = file["n_right"] if of_frames else file["scores"].argmax(axis=1) == file["label"]
        np.add.at(counts[:, column], group, right)
        np.add.at(counts[:, column + 1], group, file["n_frames"] if of_frames else 1)
    value = counts.sum(axis=0)

    def difference(x: Any) -> Any:
        return x[..., 0] / x[..., 1] - x[..., 2] / x[..., 3]

    low, high = bootstrap(counts, difference)
    return {"value": float(difference(value)), "low": float(low), "high": float(high)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", type=Path)
    parser.add_argument("--alignment", required=True)
    parser.add_argument("--names", default="random,mockingjay,tera,apc", help="folders of encoders")
    parser.add_argument("--tasks", default="phone 100 %,phone 10 %,phone 1 %,speaker,keyword")
    parser.add_argument("--rows", help="some of the rows, with semicolons between them")
    parser.add_argument("--finished", action="store_true", help="train nothing: show the cells whose trials are done")
    parser.add_argument("--runs", type=Path, default=Path("probes"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = rows_of(arguments.encoders, arguments.names.split(","))
    if arguments.rows:
        rows = {name: words for name, words in rows.items() if name in arguments.rows.split(";")}
    result: dict[str, Any] = {}
    for task, (metric, words) in tasks_of(arguments.alignment).items():
        if task not in arguments.tasks.split(","):
            continue
        chosen: dict[str, Run] = {}
        for row, front in rows.items():
            if "stacked" in row and not task.startswith("phone"):
                continue  # the mean of a clip's frames has no use for neighbours
            if row == "log-mel" and not task.startswith("phone"):
                front = FRAMES[:1]  # of a normalised clip the mean is nothing
            rates = FINETUNED if "fine-tuned" in row else FROZEN
            more = [f"trainer.max_epochs={FINETUNED_FOR[task]}"] if "fine-tuned" in row else []
            folder = arguments.runs / task.replace(" %", "").replace(" ", "-") / row.replace(", ", "-")
            if arguments.finished and not all((folder / str(rate) / "metrics.json").exists() for rate in rates):
                continue
            run, figures = best_of([*words, *front, *more], rates, folder, metric)
            chosen[row] = run
            test = run.metrics["test"][metric]
            result.setdefault(task, {})[row] = {
                "metric": metric, "test": test, "segments": run.metrics["test"]["accuracy"], "trials": figures,
                **({"above log-mel": gap(run, chosen["log-mel"], metric)} if "log-mel" in chosen else {}),
            }  # fmt: skip
            above = result[task][row].get("above log-mel", {}).get("value", float("nan"))
            low, high = 100 * test["low"], 100 * test["high"]
            figure = f"{metric} {100 * test['value']:.1f} % [{low:.1f}, {high:.1f}], n = {test['n']:,}"
            print(f"{task:<12}{row:<24}{figure}, above log-mel {100 * above:+.1f}", flush=True)
    write_result(arguments.output, result | {"machine": machine()})


if __name__ == "__main__":
    main()
