"""Padding never changes an answer: which frames are valid, and means and batch statistics over those alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def without_padding(frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None]:
    """Segments cut to the longest of them, zeros past the end of each, and which frames are valid.

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
    if frames.ndim != 3 or lengths.shape != frames.shape[:1]:
        raise ValueError(
            f"frames must be (B, T, D) and lengths (B,); got {tuple(frames.shape)} and {tuple(lengths.shape)}"
        )
    longest = frames.shape[1]
    if not torch.compiler.is_compiling():
        least, most = torch.stack(lengths.aminmax()).tolist()
        if least < 1 or most > longest:
            raise ValueError(f"lengths must be in 1 ... {longest}, the frames of the batch; got {least} ... {most}")
        frames, longest = frames[:, :most], most
        if least == most:
            return frames, None
    mask = mask_of(lengths, longest)
    return frames.masked_fill(~mask[:, :, None], 0.0), mask


def mask_of(lengths: Tensor, n_frames: int) -> Tensor:
    """The valid ones of `n_frames` frames, `(B, T)`, given `lengths (B,)`."""
    return torch.arange(n_frames, device=lengths.device) < lengths[:, None]


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
    """Batch normalisation (Ioffe and Szegedy 2015) of `(B, D, 1, T)` by the statistics of the valid frames.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`; in training, mean and biased variance are those of the valid
    frames of the batch, as if they were laid end to end. Without a mask it is PyTorch's own, except that a single
    frame, which has no variance, is normalised by the running statistics and leaves them as they are.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`x (B, D, 1, T)` normalised; `mask (B, T)` of the valid frames."""
        if self.training and mask is not None:
            return self._normalised_by_valid(x, mask)
        if self.training and x.shape[0] * x.shape[3] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)
        return super().forward(x)

    def _normalised_by_valid(self, x: Tensor, mask: Tensor) -> Tensor:
        """The sums over frames are products with the mask: one pass each, and nothing waits for a GPU."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        dtype = self.weight.dtype  # sums over thousands of frames do not fit half precision
        rows = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).to(dtype)
        valid = mask.reshape(1, -1).to(dtype)
        n = valid.sum()
        with torch.autocast(x.device.type, enabled=False):
            mean = (valid @ rows / n)[0]
            # Around a constant, the squares need no gradient through the mean: theirs is zero there.
            variance = (valid @ (rows - mean.detach()).square() / n)[0]
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1).clamp_min(1.0), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        y = torch.addcmul(self.bias - mean * scale, rows, scale)
        return y.to(x.dtype).view(x.shape[0], 1, x.shape[3], -1).permute(0, 3, 1, 2)
