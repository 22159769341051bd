"""A trained classifier as an ONNX file: audio in, scores out, or features in.

The file carries what a program needs to use it (`metadata_props`): labels, sample rate, the least and usual length.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phonaut.arrays import Array
from phonaut.deploy.density_graph import DensityGraph
from phonaut.deploy.prototype_graph import PrototypesGraph
from phonaut.deploy.quantized_graph import QuantizedGraph
from phonaut.files import write_bytes
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.convolutional import ConvolutionalNetwork
from phonaut.networks.recurrent import Recurrent

GRAPHS = (QuantizedGraph, DensityGraph, PrototypesGraph)
MISSING = "backend=onnxruntime needs onnx, onnxscript and onnxruntime: pip install 'phonaut[export]'"
LEAST_S, LONGEST_S = 0.1, 600.0


class FromAudio(nn.Module):
    """`audio (1, S) -> scores (1, C)`: front end, normaliser and network over one whole recording."""

    def __init__(self, model: SpeechModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, audio: Tensor) -> Tensor:
        """Scores of a recording."""
        scores: Tensor = self.model(audio, torch.full((1,), audio.shape[1], dtype=torch.int64))
        return scores


class FromFeatures(nn.Module):
    """`features (1, T, D) -> scores (1, C)`: the network alone, for a program with a front end of its own."""

    def __init__(self, model: SpeechModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """Scores of normalised frames."""
        return self.model.classify(features, torch.full((1,), features.shape[1], dtype=torch.int64))


def why_no_onnx(model: SpeechModel) -> str | None:
    """Why a model cannot be exported, in one sentence; None where it can."""
    if not isinstance(model.network, (ConvolutionalNetwork, Recurrent, *GRAPHS)):
        return f"{type(model.network).__name__} is not exported: networks of convolutions and recurrences are"
    return None


def write_onnx(
    model: SpeechModel, path: Path, *, n_samples: int, about: dict[str, Any], features: bool = False
) -> bool:
    """Write the model as ONNX; return whether it takes any length, or that of the example alone.

    Args:
        model: trained, in evaluation mode.
        path: that is written, whole or not at all.
        n_samples: of the example that is traced.
        about: metadata: names to what JSON holds.
        features: leave the front end out.

    Raises:
        ValueError: it cannot be exported, or the packages are missing.
    """
    if reason := why_no_onnx(model):
        raise ValueError(reason)
    example = torch.zeros(1, n_samples)
    whole: nn.Module = FromAudio(model)
    rate = model.front_end.sample_rate
    name, low, high = "audio", round(LEAST_S * rate), round(LONGEST_S * rate)
    if features:
        with torch.inference_mode():
            example = torch.zeros_like(model.frames(example, torch.tensor([n_samples]))[0])
        whole, name = FromFeatures(model), "features"
        low, high = (max(2, round(n * example.shape[1] / n_samples)) for n in (low, high))
    whole.eval()
    any_length = True
    try:
        dynamic = {name: {1: torch.export.Dim("length", min=low, max=high)}}
        program = exported_with(whole, (example,), [name], ["scores"], dynamic)
    except ValueError:
        raise
    except Exception:  # of torch.export, whatever it is: the length became part of the graph
        any_length = False
        program = exported_with(whole, (example,), [name], ["scores"])
    content = with_metadata(program.model_proto, {**about, "any_length": any_length})
    write_bytes(path, content.SerializeToString())
    return any_length and takes(path, name, example, low)


def with_metadata(content: Any, about: Mapping[str, Any]) -> Any:
    """An ONNX model with metadata: names to text, or to what JSON holds."""
    for key, value in about.items():
        entry = content.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    return content


def exported_with(
    whole: nn.Module, example: tuple[Tensor, ...], inputs: list[str], outputs: list[str], dynamic: Any = None
) -> Any:
    """The program of a module; what PyTorch prints meanwhile is left out.

    Raises:
        ValueError: the packages are missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise ValueError(MISSING) from None
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                whole, example, dynamo=True, verbose=False, input_names=inputs, output_names=outputs,
                dynamic_shapes=dynamic,
            )  # fmt: skip
    finally:
        quiet.setLevel(level)


def takes(path: Path, name: str, example: Tensor, least: int) -> bool:
    """Whether a file takes inputs of another length than the example."""
    other = example[:, : max(least, example.shape[1] * 3 // 4)]
    try:
        session(path).run(None, {name: other.numpy()})
    except Exception:  # of ONNX Runtime, whose errors have no common class
        return False
    return True


def session(path: Path) -> Any:
    """An ONNX Runtime session on one thread of the processor."""
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(MISSING) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def scores_of(runtime: Any, recordings: Sequence[Array]) -> Array:
    """Scores `(N, C)` of recordings `(S,)`, each heard alone."""
    rows = [runtime.run(None, {"audio": audio[None].astype(np.float32)})[0][0] for audio in recordings]
    return np.stack(rows)
