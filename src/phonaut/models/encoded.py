"""A pre-trained encoder in place of a front end: recordings in, representations out."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from phonaut.checks import refuse
from phonaut.features import FrontEnd
from phonaut.networks.mockingjay import Mockingjay, checked_packing, stack_frames

MODES = ("frozen", "weighted", "finetune")
LAYERS = "last, all, weighted, or a number: 0 is what goes into the first layer"


class Projection(nn.Module):
    """The first principal components of representations, `(..., H) -> (..., K)`: `(x - mean) @ components^T`.

    Args:
        n_features: H.
        n_components: K.

    Raises:
        ValueError: K is not in 1 ... H.
    """

    def __init__(self, n_features: int, n_components: int) -> None:
        super().__init__()
        if not 1 <= n_components <= n_features:
            raise ValueError(f"encoder.n_components={n_components}: from 1 to {n_features}, what the encoder gives")
        self.mean: Tensor
        self.components: Tensor
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("components", torch.eye(n_components, n_features))

    def fit(self, frames: Tensor) -> None:
        """Choose mean and components by frames `(N, H)`.

        Raises:
            ValueError: there are fewer frames than components.
        """
        n_components = len(self.components)
        if len(frames) < n_components:
            raise ValueError(f"{len(frames)} frames are too few for encoder.n_components={n_components}")
        x = frames.double()
        mean = x.mean(dim=0)
        _, vectors = torch.linalg.eigh((x - mean).T @ (x - mean))  # from the least variance to the largest
        components = vectors.flip(1)[:, :n_components].T
        largest = components.abs().argmax(dim=1)  # a sign of an eigenvector means nothing: make that entry positive
        components = components * components.gather(1, largest[:, None]).sign()
        self.mean.copy_(mean)
        self.components.copy_(components)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., H) -> (..., K)`."""
        return (x - self.mean) @ self.components.T


class EncodedFrontEnd(nn.Module):
    """Front end, normaliser and encoder in a row: `(audio (B, S), audio_lengths (B,)) -> (frames (B, T', D), lengths)`.

    It stands where a front end does. `weighted` gives `sum_l softmax(w)_l h_l` of the hidden states h of all layers,
    with w learned (Peters et al. 2018, equation 1, without its scale).

    Args:
        front_end: of the encoder.
        network: the encoder.
        normalizer: between the two, or None.
        mode: `frozen`: nothing is trained; `weighted`: the weights of layers are; `finetune`: the encoder is.
        layer: `last`; `all`: of every layer, side by side; `weighted`; or the number of one.
        n_components: principal components that are kept; None: no projection.

    Attributes:
        sample_rate: Hz.
        frame_shift_s: from one representation to the next.
        frame_offset_s: centre of the first.

    Raises:
        ValueError: for a mode, layer or number that is not possible.
    """

    def __init__(
        self,
        front_end: FrontEnd,
        network: Mockingjay,
        normalizer: nn.Module | None = None,
        *,
        mode: str = "frozen",
        layer: str | int = "last",
        n_components: int | None = None,
    ) -> None:
        super().__init__()
        refuse(use_problems(mode, layer, len(network.layers)))
        self.mode, self.layer = mode, "weighted" if mode == "weighted" else layer
        self.front_end, self.normalizer, self.network = front_end, normalizer, network
        self.layer_weights = nn.Parameter(torch.zeros(len(network.layers) + 1)) if self.layer == "weighted" else None
        for parameter in self.network.parameters():
            parameter.requires_grad_(mode == "finetune")
        if self.layer_weights is not None:
            self.layer_weights.requires_grad_(mode != "frozen")
        width = network.n_outputs * (len(network.layers) + 1 if layer == "all" else 1)
        self.projection: Projection | None = None if n_components is None else Projection(width, n_components)
        self.width = width
        self.sample_rate = front_end.sample_rate
        self.frame_shift_s, self.frame_offset_s = network.times(front_end.frame_shift_s, front_end.frame_offset_s)
        self.train(self.training)

    @property
    def n_features(self) -> int:
        """D."""
        return self.width if self.projection is None else len(self.projection.components)

    @property
    def is_fixed(self) -> bool:
        """True where training changes nothing of it."""
        return self.mode == "frozen"

    def train(self, mode: bool = True) -> Self:
        """As every module, but an encoder that is not trained has no dropout, and no statistics of batches, either."""
        super().train(mode)
        for part in (self.network, self.normalizer):
            if part is not None:
                part.train(mode and self.mode == "finetune")
        return self

    def n_frames(self, audio_lengths: Tensor) -> Tensor:
        """Representations of recordings of `audio_lengths` samples."""
        return (self.front_end.n_frames(audio_lengths) // self.network.stack_size).clamp(min=1)

    def frames(self, audio: Tensor, audio_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The frames that the encoder takes, and their lengths."""
        frames, lengths = self.front_end(audio, audio_lengths)
        if self.normalizer is not None:
            frames = self.normalizer(frames, lengths)
        return frames, lengths

    def forward(self, audio: Tensor, audio_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Representations `(B, T', D)`, zero past their lengths `(B,)`."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.mode == "finetune"):
            frames, lengths = stack_frames(*self.frames(audio, audio_lengths), self.network.stack_size)
            packing = checked_packing(frames, lengths)
            states = self.network.encode(packing.pack(frames), packing)
        chosen = self.chosen(states)
        if self.projection is not None:
            chosen = self.projection(chosen)
        return packing.unpack(chosen), lengths

    def chosen(self, states: list[Tensor]) -> Tensor:
        """The representation of the chosen layer, from the hidden states `(N, H)` of all."""
        if self.layer_weights is not None:
            weights = self.layer_weights.softmax(dim=0)
            return torch.einsum("l,lnh->nh", weights, torch.stack(states))
        if self.layer == "all":
            return torch.cat(states, dim=1)
        return states[-1 if self.layer == "last" else int(self.layer)]


def use_problems(mode: str, layer: str | int, n_layers: int) -> list[str]:
    """Problems of the use of an encoder.

    >>> use_problems("frozen", 4, 3)
    ['encoder.layer=4: the encoder has layers 0 to 3']
    """
    problems = [] if mode in MODES else [f"encoder.mode={mode} is none of {', '.join(MODES)}"]
    is_number = isinstance(layer, int) and not isinstance(layer, bool)
    if not is_number and layer not in ("last", "all", "weighted"):
        problems.append(f"encoder.layer={layer} is none of {LAYERS}")
    elif is_number and not 0 <= int(layer) <= n_layers:
        problems.append(f"encoder.layer={layer}: the encoder has layers 0 to {n_layers}")
    elif mode == "weighted" and layer not in ("last", "weighted"):
        problems.append(f"encoder.layer={layer}: with encoder.mode=weighted it is weighted; leave it out")
    return problems
