"""What pre-training asks of an encoder: which frames it sees, and which ones it is to predict from them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.data.draws import normal, uniform
from phonaut.features.masks import ZERO, frequency_mask, time_mask


@dataclass(frozen=True)
class Task:
    """What an encoder sees, and what counts.

    Attributes:
        frames: the input, `(B, T, D)`.
        chosen: the frames from which something is predicted that counts, `(B, T)`.
        bins: features that count beside those of the chosen frames, in all valid frames, `(B, D)`; None: none do.
        ahead: how many frames later the predicted frame is.
    """

    frames: Tensor
    chosen: Tensor
    bins: Tensor | None = None
    ahead: int = 0


@dataclass(frozen=True)
class Place:
    """What random draws of a batch derive from.

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
        stream = f"{self.stage}/{stream}"
        drawn: NDArray[np.float64] = normal(
            self.keys[row : row + 1], seed=self.seed, epoch=self.epoch, stream=stream, n=n
        )[0]
        return drawn


class Objective(Protocol):
    """A task made of normalised, stacked frames.

    Attributes:
        causal: the encoder must not see later frames.
    """

    causal: ClassVar[bool]

    def task(self, frames: Tensor, lengths: Tensor, place: Place, *, n_bands: int, stride: int) -> Task:
        """The task of a batch.

        Args:
            frames: `(B, T, D)`; frames of `stride` frames each, of these `D / stride / n_bands` bands of features each.
            lengths: `(B,)`.
            place: what draws derive from.
            n_bands: groups of the same features: the features and their slopes.
            stride: frames that are stacked to one.
        """
        ...

    def problems(self) -> list[str]:
        """What is wrong with the options."""
        ...


@dataclass(frozen=True, kw_only=True)
class Mockingjay:
    """Predict frames in runs that are hidden, from both sides (Liu et al. 2020). Options are those of `time_mask`."""

    causal: ClassVar[bool] = False

    share: float = 0.15
    consecutive: int = 7
    zero_share: float = 0.8
    random_share: float = 0.1

    def __post_init__(self) -> None:
        refuse(self.problems())

    def problems(self) -> list[str]:
        """What is wrong with the options."""
        problems = out_of_range(self, ("share", "zero_share", "random_share"))
        if self.consecutive < 1:
            problems.append(f"objective.consecutive={self.consecutive}: at least 1")
        if self.zero_share + self.random_share > 1:
            problems.append(
                f"objective.zero_share={self.zero_share} and random_share={self.random_share}: together at most 1"
            )
        if self.share <= 0:
            problems.append(f"objective.share={self.share}: above 0, or nothing would be predicted")
        return problems

    def task(self, frames: Tensor, lengths: Tensor, place: Place, *, n_bands: int, stride: int) -> Task:
        """Hide runs of frames."""
        mask = time_mask(
            lengths.cpu().numpy(),
            place.uniform,
            share=self.share,
            consecutive=self.consecutive,
            zero_share=self.zero_share,
            random_share=self.random_share,
        )
        n_frames = frames.shape[1]
        chosen = fitted(torch.from_numpy(mask.chosen), n_frames, fill=False).to(frames.device)
        source = fitted(torch.from_numpy(mask.source), n_frames, fill=0).to(frames.device)
        return Task(altered(frames, source, chosen), chosen)


@dataclass(frozen=True, kw_only=True)
class Tera(Mockingjay):
    """Mockingjay's runs, and beside them blocks of frequencies and noise (Liu et al. 2021, TERA).

    A block of features is hidden in all frames of a recording, and counts; slopes of the same features are hidden with
    them. A share of the recordings gets normal noise on all features, which is no more than a harder input.

    Attributes:
        frequency_share: the largest block, as a share of the features.
        noise_share: of the recordings that get noise.
        noise_variance: of the noise, where features have variance 1.
    """

    frequency_share: float = 0.2
    noise_share: float = 0.15
    noise_variance: float = 0.2

    def problems(self) -> list[str]:
        """What is wrong with the options."""
        problems = super().problems() + out_of_range(self, ("frequency_share", "noise_share"))
        if self.noise_variance < 0:
            problems.append(f"objective.noise_variance={self.noise_variance}: at least 0")
        return problems

    def task(self, frames: Tensor, lengths: Tensor, place: Place, *, n_bands: int, stride: int) -> Task:
        """Hide runs of frames and blocks of features, and add noise."""
        task = super().task(frames, lengths, place, n_bands=n_bands, stride=stride)
        n_repeats = stride * n_bands
        block = frequency_mask(len(frames), frames.shape[2] // n_repeats, place.uniform, share=self.frequency_share)
        bins = torch.from_numpy(block).repeat(1, n_repeats).to(frames.device)
        seen = task.frames.masked_fill(bins[:, None, :], 0.0)
        for i in np.flatnonzero(place.uniform("noise", 1)[:, 0] < self.noise_share).tolist():
            n = int(lengths[i])
            noise = place.normal(i, "magnitude", n * frames.shape[2]) * self.noise_variance**0.5
            seen[i, :n] += torch.from_numpy(noise).view(n, -1).to(seen)
        return Task(seen, task.chosen, bins)


@dataclass(frozen=True, kw_only=True)
class APC:
    """Predict a later frame from those up to now.

    Source: Chung et al. 2019, "An Unsupervised Autoregressive Model for Speech Representation Learning".

    Attributes:
        ahead: how many frames later; of stacked ones, as many as are at least as long.
    """

    causal: ClassVar[bool] = True

    ahead: int = 3

    def __post_init__(self) -> None:
        refuse(self.problems())

    def problems(self) -> list[str]:
        """What is wrong with the options."""
        return [f"objective.ahead={self.ahead}: at least 1"] if self.ahead < 1 else []

    def task(self, frames: Tensor, lengths: Tensor, place: Place, *, n_bands: int, stride: int) -> Task:
        """All frames that have a frame `ahead` of them."""
        ahead = -(-self.ahead // stride)
        chosen = torch.arange(frames.shape[1], device=frames.device) < (lengths - ahead)[:, None]
        return Task(frames, chosen, ahead=ahead)


def altered(frames: Tensor, source: Tensor, chosen: Tensor) -> Tensor:
    """`frames (B, T, D)` where the `chosen (B, T)` are those that `source (B, T)` names, or zero."""
    others = frames.gather(1, source.clamp(min=0)[:, :, None].expand(-1, -1, frames.shape[2]))
    others = others.masked_fill((source == ZERO)[:, :, None], 0.0)
    return torch.where(chosen[:, :, None], others, frames)


def fitted(mask: Tensor, n_frames: int, *, fill: int | bool) -> Tensor:
    """A mask `(B, T')` of the longest recording in a batch of `n_frames` frames."""
    return torch.nn.functional.pad(mask, (0, n_frames - mask.shape[1]), value=fill)


def l1(predicted: Tensor, truth: Tensor, counted: Tensor | None, recording: Tensor, n_recordings: int) -> Tensor:
    """Sum of `|predicted - truth|` and number of what it is summed over, by recording, in float32.

    Args:
        predicted: `(n, D)`.
        truth: `(n, D)`.
        counted: what counts, `(n, D)`; None: all.
        recording: whose frame each is, `(n,)`.
        n_recordings: B.

    Returns:
        `(B, 2)`.
    """
    distance = (predicted.float() - truth.float()).abs()
    if counted is None:
        n = distance.new_full((len(distance),), float(distance.shape[1]))
    else:
        distance, n = distance * counted, counted.sum(dim=1).to(distance)
    by_frame = torch.stack([distance.sum(dim=1), n], dim=1)
    return by_frame.new_zeros(n_recordings, 2).index_add(0, recording, by_frame)


def out_of_range(options: object, names: tuple[str, ...]) -> list[str]:
    """A problem for each of `names` whose value is no share."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}  # type: ignore[arg-type]
    return [f"objective.{name}={values[name]}: from 0 to 1" for name in names if not 0 <= values[name] <= 1]


def refuse(problems: list[str]) -> None:
    """Raise all problems at once.

    Raises:
        ValueError: there are some.
    """
    if problems:
        raise ValueError("; ".join(problems))
