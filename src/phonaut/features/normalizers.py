"""Normalisers: `forward(frames (B, T, D), lengths (B,)) -> frames`, between the front end and the network."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from phonaut.checks import within
from phonaut.features.functional import batch_normalized, cmvn, fixed_point, relaxed_frequency_norm, subtract_gain


class CMVN(nn.Module):
    """Cepstral mean and variance normalisation over each recording, of every feature.

    Args:
        mean: subtract the mean.
        variance: divide by the standard deviation.
        ddof: the divisor of the variance is the number of frames less this: 0, or 1 as in s3prl.

    Raises:
        ValueError: if neither is asked for, or for another divisor.
    """

    needs_whole_recording = True

    def __init__(self, *, mean: bool = True, variance: bool = True, ddof: int = 0) -> None:
        super().__init__()
        if not (mean or variance):
            raise ValueError("CMVN: mean=false variance=false does nothing; use normalizer=null")
        if ddof not in (0, 1):
            raise ValueError(f"CMVN: ddof={ddof}: must be 0 or 1")
        self.mean, self.variance, self.ddof = mean, variance, ddof

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Normalised frames; 0 past `lengths`."""
        return cmvn(frames, lengths, mean=self.mean, variance=self.variance, ddof=self.ddof)


class GainNormalizer(nn.Module):
    """Gain normalisation: subtracts each recording's mean of C0 from C0 alone, so that the spectral shape is unchanged.

    Meant for MFCC, whose first feature is C0.
    """

    needs_whole_recording = True

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Frames whose first feature has mean 0; 0 past `lengths`."""
        return subtract_gain(frames, lengths)


class RelaxedFrequencyNorm(nn.Module):
    """Relaxed frequency-wise normalisation of log-mel: between that of each feature and that of the whole recording.

    Args:
        relaxation: part of the latter; 0 is `CMVN`.

    Raises:
        ValueError: it is not between 0 and 1.
    """

    needs_whole_recording = True
    RULES: ClassVar = {"relaxation": within(0, 1)}

    def __init__(self, *, relaxation: float = 0.5) -> None:
        super().__init__()
        if not 0 <= relaxation <= 1:
            raise ValueError(f"RelaxedFrequencyNorm: relaxation={relaxation}: must be between 0 and 1")
        self.relaxation = relaxation

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Normalised frames; 0 past `lengths`."""
        return relaxed_frequency_norm(frames, lengths, relaxation=self.relaxation)


class FixedPoint(nn.Module):
    """Rounds features of `[-256, 256)` to eight bits in `[-1, 1)`, as a device would see them."""

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """`round(x * 128 / 256) / 128`, clamped to `[-1, 1 - 1/128]`."""
        return fixed_point(frames)


class BatchNormalizer(nn.Module):
    """Batch normalisation of each feature over the valid frames, without a learned scale.

    In training by the mean and deviation of the batch, then by their running means: what Kaldi calls global CMVN, with
    augmentation counted. It knows nothing of the recording, and so goes with streaming.

    Args:
        n_features: D.
    """

    has_weights = True

    def __init__(self, *, n_features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(n_features, affine=False)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Frames each of whose features has mean 0 and deviation 1 over the corpus."""
        return batch_normalized(self.norm, frames, lengths)


class GainBatchNormalizer(BatchNormalizer):
    """`GainNormalizer`, then `BatchNormalizer`: the recording's level goes, its spectral tilt stays."""

    needs_whole_recording = True

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Normalised frames."""
        return super().forward(subtract_gain(frames, lengths), lengths)


class AdaptiveFixedPoint(nn.Module):
    """Batch normalisation of each feature over the valid frames, then eight bits in `[-1, 1)`.

    `round(y * 128) / 128` clamped to `[-1, 1 - 1/128]`, with `y` the normalised value: its learned scale and offset
    place the range of the features, which `FixedPoint` supposes to be `[-256, 256)`.

    Args:
        n_features: D.
        scale: of normalised features at the beginning: 1/4 lets four standard deviations into the range.
    """

    has_weights = True

    def __init__(self, *, n_features: int, scale: float = 0.25) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(n_features)
        nn.init.constant_(self.norm.weight, scale)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Frames of eight bits."""
        return fixed_point(256 * batch_normalized(self.norm, frames, lengths))
