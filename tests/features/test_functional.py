"""The arithmetic against definitions that share no code with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from phonaut.features import FixedPoint, functional
from phonaut.features.mel import hz_to_mel, mel_filters, mel_to_hz

pytestmark = pytest.mark.oracle


def test_a_power_spectrum_is_the_fourier_sum() -> None:
    frame, window = np.random.default_rng(0).standard_normal((2, 24))
    sums = np.exp(-2j * np.pi * np.outer(np.arange(7), np.arange(24)) / 24) @ (frame * window)
    ours = functional.power_spectrum(torch.from_numpy(frame * window), 7)
    np.testing.assert_allclose(ours, np.abs(sums) ** 2, rtol=1e-10)


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman"])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("length", [2, 8, 25])
def test_windows_are_those_of_scipy(name: functional.Window, periodic: bool, length: int) -> None:
    signal = pytest.importorskip("scipy.signal")
    theirs = signal.get_window(name, length, fftbins=periodic)
    np.testing.assert_allclose(functional.window_function(name, length, periodic=periodic), theirs, atol=1e-12)


def test_poveys_window_is_kaldis_formula() -> None:
    expected = [(0.5 - 0.5 * math.cos(2 * math.pi * n / 24)) ** 0.85 for n in range(25)]
    np.testing.assert_allclose(functional.window_function("povey", 25, periodic=False), expected, atol=1e-12)


@pytest.mark.parametrize(("n_mfcc", "n_mels"), [(13, 23), (40, 40), (1, 5)])
def test_the_cosine_transform_is_that_of_scipy(n_mfcc: int, n_mels: int) -> None:
    fft = pytest.importorskip("scipy.fft")
    x = np.random.default_rng(0).standard_normal(n_mels)
    ours = x @ functional.dct_matrix(n_mfcc, n_mels).numpy()
    np.testing.assert_allclose(ours, fft.dct(x, type=2, norm="ortho")[:n_mfcc], atol=1e-12)


def test_the_lifter_weighs_cepstra_by_a_sine() -> None:
    weights = functional.dct_matrix(13, 23, cepstral_lifter=22) / functional.dct_matrix(13, 23)
    expected = [1 + 11 * math.sin(math.pi * k / 22) for k in range(13)]
    np.testing.assert_allclose(weights, np.tile(expected, (23, 1)), rtol=1e-9)


def test_preemphasis_and_offset_are_those_of_the_formula() -> None:
    frame = torch.tensor([[3.0, 5.0, 4.0, 9.0, 9.0]], dtype=torch.float64)
    window = torch.tensor([1.0, 2.0, 0.5, 0.0, 0.0], dtype=torch.float64)

    def windowed(*, offset: bool, preemphasis: float) -> list[list[float]]:
        result = functional.windowed(frame, window, win_length=3, remove_dc_offset=offset, preemphasis=preemphasis)
        return result.tolist()  # type: ignore[no-any-return]

    assert windowed(offset=False, preemphasis=0.0) == [[3.0, 10.0, 2.0, 0.0, 0.0]]
    assert windowed(offset=True, preemphasis=0.0) == [[-1.0, 2.0, 0.0, 0.0, 0.0]]
    assert windowed(offset=False, preemphasis=0.5) == [[1.5, 7.0, 0.75, 0.0, 0.0]]
    assert windowed(offset=True, preemphasis=0.5) == [[-0.5, 3.0, -0.25, 0.0, 0.0]]
    assert frame[0, 0] == 3.0


def test_decibels_stop_at_top_db_below_each_recordings_peak() -> None:
    power = torch.tensor([[[1.0], [1e-3], [1e-9]], [[1e-4], [1e-12], [1.0]]], dtype=torch.float64)
    decibels = functional.log_compress(power, torch.tensor([3, 2]), top_db=50.0)
    np.testing.assert_allclose(decibels[0], [[0.0], [-30.0], [-50.0]], atol=1e-9)
    np.testing.assert_allclose(decibels[1, :2], [[-40.0], [-90.0]], atol=1e-9)
    magnitudes = functional.log_compress(power.sqrt(), torch.tensor([3, 2]), top_db=50.0, exponent=1.0)
    np.testing.assert_allclose(magnitudes[0], decibels[0], atol=1e-9)
    natural = functional.log_compress(power, torch.tensor([3, 2]), log="natural", top_db=None, amin=1e-5)
    np.testing.assert_allclose(natural[0, :, 0], np.log([1.0, 1e-3, 1e-5]), atol=1e-9)


def test_mel_scales_pass_through_the_published_points() -> None:
    np.testing.assert_allclose(hz_to_mel([0.0, 1000.0], "htk"), [0.0, 999.9855], atol=1e-3)
    np.testing.assert_allclose(hz_to_mel([0.0, 500.0, 1000.0, 6400.0], "slaney"), [0.0, 7.5, 15.0, 42.0], atol=1e-9)
    hz = np.linspace(0, 8000, 101)
    for scale in ("htk", "slaney", "kaldi"):
        np.testing.assert_allclose(mel_to_hz(hz_to_mel(hz, scale), scale), hz, atol=1e-8)  # type: ignore[arg-type]


def test_neighbouring_filters_share_each_bin_between_them() -> None:
    """From the first filter's centre to the last one's, triangles of height 1 add up to 1."""
    for scale in ("htk", "slaney", "kaldi"):
        filters = mel_filters(sample_rate=16000, n_fft=512, n_mels=20, f_min=100, f_max=7000, mel_scale=scale)  # type: ignore[arg-type]
        inside = slice(int(filters[:, 0].argmax()) + 1, int(filters[:, -1].argmax()))
        np.testing.assert_allclose(filters[inside].sum(axis=1), 1.0, atol=1e-12)


def slope(track: list[float], t: int) -> float:
    """Least-squares slope of the five values around `t`, the ends repeated."""
    values = [track[min(max(i, 0), len(track) - 1)] for i in range(t - 2, t + 3)]
    return float(np.polyfit([-2, -1, 0, 1, 2], values, 1)[0])


def test_deltas_are_the_slopes_of_fitted_lines() -> None:
    tracks = np.random.default_rng(0).standard_normal((3, 9))
    lengths = [9, 6, 1]
    frames = torch.from_numpy(tracks)[:, :, None]
    ours = functional.deltas(frames, torch.tensor(lengths))
    late = functional.deltas(frames, torch.tensor(lengths), causal=True)
    for track, length, row, late_row in zip(tracks, lengths, ours, late, strict=True):
        expected = [slope(list(track[:length]), t) for t in range(length)]
        np.testing.assert_allclose(row[:length, 0], expected, atol=1e-12)
        np.testing.assert_allclose(late_row[2:length, 0], expected[: max(0, length - 2)], atol=1e-12)


def test_fixed_point_is_eight_bits_with_a_gradient() -> None:
    values = [-1000.0, -256.0, -3.0, 0.9, 1.1, 5.0, 253.0, 255.9, 1000.0]
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    y = FixedPoint()(x, torch.tensor([1]))
    assert y.tolist() == [min(max(round(v * 128 / 256) / 128, -1), 1 - 1 / 128) for v in values]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0] + [1 / 256] * 6 + [0.0] * 2
