"""Evaluate a trained run again: on a split, on a folder, in noise, or by a probe, as its task says."""

from __future__ import annotations

from pathlib import Path

from phonaut.files import write_json
from phonaut.runs.load import load
from phonaut.runs.run import Run
from phonaut.tasks.base import Request


def evaluate(folder: Path | str, request: Request | None = None) -> tuple[Run, str]:
    """Score a trained run; predictions and figures are added to the run, under the split's name or the folder's.

    Args:
        folder: the run.
        request: what to score; None: the test split.

    Returns:
        The run, and the name under which the figures were added.

    Raises:
        ValueError: there is no trained model, or the task cannot score what is asked for.
    """
    request = request or Request()
    loaded = load(folder, epoch=request.epoch)
    run = loaded.run
    name, rates = loaded.task.evaluate(loaded, request)
    if rates is not None:
        metrics = run.metrics
        if request.data_folder is None and not request.overrides:  # recordings in a folder may have changed
            earlier = {metric: rate for metric, rate in metrics.get(name, {}).items() if "/" in metric}
            rates = earlier | rates
        write_json(run.folder / "metrics.json", metrics | {name: rates})
    return run, name
