"""A causal model over audio that is still coming: scores hop by hop, all that it remembers in an explicit state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from phonaut.features.frames import Frames
from phonaut.features.front_end import FrontEnd
from phonaut.features.streaming import next_frames
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.network import Network
from phonaut.networks.pooling import moving_mean
from phonaut.networks.streaming import OngoingNetwork, why_not


@dataclass(frozen=True)
class StreamState:
    """All that a streaming model remembers between two chunks; never changed in place.

    Attributes:
        tensors: by name: samples, frames before each layer, states, phases of strides.
    """

    tensors: Mapping[str, Tensor]

    @property
    def n_bytes(self) -> int:
        """Bytes of the tensors: the same after every chunk."""
        return sum(value.numel() * value.element_size() for value in self.tensors.values())

    def to_bytes(self) -> bytes:
        """The state in the format of safetensors."""
        whole = {name: value.detach().cpu().contiguous().clone() for name, value in self.tensors.items()}
        return safetensors.torch.save(whole)

    @classmethod
    def from_bytes(cls, data: bytes) -> StreamState:
        """The state that `to_bytes` gave.

        Raises:
            ValueError: these bytes are none.
        """
        try:
            return cls(safetensors.torch.load(data))
        except SafetensorError as error:
            raise ValueError(f"these bytes are no state of a stream: {error}") from None


class StreamingModel:
    """Scores of the last `window_ms`, a row for each hidden frame of the network, as audio comes.

    `scores, state = step(audio, state)` for chunks of any size gives, joined, `offline(recording)` to float rounding:
    `scores_m = decide(mean(h_max(0, m - W + 1), ..., h_m))`, where `h` are the hidden frames of the network over the
    whole recording and W is as many of them as fill `window_ms`.

    Args:
        model: trained with streaming=true; put into evaluation mode.
        window_ms: over which the mean over time is taken: as long as the clips of training.

    Attributes:
        window: W, hidden frames.
        score_shift_s: seconds from one row of scores to the next.
        first_score_s: seconds of audio until the first row.

    Raises:
        ValueError: the model cannot stream, and why.

    >>> from phonaut.features import MFCC
    >>> from phonaut.networks import TCResNet8
    >>> network = TCResNet8(n_features=40, n_classes=3, causal=True)
    >>> stream = StreamingModel(SpeechModel(MFCC(framing="causal", top_db=None), network))
    >>> scores, state = stream.step(torch.zeros(1, 8000), stream.initial_state())
    >>> scores.shape, round(stream.score_shift_s, 3), state.n_bytes
    (torch.Size([1, 7, 3]), 0.08, 10044)
    """

    def __init__(self, model: SpeechModel, *, window_ms: float = 1000.0) -> None:
        if problem := why_no_stream(model):
            raise ValueError(problem)
        assert isinstance(model.front_end, FrontEnd)
        self.model, self.front_end = model.eval(), model.front_end
        self.network: Network = model.network  # type: ignore[assignment]
        self.ongoing = OngoingNetwork(self.network)
        self.first_score_s = self.front_end.frame_shift_s
        self.score_shift_s = self.front_end.frame_shift_s * self.network.time_stride
        if not window_ms > 0:
            raise ValueError(f"window_ms={window_ms:g}: must be above 0")
        self.window = max(1, round(window_ms / 1000 / self.score_shift_s))

    @torch.inference_mode()
    def initial_state(self, n_streams: int = 1) -> StreamState:
        """The state before the first sample of `n_streams` streams that run side by side."""
        like = next(self.network.parameters())
        n_samples = self.front_end.layout.hop_length * self.network.time_stride  # with which all layers have run
        _, after = self.step(like.new_zeros(n_streams, n_samples), StreamState({}))
        return StreamState({name: torch.zeros_like(value) for name, value in after.tensors.items()})

    @torch.inference_mode()
    def step(self, audio: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Scores `(B, N, C)` that are due within `audio (B, S)`, S >= 0 samples, N >= 0, and the state after it."""
        if audio.ndim != 2 or not audio.is_floating_point():
            raise ValueError(f"a chunk must be floating-point samples (B, S), got {audio.dtype} {tuple(audio.shape)}")
        parts: dict[str, dict[str, Tensor]] = {"front_end": {}, "network": {}, "mean": {}}
        for key, value in state.tensors.items():
            part, _, name = key.partition(".")
            parts[part][name] = value
        frames = next_frames(self.front_end, audio, parts["front_end"])
        if self.model.normalizer is not None:
            frames = self.model.normalizer(frames, torch.full((len(frames),), frames.shape[1], device=frames.device))
        hidden, parts["network"] = self.ongoing.step(frames, parts["network"])
        scores = self.network.decide(moving_mean(hidden, self.window, parts["mean"]))
        after = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        return scores, StreamState(after)

    @torch.inference_mode()
    def offline(self, audio: Tensor) -> Tensor:
        """Scores `(B, N, C)` of whole recordings `(B, S)`, all equally long: the reference of `step`."""
        frames, lengths = self.model.frames(audio, torch.full((len(audio),), audio.shape[1], device=audio.device))
        hidden, _ = self.network.body(frames, lengths, None)
        return self.network.decide(moving_mean(hidden, self.window, {}))


def why_no_stream(model: SpeechModel) -> str | None:
    """Why a model cannot stream, in one sentence; None where it can."""
    front_end = model.front_end
    if not isinstance(front_end, FrontEnd):
        return "an encoder stands in front of the network, and cannot stream: it is heard again for every window"
    if isinstance(front_end, Frames):
        return "features=frames begins after the waveform, and cannot stream"
    if front_end.options.framing != "causal":
        framing = front_end.options.framing
        return f"features.framing={framing} looks at later samples, and cannot stream: train with streaming=true"
    if getattr(model.normalizer, "needs_whole_recording", False):
        return f"{type(model.normalizer).__name__} needs the whole recording, and cannot stream: use normalizer=null"
    return why_not(model.network)
