"""Protocol of the networks that classify, with its defaults: the model around a network asks for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from torch import Tensor, nn


class Network(nn.Module):
    """Scores of segments, `frames (B, T, D), lengths (B,) -> scores (B, C)`.

    A network may come in two parts: `encode`, which may run over whole recordings before segments are cut out, and
    `classify`, which takes the segments of what comes out. Any other module with such a `forward` will do as well; it
    is taken to have the defaults below.

    Attributes:
        encodes_recordings: run `encode` over recordings, so that segments are seen in their context.
        frame_level: train with the cross-entropy of single frames (`frame_logits`), not with that of segments.
        looks_ahead: a hidden frame depends on later ones; None: it has no hidden frames (`body`), and cannot stream.
        time_stride: frames to each hidden one.
    """

    encodes_recordings: bool = False
    frame_level: bool = False
    looks_ahead: bool | None = None
    time_stride: int = 1
    scopes: ClassVar[tuple[str, ...]] = ("segment", "recording")

    def encode(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Hidden states `(B, T', H)` of frames `(B, T, D)`, T' being the longest of `lengths (B,)`."""
        return frames

    def classify(self, segments: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments of what `encode` gives, `(B, T, H)`, with `lengths (B,)`."""
        raise NotImplementedError

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Scores `(B, C)` of segments `(B, T, D)` with `lengths (B,)`."""
        return self.classify(self.encode(frames, lengths), lengths)

    def body(self, frames: Tensor, lengths: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Hidden frames `(B, T', H)`, and the mask of the valid, `(B, T')`; where `looks_ahead` is not None.

        Args:
            frames: `(B, T, D)`, zero past each item's end.
            lengths: valid frames of each, `(B,)`; read only where there is a mask.
            mask: of the valid, `(B, T)`; None where all are.
        """
        raise NotImplementedError

    def decide(self, mean: Tensor) -> Tensor:
        """Scores `(..., C)` of means over hidden frames `(..., H)`; where `looks_ahead` is not None."""
        raise NotImplementedError

    def frame_logits(self, segments: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of all valid frames, `(N, C)`, and the segment that each belongs to, `(N,)`; where `frame_level`."""
        raise NotImplementedError

    @classmethod
    def check_scope(cls, scope: str) -> str:
        """Return `scope`, if it is one of `scopes`.

        Raises:
            ValueError: it is none of them.
        """
        if scope not in cls.scopes:
            raise ValueError(f"model.scope={scope} is none of {', '.join(cls.scopes)}")
        return scope


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """In evaluation mode while the context lasts; then each module is in the mode that it was in."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
