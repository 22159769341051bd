"""Probe: a linear classifier of frames, or one with a hidden layer, to measure representations."""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from phonaut.checks import below, refuse, within
from phonaut.features.functional import length_mask
from phonaut.networks.network import Network
from phonaut.networks.padding import masked_mean, without_padding


class Probe(Network):
    """Scores of segments by a linear layer, or one hidden layer: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    With `scope=frame` each frame is classified, `p(c | x_t)`, and trained by its own cross-entropy; a segment has the
    scores `sum_t log p(c | x_t) / T`. With `scope=segment` the mean of a segment's frames is classified, as SUPERB
    does for speakers.

    Args:
        n_features: D.
        n_classes: C.
        hidden_size: units of a hidden layer with ReLU; None: the probe is linear.
        scope: `frame` or `segment`.
        context: frames of the recording on each side that a frame is seen with, zeros beyond its ends.

    Attributes:
        encodes_recordings: frames are seen with their neighbours before segments are cut out.

    Raises:
        ValueError: for a size below 1, a negative context, or another `scope`.

    >>> import torch
    >>> Probe(n_features=8, n_classes=3)(torch.zeros(2, 5, 8), torch.tensor([5, 2])).shape
    torch.Size([2, 3])
    """

    RULES: ClassVar = {"hidden_size": within(1, 1e6), "context": within(0, 10_000)}
    scopes = ("frame", "segment")

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        hidden_size: int | None = None,
        scope: Literal["frame", "segment"] = "frame",
        context: int = 0,
    ) -> None:
        super().__init__()
        hidden = {} if hidden_size is None else {"hidden_size": hidden_size}
        refuse(below(1, n_features=n_features, n_classes=n_classes, **hidden) + below(0, context=context))
        self.frame_level, self.context = self.check_scope(scope) == "frame", context
        self.encodes_recordings = context > 0
        width = n_classes if hidden_size is None else hidden_size
        # A linear layer on stacked frames is a convolution, which stacks nothing.
        self.first: nn.Module = nn.Linear(n_features, width)
        if context:
            self.first = nn.Conv1d(n_features, width, 2 * context + 1, padding=context)
        self.rest = nn.Identity() if hidden_size is None else nn.Sequential(nn.ReLU(), nn.Linear(width, n_classes))

    def encode(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """The first layer on each frame of a recording with its neighbours, `(B, T, D) -> (B, T', W)`."""
        frames, _ = without_padding(frames, lengths)
        states: Tensor = self.first(frames.transpose(1, 2)).transpose(1, 2)
        return states

    def frame_logits(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores of all valid frames one after another, `(N, C)`, and the segment that each is of, `(N,)`."""
        valid = length_mask(lengths, frames.shape[1])
        x = frames[valid]
        scores: Tensor = self.rest(x if self.context else self.first(x))
        return scores, valid.nonzero()[:, 0]

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(B, T, D) -> (B, C)`, segments being whole recordings."""
        return self.classify(self.encode(frames, lengths) if self.context else frames, lengths)

    def classify(self, segments: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments of frames `(B, T, D)`, or with context of the states of `encode`, `(B, T, W)`."""
        x, mask = without_padding(segments, lengths)
        x = x if self.context else self.first(x)
        if self.frame_level:
            return masked_mean(self.rest(x).log_softmax(dim=2), mask)
        scores: Tensor = self.rest(masked_mean(x, mask))  # the first layer is linear: its mean is that of the frames
        return scores
