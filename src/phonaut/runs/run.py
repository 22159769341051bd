"""A run's folder: where it lies, what is in it, whether it may be resumed."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from phonaut.config.compose import read_config
from phonaut.config.schema import Config
from phonaut.files import expanded, read_json, remove, run_folder
from phonaut.tasks.predictions import Predictions

if TYPE_CHECKING:
    from phonaut.data.prepared import PreparedCorpus

T = TypeVar("T")

DETECTION_FILE = "detection.json"  # of a run: its threshold, and what was detected in long sound


class Run:
    """A run on disk, read as it is asked for.

    Args:
        folder: `trained_models/<experiment_id>/<model>`, or the folder above it where that holds one run.

    Raises:
        ValueError: there is no run in `folder`.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = run_folder(folder)

    def __repr__(self) -> str:
        """Its folder, and how far it is."""
        return f"Run({str(self.folder)!r}{'' if self.finished else ', not finished'})"

    def read(self, name: str, default: T) -> T:
        """The content of a JSON file of the run, or `default` where it is not there (yet)."""
        return read_json(self.folder / name, default)

    @cached_property
    def config(self) -> Config:
        """The configuration that the run was started with, under today's names."""
        return read_config(self.folder)

    @property
    def metrics(self) -> dict[str, dict[str, dict[str, float]]]:
        """Split -> metric -> value, low, high, n."""
        metrics: dict[str, Any] = self.read("metrics.json", {})
        for split, rates in metrics.items():
            if not isinstance(rates, dict) or not all(map(is_rate, rates.values())):
                raise ValueError(f"{self.folder / 'metrics.json'} is damaged: {split} is not value, low, high and n")
        return metrics

    @property
    def history(self) -> list[dict[str, float]]:
        """One line per epoch."""
        history: list[Any] = self.read("history.json", [])
        for i, line in enumerate(history):
            if not isinstance(line, dict) or "epoch" not in line or not all(map(is_number, line.values())):
                raise ValueError(
                    f"{self.folder / 'history.json'} is damaged: its line {i + 1} is no figures of an epoch"
                )
        return history

    @property
    def model(self) -> dict[str, Any]:
        """Name, size and training time of the model, and its classes."""
        about: dict[str, Any] = self.read("model.json", {})
        classes = about.get("classes", [])
        sizes = (about.get(key, 0) for key in ("parameters", "macs", "train_seconds"))
        if (
            not isinstance(classes, list)
            or not all(isinstance(one, str) for one in classes)
            or not all(map(is_number, sizes))
        ):
            raise ValueError(
                f"{self.folder / 'model.json'} is damaged: its classes are no names, or a size is no number"
            )
        return about

    @property
    def environment(self) -> dict[str, Any]:
        """Command, versions, machine and times."""
        return self.read("environment.json", {})

    @property
    def corpus(self) -> dict[str, Any]:
        """Name, notes, summary and prepared folder of the corpus."""
        return self.read("corpus.json", {})

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the scores."""
        return list(self.model["classes"])

    @property
    def finished(self) -> bool:
        """Trained and evaluated: `metrics.json` is written last."""
        return (self.folder / "metrics.json").exists()

    @property
    def begun(self) -> bool:
        """There is something that training made: a checkpoint, or a model."""
        kept = any((self.folder / "checkpoints").glob("*.ckpt"))
        return kept or self.finished or (self.folder / "model.safetensors").exists()

    def conditions(self, split: str) -> list[str]:
        """Conditions under which the split was scored besides as it is, such as `white_10_db`."""
        names = (name.partition("/")[2] for name in self.metrics.get(split, {}) if "/" in name)
        return list(dict.fromkeys(names))

    def predictions(self, split: str) -> Predictions:
        """Predictions for every span of `split`, or under a condition: `test.white_10_db`."""
        path = self.folder / "predictions" / f"{split}.npz"
        if not path.exists():
            there = ", ".join(sorted(p.stem for p in path.parent.glob("*.npz"))) or "none"
            raise ValueError(f"{self.folder} holds no predictions for {split!r}; it has: {there}")
        return Predictions.load(path)

    def prepared(self) -> PreparedCorpus | None:
        """The prepared corpus of the run, or None where it was deleted since."""
        from phonaut.data.prepared import PreparedCorpus

        folder = self.corpus.get("folder")
        return PreparedCorpus(Path(folder)) if folder and Path(folder).exists() else None


def is_number(value: object) -> bool:
    """True for a number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_rate(value: object) -> bool:
    """True for a figure with its interval."""
    if not isinstance(value, dict) or value.keys() - {"method"} != {"value", "low", "high", "n"}:
        return False
    numbers = [one for key, one in value.items() if key != "method"]
    return isinstance(value.get("method", ""), str) and all(map(is_number, numbers))


def default_experiment_id(dataset: str, target: str) -> str:
    """`<dataset>-<target>-<date>-<time>`."""
    return f"{dataset}-{target}-{datetime.now():%Y%m%d-%H%M%S}"


def new_experiment(output_dir: str, dataset: str, target: str) -> str:
    """A default id whose folder was not there, and now is: of commands of one second each has its own."""
    name = default_experiment_id(dataset, target)
    for n in itertools.count(2):
        try:
            (expanded(output_dir) / name).mkdir(parents=True)
            break
        except FileExistsError:
            if not (expanded(output_dir) / name).is_dir():  # output_dir is a file
                raise
        name = f"{default_experiment_id(dataset, target)}-{n}"
    return name


def run_directory(output_dir: str, experiment_id: str, model: str) -> Path:
    """`<output_dir>/<experiment_id>/<model>`; of a job of a sweep, `output_dir` is the folder of the sweep.

    >>> str(run_directory("trained_models/x", job_name(0, ["seed=1"]), "lstm"))
    'trained_models/x/0_seed-1/lstm'
    """
    return expanded(output_dir) / experiment_id / model


def job_name(number: int, overrides: Sequence[str]) -> str:
    """`<number>_<overrides>`: short, unique, without slashes.

    >>> job_name(3, ["features=mfcc", "optimizer.lr=0.1"])
    '3_features-mfcc_optimizer.lr-0.1'
    """
    text = "_".join(re.sub(r"[^\w.-]+", "-", override) for override in overrides)
    if len(text) > 60:
        text = f"{text[:50]}_{hashlib.sha256('|'.join(overrides).encode()).hexdigest()[:8]}"
    return f"{number}_{text}" if text else str(number)


def empty(folder: Path) -> None:
    """Remove a run, all but its lock.

    First what says that it is finished, last what says that it is a run: killed in between, it is one to be resumed.
    """
    for path in sorted(folder.iterdir(), key=lambda path: (path.name == "config.yaml", path.name != "metrics.json")):
        if path.name != ".lock":
            remove(path)
