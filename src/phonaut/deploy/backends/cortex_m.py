"""ExecuTorch's programs for Arm Cortex-M, their layers run by CMSIS-NN. Features in; inputs have one length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from phonaut.arrays import Array
from phonaut.deploy.backends import Written, with_graph
from phonaut.deploy.executorch import MISSING, MISSING_TOSA, cortex_m_program, exported, write_program
from phonaut.deploy.quantized_graph import CORTEX_M, why_no_graph
from phonaut.models.speech_model import SpeechModel

SUFFIX = ".pte"
INPUTS = ("features",)
NATIVE, FLOAT, DENSITIES = False, False, False
PACKAGES = {"executorch": MISSING, "tosa": MISSING_TOSA}


def write(model: SpeechModel, path: Path, *, n_samples: int, about: dict[str, Any], features: bool) -> Written:
    """Write the network of a model, quantised, for features of recordings of `n_samples`.

    ExecuTorch's wheel has the kernels for a device alone. On this computer `run` is the program of which the file was
    made, by what the backend says of each kernel in Python.

    Raises:
        ValueError: it cannot be exported, or the package is missing.
    """
    if not features:
        raise ValueError("backend=cortex-m takes features: the front end is the device's own")
    if problem := why_no_graph(model.network):
        raise ValueError(f"backend=cortex-m has kernels of integers alone: {problem}")
    program = cortex_m_program(exported(with_graph(model, CORTEX_M), n_samples=n_samples, features=True))
    module = program.exported_program().module(check_guards=False)
    write_program(path, program)

    def run(given: Array) -> Array:
        with torch.no_grad():
            scores: Array = module(torch.from_numpy(given.astype(np.float32))).numpy()
        return scores

    return Written(False, run)
