"""Masks of valid frames, so that padding never changes a result: means and batch statistics over those alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.features.batch_norm import is_shared, normalized_by_valid
from phonaut.features.functional import length_mask


def without_padding(frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
    """Segments trimmed to the longest of them, zero past the end of each, and the mask of valid frames.

    Args:
        frames: `(B, T, D)`; what the padding holds does not matter, not even NaN.
        lengths: valid frames of each, `(B,)`.

    Returns:
        Frames `(B, T', D)` with `T' = max(lengths)`, and the mask `(B, T')` of the valid ones: None where all segments
        are equally long, the fast path. An exported or compiled graph cannot choose by value: it cuts nothing and
        always has a mask.

    Raises:
        ValueError: shapes that do not belong together, or a length that is not in 1 ... T.

    >>> frames, mask = without_padding(torch.ones(2, 4, 1), torch.tensor([1, 2]))
    >>> frames[:, :, 0].tolist(), mask.tolist()
    ([[1.0, 0.0], [1.0, 1.0]], [[True, False], [True, True]])
    """
    if torch.compiler.is_compiling():
        check_lengths(frames, lengths)
    else:
        least, most = torch.stack(lengths.aminmax()).tolist()
        check_lengths(frames, lengths, least, most)
        frames = frames[:, :most]
        if least == most:
            return frames, None
    mask = length_mask(lengths, frames.shape[1])
    return frames.masked_fill(~mask[:, :, None], 0.0), mask


def check_lengths(frames: Tensor, lengths: Tensor, least: int = 1, most: int = 1) -> None:
    """Refuse shapes that do not belong together, and lengths that are not in 1 ... T.

    Args:
        frames: `(B, T, D)`.
        lengths: `(B,)`.
        least: smallest of the lengths.
        most: greatest of them.

    Raises:
        ValueError: they are refused.
    """
    if frames.ndim != 3 or lengths.shape != frames.shape[:1]:
        raise ValueError(
            f"frames must be (B, T, D) and lengths (B,); got {tuple(frames.shape)} and {tuple(lengths.shape)}"
        )
    if least < 1 or most > frames.shape[1]:
        raise ValueError(f"lengths must be in 1 ... {frames.shape[1]}, the frames of the batch; got {least} ... {most}")


def surrounded(frames: Tensor, context: int) -> Tensor:
    """Each frame with `context` frames on both sides, zeros beyond the ends: `(B, T, D) -> (B, T, D (2 context + 1))`.

    >>> surrounded(torch.arange(1.0, 4.0).view(1, 3, 1), 1)[0].tolist()
    [[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 0.0]]
    """
    around = F.pad(frames, (0, 0, context, context))
    return around.unfold(1, 2 * context + 1, 1).flatten(2)


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the valid frames of `x (B, T, D)`, `(B, D)`, given the `mask (B, T)`."""
    if mask is None:
        return x.mean(dim=1)
    weight = mask.to(x.dtype)[:, :, None]
    return (x * weight).sum(dim=1) / weight.sum(dim=1)


class MaskedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation (Ioffe and Szegedy 2015) of `(B, D, F, T)` by the statistics of the valid frames.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`; in training, mean and biased variance are those of the valid
    frames of the batch, as if they were laid end to end. Without a mask it is PyTorch's own, except that a single
    frame, which has no variance, is normalised by the running statistics and leaves them as they are.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`x (B, D, F, T)` normalised; `mask (B, T)` of the valid frames. In streaming, it may be that none is due."""
        if not x.shape[3]:
            return x
        if self.training and (mask is not None or is_shared(self)):
            return self._normalized_by_valid(x, mask)
        if not self.training or x.shape[0] * x.shape[2] * x.shape[3] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)

    def _normalized_by_valid(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`x` as rows of frames and back."""
        dtype = self.weight.dtype  # sums over thousands of frames do not fit half precision
        rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).to(dtype)
        if mask is None:
            valid = rows.new_ones(1, len(rows))
        else:
            valid = mask[:, None].expand(-1, x.shape[2], -1).reshape(1, -1).to(dtype)
        y = normalized_by_valid(self, rows, valid)
        return y.to(x.dtype).view(x.shape[0], *x.shape[2:], -1).permute(0, 3, 1, 2)
