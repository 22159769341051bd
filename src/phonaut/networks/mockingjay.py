"""Mockingjay: a transformer encoder over frames of speech, and the head that predicts frames from it.

Liu et al. 2020, "Mockingjay: Unsupervised Speech Representation Learning with Deep Bidirectional Transformer Encoders".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phonaut.checks import refuse, within
from phonaut.features.functional import length_mask
from phonaut.networks.attention import attention, attention_maps
from phonaut.networks.dropout import Dropout
from phonaut.networks.packing import Packing
from phonaut.networks.padding import check_lengths

EPS = 1e-12  # of layer normalisation, as BERT has it
DEVIATION = 0.02  # of the initial weights


def stack_frames(frames: Tensor, lengths: Tensor, stack_size: int) -> tuple[Tensor, Tensor]:
    """Stack `stack_size` consecutive frames: `(B, T, D) -> (B, T // stack_size, stack_size D)`, and their lengths.

    The remainder at a recording's end is dropped, as in the original, but a recording of fewer frames than `stack_size`
    is padded with zeros.

    >>> frames, lengths = stack_frames(torch.arange(10.0).view(2, 5, 1), torch.tensor([5, 1]), 2)
    >>> frames.tolist(), lengths.tolist()
    ([[[0.0, 1.0], [2.0, 3.0]], [[5.0, 0.0], [0.0, 0.0]]], [2, 1])
    """
    if stack_size == 1:
        return frames, lengths
    n_stacked = (lengths // stack_size).clamp(min=1)
    n_used = max(1, frames.shape[1] // stack_size) * stack_size
    frames = F.pad(frames, (0, 0, 0, max(0, n_used - frames.shape[1])))[:, :n_used]
    inside = length_mask(torch.minimum(lengths, n_stacked * stack_size), n_used)
    n_items, _, width = frames.shape
    return frames.masked_fill(~inside[:, :, None], 0.0).reshape(n_items, -1, stack_size * width), n_stacked


def sinusoids(n_frames: int, width: int, like: Tensor) -> Tensor:
    """Positions as sines and cosines, `(T, D)` (Vaswani et al. 2017, section 3.5), in the type of `like`.

    `p(t, 2 i) = sin(t / 10000^(2 i / D))`, `p(t, 2 i + 1) = cos(t / 10000^(2 i / D))`.
    """
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
    angles = torch.arange(n_frames, dtype=torch.float64)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width].to(like)


class Layer(nn.Module):
    """A transformer's layer, normalised after each of its halves as in BERT (Devlin et al. 2018).

    `a = norm(x + drop(dense(attention(x))))`, `y = norm(a + drop(output(gelu(intermediate(a)))))`.
    """

    def __init__(self, hidden_size: int, n_heads: int, intermediate_size: int, dropout: float, causal: bool) -> None:
        super().__init__()
        self.n_heads, self.p, self.causal = n_heads, dropout, causal
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.dense_norm = nn.LayerNorm(hidden_size, eps=EPS)
        self.intermediate = nn.Linear(hidden_size, intermediate_size)
        self.output = nn.Linear(intermediate_size, hidden_size)
        self.output_norm = nn.LayerNorm(hidden_size, eps=EPS)
        self.dropout = Dropout(dropout)
        self.rest: Callable[[Tensor, Tensor], Tensor] = self.after_attention

    def after_attention(self, x: Tensor, context: Tensor) -> Tensor:
        """All but the attention, frame by frame: the part that `torch.compile` fuses."""
        x = self.dense_norm(x + self.dropout(self.dense(context)))
        y: Tensor = self.output_norm(x + self.dropout(self.output(F.gelu(self.intermediate(x)))))
        return y

    def forward(self, x: Tensor, packing: Packing) -> Tensor:
        """`(N, D) -> (N, D)`, the sequences of `packing` one after another."""
        dropout = self.p if self.training else 0.0
        return self.rest(x, attention(self.projected(x), packing.counts, dropout=dropout, causal=self.causal))

    def projected(self, x: Tensor) -> Tensor:
        """Queries, keys and values of every head, `(N, D) -> (N, 3, H, D / H)`."""
        made: Tensor = self.qkv(x).unflatten(1, (3, self.n_heads, -1))
        return made

    def attention_maps(self, x: Tensor) -> Tensor:
        """Attention weights over one sequence `(T, D)` without dropout, `(n_heads, T, T)`."""
        return attention_maps(self.projected(x), causal=self.causal)


class Mockingjay(nn.Module):
    """Representations of frames: `frames (B, T, D), lengths (B,) -> (frames (B, T', H), lengths (B,))`.

    `stack_size` frames are stacked to one and projected, positions are added, layers follow: `T' = T // stack_size`.
    Nothing is computed for padding, and neither it nor the other recordings of a batch change a representation.

    With 160 features, hidden size 768 and feed-forward size 3072 it has 21.4 million parameters with 3 layers and
    `stack_size=1` (BASE), and 85.4 million with 12 layers and `stack_size=3` (LARGE).

    Args:
        n_features: D.
        hidden_size: H.
        n_layers: layers.
        n_heads: of attention.
        intermediate_size: of the feed-forward halves.
        dropout: of sums, and of attention weights.
        stack_size: frames stacked to one.
        causal: no frame sees a later one. Of `stack_size` stacked frames the first is still seen with the last.

    Attributes:
        n_outputs: H.

    Raises:
        ValueError: for sizes that do not fit together.

    >>> network = Mockingjay(n_features=160, hidden_size=64, n_layers=2, n_heads=4, intermediate_size=128, stack_size=3)
    >>> frames, lengths = network(torch.zeros(2, 100, 160), torch.tensor([100, 31]))
    >>> frames.shape, lengths.tolist()
    (torch.Size([2, 33, 64]), [33, 10])
    """

    RULES: ClassVar = {
        "n_layers": within(1, 1000),
        **dict.fromkeys(("hidden_size", "intermediate_size", "n_heads", "stack_size"), within(1, 1e6)),
    }

    def __init__(
        self,
        *,
        n_features: int,
        hidden_size: int = 768,
        n_layers: int = 3,
        n_heads: int = 12,
        intermediate_size: int = 3072,
        dropout: float = 0.1,
        stack_size: int = 1,
        causal: bool | None = None,
    ) -> None:
        super().__init__()
        problems = self.problems(
            hidden_size=hidden_size,
            n_layers=n_layers,
            n_heads=n_heads,
            intermediate_size=intermediate_size,
            dropout=dropout,
            stack_size=stack_size,
        )
        if n_features < 1:
            problems.append(f"n_features={n_features}: must be >= 1")
        refuse(problems)
        self.stack_size, self.causal, self.n_outputs = stack_size, bool(causal), hidden_size
        self.projection = nn.Linear(stack_size * n_features, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=EPS)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            Layer(hidden_size, n_heads, intermediate_size, dropout, self.causal) for _ in range(n_layers)
        )
        self.apply(init_weights)

    @staticmethod
    def problems(
        *,
        hidden_size: int,
        n_layers: int,
        n_heads: int,
        intermediate_size: int,
        dropout: float,
        stack_size: int,
        causal: bool | None = None,
    ) -> list[str]:
        """All that is wrong with the options; empty if nothing is."""
        sizes = {"hidden_size": hidden_size, "n_layers": n_layers, "n_heads": n_heads}
        sizes |= {"intermediate_size": intermediate_size, "stack_size": stack_size}
        problems = [f"{name}={value}: must be >= 1" for name, value in sizes.items() if value < 1]
        if not problems and hidden_size % n_heads:
            problems.append(f"hidden_size={hidden_size} must be a multiple of n_heads={n_heads}")
        if not 0 <= dropout < 1:
            problems.append(f"dropout={dropout}: must be >= 0 and < 1")
        return problems

    def times(self, frame_shift_s: float, frame_offset_s: float) -> tuple[float, float]:
        """From one representation to the next, and the centre of the first, given those of the frames, in seconds.

        >>> Mockingjay(n_features=1, hidden_size=4, n_heads=1, stack_size=3).times(0.0125, 0.0)
        (0.037500000000000006, 0.0125)
        """
        return self.stack_size * frame_shift_s, frame_offset_s + (self.stack_size - 1) / 2 * frame_shift_s

    def hidden_states(self, frames: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Input of the first layer and output of each, `(B, T', H)`, zero past the lengths `(B,)`."""
        frames, lengths = stack_frames(frames, lengths, self.stack_size)
        packing = checked_packing(frames, lengths)
        return [packing.unpack(x) for x in self.encode(packing.pack(frames), packing)], lengths

    def attention_maps(self, frames: Tensor) -> Iterator[Tensor]:
        """Attention weights of one recording, layer by layer, as those of all layers take much memory.

        Args:
            frames: of the recording, `(T, D)`.

        Yields:
            `(n_heads, T', T')`, a row a query; rows add up to 1.
        """
        states, _ = self.hidden_states(frames[None], torch.tensor([len(frames)], device=frames.device))
        for layer, state in zip(self.layers, states[:-1], strict=True):
            assert isinstance(layer, Layer)
            yield layer.attention_maps(state[0])

    def encode(self, x: Tensor, packing: Packing) -> list[Tensor]:
        """The hidden states `(N, H)` of stacked frames `(N, stack_size D)`, the sequences of `packing` in a row."""
        x = self.projection(x)
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # what is added up stays in float32 under autocast
        x = self.dropout(self.norm(x + sinusoids(packing.n_frames, self.n_outputs, x)[packing.times]))
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1], packing))
        return states

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The last hidden states `(B, T', H)`, zero past their lengths `(B,)`."""
        states, lengths = self.hidden_states(frames, lengths)
        return states[-1], lengths

    def compile_layers(self) -> None:
        """Compile the frame-wise part of each layer; attention and names of parameters stay as they are."""
        for layer in self.layers:
            assert isinstance(layer, Layer)
            layer.rest = torch.compile(layer.after_attention, dynamic=True)


class PredictionHead(nn.Module):
    """Frames from representations: dense, GELU, layer normalisation, linear; `(..., H) -> (..., D)`.

    Args:
        hidden_size: H.
        n_outputs: D.
    """

    def __init__(self, hidden_size: int, n_outputs: int) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size, eps=EPS)
        self.output = nn.Linear(hidden_size, n_outputs)
        self.apply(init_weights)

    def forward(self, x: Tensor) -> Tensor:
        """`(..., H) -> (..., D)`."""
        made: Tensor = self.output(self.norm(F.gelu(self.dense(x))))
        return made


def checked_packing(frames: Tensor, lengths: Tensor) -> Packing:
    """Packing of frames `(B, T, D)` of `lengths (B,)`.

    Raises:
        ValueError: shapes that do not belong together, or a length that is not in 1 ... T.
    """
    check_lengths(frames, lengths)
    packing = Packing(lengths, frames.shape[1])
    check_lengths(frames, lengths, min(packing.counts), max(packing.counts))
    return packing


def init_weights(module: nn.Module) -> None:
    """Initialise linear layers as BERT does: weights normal with deviation 0.02, biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=DEVIATION)
        nn.init.zeros_(module.bias)
