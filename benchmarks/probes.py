"""What pre-trained representations are worth: probes of phones, speakers and words, beside frames and a random encoder.

Encoders are pre-trained first, on all corpora of `$PHONAUT_DATA` but for the speakers who are tested, as runs
`<encoders>/<name>`. Every cell of a table is the best of two trials, chosen by the validation split; the test split is
scored for both, and shown for the chosen one alone. What is finished is not repeated.

    python benchmarks/probes.py ENCODERS --alignment FILE.ctm [--epochs 25] [--batch-frames 4800]
        [--names random,mockingjay,tera,apc] [--tasks "phone 100 %,speaker"] [--rows "log-mel;tera, fine-tuned"]
        [--finished] [--runs FOLDER] [--output benchmarks/results/representations.json]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from machine import machine, write_result
from phonaut.config.compose import compose
from phonaut.reports.comparison_table import show
from phonaut.runs import Run
from phonaut.runs.comparison import compare
from phonaut.runs.training import train

TESTED = ["0006", "0145", "1033", "1419", "2981", "3020", "3083", "9614", "9615", "9624"]  # of protocol=fixed
CONTEXT = 10  # frames on each side of a stacked one: 0.26 s in all
LABELS = {"100": (20, 400), "10": (20, 100), "1": (40, 20)}  # per cent of the recordings -> epochs, spans in a batch
FROZEN, FINETUNED = ("optimizer.lr=0.003", "optimizer.lr=0.01"), ("optimizer.lr=0.0003", "optimizer.lr=0.001")
MIXTURES = ("model.n_mix=4", "model.n_mix=8")  # trials of GMM-HMMs
FINETUNED_FOR = {"phone 100 %": 4, "phone 10 %": 10, "phone 1 %": 20, "speaker": 20, "keyword": 10}  # epochs
FRAMES = ["features=mel", "normalizer=cmvn"]
MFCC = ["features=mfcc", "features.n_mfcc=13", "features.deltas=2", "normalizer=cmvn"]
PRETRAINED = {
    "random": ["optimizer.lr=0", "trainer.max_steps=1", "trainer.limit_val_batches=1"],
    "mockingjay": [],
    "tera": ["objective=tera"],
    "apc": ["objective=apc"],
}
TUNED = ("mockingjay", "tera", "apc")  # encoders that are fine-tuned


def pretrain(name: str, folder: Path, epochs: int, batch_frames: int) -> None:
    """An encoder of half an hour or less of two cores: 25 epochs of 3 h of speech."""
    data = Path(os.environ["PHONAUT_DATA"])
    parts = ["{name: speechocean762}", "{name: fsdd}", "{name: librispeech}"]
    parts += [
        f"{{name: folder, as: {own}, data_folder: {data / of}}}"
        for own, of in (("arabic", "arabic_speech_commands"), ("commands", "speech_commands"))
    ]
    left_out = [f"'speechocean762/{speaker}'" for speaker in TESTED]
    left_out += [f"'arabic/{number}'" for number in (18, 19, 20)]
    words = ["model=mockingjay_small", "dataset=mix", f"dataset.corpora=[{','.join(parts)}]"]
    words += [f"leave_out_speakers=[{','.join(left_out)}]", f"trainer.max_epochs={epochs}"]
    words += [f"batch_frames={batch_frames}", *PRETRAINED[name], "trainer.enable_progress_bar=false"]
    folder.mkdir(parents=True, exist_ok=True)
    train(compose(words), folder, ["phonaut", "train", *words])


def rows_of(encoders: Path, names: list[str], task: str) -> dict[str, list[str]]:
    """Name of a row -> what stands in front of its model."""
    found = {"log-mel": FRAMES, "log-mel, stacked": [*FRAMES, f"model.context={CONTEXT}"]}
    if not task.startswith("phone"):
        # Of a normalised clip the mean is nothing, and it has no use for neighbours.
        found = {"MFCC": MFCC} if task == "gmmhmm" else {"log-mel": FRAMES[:1]}
    found |= {name: [f"encoder.run={encoders / name}"] for name in names}
    if task == "gmmhmm":
        return {row: [*words, *(["encoder.n_components=24"] if row in names else [])] for row, words in found.items()}
    return found | {
        f"{name}, fine-tuned": [f"encoder.run={encoders / name}", "encoder.mode=finetune",
                                f"trainer.max_epochs={FINETUNED_FOR[task]}"]
        for name in names
        if name in TUNED
    }  # fmt: skip


def tasks_of(alignment: str) -> dict[str, tuple[str, list[str]]]:
    """Name of a task -> the metric that counts, and its words."""
    ocean = ["dataset=speechocean762"]
    phones = [*ocean, "protocol=fixed", f"dataset.alignment={alignment}", "target=phone", "model=probe"]
    arabic = Path(os.environ["PHONAUT_DATA"]) / "arabic_speech_commands"
    words = ["dataset=folder", f"dataset.data_folder={arabic}", "protocol.validation_speakers=[15,16,17]"]
    words += ["protocol.test_speakers=[18,19,20]", "labels_each=1", "batch_size=100"]
    speakers = ",".join(f"'{name}'" for name in TESTED)
    found = {
        f"phone {share} %": (
            "frame_accuracy",
            [*phones, f"labels_pct={share}", f"trainer.max_epochs={epochs}", f"batch_size={size}",
             "module.label_smoothing=0.0"],
        )
        for share, (epochs, size) in LABELS.items()
    }  # fmt: skip
    whole = ["model=probe", "model.scope=segment", "trainer.max_epochs=30", "module.label_smoothing=0.0"]
    found["gmmhmm"] = ("accuracy", [*phones[:-1], "model=gmmhmm", "trainer.max_epochs=15"])
    found["speaker"] = ("accuracy", [*ocean, "target=speaker", f"classes=[{speakers}]", "batch_size=20", *whole])
    found["keyword"] = ("accuracy", [*words, *whole])
    return found


def trial(words: list[str], folder: Path) -> Run:
    """A run, trained where that was not done before."""
    config = compose([*words, "trainer.enable_progress_bar=false"])
    folder.mkdir(parents=True, exist_ok=True)
    train(config, folder, ["phonaut", "train", *words])
    return Run(folder)


def best_of(words: list[str], trials: tuple[str, ...], folder: Path, metric: str) -> tuple[Run, dict[str, float]]:
    """The run of the best validation figure, and the figures of all trials."""
    runs = {word: trial([*words, word], folder / word.partition("=")[2]) for word in trials}
    figures = {word: float(run.metrics["validation"][metric]["value"]) for word, run in runs.items()}
    return runs[max(figures, key=figures.__getitem__)], figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoders", type=Path)
    parser.add_argument("--alignment", required=True)
    parser.add_argument("--epochs", type=int, default=25, help="of pre-training")
    parser.add_argument("--batch-frames", type=int, default=4800, help="of a step of pre-training")
    parser.add_argument("--names", default="random,mockingjay,tera,apc", help="folders of encoders")
    parser.add_argument("--tasks", default="phone 100 %,phone 10 %,phone 1 %,speaker,keyword,gmmhmm")
    parser.add_argument("--rows", help="some of the rows, with semicolons between them")
    parser.add_argument("--finished", action="store_true", help="train nothing: show the cells whose trials are done")
    parser.add_argument("--runs", type=Path, default=Path("probes"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    names = arguments.names.split(",")
    for name in names:
        if not arguments.finished and not (arguments.encoders / name / "metrics.json").exists():
            pretrain(name, arguments.encoders / name, arguments.epochs, arguments.batch_frames)
    result: dict[str, Any] = {}
    for task, (metric, words) in tasks_of(arguments.alignment).items():
        if task not in arguments.tasks.split(","):
            continue
        chosen: dict[str, Run] = {}
        for row, front in rows_of(arguments.encoders, names, task).items():
            if arguments.rows and row not in arguments.rows.split(";"):
                continue
            trials = MIXTURES if task == "gmmhmm" else FINETUNED if "fine-tuned" in row else FROZEN
            folder = arguments.runs / task.replace(" %", "").replace(" ", "-") / row.replace(", ", "-")
            done = [(folder / word.partition("=")[2] / "metrics.json").exists() for word in trials]
            if arguments.finished and not all(done):
                continue
            chosen[row], figures = best_of([*words, *front], trials, folder, metric)
            test = chosen[row].metrics["test"]
            cell = {"metric": metric, "test": test[metric], "segments": test["accuracy"], "trials": figures}
            result.setdefault(task, {})[row] = cell
            low, high = 100 * test[metric]["low"], 100 * test[metric]["high"]
            print(
                f"{task:<12}{row:<24}{metric} {100 * test[metric]['value']:.1f} % [{low:.1f}, {high:.1f}]", flush=True
            )
        if len(chosen) > 1:
            comparison = compare([run.folder for run in chosen.values()], metric=metric)
            show(comparison, [])
            for row, compared in zip(chosen, comparison.runs, strict=True):
                if compared.difference is not None:
                    result[task][row]["above the first"] = compared.difference._asdict()
    write_result(arguments.output, result | {"machine": machine()})


if __name__ == "__main__":
    main()
