"""Phonaut: one toolkit that trains, compares and ships models of speech.

    import phonaut

    run = phonaut.train("dataset=fsdd", "model=lstm")     # or phonaut.load("trained_models/ID")
    print(run.predict("yes.wav"))
    phonaut.compare([run, "trained_models/OTHER"])

Front ends are `phonaut.features`, hidden Markov models `phonaut.hmm`, and so on: `dir(phonaut)` lists them, and each is
loaded when it is asked for.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phonaut import (
        alignment,
        corpora,
        data,
        densities,
        deploy,
        features,
        hmm,
        metrics,
        models,
        networks,
        plots,
        reports,
        runs,
        tasks,
        training,
    )
    from phonaut.api import compare, train
    from phonaut.runs.load import load

__all__ = [
    "alignment",
    "compare",
    "corpora",
    "data",
    "densities",
    "deploy",
    "features",
    "hmm",
    "load",
    "metrics",
    "models",
    "networks",
    "plots",
    "reports",
    "runs",
    "tasks",
    "train",
    "training",
]
__version__ = "0.1.0"

_FUNCTIONS = {"compare": "phonaut.api", "load": "phonaut.runs.load", "train": "phonaut.api"}

# Read when torch is loaded. OpenMP's threads otherwise wait in a loop for the slowest of them, and beside other
# programs a step takes ten times as long for it (docs/decisions/speed.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "OMP_NUM_THREADS" in os.environ:  # which Numba does not read
    os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])


if not TYPE_CHECKING:  # to whom a name that is not there is a mistake

    def __getattr__(name: str) -> Any:
        # Loaded when asked for: `phonaut --help` needs no torch.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        if name in _FUNCTIONS:
            return getattr(import_module(_FUNCTIONS[name]), name)
        return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
