"""Sequences of a padded batch laid end to end, so that nothing is computed for padding."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from phonaut.features.functional import length_mask


@dataclass(frozen=True)
class Packing:
    """Positions of the frames of a padded batch `(B, T, ...)` in its packed form without padding, `(N, ...)`.

    Attributes:
        lengths: frames of each sequence, `(B,)`, on the device of the frames.
        n_frames: T.

    >>> import torch
    >>> packing = Packing(torch.tensor([2, 1]), 3)
    >>> packed = packing.pack(torch.tensor([[[1.0], [2.0], [9.0]], [[3.0], [9.0], [9.0]]]))
    >>> packed.flatten().tolist(), packing.unpack(packed).squeeze(2).tolist()
    ([1.0, 2.0, 3.0], [[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    """

    lengths: Tensor
    n_frames: int

    @cached_property
    def counts(self) -> list[int]:
        """The lengths as numbers; of what is exported, whose lengths are no numbers yet, all T: nothing pads it."""
        if torch.compiler.is_exporting():
            return [self.n_frames] * self.lengths.shape[0]
        return [int(n) for n in self.lengths.tolist()]

    @cached_property
    def places(self) -> Tensor:
        """Indices of the valid frames in the flattened padded batch, `(N,)`."""
        if self.is_even:
            return torch.arange(len(self.lengths) * self.n_frames, device=self.lengths.device)
        return length_mask(self.lengths, self.n_frames).flatten().nonzero().squeeze(1)

    @cached_property
    def times(self) -> Tensor:
        """Index of each frame within its sequence, `(N,)`."""
        return self.places % self.n_frames

    @property
    def is_even(self) -> bool:
        """True where there is no padding at all."""
        return min(self.counts, default=0) == self.n_frames

    def pack(self, padded: Tensor) -> Tensor:
        """`(B, T, ...) -> (N, ...)`."""
        flat = padded.flatten(0, 1)
        return flat if self.is_even else flat[self.places]

    def unpack(self, packed: Tensor) -> Tensor:
        """`(N, ...) -> (B, T, ...)`, zero in the padding."""
        if self.is_even:
            return packed.view(-1, self.n_frames, *packed.shape[1:])
        whole = packed.new_zeros(len(self.lengths) * self.n_frames, *packed.shape[1:])
        return whole.index_copy(0, self.places, packed).view(-1, self.n_frames, *packed.shape[1:])
