"""Phonaut: one toolkit that trains, compares and ships models of speech."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phonaut.runs.load import load

__all__ = ["load"]
__version__ = "0.1.0"

# Read when torch is loaded. OpenMP's threads otherwise wait in a loop for the slowest of them, and beside other
# programs a step takes ten times as long for it (docs/decisions/speed.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "OMP_NUM_THREADS" in os.environ:  # which Numba does not read
    os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])


def __getattr__(name: str) -> Any:
    # Loaded when asked for: `phonaut --help` needs no torch.
    if name == "load":
        from phonaut.runs.load import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
