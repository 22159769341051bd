"""Pooling over time: statistics of frames that attention weighs, means that move along."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.features.functional import whole
from phonaut.networks.padding import masked_mean

LEAST_VARIANCE = 1e-7  # under the root, whose slope is infinite at 0


class AttentiveStatistics(nn.Module):
    """Mean and deviation of each channel over time, the frames weighed by attention of its own.

    With `h (T, C)` the frames and `g` their plain mean and deviation,

        e_t = V tanh(W h_t + U g + b),   a = softmax over t of e,   m = sum_t a_t h_t,   s^2 = sum_t a_t (h_t - m)^2

    so that weights depend on channel and context (Desplanques et al. 2020, "ECAPA-TDNN", section 3.1, equations 1 to 4;
    the constant `k` there, which softmax takes out again, is left out). Padding has weight 0 exactly.

    Args:
        n_channels: C.
        n_hidden: rows of W, U and V.
    """

    def __init__(self, n_channels: int, n_hidden: int) -> None:
        super().__init__()
        self.of_frame = nn.Linear(n_channels, n_hidden)
        self.of_context = nn.Linear(2 * n_channels, n_hidden, bias=False)
        self.energy = nn.Linear(n_hidden, n_channels, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """`(B, T, C) -> (B, 2 C)`, means then deviations; `mask (B, T)` of the valid frames, None: all are."""
        mean = masked_mean(x, mask)
        context = torch.cat([mean, deviation(masked_mean((x - mean[:, None]).square(), mask))], dim=1)
        energy = self.energy(torch.tanh(self.of_frame(x) + self.of_context(context)[:, None])).to(x.dtype)
        if mask is not None:
            energy = energy.masked_fill(~mask[:, :, None], -torch.inf)
        weight = energy.softmax(dim=1)
        mean = (weight * x).sum(dim=1)
        variance = (weight * (x - mean[:, None]).square()).sum(dim=1)
        return torch.cat([mean, deviation(variance)], dim=1)


def deviation(variance: Tensor) -> Tensor:
    """Root of a variance, the least of which has a slope too."""
    return (variance + LEAST_VARIANCE).sqrt()


def moving_mean(hidden: Tensor, window: int, past: dict[str, Tensor]) -> Tensor:
    """Means `(B, N, D)` of the last `window` of all hidden frames up to each of the next, `hidden (B, N, D)`."""
    if past and not hidden.shape[1]:
        return hidden
    n_before = int(past["n"]) if past else 0
    before = past["frames"] if past else hidden.new_zeros(len(hidden), window - 1, hidden.shape[2])
    joined, n = torch.cat([before, hidden], dim=1), hidden.shape[1]
    past["frames"], past["n"] = joined[:, n:], whole(min(window, n_before + n))
    counts = torch.arange(n_before + 1, n_before + n + 1, device=hidden.device).clamp(max=window)
    sums = F.avg_pool1d(joined.transpose(1, 2), window, 1) * window
    return sums.transpose(1, 2) / counts[:, None].to(hidden.dtype)
