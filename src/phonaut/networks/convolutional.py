"""Base of the convolutional networks that classify: frames of a body, their mean over time, a linear layer."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from phonaut.features.functional import length_mask
from phonaut.networks.network import Network
from phonaut.networks.padding import masked_mean, without_padding


class ConvolutionalNetwork(Network):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`, from the mean of the frames of `body`.

    Padding never changes a score. A sub-class makes its layers, and `make_decision` last: the order of layers is that
    of their first draws, and of what optimizers keep in checkpoints.

    Args:
        causal: `body` looks at no later frame.
    """

    scopes: ClassVar[tuple[str, ...]] = ("segment",)

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        self.looks_ahead = not causal

    def make_decision(self, n_hidden: int, n_classes: int, *, dropout: float) -> None:
        """Make the last layer, over D' features, and the dropout before it."""
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(n_hidden, n_classes)

    def hidden(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
        """Frames before the mean over time, `(B, T', D')`, one per `time_stride`, and the mask of the valid."""
        frames, mask = without_padding(frames, lengths)
        return self.body(frames, lengths, mask)

    def decide(self, mean: Tensor) -> Tensor:
        """Scores `(..., C)` of means of hidden frames `(..., D')`."""
        scores: Tensor = self.classifier(self.dropout(mean))
        return scores

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        return self.decide(masked_mean(*self.hidden(frames, lengths)))


def thinned(
    lengths: Tensor | None, mask: Tensor | None, stride: int, n_frames: int
) -> tuple[Tensor | None, Tensor | None]:
    """Lengths and mask of every `stride`-th frame, from the first, of `n_frames` frames; without a mask nothing is new.

    >>> import torch
    >>> thinned(torch.tensor([1, 4]), torch.ones(2, 5), 2, 5)[1].tolist()
    [[True, False, False], [True, True, False]]
    """
    if lengths is None or mask is None or stride == 1:
        return lengths, mask
    lengths = (lengths - 1) // stride + 1
    return lengths, length_mask(lengths, (n_frames - 1) // stride + 1)
