"""Front ends small and large that every claim is tested on, and signals to test them with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from phonaut.features import KALDI, KALDI_MFCC, MFCC, FrontEnd, MelSpectrogram, Raw, Sinc, Spectrogram

FRONT_ENDS: dict[str, tuple[type[FrontEnd], dict[str, Any]]] = {
    "mfcc": (MFCC, {}),
    "mfcc-13-deltas": (MFCC, {"n_mfcc": 13, "deltas": 2}),
    "mfcc-kaldi": (MFCC, KALDI_MFCC),
    "mfcc-causal": (MFCC, {"framing": "causal", "top_db": None, "deltas": 1}),
    "melspec-librosa": (
        MelSpectrogram,
        {"n_mels": 128, "n_fft": 1024, "mel_scale": "slaney", "norm": "slaney", "f_max": None, "pad_mode": "constant"},
    ),
    "melspec-kaldi": (MelSpectrogram, KALDI),
    "melspec-linear": (MelSpectrogram, {"log": None, "pad_mode": "replicate"}),
    "spectrogram": (Spectrogram, {"n_fft": 400, "win_length": 400}),
    "spectrogram-magnitude": (Spectrogram, {"power": 1, "framing": "snip_edges", "window": "hamming"}),
    "spectrogram-odd": (Spectrogram, {"n_fft": 401, "win_length": 300, "preemphasis": 0.9}),
    "raw": (Raw, {}),
    "sinc": (Sinc, {"n_filters": 10}),
    "sinc-causal": (Sinc, {"n_filters": 5, "framing": "causal", "hop_length": 60, "pool": 3, "deltas": 1}),
    "raw-windows": (Raw, {"win_length": 100, "hop_length": 40, "framing": "center"}),
}


@pytest.fixture(params=FRONT_ENDS)
def front_end(request: pytest.FixtureRequest) -> FrontEnd:
    """Each public front end in turn, in float64."""
    make, options = FRONT_ENDS[request.param]
    return make(**options).double().eval()


@pytest.fixture
def speech_like() -> Callable[[int], torch.Tensor]:
    """Noise under a moving envelope, `(samples,)` in float64, seeded by its length."""

    def make(n_samples: int) -> torch.Tensor:
        generator = np.random.default_rng(n_samples)
        envelope = np.interp(np.arange(n_samples), np.linspace(0, n_samples, 9), generator.uniform(0.0, 0.3, 9))
        return torch.from_numpy(envelope * generator.standard_normal(n_samples))

    return make


def _noise(n_samples: int, level: float) -> npt.NDArray[np.float32]:
    return (level * np.random.default_rng(7).standard_normal(n_samples)).astype(np.float32)


def _chirp(n_samples: int) -> npt.NDArray[np.float32]:
    t = np.arange(n_samples) / 16000
    return (0.5 * np.sin(2 * np.pi * (100 + 2000 * t) * t)).astype(np.float32) + _noise(n_samples, 0.03)


SIGNALS: dict[str, Callable[[], npt.NDArray[np.float32]]] = {
    "noise": lambda: _noise(16000, 0.1),
    "faint": lambda: _noise(8000, 1e-4),
    "offset": lambda: _noise(16007, 0.05) + np.float32(0.4),
    "chirp": lambda: _chirp(24000),
    "clicks": lambda: np.where(np.arange(16000) % 3001 == 5, 0.9, 0.0).astype(np.float32),
    "half-silent": lambda: np.concatenate([_noise(8000, 0.2), np.zeros(8000, np.float32)]),
    "silent": lambda: np.zeros(5000, np.float32),
}


REAL_SPEECH = ("LibriSpeech", "speech_commands/bed", "arabic_speech_commands/right")


@pytest.fixture(params=[*SIGNALS, *(pytest.param(folder, marks=pytest.mark.corpus) for folder in REAL_SPEECH)])
def signal(request: pytest.FixtureRequest) -> npt.NDArray[np.float32]:
    """Made signals and real speech at 16 kHz, `(samples,)` in [-1, 1], of four seconds at most."""
    if request.param in SIGNALS:
        return SIGNALS[request.param]()
    import soundfile

    real_speech: Callable[[str], Path] = request.getfixturevalue("real_speech")
    recordings = real_speech(request.param)
    path = next(path for path in sorted(recordings.rglob("*")) if path.suffix in (".wav", ".flac"))
    samples, sample_rate = soundfile.read(path, frames=64000, dtype="float32")
    assert sample_rate == 16000
    return np.asarray(samples)
