"""Cross-validation: the runs of a sweep over `protocol.fold` as one run, their test predictions pooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonaut.config.nodes import flat
from phonaut.config.schema import Config
from phonaut.files import read_json
from phonaut.runs.resume import FREE_KEYS
from phonaut.runs.run import Run
from phonaut.tasks.predictions import COLUMNS, Predictions

FOLD = "protocol.fold"
SHOWN = 5  # examples in a message


class Folds:
    """Runs of a sweep over `protocol.fold`, their test cuts pooled.

    Those are the jobs in one folder, `<folder>/<job>/<model>`, of one configuration but for `protocol.fold` and what
    may differ when a run is taken up again (`FREE_KEYS`). No two may be of one fold, and no cut may be in the split of
    two of them. Any number of the corpus's folds will do.

    Args:
        folder: of the sweep.
        runs: those of them that are of one configuration; None: all.
        name: of the configuration among others of the sweep.

    Raises:
        ValueError: the runs in it are not folds of one configuration; the keys in which they differ are named.
    """

    def __init__(self, folder: Path | str, runs: Sequence[Run] | None = None, name: str = "") -> None:
        self.folder, self.name = Path(folder), name
        self.runs = runs_in(self.folder) if runs is None else list(runs)
        if not self.runs:
            raise ValueError(f"{folder} is not a run, nor a sweep over {FOLD}: there is no config.yaml in it")
        settings = [settings_of(run) for run in self.runs]
        keys = {key for one in settings for key in one} - FREE_KEYS - {FOLD}
        different = sorted(key for key in keys if any(one.get(key) != settings[0].get(key) for one in settings))
        if different:
            named = ", ".join(str(run.folder) for run in self.runs[:2])
            raise ValueError(
                f"{folder} holds {len(self.runs)} runs that differ in more than {FOLD}: {listed(different)}; "
                f"name the runs one by one ({named} ...), or give the folds of each configuration their own "
                "experiment_id"
            )
        self.numbers = [one.get(FOLD) for one in settings]
        if None in self.numbers or len(set(self.numbers)) < len(self.numbers):
            numbers = listed([str(number) for number in self.numbers])
            raise ValueError(f"the runs in {folder} must be of one {FOLD} each; theirs are {numbers}")
        lists = {tuple(sorted(run.classes)) for run in self.runs if run.finished}
        if len(lists) > 1:
            odd = sorted({name for names in lists for name in names if any(name not in other for other in lists)})
            raise ValueError(f"the folds in {folder} have not learned the same classes; some lack {listed(odd)}")

    def __repr__(self) -> str:
        """The folder, and how many folds there are."""
        return f"Folds({str(self.folder)!r}, {len(self.runs)} runs)"

    @property
    def config(self) -> Config:
        """The configuration of the first fold."""
        return self.runs[0].config

    @property
    def corpus(self) -> dict[str, Any]:
        """The corpus of the first fold."""
        return self.runs[0].corpus

    @property
    def finished(self) -> bool:
        """All folds are."""
        return all(run.finished for run in self.runs)

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of the scores."""
        return self.runs[0].classes

    @cached_property
    def model(self) -> dict[str, Any]:
        """Of all folds together: the mean size, and the time that all trainings took."""
        models = [run.model for run in self.runs]
        about: dict[str, Any] = {"model": models[0].get("model"), "classes": self.classes}
        for key in ("parameters", "macs"):
            if all(key in model for model in models):
                about[key] = round(sum(model[key] for model in models) / len(models))
        if all("train_seconds" in model for model in models):
            about["train_seconds"] = round(sum(model["train_seconds"] for model in models), 1)
        return about

    def conditions(self, split: str) -> list[str]:
        """Such as `white_10_db`: under which every fold was scored."""
        common = set.intersection(*(set(run.conditions(split)) for run in self.runs))
        return [condition for condition in self.runs[0].conditions(split) if condition in common]

    def read(self, name: str, default: Any = None) -> Any:
        """The content of a JSON file that is the same in all folds; None where it is not."""
        contents = [run.read(name, default) for run in self.runs]
        return contents[0] if all(one == contents[0] for one in contents) else None

    def predictions(self, split: str) -> Predictions:
        """Predictions of each fold's model for that fold's split, concatenated.

        Raises:
            ValueError: a fold has no predictions, or two folds have a cut in common.
        """
        parts = [in_order(run.predictions(split), self.classes) for run in self.runs]
        seen: dict[str, Any] = {}
        for number, part in zip(self.numbers, parts, strict=True):
            cuts = sorted(set(part.cut.tolist()))
            shared = [cut for cut in cuts if cut in seen]
            if shared:
                raise ValueError(
                    f"folds {seen[shared[0]]} and {number} in {self.folder} share {len(shared)} cuts in {split!r}, "
                    f"{listed(shared)}: they cannot be pooled"
                )
            seen |= dict.fromkeys(cuts, number)
        return pooled(parts)


def runs_in(folder: Path) -> list[Run]:
    """The runs of a sweep, in the order of their jobs."""
    places = [path.parent for path in folder.glob("*/*/config.yaml")]

    def place(path: Path) -> tuple[int, Path]:
        number = path.parent.name.partition("_")[0]
        return int(number) if number.isdecimal() else 0, path

    return [Run(path) for path in sorted(places, key=place)]


def settings_of(run: Run) -> dict[str, Any]:
    """The configuration of a run as flat keys."""
    return flat(run.config.to_dict())


def listed(names: list[str]) -> str:
    """The first few names, and how many more there are.

    >>> listed(["a", "b", "c", "d", "e", "f", "g"])
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def open_run(folder: Path | str | Run | Folds) -> Run | Folds:
    """The run in a folder, or the folds of one; one that is open already is itself.

    Raises:
        ValueError: there is neither.
    """
    if isinstance(folder, (Run, Folds)):
        return folder
    folder = Path(folder)
    if any(folder.glob("*/*/config.yaml")) and not (folder / "config.yaml").exists():
        return Folds(folder)
    return Run(folder)


def open_sweep(folder: Path | str) -> list[Run | Folds]:
    """What is compared of a folder: its run, or what a sweep is over, each for itself.

    Of a sweep over `protocol.fold` that is one thing; of one over other keys too, the folds of each combination. Runs
    that are not finished are left out where others are.

    Raises:
        ValueError: there is no run.
    """
    folder = Path(folder)
    runs = [] if (folder / "config.yaml").exists() else runs_in(folder)
    if not runs:
        return [open_run(folder)]
    runs = [run for run in runs if run.finished] or runs
    settings = [settings_of(run) for run in runs]
    keys = sorted({key for one in settings for key in one} - FREE_KEYS)
    swept = [key for key in keys if any(one.get(key) != settings[0].get(key) for one in settings)]
    if FOLD not in swept:
        return list(runs) if len(runs) > 1 else [open_run(folder)]
    typed = read_json(folder / "sweep.json", {"keys": swept})["keys"]
    groups: dict[str, list[Run]] = {}
    for run, one in zip(runs, settings, strict=True):
        named = [f"{key}={one.get(f'choices.{key}', one.get(key))}" for key in typed if key != FOLD]
        groups.setdefault(" ".join(named), []).append(run)
    return [Folds(folder, of, name) for name, of in groups.items()]


def check_one_task(runs: Sequence[Run | Folds]) -> None:
    """Refuse to compare runs of different tasks.

    Raises:
        ValueError: they are; one of each is named.
    """
    first = runs[0]
    task = first.config.choices.get("task")
    for run in runs[1:]:
        if (other := run.config.choices.get("task")) != task:
            raise ValueError(
                f"{first.folder} is of task={task}, and {run.folder} of task={other}: what they score has no figure in "
                "common, and cannot stand in one table"
            )


def members(folder: Path | str) -> list[Path]:
    """The folders of the runs that `open_run` finds."""
    run = open_run(folder)
    return [one.folder for one in (run.runs if isinstance(run, Folds) else [run])]


def in_order(predictions: Predictions, classes: list[str]) -> Predictions:
    """The same predictions with the classes in another order.

    Raises:
        ValueError: they are other classes.
    """
    names = [str(name) for name in predictions.classes]
    if names == classes:
        return predictions
    if sorted(names) != sorted(classes):
        lacking, more = sorted(set(classes) - set(names)), sorted(set(names) - set(classes))
        how = [f"lacks {listed(lacking)}"] * bool(lacking) + [f"has also {listed(more)}"] * bool(more)
        raise ValueError(f"other classes: it {' and '.join(how)}")
    # Class j of `classes` is column `column[j]` of the scores; label i becomes `place[i]`, the inverse permutation,
    # whose last entry serves the label -1.
    column = np.array([names.index(name) for name in classes])
    place = np.append(np.argsort(column), -1)
    label: NDArray[np.int64] = place[predictions.label].astype(np.int64)
    return replace(predictions, classes=np.array(classes), scores=predictions.scores[:, column], label=label)


def pooled(parts: list[Predictions]) -> Predictions:
    """Concatenation of predictions of the same classes; a column that one of them lacks is left out."""
    shared = set.intersection(*(set(part.columns) for part in parts))
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in sorted(shared)}
    ours = {name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS}
    return replace(parts[0], **ours, columns=columns)
