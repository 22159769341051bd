"""Branchy TC-ResNet8: a TC-ResNet8 that answers after its first blocks where it is sure.

Teerapittayanon et al. 2016, "BranchyNet: Fast inference via early exiting from deep neural networks".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from phonaut.checks import refuse, within
from phonaut.networks.convolutional import thinned
from phonaut.networks.counting import count
from phonaut.networks.padding import masked_mean, without_padding
from phonaut.networks.tc_resnet import TCResNet8


class BranchyTCResNet8(TCResNet8):
    """Scores of segments: `frames (B, T, D), lengths (B,) -> scores (B, C)`, from the first exit that is sure.

    After each block but the last stands an exit: the mean over time, dropout and a linear layer. In evaluation the
    blocks after an exit run over those segments alone that no exit was sure of: a batch of one really skips the rest.
    In training, and in an exported or compiled graph, all exits run.

    Args:
        n_features: D.
        n_classes: C.
        channels: of the first convolution and of each block.
        kernel_size: of the blocks, frames.
        first_kernel_size: of the first convolution, frames.
        width: factor on all channels.
        dropout: before the linear layers.
        dilation: frames between the taps of the blocks.
        causal: look at no later frame, for streaming; hop by hop, all blocks run and the last one answers.
        exit_weights: of the losses of the exits, the last one's at the end; they add up to 1.
        confidence: greatest probability of a class from which on an exit is sure; 1: never.

    Raises:
        ValueError: for sizes that are not positive, weights that are not as many as blocks or do not add up to 1.
    """

    RULES: ClassVar = {**TCResNet8.RULES, "exit_weights": within(0, 1), "confidence": within(0, 1, beyond=True)}

    def __init__(
        self,
        *,
        n_features: int,
        n_classes: int,
        channels: Sequence[int] = (16, 24, 32, 48),
        kernel_size: int = 9,
        first_kernel_size: int = 3,
        width: float = 1.0,
        dropout: float = 0.5,
        dilation: int = 1,
        causal: bool = False,
        exit_weights: Sequence[float] = (0.3, 0.3, 0.4),
        confidence: float = 0.8,
    ) -> None:
        super().__init__(
            n_features=n_features, n_classes=n_classes, channels=channels, kernel_size=kernel_size,
            first_kernel_size=first_kernel_size, width=width, dropout=dropout, dilation=dilation, causal=causal,
        )  # fmt: skip
        n_exits = len(self.blocks)
        if len(exit_weights) != n_exits or abs(sum(exit_weights) - 1) > 1e-6:
            refuse([f"exit_weights={list(exit_weights)} must be {n_exits} that add up to 1, one for each block"])
        self.exit_weights, self.confidence = tuple(exit_weights), confidence
        self.exits = nn.ModuleList(nn.Linear(round(width * n), n_classes) for n in channels[1:-1])

    def exit_scores(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores of all exits, `(E, B, C)`, the last block's at the end."""
        frames, mask = without_padding(frames, lengths)
        found = self.block_frames(frames, lengths, mask)[1:]
        return torch.stack([self.exit(i, masked_mean(*hidden)) for i, hidden in enumerate(found)])

    def step(self, i: int, x: Tensor, lengths: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Block `i`, with lengths and mask of its result."""
        fewer, mask = thinned(lengths, mask, 2, x.shape[3])
        assert fewer is not None
        return self.blocks[i](x, mask), fewer, mask

    def exit(self, i: int, mean: Tensor) -> Tensor:
        """Scores `(B, C)` from the mean over time of the result of block `i`, `(B, D')`."""
        scores: Tensor = (self.exits[i] if i < len(self.exits) else self.classifier)(self.dropout(mean))
        return scores

    def chosen(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Scores `(B, C)` of the first sure exit, or the last, of all scores `(E, B, C)`; and its index, `(B,)`."""
        sure = scores.softmax(dim=2).amax(dim=2) >= self.confidence
        sure[-1] = True
        first = sure.int().argmax(dim=0)
        return scores.gather(0, first[None, :, None].expand(1, -1, scores.shape[2]))[0], first

    def exit_macs(self, n_frames: int, n_features: int) -> list[int]:
        """Multiply-accumulates of a segment of `n_frames` x `n_features` that ends at each exit."""
        cost = dict.fromkeys(range(len(self.blocks)), 0)
        for layer in count(self, n_frames, n_features).layers:
            part, i = [*layer.name.split("."), ""][:2]
            cost[int(i) if part in ("blocks", "exits") else 0 if part == "first" else len(cost) - 1] += layer.macs
        return list(itertools.accumulate(cost.values()))

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        if self.training or torch.compiler.is_compiling():
            return self.chosen(self.exit_scores(frames, lengths))[0]
        frames, mask = without_padding(frames, lengths)
        x, rest = self.begin(frames, mask), torch.arange(len(frames), device=frames.device)
        result = frames.new_empty(len(frames), self.classifier.out_features)
        for i in range(len(self.blocks)):
            x, lengths, mask = self.step(i, x, lengths, mask)
            scores = self.exit(i, masked_mean(x.squeeze(2).transpose(1, 2), mask))
            result = scores if i == 0 else result.index_copy(0, rest, scores.to(result.dtype))
            unsure = scores.softmax(dim=1).amax(dim=1) < self.confidence
            if not bool(unsure.any()):
                break
            x, lengths, rest = x[unsure], lengths[unsure], rest[unsure]
            mask = None if mask is None else mask[unsure]
        return result
