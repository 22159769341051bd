"""Objectives of pre-training: the masked input of an encoder, and the frames that it predicts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.checks import refuse, within
from phonaut.data.draws import normal, uniform
from phonaut.features.functional import length_mask
from phonaut.models.masking import ZERO, frequency_mask, time_mask


@dataclass(frozen=True)
class PredictionTask:
    """Input of an encoder, and the mask of its loss.

    Attributes:
        frames: the input, `(B, T, D)`.
        target_mask: the frames whose predictions count, `(B, T)`.
        bins: features that count beside those of the masked frames, in all valid frames, `(B, D)`; None: none do.
        n_future: frames from each of these to the one that is predicted from it.
    """

    frames: Tensor
    target_mask: Tensor
    bins: Tensor | None = None
    n_future: int = 0


@dataclass(frozen=True)
class DrawKey:
    """Key of the random draws of a batch.

    Attributes:
        keys: of the recordings, `(B,)`.
        seed: of the run.
        epoch: of training.
        stage: draws of training and of validation are apart.
    """

    keys: NDArray[np.uint64]
    seed: int
    epoch: int
    stage: str

    def uniform(self, stream: str, n: int) -> NDArray[np.float64]:
        """`(B, n)` uniform draws."""
        return uniform(self.keys, seed=self.seed, epoch=self.epoch, stream=f"{self.stage}/{stream}", n=n)

    def normal(self, row: int, stream: str, n: int) -> NDArray[np.float64]:
        """`(n,)` normal draws of one recording."""
        keys, stream = self.keys[row : row + 1], f"{self.stage}/{stream}"
        drawn: NDArray[np.float64] = normal(keys, seed=self.seed, epoch=self.epoch, stream=stream, n=n)[0]
        return drawn


class Objective(Protocol):
    """A prediction task over normalised, stacked frames.

    Attributes:
        causal: the encoder must not see later frames.
    """

    causal: ClassVar[bool]

    def task(self, frames: Tensor, lengths: Tensor, key: DrawKey, *, n_bands: int, stack_size: int) -> PredictionTask:
        """The prediction task of a batch.

        Args:
            frames: `(B, T, D)`, each a stack of `stack_size` frames of `n_bands` bands.
            lengths: `(B,)`.
            key: of the random draws.
            n_bands: groups of the same features: the features and their deltas.
            stack_size: frames that are stacked to one.
        """
        ...

    def problems(self) -> list[str]:
        """All problems of the options."""
        ...


@dataclass(frozen=True, kw_only=True)
class Mockingjay:
    """Predict masked spans of frames from both sides (Liu et al. 2020). Options are those of `time_mask`."""

    RULES: ClassVar = {"mask_length": within(1, 10_000), "noise_variance": within(0, 1000)}
    causal: ClassVar[bool] = False

    mask_prob: float = 0.15
    mask_length: int = 7
    mask_zero_prob: float = 0.8
    mask_random_prob: float = 0.1

    def __post_init__(self) -> None:
        refuse(self.problems())

    def problems(self) -> list[str]:
        """All problems of the options."""
        problems = out_of_range(self, ("mask_prob", "mask_zero_prob", "mask_random_prob"))
        if self.mask_length < 1:
            problems.append(f"objective.mask_length={self.mask_length}: must be >= 1")
        if self.mask_zero_prob + self.mask_random_prob > 1:
            problems.append(
                f"objective.mask_zero_prob={self.mask_zero_prob} and mask_random_prob={self.mask_random_prob}: "
                "their sum must be <= 1"
            )
        if self.mask_prob <= 0:
            problems.append(f"objective.mask_prob={self.mask_prob}: must be > 0, or nothing would be predicted")
        return problems

    def task(self, frames: Tensor, lengths: Tensor, key: DrawKey, *, n_bands: int, stack_size: int) -> PredictionTask:
        """Mask spans of frames."""
        mask = time_mask(
            lengths.cpu().numpy(),
            key.uniform,
            mask_prob=self.mask_prob,
            mask_length=self.mask_length,
            mask_zero_prob=self.mask_zero_prob,
            mask_random_prob=self.mask_random_prob,
        )
        n_frames = frames.shape[1]
        target_mask = padded(torch.from_numpy(mask.masked), n_frames, fill=False).to(frames.device)
        source = padded(torch.from_numpy(mask.source), n_frames, fill=0).to(frames.device)
        return PredictionTask(replace_frames(frames, source, target_mask), target_mask)


@dataclass(frozen=True, kw_only=True)
class Tera(Mockingjay):
    """Mockingjay's masked spans, and blocks of frequencies and noise besides (Liu et al. 2021, TERA).

    A block of features is masked in all frames of a recording, and counts; deltas of the same features are masked
    with them. With probability `noise_prob` a recording gets normal noise on all features, in its input only.

    Attributes:
        mask_frequency: the largest block, as a fraction of the features.
        noise_prob: of a recording to get noise.
        noise_variance: of the noise, where features have variance 1.
    """

    mask_frequency: float = 0.2
    noise_prob: float = 0.15
    noise_variance: float = 0.2

    def problems(self) -> list[str]:
        """All problems of the options."""
        problems = super().problems() + out_of_range(self, ("mask_frequency", "noise_prob"))
        if self.noise_variance < 0:
            problems.append(f"objective.noise_variance={self.noise_variance}: must be >= 0")
        return problems

    def task(self, frames: Tensor, lengths: Tensor, key: DrawKey, *, n_bands: int, stack_size: int) -> PredictionTask:
        """Mask spans of frames and blocks of features, and add noise."""
        task = super().task(frames, lengths, key, n_bands=n_bands, stack_size=stack_size)
        n_repeats = stack_size * n_bands
        block = frequency_mask(len(frames), frames.shape[2] // n_repeats, key.uniform, max_fraction=self.mask_frequency)
        bins = torch.from_numpy(block).repeat(1, n_repeats).to(frames.device)
        seen = task.frames.masked_fill(bins[:, None, :], 0.0)
        for i in np.flatnonzero(key.uniform("noise", 1)[:, 0] < self.noise_prob).tolist():
            n = int(lengths[i])
            noise = key.normal(i, "magnitude", n * frames.shape[2]) * self.noise_variance**0.5
            seen[i, :n] += torch.from_numpy(noise).view(n, -1).to(seen)
        return PredictionTask(seen, task.target_mask, bins)


@dataclass(frozen=True, kw_only=True)
class APC:
    """Predict a later frame from the present and earlier ones.

    Source: Chung et al. 2019, "An Unsupervised Autoregressive Model for Speech Representation Learning".

    Attributes:
        n_future: frames from the last input to the predicted one; of stacked ones, as many as are at least as long.
    """

    RULES: ClassVar = {"n_future": within(1, 10_000)}
    causal: ClassVar[bool] = True

    n_future: int = 3

    def __post_init__(self) -> None:
        refuse(self.problems())

    def problems(self) -> list[str]:
        """All problems of the options."""
        return [f"objective.n_future={self.n_future}: must be >= 1"] if self.n_future < 1 else []

    def task(self, frames: Tensor, lengths: Tensor, key: DrawKey, *, n_bands: int, stack_size: int) -> PredictionTask:
        """Targets are the frames `n_future` later, where there are such."""
        n_future = -(-self.n_future // stack_size)
        return PredictionTask(frames, length_mask(lengths - n_future, frames.shape[1]), n_future=n_future)


def replace_frames(frames: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """`frames (B, T, D)`, in the `mask (B, T)` replaced by those that `source (B, T)` indexes, or by zero."""
    others = frames.gather(1, source.clamp(min=0)[:, :, None].expand(-1, -1, frames.shape[2]))
    others = others.masked_fill((source == ZERO)[:, :, None], 0.0)
    return torch.where(mask[:, :, None], others, frames)


def padded(mask: Tensor, n_frames: int, *, fill: int | bool) -> Tensor:
    """A mask `(B, T')` padded to `n_frames` frames."""
    return torch.nn.functional.pad(mask, (0, n_frames - mask.shape[1]), value=fill)


def masked_l1(predicted: Tensor, truth: Tensor, mask: Tensor | None, recording: Tensor, n_recordings: int) -> Tensor:
    """Sum of `|predicted - truth|` and number of what it is summed over, by recording, in float32.

    Args:
        predicted: `(n, D)`.
        truth: `(n, D)`.
        mask: 1 where an error counts, `(n, D)`; None: everywhere.
        recording: whose frame each is, `(n,)`.
        n_recordings: B.

    Returns:
        `(B, 2)`.
    """
    distance = (predicted.float() - truth.float()).abs()
    if mask is None:
        n = distance.new_full((len(distance),), float(distance.shape[1]))
    else:
        distance, n = distance * mask, mask.sum(dim=1).to(distance)
    by_frame = torch.stack([distance.sum(dim=1), n], dim=1)
    return by_frame.new_zeros(n_recordings, 2).index_add(0, recording, by_frame)


def out_of_range(options: object, names: tuple[str, ...]) -> list[str]:
    """A problem for each of `names` whose value is not in [0, 1]."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}  # type: ignore[arg-type]
    return [f"objective.{name}={values[name]}: must be in [0, 1]" for name in names if not 0 <= values[name] <= 1]
