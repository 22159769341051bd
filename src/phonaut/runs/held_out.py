"""Cross-validation within a run, for a few recordings: each fold is trained beside it, and tested on what it lacks."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path

from phonaut.config.schema import Config
from phonaut.runs.folds import Folds
from phonaut.runs.run import Run
from phonaut.tasks.predictions import Predictions

FOLDS = "folds"  # folder of a run, until it is finished


def held_out(config: Config, folder: Path, train_fold: Callable[[Config, Path], None]) -> Predictions:
    """Predictions for every recording, each by the model of the fold that was not trained on it.

    Folds that are finished are not trained again.

    Args:
        config: of the run, with `protocol.n_folds`.
        folder: of the run.
        train_fold: trains and tests the fold of a configuration in a folder.

    Raises:
        ValueError: a fold cannot be trained.
    """
    n_folds = int(config.protocol["n_folds"])
    for fold in range(n_folds):
        of_fold = copy.deepcopy(config)
        of_fold.protocol["fold"] = fold
        of_fold.trainer["enable_progress_bar"] = False
        place = folder / FOLDS / str(fold) / folder.name
        if not ((place / "config.yaml").exists() and Run(place).finished):
            print(f"fold {fold + 1} of {n_folds}, tested on what it does not train on", flush=True)
            place.mkdir(parents=True, exist_ok=True)
            train_fold(of_fold, place)
    print(f"all {n_folds} folds are tested; now the model of the run, on all recordings", flush=True)
    return Folds(folder / FOLDS).predictions("test")


def remove_folds(folder: Path) -> None:
    """Remove the folds of a run that has their predictions, or starts over."""
    shutil.rmtree(folder / FOLDS, ignore_errors=True)
