"""A streaming model as an ONNX file: a hop of audio and the state in, scores and the next state out.

A hop holds as many samples as it takes until all strides of the network have come round: one row of scores is due at
its end. `session.run(None, {"audio": hop, **state})` gives the scores, then the next state in the order of the inputs;
the state before the first sample is in the file's metadata (`state`: names, shapes, types, and the value that fills
each).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phonaut.arrays import Array
from phonaut.deploy.backends import with_graph
from phonaut.deploy.onnx import exported_with, session, with_metadata
from phonaut.deploy.quantized_graph import ONNX_RUNTIME, QuantizedGraph
from phonaut.deploy.rounded_steps import Rounded, Rounding
from phonaut.deploy.streaming import StreamingModel
from phonaut.features.streaming import next_frames
from phonaut.files import write_bytes
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.streaming import OngoingNetwork

COUNT, BEFORE = "mean.n", "mean.frames"
CONSTANT = ("skip", "pending")  # what is the same after every hop


class Hop(nn.Module):
    """`audio (1, S)` and a state to `scores (1, C)` and the next state; activations in the state are whole numbers.

    Args:
        model: causal, in evaluation mode, its network in floating point or quantised.
        window_ms: over which the mean over time is taken.

    Attributes:
        n_samples: S.
        initial: the state before the first sample, by name.

    Raises:
        ValueError: it cannot stream, and why.
    """

    def __init__(self, model: SpeechModel, *, window_ms: float = 1000.0) -> None:
        super().__init__()
        stream = StreamingModel(with_graph(model, ONNX_RUNTIME), window_ms=window_ms)
        self.model, self.window = stream.model, stream.window
        self.n_samples = stream.front_end.layout.hop_length * stream.network.time_stride
        self.ongoing = OngoingNetwork(stream.network)
        begun = stream.initial_state().tensors
        rounding = {name: self.rounding_of(name) for name in begun}
        self.rounding = {name: one for name, one in rounding.items() if one is not None}
        self.initial: dict[str, Tensor] = {}
        for name, value in begun.items():
            if name.rpartition(".")[2] not in CONSTANT:
                self.initial[name] = self.rounding[name].kept(value) if name in self.rounding else value.clone()

    def rounding_of(self, name: str) -> Rounding | None:
        """That of what the state keeps by this name; None of audio, counts, and what is not quantised."""
        network = self.model.network
        if not isinstance(network, QuantizedGraph):
            return None
        if name == BEFORE:
            return network.rounding_of[network.results[-1]]
        layer = self.ongoing.layers.get(name.removeprefix("network.").rpartition(".")[0])
        return layer.source[0] if isinstance(layer, Rounded) else None

    def forward(self, audio: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Scores, then the next state."""
        parts: dict[str, dict[str, Any]] = {"front_end": {}, "network": {}, "mean": {}}
        for name, value in zip(self.initial, state, strict=True):
            part, _, rest = name.partition(".")
            parts[part][rest] = self.rounding[name].back(value) if name in self.rounding else value
        parts["front_end"]["pending"] = 0
        frames = next_frames(self.model.front_end, audio, parts["front_end"])  # type: ignore[arg-type]
        if self.model.normalizer is not None:
            frames = self.model.normalizer(frames, torch.full((1,), frames.shape[1]))
        hidden, parts["network"] = self.ongoing.step(frames, parts["network"])
        joined = torch.cat([parts["mean"]["frames"], hidden], dim=1)
        count = (parts["mean"]["n"] + 1).clamp(max=self.window)
        scores = self.model.network.decide(joined.sum(dim=1) / count)  # type: ignore[operator]
        parts["mean"] = {"frames": joined[:, 1:], "n": count}
        after = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        return scores, *(
            self.rounding[name].kept(after[name]) if name in self.rounding else after[name] for name in self.initial
        )


def write_streaming_onnx(model: SpeechModel, path: Path, *, about: Mapping[str, Any], window_ms: float = 1000.0) -> Hop:
    """Write a model that streams.

    Args:
        model: trained with streaming=true, in evaluation mode.
        path: that is written, whole or not at all.
        about: metadata: names to what JSON holds.
        window_ms: over which the mean over time is taken.

    Raises:
        ValueError: it cannot stream, or the packages are missing.
    """
    hop = Hop(model.eval(), window_ms=window_ms).eval()
    state = {name: value.clone() for name, value in hop.initial.items()}
    example = (torch.zeros(1, hop.n_samples), *state.values())
    names = ["audio", *state], ["scores", *(f"next.{name}" for name in state)]
    with torch.no_grad():
        program = exported_with(hop, example, *names)
    described = [
        {
            "name": name,
            "shape": list(value.shape),
            "type": str(value.dtype).rpartition(".")[2],
            "filled_with": filling(value),
        }
        for name, value in state.items()
    ]
    more = {**about, "hop_samples": hop.n_samples, "state": described}
    write_bytes(path, with_metadata(program.model_proto, more).SerializeToString())
    return hop


def filling(value: Tensor) -> float:
    """The one value that a tensor is filled with."""
    return value.flatten()[0].item() if value.numel() else 0


class OnnxStream:
    """Scores hop by hop of a file that `write_streaming_onnx` wrote: what a program without Phonaut does.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.session = session(path)
        about = self.session.get_modelmeta().custom_metadata_map
        self.n_samples = int(about["hop_samples"])
        self.state = {
            one["name"]: np.full(one["shape"], one["filled_with"], dtype=one["type"])
            for one in json.loads(about["state"])
        }

    def step(self, audio: Array) -> Array:
        """Scores `(1, C)` after the next hop `(1, S)`."""
        scores, *after = self.session.run(None, {"audio": audio, **self.state})
        self.state = dict(zip(self.state, after, strict=True))
        row: Array = scores
        return row
