"""The runs that lie in a folder: what each is of, its figure, its age, and whether it goes on."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from phonaut.config.metrics import registered_metrics
from phonaut.config.plugins import config_dirs
from phonaut.config.yaml_files import MOST_BYTES
from phonaut.files import expanded
from phonaut.metrics import Estimate, Metric
from phonaut.runs.folds import FOLD, Folds, open_sweep
from phonaut.runs.run import Run
from phonaut.runs.sweeps.sweep import Sweep

SPLITS = ("test", "validation", "train")


class Listed(NamedTuple):
    """A run, or the runs of a sweep, in a line.

    Attributes:
        run: its folder.
        task: target of a classifier, else the task.
        corpus: its name.
        model: its name, or what is swept.
        metric: name of the figure; empty: there is none yet.
        split: that was scored.
        figure: value, interval and number of items; None: there is none yet.
        started: when it was begun; None: not known.
        state: `finished`, `training` now, or `unfinished`; of a damaged run, what is wrong.
        progress: how far an unfinished one is, or how many of a sweep are finished.
        command: that takes an unfinished one up again.
    """

    run: Path
    task: str
    corpus: str
    model: str
    metric: str
    split: str
    figure: Estimate | None
    started: datetime | None
    state: str
    progress: str
    command: str


def listing(folder: Path | str) -> list[Listed]:
    """The runs and sweeps in a folder, the newest last; of a sweep that is named, its runs.

    Raises:
        ValueError: there is no such folder.
    """
    folder = expanded(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: phonaut list FOLDER, where FOLDER is what output_dir= was")
    never = datetime.fromtimestamp(0, UTC)
    return sorted(found_in(folder), key=lambda one: (one.started or never, one.run))


def found_in(folder: Path) -> Iterator[Listed]:
    """The same, as the folders come."""
    if (folder / "config.yaml").exists():
        yield careful(folder)
        return
    for place in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if (place / "config.yaml").exists():
            yield careful(place)
            continue
        runs = sorted(path.parent for path in place.glob("*/config.yaml"))
        yield from map(careful, runs)
        if not runs and ((place / "sweep.json").exists() or any(place.glob("*/*/config.yaml"))):
            yield from careful_sweep(place)


def careful(folder: Path) -> Listed:
    """A run; of one that cannot be read, why."""
    try:
        return of_run(Run(folder))
    except (ValueError, OSError, TypeError, AttributeError) as error:
        return damaged(folder, error)


def careful_sweep(folder: Path) -> Iterator[Listed]:
    """The lines of a sweep; of one that cannot be read, why."""
    try:
        yield from of_sweep(folder)
    except (ValueError, OSError, TypeError, AttributeError, KeyError) as error:
        yield damaged(folder, error)


def damaged(folder: Path, error: Exception) -> Listed:
    """What cannot be read."""
    return Listed(folder, "", "", "", "", "", None, None, str(error).splitlines()[0], "", "")


def of_run(run: Run) -> Listed:
    """A line on a run."""
    config, environment = stored(run.folder), run.environment
    chosen = config.get("choices") or {}
    task = str(chosen.get("task") or "classification")
    corpus = str(chosen.get("dataset") or run.corpus.get("name", ""))
    if corpus in ("folder", "frames") and (place := (config.get("dataset") or {}).get("data_folder")):
        corpus = f"{corpus} {Path(place).name}"
    split, metric, figure = headline(run)
    state = "finished" if run.finished else "training" if is_locked(run.folder / ".lock") else "unfinished"
    most, n = (config.get("trainer") or {}).get("max_epochs"), len(run.history)
    return Listed(
        run=run.folder,
        task=str(config.get("target", task)) if task == "classification" else task,
        corpus=corpus,
        model=str(chosen.get("model") or run.folder.name),
        metric=metric,
        split=split,
        figure=figure,
        started=datetime.fromisoformat(environment["started"]) if "started" in environment else None,
        state=state,
        progress="" if run.finished else f"epoch {n} of {most}" if (most or -1) > 0 else f"{n} epochs",
        command="" if run.finished else str(environment.get("resume_command", "")),
    )


def stored(folder: Path) -> dict[str, Any]:
    """The configuration of a run as it was written: names alone are read of it, nothing is made."""
    import yaml

    with (folder / "config.yaml").open("rb") as file:
        data = file.read(MOST_BYTES)
    try:
        content = yaml.load(data, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{folder / 'config.yaml'} is damaged") from error
    return content if isinstance(content, dict) else {}


def headline(run: Run) -> tuple[str, str, Estimate | None]:
    """The split and the name of the first figure, and the figure: of the test split where there is one."""
    for split in sorted(run.metrics, key=lambda name: SPLITS.index(name) if name in SPLITS else len(SPLITS)):
        rates = run.metrics[split]
        name = next((name for name in (*metrics(), *rates) if name in rates), "")
        if name:
            return split, name, Estimate(**rates[name])  # type: ignore[arg-type]
    return "", "", None


def metrics() -> dict[str, Metric]:
    """The registered metrics, whose files are read once for all runs."""
    return _metrics(tuple(config_dirs()))


@cache
def _metrics(folders: tuple[Path, ...]) -> dict[str, Metric]:
    return registered_metrics()


def of_sweep(folder: Path) -> Iterator[Listed]:
    """A line on a sweep: its best run; on each cross-validation in it, the pooled figure."""
    sweep = Sweep(folder)
    about = sweep.about if sweep.exists else {"keys": []}
    lines = [careful(path.parent) for path in sorted(folder.glob("*/*/config.yaml"))]
    trials = sweep.trials()
    n, n_finished = len(trials) or len(lines), sum(line.state == "finished" for line in lines)
    is_over = n_finished == n and n > 0
    first = lines[0] if lines else damaged(folder, ValueError("it has no runs"))
    whole = first._replace(
        run=folder,
        metric="",
        split="",
        figure=None,
        state="finished" if is_over else "training" if is_locked(folder / ".lock") else "unfinished",
        progress="" if is_over else f"{n_finished} of {n} runs",
        command="" if is_over else str(about.get("command", "")),
    )
    if is_over and (FOLD in about["keys"] or not sweep.exists):
        folds = [one for one in open_sweep(folder) if isinstance(one, Folds)]
        yield from (pooled(one, whole, about["keys"]) for one in folds)
        if folds:
            return
    swept = f"{n} of {', '.join(sweep.heads)}" if sweep.exists else f"{n} runs"
    best = next(iter(sweep.best() if trials else []), None)
    of_best = next((line for line in lines if best and line.run.parent.name == best.job), None)
    if best and of_best:
        swept += f", best {' '.join(best.words)}"
        whole = whole._replace(metric=of_best.metric, split=of_best.split, figure=of_best.figure)
    yield whole._replace(model=swept)


def pooled(folds: Folds, whole: Listed, keys: list[str]) -> Listed:
    """The line of a cross-validation."""
    model = " ".join([whole.model] * ("model" not in keys) + [folds.name] * bool(folds.name))
    line = whole._replace(model=f"{model}, {len(folds.runs)} folds")
    if not (folds.runs[0].folder / "predictions").exists():
        return line
    figure = metrics()["accuracy"](folds.predictions("test").scored())
    return line._replace(metric="accuracy", split="test", figure=figure)


def is_locked(path: Path) -> bool:
    """True where another process is at work."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
