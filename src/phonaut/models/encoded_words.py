"""The body of a trained classifier in place of a front end: recordings in, its last hidden frames out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phonaut.checks import refuse
from phonaut.features import FrontEnd
from phonaut.models.encoded import EncodedFrontEnd, Projection
from phonaut.networks import ConvolutionalNetwork


class EncodedWords(EncodedFrontEnd):
    """Front end, normaliser and the body of a classifier in a row: the frames whose mean it classifies.

    There is one for every `time_stride` frames of the front end.

    Args:
        front_end: of the classifier.
        network: the classifier.
        normalizer: between the two, or None.
        mode: `frozen`; a classifier is not trained again.
        layer: `last`.
        n_components: principal components that are kept; None: no projection.

    Raises:
        ValueError: for another mode or layer, or a network without such frames.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        network: ConvolutionalNetwork,
        normalizer: nn.Module | None = None,
        *,
        mode: str = "frozen",
        layer: str | int = "last",
        n_components: int | None = None,
    ) -> None:
        nn.Module.__init__(self)
        refuse(word_problems(mode, layer, type(network)))
        self.mode, self.layer, self.layer_weights = mode, layer, None
        self.front_end, self.normalizer = front_end, normalizer
        self.network = network  # type: ignore[assignment]
        self.requires_grad_(False)
        self.width = network.classifier.in_features
        self.projection = None if n_components is None else Projection(self.width, n_components)
        self.sample_rate = front_end.sample_rate
        self.frame_shift_s = front_end.frame_shift_s * network.time_stride
        self.frame_offset_s = front_end.frame_offset_s
        self.train(self.training)

    def n_frames(self, audio_lengths: Tensor) -> Tensor:
        """Hidden frames of recordings of `audio_lengths` samples."""
        return self.thinned(self.front_end.n_frames(audio_lengths))

    def thinned(self, lengths: Tensor) -> Tensor:
        """Hidden frames of so many of the front end."""
        return (lengths - 1) // self.network.time_stride + 1  # type: ignore[operator]

    @torch.no_grad()
    def forward(self, audio: Tensor, audio_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden frames `(B, T', D)`, zero past their lengths `(B,)`."""
        frames, lengths = self.frames(audio, audio_lengths)
        hidden, mask = self.network.hidden(frames, lengths)  # type: ignore[operator]
        if self.projection is not None:
            hidden = self.projection(hidden)
        return hidden if mask is None else hidden.masked_fill(~mask[:, :, None], 0.0), self.thinned(lengths)


def word_problems(mode: str, layer: str | int, kind: type) -> list[str]:
    """Problems of the use of a classifier as an encoder.

    >>> word_problems("frozen", "last", ConvolutionalNetwork)
    []
    >>> word_problems("frozen", 2, ConvolutionalNetwork)
    ['encoder.layer=2: of a classifier it is last, the frames whose mean is classified']
    """
    problems = []
    if not issubclass(kind, ConvolutionalNetwork):
        problems.append(
            f"encoder.run: a {kind.__name__} has no hidden frames to give; train one of tc-res8, bc-res1 and their like"
        )
    if mode != "frozen":
        problems.append(f"encoder.mode={mode}: a classifier in front stays as it is; leave it out")
    if layer != "last":
        problems.append(f"encoder.layer={layer}: of a classifier it is last, the frames whose mean is classified")
    return problems
