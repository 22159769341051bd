"""ONNX files, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from phonaut.arrays import Array
from phonaut.deploy.backends import Written, with_graph
from phonaut.deploy.onnx import MISSING, session, write_onnx
from phonaut.deploy.quantized_graph import ONNX_RUNTIME
from phonaut.deploy.streaming_onnx import OnnxStream, write_streaming_onnx
from phonaut.models.speech_model import SpeechModel

SUFFIX = ".onnx"
INPUTS = ("audio", "features")
NATIVE, FLOAT, DENSITIES = True, True, True
PACKAGES = dict.fromkeys(("onnx", "onnxscript", "onnxruntime"), MISSING)


def write_stream(model: SpeechModel, path: Path, *, about: Mapping[str, Any], window_ms: float) -> type[OnnxStream]:
    """Write a model that streams; what runs it hop by hop."""
    write_streaming_onnx(model, path, about=about, window_ms=window_ms)
    return OnnxStream


def write(model: SpeechModel, path: Path, *, n_samples: int, about: dict[str, Any], features: bool) -> Written:
    """Write a model, or its network alone; `write_onnx` says what the arguments are."""
    whole = with_graph(model, ONNX_RUNTIME)
    any_length = write_onnx(whole, path, n_samples=n_samples, about=about, features=features)
    runtime, name = session(path), "features" if features else "audio"

    def run(given: Array) -> Array:
        scores: Array = runtime.run(None, {name: given.astype(np.float32, copy=False)})[0]
        return scores

    return Written(any_length, run)
