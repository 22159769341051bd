"""From waveforms to frames: front ends, normalisers, and the spans that are cut out of their frames."""

from phonaut.features.frames import Frames
from phonaut.features.framing import Framing
from phonaut.features.front_end import FrontEnd
from phonaut.features.normalizers import (
    CMVN,
    AdaptiveFixedPoint,
    BatchNormalizer,
    FixedPoint,
    GainBatchNormalizer,
    GainNormalizer,
    RelaxedFrequencyNorm,
)
from phonaut.features.options import KALDI, KALDI_MFCC
from phonaut.features.raw import Raw
from phonaut.features.sinc import Sinc
from phonaut.features.spans import slice_spans
from phonaut.features.spectral import MFCC, MelSpectrogram, Spectrogram

__all__ = [
    "CMVN",
    "KALDI",
    "KALDI_MFCC",
    "MFCC",
    "AdaptiveFixedPoint",
    "BatchNormalizer",
    "FixedPoint",
    "Frames",
    "Framing",
    "FrontEnd",
    "GainBatchNormalizer",
    "GainNormalizer",
    "MelSpectrogram",
    "Raw",
    "RelaxedFrequencyNorm",
    "Sinc",
    "Spectrogram",
    "slice_spans",
]
