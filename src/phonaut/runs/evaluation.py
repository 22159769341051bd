"""Evaluate a trained run again: on a split, on a folder, in noise, or by a probe, as its task says."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from pathlib import Path

from phonaut.files import sweep, write_json
from phonaut.runs.load import load
from phonaut.runs.run import Run
from phonaut.tasks.base import Request


def evaluate(folder: Path | str, request: Request | None = None) -> tuple[Run, str]:
    """Score a trained run; predictions and figures are added to the run, under the split's name or the folder's.

    Args:
        folder: the run. One that may not be written stays as it is, and the figures are added to a copy.
        request: what to score; None: the test split.

    Returns:
        The run, or the copy of it, and the name under which the figures were added.

    Raises:
        ValueError: there is no trained model, or the task cannot score what is asked for.
    """
    request = request or Request()
    if not os.access(Run(folder).folder, os.W_OK):
        folder = copied(Run(folder).folder)
    loaded = load(folder, epoch=request.epoch)
    run = loaded.run
    if request.judge is not None and not loaded.task.takes_judge:
        raise ValueError(f"judge= is of generators, and {run.folder} is none")
    for place in (run.folder, run.folder / "predictions"):
        sweep(place)
    name, rates = loaded.task.evaluate(loaded, request)
    if rates is not None:
        metrics = run.metrics
        is_own = request.data_folder is None and request.trials is None and not request.overrides
        if is_own:  # recordings in a folder may have changed
            earlier = {metric: rate for metric, rate in metrics.get(name, {}).items() if "/" in metric}
            rates = earlier | rates
        write_json(run.folder / "metrics.json", metrics | {name: rates})
    return run, name


def copied(folder: Path) -> Path:
    """A copy of a run among the temporary files; its checkpoints stay where they are."""
    copy = Path(tempfile.mkdtemp(prefix="phonaut-")) / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("checkpoints", "events.*", ".*"))
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    if (folder / "checkpoints").is_dir():
        (copy / "checkpoints").symlink_to((folder / "checkpoints").resolve())
    warnings.warn(f"{folder} may not be written: predictions, figures and report are in {copy}", stacklevel=3)
    return copy
