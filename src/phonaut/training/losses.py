"""What training lowers: cross-entropy, focal loss, and the loss of words to be detected in a stream."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = 1e-6  # of a probability under a logarithm, or a power


def cross_entropy(
    scores: Tensor, labels: Tensor, smoothing: float, *, gamma: float = 0.0, weights: Tensor | None = None
) -> Tensor:
    """Mean over spans, by weight, of the focal loss (Lin et al. 2017, arXiv:1708.02002); gamma 0 is cross-entropy.

        -sum_c q_c (1 - p_c)^gamma log p_c,   p = softmax(scores),   q = (1 - a) labels + a / C

    Args:
        scores: `(N, C)`, N > 0.
        labels: classes, `(N,)`, or weights of all classes, `(N, C)`.
        smoothing: a.
        gamma: how much less what is known already counts.
        weights: of classes, `(C,)`; None: all alike.

    >>> scores = torch.tensor([[0.0, 0.0], [4.0, 0.0]])
    >>> [round(float(cross_entropy(scores, torch.tensor([0, 0]), 0.0, gamma=gamma)), 4) for gamma in (0.0, 2.0)]
    [0.3556, 0.0866]
    """
    if not gamma and weights is None:
        return F.cross_entropy(scores, labels, label_smoothing=smoothing)
    n_classes = scores.shape[1]
    shares = F.one_hot(labels, n_classes).to(scores.dtype) if labels.ndim == 1 else labels
    logs = scores.log_softmax(dim=1)
    smooth = (1 - smoothing) * shares + smoothing / n_classes
    losses = -(smooth * (1 - logs.exp()).clamp(min=LEAST) ** gamma * logs).sum(dim=1)
    return mean_by(losses, None if weights is None else shares @ weights.to(shares))


def max_pooling(scores: Tensor, mask: Tensor | None, labels: Tensor, words: Tensor, weights: Tensor | None) -> Tensor:
    """Mean over spans of the loss of a stream in which a word need be heard once, and others never.

        -log max_t p_t(w) for the word w that is said, -log (1 - max_t p_t(v)) for every other v

    where `p_t` is the softmax of the scores at frame t: at its surest frame a word shall be sure, and at the hardest
    frame of what is no word, or another, it shall not (`max_pooling` of wekws, Wang et al. 2023).

    Args:
        scores: at frames, `(N, T, C)`, N > 0.
        mask: of the valid ones, `(N, T)`; None: all are.
        labels: classes, `(N,)`.
        words: the classes that are words, `(W,)`.
        weights: of classes, `(C,)`; None: all alike.
    """
    probability = scores.softmax(dim=2)[:, :, words]
    if mask is not None:
        probability = probability.masked_fill(~mask[:, :, None], 0.0)
    surest = probability.amax(dim=1).clamp(LEAST, 1 - LEAST)
    losses = torch.where(labels[:, None] == words, -surest.log(), -(1 - surest).log()).sum(dim=1)
    return mean_by(losses, None if weights is None else weights.to(losses)[labels])


def mean_by(losses: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of losses `(N,)` by weights `(N,)`, None being equal ones."""
    return losses.mean() if weights is None else (losses * weights).sum() / weights.sum()
