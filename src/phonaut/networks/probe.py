"""A probe: the smallest classifier of frames, to see what representations hold."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from phonaut.networks.masking import mask_of, masked_mean, without_padding


class Probe(nn.Module):
    """Scores of segments by a linear layer, or one hidden layer: `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    With `over=frame` each frame is classified, `p(c | x_t)`, and trained by its own cross-entropy; a segment has the
    scores `sum_t log p(c | x_t) / T`. With `over=segment` the mean of a segment's frames is classified, as SUPERB
    does for speakers.

    Args:
        n_features: D.
        n_classes: C.
        hidden_size: units of a hidden layer with ReLU; None: the probe is linear.
        over: `frame` or `segment`.

    Raises:
        ValueError: for a size below 1, or another `over`.

    >>> Probe(n_features=8, n_classes=3)(torch.zeros(2, 5, 8), torch.tensor([5, 2])).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        hidden_size: int | None = None,
        over: Literal["frame", "segment"] = "frame",
    ) -> None:
        super().__init__()
        if over not in ("frame", "segment"):
            raise ValueError(f"model.over={over} is none of frame, segment")
        if min(n_features, n_classes, 1 if hidden_size is None else hidden_size) < 1:
            raise ValueError(
                f"n_features={n_features}, n_classes={n_classes} and model.hidden_size={hidden_size} must be at least 1"
            )
        self.frame_wise = over == "frame"
        width = n_features if hidden_size is None else hidden_size
        hidden: list[nn.Module] = [] if hidden_size is None else [nn.Linear(n_features, width), nn.ReLU()]
        self.layers = nn.Sequential(*hidden, nn.Linear(width, n_classes))

    def of_frames(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores of all valid frames one after another, `(N, C)`, and the segment that each is of, `(N,)`."""
        valid = mask_of(lengths, frames.shape[1])
        scores: Tensor = self.layers(frames[valid])
        return scores, valid.nonzero()[:, 0]

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`(B, T, D) -> (B, C)`."""
        frames, mask = without_padding(frames, lengths)
        if self.frame_wise:
            return masked_mean(self.layers(frames).log_softmax(dim=2), mask)
        found: Tensor = self.layers(masked_mean(frames, mask))
        return found
