"""Protocol of networks that embed speakers, and the angles by which embeddings are classified."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phonaut.networks.network import Network

LEAST_SQUARE = 1e-24  # of a length
LEAST_SINE = 1e-6  # squared: at angles 0 and pi, the slope of the sine by the cosine is infinite


class Cosines(nn.Module):
    """Scores of embeddings `x (B, E)`: `scale` times the cosine between `x` and the vector of each class.

    Args:
        n_embedding: E.
        n_classes: C.
        scale: how far apart the scores of same and opposite directions are, halved.
    """

    def __init__(self, n_embedding: int, n_classes: int, scale: float = 32.0) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(n_classes, n_embedding))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, embeddings: Tensor) -> Tensor:
        """`(B, E) -> (B, C)`."""
        return self.scale * cosines(embeddings, self.weight)


class EmbeddingNetwork(Network):
    """A network that gives one vector for a segment, which says who speaks, and classifies it by its direction.

    To add one, write a sub-class with `embed`, and a `classifier` that is a `Cosines`.
    """

    classifier: Cosines

    def embed(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings `(B, E)` of segments `(B, T, D)` with `lengths (B,)`."""
        raise NotImplementedError

    def classify(self, segments: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)`, cosines times a scale."""
        scores: Tensor = self.classifier(self.embed(segments, lengths))
        return scores


def cosines(x: Tensor, y: Tensor) -> Tensor:
    """Cosines of all pairs of rows, `(B, E), (C, E) -> (B, C)`, in single precision at least; those of 0 are 0."""
    dtype = torch.promote_types(torch.promote_types(x.dtype, y.dtype), torch.float32)
    with torch.autocast(x.device.type, enabled=False):
        return directions(x.to(dtype)) @ directions(y.to(dtype)).T


def directions(x: Tensor) -> Tensor:
    """Rows of length 1; those of 0 stay."""
    return x * (x.square().sum(dim=1, keepdim=True) + LEAST_SQUARE).rsqrt()


def with_margin(cosine: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Cosines `(B, C)` in which the angle to the own class is larger by `margin`, radians.

    `cos(theta + m)` where `theta + m <= pi`, beyond it `cos(theta) - 1 + cos(m)`, which goes on falling (Deng et al.
    2019, "ArcFace", equation 3). Rows labelled -1 stay.

    >>> import math
    >>> cosine = torch.tensor([[math.cos(1.0), 0.5]])
    >>> torch.allclose(with_margin(cosine, torch.tensor([0]), 0.2), torch.tensor([[math.cos(1.2), 0.5]]))
    True
    """
    if not margin:
        return cosine
    known = (labels >= 0)[:, None]
    own = cosine.gather(1, labels.clamp(min=0)[:, None])
    turn = torch.tensor(margin, dtype=cosine.dtype)
    turned = own * turn.cos() - (1.0 - own.square()).clamp(min=LEAST_SINE).sqrt() * turn.sin()
    turned = torch.where(own > -turn.cos(), turned, own - 1.0 + turn.cos())
    return cosine.scatter(1, labels.clamp(min=0)[:, None], torch.where(known, turned, own))
