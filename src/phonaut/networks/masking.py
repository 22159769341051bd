"""Padding never changes an answer: masks over frames, and batch statistics over valid frames only."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mask_of(lengths: Tensor, n_frames: int) -> Tensor | None:
    """1.0 on valid frames, `(B, 1, T)`; None where every item fills the batch, so that nothing need be masked.

    An exported graph cannot choose by value, so under export the mask is always made.
    """
    if not torch.compiler.is_compiling() and bool((lengths == n_frames).all()):
        return None
    frames = torch.arange(n_frames, device=lengths.device)
    return (frames < lengths[:, None]).to(torch.get_default_dtype())[:, None, :]


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x (B, D, T)` with zeros past each item's length: what a convolution finds there without a batch around it."""
    return x if mask is None else x * mask.to(x.dtype)


def masked_mean(x: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the valid frames of `x (B, D, T)`, `(B, D)`."""
    if mask is None:
        return x.mean(dim=2)
    mask = mask.to(x.dtype)
    return (x * mask).sum(dim=2) / mask.sum(dim=2).clamp_min(1.0)


class MaskedBatchNorm1d(nn.BatchNorm1d):
    """Batch normalisation whose training statistics are those of the valid frames.

    `y = (x - mean) / sqrt(var + eps) * weight + bias`, mean and biased variance over all valid frames of the batch
    (Ioffe and Szegedy 2015); with a mask of None it is PyTorch's own.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`x (B, D, T)` normalised; `mask (B, 1, T)`."""
        if mask is None or not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        mask = mask.to(x.dtype)
        n = mask.sum()
        mean = (x * mask).sum(dim=(0, 2)) / n
        centred = x - mean[:, None]
        variance = (centred.square() * mask).sum(dim=(0, 2)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            momentum = self.momentum if self.momentum is not None else 1.0 / float(self.num_batches_tracked)
            unbiased = variance * n / (n - 1).clamp_min(1.0)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
        y = centred * torch.rsqrt(variance + self.eps)[:, None]
        return y * self.weight[:, None] + self.bias[:, None] if self.affine else y
