"""Front end, normalisation of windows and generator: what generators are trained and used as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phonaut.arrays import spread
from phonaut.features import FrontEnd
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.models.generators import Generator, Windows, keyed_draw
from phonaut.models.generators.principal import principal_components
from phonaut.models.speech_model import SpeechModel

if TYPE_CHECKING:
    from phonaut.data.frame_windows import FrameWindows, WindowBatch

CODES_AT_ONCE = 1024  # windows
OVERLAP = 4  # windows that hold a frame of a recording
N_STARTED = 10_000  # windows whose principal components are taken
LEAST_DEVIATION = 1e-5  # of a feature that never varies


class WindowModel(SpeechModel):
    """A generator of windows with what stands before it: `audio -> frames -> normalised windows`.

    Features are normalised one by one, `(x - mean) / deviation` over all frames of training, kept with the weights, so
    that what is generated can be brought back. Frames beyond the ends of a recording are then 0, the mean.

    Args:
        front_end: as of `SpeechModel`.
        network: the generator.
        normalizer: as of `SpeechModel`: what it takes from a recording is not given back to what is generated.
        labels: names of classes that windows are conditioned on.
        speakers: names of speakers that they are conditioned on.

    Raises:
        ValueError: the generator takes a condition of another size.
    """

    network: Generator
    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        front_end: FrontEnd | EncodedFrontEnd,
        network: Generator,
        normalizer: nn.Module | None = None,
        *,
        labels: Sequence[str] = (),
        speakers: Sequence[str] = (),
    ) -> None:
        super().__init__(front_end, network, normalizer)
        self.labels, self.speakers = list(labels), list(speakers)
        if network.condition_size != len(self.labels) + len(self.speakers):
            raise ValueError(f"the generator takes a condition of {network.condition_size} values, and there are "
                             f"{len(self.labels)} classes and {len(self.speakers)} speakers")  # fmt: skip
        self.register_buffer("mean", torch.zeros(network.n_features))
        self.register_buffer("deviation", torch.ones(network.n_features))

    def fit_normalization(self, frames: NDArray[np.float32]) -> None:
        """Take mean and deviation of each feature from frames `(N, D)`.

        Raises:
            ValueError: no feature varies.
        """
        mean = frames.mean(axis=0, dtype=np.float64)
        deviation = np.sqrt(np.maximum(np.square(frames, dtype=np.float64).mean(axis=0) - mean**2, 0.0))
        if not (deviation > LEAST_DEVIATION).any():
            raise ValueError("all frames of training are the same: recordings without a sound teach nothing")
        self.mean.copy_(torch.from_numpy(mean))
        self.deviation.copy_(torch.from_numpy(np.maximum(deviation, LEAST_DEVIATION)))

    def start_at_components(self, train: FrameWindows) -> None:
        """Let a generator with linear paths begin at the principal components of training windows."""
        if self.network.linear_path:
            batches = map(self.windows, train.batches(spread(len(train), N_STARTED)))
            pairs = ((batch.frames, batch.condition) for batch in batches)
            self.network.start(principal_components(pairs, self.network.latent_size))

    def normalised(self, frames: Tensor) -> Tensor:
        """Frames `(..., D)` of the front end as the generator takes them."""
        return (frames - self.mean) / self.deviation

    def restored(self, windows: Tensor) -> Tensor:
        """Frames `(..., D)` as the front end gives them: the inverse of `normalised`."""
        return windows * self.deviation + self.mean

    def condition(self, labels: Tensor, speakers: Tensor) -> Tensor:
        """One-hot classes and speakers side by side, `(B, K)`; all zero where one is unknown (-1)."""
        parts = []
        for index, names in ((labels, self.labels), (speakers, self.speakers)):
            if names:
                one_hot = torch.nn.functional.one_hot(index.clamp(min=0), len(names)).to(self.mean)
                parts.append(one_hot * (index >= 0)[:, None])
        return torch.cat(parts, dim=1) if parts else self.mean.new_zeros(len(labels), 0)

    def windows(self, batch: WindowBatch, *, seed: int = 0, epoch: int = 0, stage: str = "test") -> Windows:
        """A batch as generators take it, with the draws of (seed, epoch, stage) for its windows."""
        frames = self.normalised(batch.frames).masked_fill(~batch.inside[:, :, None], 0.0)
        return Windows(
            frames,
            self.condition(batch.labels, batch.speakers),
            batch.sequence,
            keyed_draw(batch.draw_keys, seed=seed, epoch=epoch, stage=stage, like=frames),
            batch.sequence_size,
        )

    def codes(self, windows: Tensor, condition: Tensor) -> Tensor:
        """Codes `(W, Z)` of normalised windows `(W, T, D)` of one condition `(K,)`, in parts that bound memory."""
        parts = torch.split(windows, CODES_AT_ONCE)
        return torch.cat([self.network.encode(part, condition.expand(len(part), -1)) for part in parts])

    # --- whole recordings

    @torch.inference_mode()
    def rebuilt(
        self,
        frames: Tensor,
        *,
        shift_frames: int | None = None,
        heard: Tensor | None = None,
        made: Tensor | None = None,
        move: Tensor | None = None,
    ) -> Tensor:
        """A recording taken apart and put together again, windows overlapping: frames `(N, D)` to frames `(N, D)`.

        Args:
            frames: as the front end gives them.
            shift_frames: from one window to the next, at most T; None: four windows hold each frame.
            heard: condition of the windows that are encoded, `(K,)`; None: unknown.
            made: condition of those that are decoded, `(K,)`; None: the same.
            move: added to every code, `(Z,)`; None: nothing.

        Raises:
            ValueError: windows would not touch, or the generator has no encoder.
        """
        t, n = self.network.window_frames, len(frames)
        shift_frames = max(1, t // OVERLAP) if shift_frames is None else shift_frames
        if not 1 <= shift_frames <= t:
            raise ValueError(f"shift_frames must be from 1 to {t}, the frames of a window; got {shift_frames}")
        begins = torch.arange(-(t // 2), n - t // 2 + shift_frames - 1, shift_frames)
        rows = begins[:, None] + torch.arange(t)
        inside = (rows >= 0) & (rows < n)
        windows = self.normalised(frames)[rows.clamp(0, n - 1)].masked_fill(~inside[:, :, None], 0.0)
        nothing = self.mean.new_zeros(self.network.condition_size)
        heard = nothing if heard is None else heard
        made = heard if made is None else made
        codes = self.codes(windows, heard)
        return self.overlapped(codes if move is None else codes + move, begins, n, made)

    @torch.inference_mode()
    def overlapped(self, codes: Tensor, begins: Tensor, n: int, condition: Tensor) -> Tensor:
        """Frames `(N, D)` of windows that overlap, as the front end would give them.

        Each frame is the mean over the windows that hold it, weighted by how near it is to their middle (a triangle).

        Args:
            codes: of the windows, `(W, Z)`.
            begins: frame at which each begins, which may lie before the first, `(W,)`.
            n: N; every frame lies in a window.
            condition: that they are decoded for, `(K,)`.
        """
        t = self.network.window_frames
        weight = 1.0 - (torch.arange(t) - (t - 1) / 2).abs() / ((t + 1) / 2)
        total, weights = torch.zeros(n, self.network.n_features), torch.zeros(n)
        for part, first in zip(torch.split(codes, CODES_AT_ONCE), torch.split(begins, CODES_AT_ONCE), strict=True):
            decoded = self.network.decode(part, condition.expand(len(part), -1))
            rows = first[:, None] + torch.arange(t)
            there = (rows >= 0) & (rows < n)
            by = weight.expand(len(part), -1)[there]
            total.index_add_(0, rows[there], decoded[there] * by[:, None])
            weights.index_add_(0, rows[there], by)
        return self.restored(total / weights[:, None])
