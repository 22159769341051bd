"""Learning from trained models: their answers to the same recordings beside the labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from phonaut.data.batches import Batch
from phonaut.models.speech_model import SpeechModel


class Teachers:
    """Trained models whose mean answer a student learns (Hinton et al. 2015, arXiv:1503.02531).

        (1 - w) loss + w T^2 KL(p || q),   p = mean over teachers of softmax(scores / T),   q = softmax(student's / T)

    They hear what the student hears, augmented alike, through their own front ends. They are in evaluation mode, are
    not trained, and are no part of what is saved.

    Args:
        models: of the teachers.
        orders: for each, which of its scores belongs to each class of the student, `(C,)`.
        temperature: T; 2 to 4 by custom.
        weight: w.
    """

    def __init__(
        self, models: Sequence[SpeechModel], orders: Sequence[Sequence[int]], *, temperature: float, weight: float
    ) -> None:
        self.models = [model.eval().requires_grad_(False) for model in models]
        self.orders = [torch.tensor(order) for order in orders]
        self.temperature, self.weight = temperature, weight

    @torch.no_grad()
    def answer(self, batch: Batch) -> Tensor:
        """P above for the spans of a batch, `(N, C)`."""
        device = batch.labels.device
        answers = [
            (model.to(device).classify(*model.segments(batch))[:, order.to(device)] / self.temperature).softmax(dim=1)
            for model, order in zip(self.models, self.orders, strict=True)
        ]
        return torch.stack(answers).mean(dim=0)

    def joined(self, loss: Tensor, scores: Tensor, told: Tensor) -> Tensor:
        """The loss with that of the answer.

        Args:
            loss: of the labels.
            scores: of the student for spans with a label, or their frames, `(N, C)`; none: there are no such.
            told: p above for each, `(N, C)`.
        """
        if not len(scores):
            return loss
        divergence = F.kl_div((scores / self.temperature).log_softmax(dim=1), told, reduction="batchmean")
        return (1 - self.weight) * loss + self.weight * self.temperature**2 * divergence
