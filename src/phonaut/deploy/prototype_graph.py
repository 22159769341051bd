"""Prototypes of words as a graph of tensors, which runtimes take."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phonaut.models.prototypes import LEAST_SQUARE, Prototypes


class PrototypesGraph(nn.Module):
    """Trained `Prototypes`, `frames (1, T, D), lengths (1,) -> scores (1, C)`, the last that of none of the words.

    The equations are those of `Prototypes`. The frames are those of one recording.

    Args:
        network: trained.
    """

    def __init__(self, network: Prototypes) -> None:
        super().__init__()
        self.n_parts, self.scale, self.decision = network.n_parts, network.scale, network.decision
        tensors = {name.partition(":")[2]: value for name, value in network.tensors().items()}
        self.centre, self.whitening = nn.Buffer(tensors["centre"]), nn.Buffer(tensors["whitening"])
        self.prototypes, self.threshold = nn.Buffer(tensors["prototypes"]), nn.Buffer(tensors["threshold"])

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores of a recording."""
        x = frames[0].double()
        sums = torch.cat([x[:1] * 0, x.cumsum(dim=0)])
        part = torch.arange(self.n_parts)
        first, end = part * lengths // self.n_parts, -(-(part + 1) * lengths // self.n_parts)
        vector = ((sums[end] - sums[first]) / (end - first)[:, None]).reshape(1, -1)
        direction = (vector - self.centre) @ self.whitening
        direction = direction / (direction.square().sum(dim=1, keepdim=True) + LEAST_SQUARE).sqrt()
        cosines = torch.cat([direction @ self.prototypes.T, self.threshold.reshape(1, 1)], dim=1)
        scores: Tensor = self.decision(self.scale * cosines)
        return scores.float()
