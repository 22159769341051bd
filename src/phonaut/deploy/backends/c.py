"""C99 for microcontrollers, compiled and run here by the C compiler of this computer, where there is one."""

from __future__ import annotations

from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import torch

from phonaut.arrays import Array
from phonaut.deploy.backends import Written
from phonaut.deploy.c import Compiled, Reference, write_c
from phonaut.deploy.fixed_front_end import fixed_front_end, why_no_fixed_front_end
from phonaut.deploy.integer_program import program_of
from phonaut.deploy.interpreter import Interpreter
from phonaut.features import FrontEnd
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.quantized import QuantizedNetwork

SUFFIX = ""
INPUTS = ("audio",)
NATIVE, FLOAT, DENSITIES = True, False, False
PACKAGES: dict[str, str] = {}
COMPILER = "gcc"


def write(model: SpeechModel, path: Path, *, n_samples: int, about: dict[str, Any], features: bool) -> Written:
    """Write a folder of C; without a compiler, the reference answers in its place, bit for bit as it would.

    Raises:
        ValueError: the network is not in integers, or the front end cannot be.
    """
    if not isinstance(model.network, QuantizedNetwork):
        raise ValueError("backend=c computes with integers: type compress=linear_8_8_8, or train with it")
    if not isinstance(model.front_end, FrontEnd):
        raise ValueError("backend=c begins with samples, and an encoder stands in front of the network")
    if reason := why_no_fixed_front_end(model.front_end, model.normalizer):
        raise ValueError(f"backend=c: {reason}")
    program = program_of(model.network, model.front_end.n_features, about)
    fixed = fixed_front_end(model.front_end, model.normalizer, program)
    rate = model.front_end.sample_rate
    written = write_c(path, program, fixed, labels=about.get("labels"), clip_s=n_samples / rate)
    program.save(path / "program.safetensors")
    interpreter = Interpreter(program)
    reference = Reference(written, interpreter, fixed)
    code: Any = Compiled(path, COMPILER) if which(COMPILER) else reference
    scale = np.float32(program.exits[-1].numbers["scale"])

    def run(given: Array) -> Array:
        clip = np.clip(np.rint(given[0, :n_samples] * 32768), -32768, 32767).astype(np.int16)
        scores: Array = (code.classify(clip).astype(np.float32) * scale)[None]
        return scores

    with torch.inference_mode():
        example = np.random.default_rng(0).integers(-3000, 3000, n_samples).astype(np.int16)
        if code is not reference and not (code.classify(example) == reference.classify(example)).all():
            raise ValueError(f"the C in {path} does not compute what the reference does: please report this run")
    return Written(False, run, written.plan)
