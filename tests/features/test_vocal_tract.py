"""Mel filters for vocal tracts of other lengths."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from phonaut.features import MFCC, MelSpectrogram, Raw
from phonaut.features.mel import mel_filters, mel_to_hz, warped_hz

RATE = 16000
BANK = {"sample_rate": RATE, "n_fft": 4096, "n_mels": 40, "f_min": 20.0, "f_max": 8000.0}


def test_a_factor_of_one_changes_nothing() -> None:
    front_end = MFCC(n_mfcc=13, deltas=1)
    audio, lengths = torch.randn(3, 8000) / 10, torch.tensor([8000, 5000, 8000])
    plain, n_plain = front_end(audio, lengths)
    warped, n_warped = front_end.warped(audio, lengths, torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close(warped, plain)
    assert torch.equal(n_plain, n_warped)


@pytest.mark.parametrize("warp", [0.85, 1.18])
def test_the_map_is_a_factor_below_its_knee_and_ends_where_it_did(warp: float) -> None:
    knee = 0.85 * 8000 * min(1.0, 1 / warp)
    low = np.linspace(20, knee, 50)
    np.testing.assert_allclose(warped_hz(low, warp, 8000.0), warp * low)
    assert float(warped_hz(8000.0, warp, 8000.0)) == 8000.0
    steps = np.diff(warped_hz(np.linspace(0, 8000, 200), warp, 8000.0))
    assert (steps > 0).all()


@pytest.mark.oracle
@pytest.mark.parametrize("scale", ["htk", "slaney", "kaldi"])
@pytest.mark.parametrize("warp", [0.85, 1.1])
def test_each_filter_peaks_at_its_own_frequency_times_the_factor(scale: str, warp: float) -> None:
    filters = mel_filters(**BANK, mel_scale=scale, warp=warp)  # type: ignore[arg-type]
    plain = mel_filters(**BANK, mel_scale=scale)  # type: ignore[arg-type]
    hz = RATE / 4096
    for m in range(8, 30):
        centre, before = float(filters[:, m].argmax()) * hz, float(plain[:, m].argmax()) * hz
        if before < 0.7 * 8000:
            assert centre == pytest.approx(warp * before, abs=2.5 * hz)
    np.testing.assert_allclose(filters.sum(axis=1)[40:1500], 1.0, atol=0.02)  # triangles still add up to one


def test_a_voice_with_formants_a_tenth_higher_is_the_same_voice_to_a_longer_filter_bank() -> None:
    """Tones on the centres of filters, and 1.1 times as high before the warped filters: the same frames."""
    corners = mel_to_hz(np.linspace(*(2595 * np.log10(1 + f / 700) for f in (20.0, 8000.0)), 42))
    tones = corners[[8, 15, 22]]
    time = torch.arange(8000, dtype=torch.float64) / RATE
    voices = [sum(torch.sin(2 * math.pi * f * factor * time) for f in tones) / 10 for factor in (1.0, 1.1)]
    front_end = MelSpectrogram(n_mels=40, n_fft=2048, win_length=800)
    audio, lengths = torch.stack(voices).float(), torch.tensor([8000, 8000])  # type: ignore[arg-type]
    frames, _ = front_end.warped(audio, lengths, torch.tensor([1.0, 1.1], dtype=torch.float64))
    plain, _ = front_end(audio, lengths)
    peaks = [7, 14, 21]
    assert (frames[0, 10, peaks] - frames[1, 10, peaks]).abs().max() < 0.5
    assert (plain[0, 10, peaks] - plain[1, 10, peaks]).abs().max() > 5


def test_each_recording_has_its_own_factor_whatever_the_blocks() -> None:
    front_end = MelSpectrogram(n_mels=24)
    audio, lengths = torch.randn(30, 16000) / 10, torch.full((30,), 16000)
    warp = torch.tensor([0.85 + 0.01 * i for i in range(30)], dtype=torch.float64)
    together, _ = front_end.warped(audio, lengths, warp)
    for i in (0, 11, 29):
        alone, _ = front_end.warped(audio[i : i + 1], lengths[:1], warp[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=1e-5, atol=1e-4)


def test_what_has_no_mel_filters_cannot_be_warped() -> None:
    with pytest.raises(ValueError, match="Raw has no mel filters"):
        Raw().warped(torch.zeros(1, 100), torch.tensor([100]), torch.ones(1))
