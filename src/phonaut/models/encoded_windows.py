"""A generator's encoder in place of a front end: recordings in, the code of the window around each frame out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from phonaut.checks import refuse
from phonaut.features import FrontEnd
from phonaut.features.functional import length_mask
from phonaut.models.encoded import EncodedFrontEnd, Projection
from phonaut.models.generators import FHVAE, Generator
from phonaut.models.shaped_by_data import adopt_shapes
from phonaut.models.window_model import WindowModel

SEQUENCE = "sequence"  # a layer


class EncodedWindows(EncodedFrontEnd):
    """Front end, normaliser and the encoder of a generator in a row; frames are as many as the front end's.

    Each is the code of the window around it, as `WindowModel` gives it without knowing class or speaker.

    Args:
        front_end: of the generator.
        network: the generator.
        normalizer: between the two, or None.
        mode: `frozen`; a generator is not trained again.
        layer: `last`: the code; `sequence`: of a FHVAE, the part of it that says whose utterance it is.
        n_components: principal components that are kept; None: no projection.

    Raises:
        ValueError: for another mode or layer, or a generator without an encoder.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        network: Generator,
        normalizer: nn.Module | None = None,
        *,
        mode: str = "frozen",
        layer: str | int = "last",
        n_components: int | None = None,
    ) -> None:
        nn.Module.__init__(self)
        refuse(window_problems(mode, layer, type(network)))
        self.mode, self.layer, self.layer_weights = mode, layer, None
        self.windows = WindowModel(front_end, network, normalizer, labels=[""] * network.condition_size)
        self.windows.requires_grad_(False)
        self.width = width_of_codes(layer, network.latent_size, getattr(network, "sequence_latents", 0))
        self.projection = None if n_components is None else Projection(self.width, n_components)
        self.sample_rate = front_end.sample_rate
        self.frame_shift_s, self.frame_offset_s = front_end.frame_shift_s, front_end.frame_offset_s
        self.train(self.training)

    # Held by `windows` alone: weights with two names could not be saved.

    @property
    def front_end(self) -> FrontEnd:  # type: ignore[override]
        """The front end of the generator."""
        return self.windows.front_end  # type: ignore[return-value]

    @property
    def normalizer(self) -> nn.Module | None:  # type: ignore[override]
        """What stands between the two."""
        return self.windows.normalizer

    @property
    def network(self) -> Generator:  # type: ignore[override]
        """The generator."""
        return self.windows.network

    def train(self, mode: bool = True) -> Self:
        """As every module, but the generator is always in evaluation mode."""
        nn.Module.train(self, mode)
        self.windows.eval()
        return self

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of a trained `WindowModel`.

        Raises:
            RuntimeError: they do not fit.
        """
        adopt_shapes(self.windows, weights)
        self.windows.load_state_dict(dict(weights))
        self.windows.requires_grad_(False)

    def n_frames(self, audio_lengths: Tensor) -> Tensor:
        """Codes of recordings of `audio_lengths` samples."""
        return self.front_end.n_frames(audio_lengths)

    @torch.no_grad()
    def forward(self, audio: Tensor, audio_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `(B, T', Z)`, zero past their lengths `(B,)`."""
        frames, lengths = self.frames(audio, audio_lengths)
        t = self.windows.network.window_frames
        inside = length_mask(lengths, frames.shape[1])
        normalised = self.windows.normalised(frames).masked_fill(~inside[:, :, None], 0.0)
        padded = nn.functional.pad(normalised, (0, 0, t // 2, t - 1 - t // 2))
        windows = padded.unfold(1, t, 1)[inside].transpose(1, 2)  # (N, T, D)
        condition = frames.new_zeros(self.windows.network.condition_size)
        codes = self.windows.codes(windows, condition)[:, -self.width :]
        if self.projection is not None:
            codes = self.projection(codes)
        result = codes.new_zeros(*frames.shape[:2], codes.shape[1])
        result[inside] = codes
        return result, lengths


def window_problems(mode: str, layer: str | int, kind: type) -> list[str]:
    """Problems of the use of a generator of a class as an encoder."""
    problems = [] if mode == "frozen" else [f"encoder.mode={mode}: the encoder of a generator is frozen; leave it out"]
    if layer == SEQUENCE and not issubclass(kind, FHVAE):
        problems.append(f"encoder.layer={layer}: a {kind.__name__} has no latents of sequences, as a FHVAE has")
    elif layer not in ("last", SEQUENCE):
        problems.append(f"encoder.layer={layer}: a generator has one code, and no layers; leave it out")
    return problems


def width_of_codes(layer: str | int, latent_size: int, sequence_latents: int) -> int:
    """Numbers in what a generator gives in front of other models: the sequence latents are the last of a code."""
    return sequence_latents if layer == SEQUENCE else latent_size
