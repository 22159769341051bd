"""Audio comes back from frames: a sine at its frequency and level, a chirp at its time, a recording with its phases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phonaut.features import KALDI, KALDI_MFCC, MFCC, FrontEnd, MelSpectrogram, Raw, Spectrogram
from phonaut.features.inversion import invert, unfiltered

WINDOW = {"win_length": 400, "hop_length": 160}
# A front end, and how far from a tone of 1 kHz its filters leave the frequency open, Hz: half of one filter's slope.
FRONT_ENDS: dict[str, tuple[FrontEnd, float]] = {
    "linear": (Spectrogram(**WINDOW, n_fft=400), 4.0),
    "linear-magnitude-natural": (
        Spectrogram(**WINDOW, power=1, log="natural", log_offset=1e-3, scale=8.0, top_db=None),
        4.0,
    ),
    "linear-no-log": (Spectrogram(**WINDOW, log=None), 4.0),
    "linear-kaldi": (Spectrogram(**{k: v for k, v in KALDI.items() if k not in ("mel_scale", "n_mels", "f_max")}), 4.0),
    "mel-40": (MelSpectrogram(**WINDOW, n_mels=40), 45.0),
    "mel-64": (MelSpectrogram(**WINDOW, n_mels=64), 30.0),
    "mel-80": (MelSpectrogram(**WINDOW, n_mels=80), 25.0),
    "mel-80-magnitude": (MelSpectrogram(**WINDOW, n_mels=80, power=1), 25.0),
    "mel-80-kaldi": (MelSpectrogram(**{**KALDI, "n_mels": 80}), 25.0),
    "mel-64-deltas": (MelSpectrogram(**WINDOW, n_mels=64, deltas=2), 30.0),
    "mfcc-40": (MFCC(**WINDOW), 45.0),
    "mfcc-kaldi": (MFCC(**{**KALDI_MFCC, "n_mels": 40, "n_mfcc": 40}), 45.0),
}
FRAMED = [(name, framing) for name in FRONT_ENDS for framing in ("center", "snip_edges")]


def framed(name: str, framing: str) -> tuple[FrontEnd, float]:
    front_end, tolerance = FRONT_ENDS[name]
    return type(front_end)(**{**vars(front_end.options), "framing": framing}), tolerance


def there_and_back(front_end: FrontEnd, audio: Tensor, **options: Any) -> np.ndarray:
    length = torch.tensor([audio.shape[1]])
    frames, lengths = front_end(audio, length)
    return invert(front_end, frames, lengths, audio_lengths=length, **options).audio[0].double().numpy()


def peak_hz(samples: np.ndarray) -> float:
    """The frequency of the largest bin of a long transform."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), 1 << 16))
    return float(spectrum.argmax() * 16000 / (1 << 16))


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "framing"), FRAMED)
def test_a_sine_comes_back_at_its_frequency_and_level(name: str, framing: str) -> None:
    front_end, tolerance = framed(name, framing)
    t = torch.arange(8000) / 16000
    found = there_and_back(front_end, (0.2 * torch.sin(2 * np.pi * 1000 * t))[None])[800:-800]
    assert abs(peak_hz(found) - 1000) <= tolerance
    level = 20 * np.log10(np.sqrt(np.mean(found**2)) / (0.2 / np.sqrt(2)))
    assert abs(level) < (0.5 if "linear" in name else 3.0)  # what is within a filter is not known


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "framing"), FRAMED)
def test_a_chirp_comes_back_at_its_time(name: str, framing: str) -> None:
    """A tone that rises from 500 Hz by 6 Hz a millisecond is, 20 ms around a time, at the frequency of that time."""
    front_end, tolerance = framed(name, framing)
    t = torch.arange(8000, dtype=torch.float64) / 16000
    chirp = (0.2 * torch.sin(2 * np.pi * (500 * t + 3000 * t**2)))[None].float()
    found = there_and_back(front_end, chirp)
    at = np.array([0.1, 0.2, 0.3, 0.4])
    hz = [peak_hz(found[round(16000 * s) - 160 : round(16000 * s) + 160]) for s in at]
    late = (500 + 6000 * at - hz) / 6000
    assert abs(late.mean()) < 0.002 + 0.5 * tolerance / 6000
    assert np.abs(late).max() < 0.006 + 2.5 * tolerance / 6000


@pytest.mark.parametrize("name", ["linear", "linear-magnitude-natural", "linear-no-log", "linear-kaldi"])
def test_a_recording_comes_back_with_its_own_phases(name: str) -> None:
    front_end = FRONT_ENDS[name][0]
    rng = np.random.default_rng(0)
    t = np.arange(6000) / 16000
    audio = torch.from_numpy(0.1 * np.sin(2 * np.pi * (300 * t + 400 * t**2)) + 0.01 * rng.standard_normal(6000))[None]
    found = there_and_back(front_end, audio.float(), phase_of=audio.float(), n_iterations=0)
    inner = slice(1000, -1000)  # the filter that undoes pre-emphasis starts from silence
    error = np.mean((found - audio[0].numpy())[inner] ** 2) / np.mean(audio[0].numpy()[inner] ** 2)
    assert 10 * np.log10(error) < -30


@pytest.mark.peer
def test_no_non_negative_spectrum_is_nearer_to_filtered_ones() -> None:
    """Scipy's exact solution; of spectra with 70 dB from bin to bin, where the pseudo-inverse is negative."""
    from scipy.optimize import nnls

    rng = np.random.default_rng(0)
    for n_mels in (40, 64, 80):
        filters = MelSpectrogram(n_mels=n_mels, win_length=400).double().filters[:, :n_mels]
        spectra = torch.from_numpy(10 ** rng.uniform(-6, 1, (6, len(filters))))
        filtered = spectra @ filters
        found = unfiltered(filtered, filters, n_iterations=200)
        assert (found >= 0).all()
        assert (filtered @ torch.linalg.pinv(filters) < 0).any()
        for row, target in zip(found, filtered, strict=True):
            least = nnls(filters.T.numpy(), target.numpy())[1]
            assert float((row @ filters - target).norm()) <= least + 2e-3 * float(target.norm())
        relative = (unfiltered(filtered, filters) @ filters).log10() - filtered.log10()
        assert float(10 * relative.abs().quantile(0.95)) < 0.5  # dB, in faint filters as in loud ones


@pytest.mark.oracle
def test_spectra_of_no_recording_satisfy_the_conditions_of_the_least_divergence() -> None:
    """At the minimum over x >= 0 the slope is 0 where x > 0 and not negative where x = 0 (Karush, Kuhn, Tucker)."""
    rng = np.random.default_rng(1)
    filters = torch.from_numpy(rng.uniform(0, 1, (5, 4)))
    filtered = torch.from_numpy(rng.uniform(0, 1, (20, 4)) ** 4)  # hardly any is in the cone
    x = unfiltered(filtered, filters, n_iterations=20000).requires_grad_()
    model = x @ filters
    (model - filtered * model.log()).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert float(x.grad.min()) > -1e-3
    assert float((x.detach() * x.grad).abs().max()) < 1e-3


def test_deltas_are_not_used_and_lengths_are_those_of_the_frames() -> None:
    plain, with_deltas = MelSpectrogram(n_mels=40), MelSpectrogram(n_mels=40, deltas=1)
    audio, lengths = torch.randn(2, 4000, generator=torch.Generator().manual_seed(0)) / 10, torch.tensor([4000, 2500])
    frames, counts = with_deltas(audio, lengths)
    statics = invert(plain, frames[..., :40], counts, n_iterations=3)
    both = invert(with_deltas, frames, counts, n_iterations=3)
    np.testing.assert_array_equal(statics.audio, both.audio)
    assert both.audio.shape == (2, 4000)
    assert (plain.n_frames(torch.tensor([4000, 2400])) == counts).all()
    assert both.audio[1, 2300:2400].any()
    assert not both.audio[1, 2400:].any()


@pytest.mark.parametrize("framing", ["center", "snip_edges", "causal"])
def test_the_audio_of_frames_has_as_many_frames(framing: str) -> None:
    front_end = Spectrogram(framing=framing, top_db=None, n_fft=501)
    for n in (1, 2, 3, 10):
        audio = invert(front_end, torch.zeros(1, n, 251), torch.tensor([n]), n_iterations=1).audio
        assert int(front_end.n_frames(torch.tensor([audio.shape[1]]))) == n


def test_frames_louder_than_any_audio_do_not_break_it() -> None:
    front_end = MelSpectrogram(n_mels=40, log="natural", top_db=None)
    frames = torch.full((1, 20, 40), 500.0)
    assert invert(front_end, frames, torch.tensor([20])).audio.isfinite().all()


@pytest.mark.parametrize(
    ("front_end", "frames", "options", "message"),
    [
        (Raw(), torch.zeros(1, 9, 1), {}, "Raw cannot be turned back into audio: Spectrogram, MelSpectrogram and MFCC"),
        (MelSpectrogram(), torch.zeros(1, 9, 39), {}, r"frames must be \(B, T, 40\), got \(1, 9, 39\)"),
        (MFCC(deltas=1), torch.zeros(1, 9, 39), {}, r"frames must be \(B, T, 40 or 80 with deltas\)"),
        (MelSpectrogram(), torch.full((1, 9, 40), np.nan), {}, "frames must be finite"),
        (
            MelSpectrogram(),
            torch.zeros(1, 9, 40),
            {"audio_lengths": torch.tensor([9999])},
            r"recordings of \[9999\] samples have \[63\] frames; lengths says \[9\]",
        ),
    ],
)
def test_what_cannot_be_inverted_is_refused(front_end: FrontEnd, frames: Tensor, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        invert(front_end, frames, torch.tensor([9]), **options)
