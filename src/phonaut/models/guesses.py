"""What a loss of pre-training is worth: the same loss of guesses that no network is needed for."""

from __future__ import annotations

import torch
from torch import Tensor

from phonaut.features.functional import length_mask
from phonaut.models.objectives import PredictionTask

MEAN, NEIGHBOUR = "mean", "neighbour"


def guess_losses(targets: Tensor, lengths: Tensor, task: PredictionTask) -> dict[str, Tensor]:
    """Sum and number of the absolute errors of two guesses, `(B, 2)` each, of what counts in the loss of `task`.

    `mean` is the mean frame of the recording. `neighbour` is the nearest frame that is not hidden (the earlier one of
    two as near), as it is; of an objective that predicts what comes, the present one. Where all frames are hidden, and
    for features that are hidden in all frames, it is the mean.

    Args:
        targets: frames to be predicted, `(B, T, D)`.
        lengths: of the recordings, `(B,)`.
        task: says what counts.
    """
    targets = targets.float()
    valid = length_mask(lengths, targets.shape[1])[:, :, None]
    mean = (targets * valid).sum(1, keepdim=True) / lengths.clamp(min=1)[:, None, None]
    mean = mean.expand_as(targets)
    counted = task.target_mask[:, :, None]
    later, copied = targets, mean
    if task.n_future:
        later, copied = targets.roll(-task.n_future, 1), targets
    else:
        nearest, found = nearest_visible(~task.target_mask & valid.squeeze(2))
        chosen = targets.gather(1, nearest[:, :, None].expand_as(targets))
        copied = torch.where(found[:, :, None], chosen, mean)
    if task.bins is not None:
        same = task.bins.shape[1] == targets.shape[2]
        hidden = (task.bins if same else task.bins.any(1, keepdim=True))[:, None, :]
        counted, copied = counted | (hidden & valid), torch.where(hidden, mean, copied)
    counted = counted.expand_as(targets)
    errors = {
        name: ((guess - later).abs() * counted).sum((1, 2)) for name, guess in ((MEAN, mean), (NEIGHBOUR, copied))
    }
    return {name: torch.stack([error, counted.sum((1, 2)).to(error)], 1) for name, error in errors.items()}


def nearest_visible(visible: Tensor) -> tuple[Tensor, Tensor]:
    """For each frame the nearest visible one, `(B, T)`, the earlier of two as near; and whether there is any.

    >>> nearest_visible(torch.tensor([[False, True, False, False, True, False]]))[0]
    tensor([[1, 1, 1, 4, 4, 4]])
    """
    n = visible.shape[1]
    at = torch.arange(n, device=visible.device).expand_as(visible)
    before = torch.where(visible, at, -2 * n).cummax(1).values
    after = torch.where(visible, at, 3 * n).flip(1).cummin(1).values.flip(1)
    nearest = torch.where(at - before <= after - at, before, after)
    return nearest.clamp(0, n - 1), visible.any(1, keepdim=True).expand_as(visible)
