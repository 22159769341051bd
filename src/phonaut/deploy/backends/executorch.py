"""ExecuTorch's programs, their layers run by XNNPACK: for phones and small computers. Inputs have one length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phonaut.arrays import Array
from phonaut.deploy.backends import Written, with_graph
from phonaut.deploy.executorch import MISSING, edge_program, exported, runner, write_program
from phonaut.deploy.quantized_graph import XNNPACK
from phonaut.models.speech_model import SpeechModel

SUFFIX = ".pte"
INPUTS = ("audio", "features")
NATIVE, FLOAT, DENSITIES = True, True, False
PACKAGES = {"executorch": MISSING}


def write(model: SpeechModel, path: Path, *, n_samples: int, about: dict[str, Any], features: bool) -> Written:
    """Write a model, or its network alone, for recordings of `n_samples`; labels and such lie beside it.

    Raises:
        ValueError: it cannot be exported, or the package is missing.
    """
    program = exported(with_graph(model, XNNPACK), n_samples=n_samples, features=features)
    write_program(path, edge_program(program))
    runtime = runner(path)

    def run(given: Array) -> Array:
        return runtime(given)

    return Written(False, run)
