"""A run on disk: make it, resume it, load it, evaluate it on any split."""

from importlib import import_module
from typing import TYPE_CHECKING

from phonaut.runs.folds import Folds, members, open_run
from phonaut.runs.run import Run
from phonaut.tasks.predictions import Predictions

if TYPE_CHECKING:
    from phonaut.runs.evaluation import evaluate
    from phonaut.runs.training import train

__all__ = ["Folds", "Predictions", "Run", "evaluate", "members", "open_run", "train"]


_MODULES = {"evaluate": "evaluation", "train": "training"}


def __getattr__(name: str) -> object:
    # Training needs torch and lightning; reading a run for a report does not.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
