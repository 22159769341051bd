"""WORLD: pitch moves to where it is sent, by two other estimates of it, and nothing else changes."""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest

from helpers.voices import RATE, by_autocorrelation, voice
from phonaut.features import world
from phonaut.features.world import Pitch, changed, fundamental, missing, pitch_of, resampled, smooth

TIMES = np.arange(0, 1.0, 0.01)
FLAT = np.zeros((100, 257))


def spectra(x: np.ndarray) -> np.ndarray:
    """Log spectra in dB, frames of 25 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(x, 400)[::160] * np.hanning(400)
    return 20 * np.log10(np.abs(np.fft.rfft(frames, 512)) + 1e-3)


pytest.importorskip("pyworld")


@pytest.mark.peer
def test_pitch_goes_to_the_mean_and_the_deviation_of_the_target_by_two_other_estimates() -> None:
    import pyworld

    x = voice(120)
    source, target = pitch_of(fundamental(x, RATE)[0]), Pitch(float(np.log(210.0)), 0.07)
    assert source is not None
    assert source.mean == pytest.approx(np.log(120), abs=0.01)
    assert source.deviation == pytest.approx(0.05 / np.sqrt(2), rel=0.2)  # the ends vary more
    made = changed(x, RATE, ratio=FLAT, ratio_times=TIMES, source=source, target=target)
    assert by_autocorrelation(made) == pytest.approx(210, rel=0.03)
    f0, _ = pyworld.harvest(made.astype(np.float64), RATE)
    found = pitch_of(f0[20:-20])
    assert found is not None
    assert found.mean == pytest.approx(target.mean, abs=0.02)
    assert found.deviation == pytest.approx(target.deviation, rel=0.15)


def test_what_is_not_to_change_stays_as_it_is() -> None:
    x = voice(120)
    own = pitch_of(fundamental(x, RATE)[0])
    for how in ({}, {"source": own, "target": own}):
        made = changed(x, RATE, ratio=FLAT, ratio_times=TIMES, **how)
        assert made.shape == x.shape
        assert by_autocorrelation(made) == pytest.approx(120, rel=0.02)
        there = spectra(x)[5:-5, 2:130]
        apart = np.abs(spectra(made)[5:-5, 2:130] - there)[there > there.max() - 40]
        assert apart.mean() < 3, "dB, of what is at most 40 dB below the loudest"


def test_an_envelope_is_raised_where_the_ratio_says_so_and_harmonics_in_the_ratio_are_left_out() -> None:
    x = voice(120)
    above = np.where(np.arange(257) > 32, np.log(4.0), 0.0)[None].repeat(100, axis=0)  # 12 dB above 1 kHz
    plain, made = (changed(x, RATE, ratio=r, ratio_times=TIMES) for r in (FLAT, above))
    gain = (spectra(made) - spectra(plain))[5:-5]
    assert gain[:, 42:56].mean() == pytest.approx(12.04, abs=1.0)
    assert abs(gain[:, 5:22].mean()) < 1.0
    comb = 0.5 * np.cos(2 * np.pi * np.arange(257) * 31.25 / 200)[None]  # of a voice of 200 Hz
    assert np.abs(smooth(comb, RATE)[:, 20:-20]).max() < 0.05
    slow = 0.5 * np.cos(2 * np.pi * np.arange(257) * 31.25 / 2000)[None]
    np.testing.assert_allclose(smooth(slow, RATE)[:, 20:-20], slow[:, 20:-20], atol=0.02)


def test_rows_and_columns_are_read_on_straight_lines() -> None:
    rows, columns = np.arange(4.0)[:, None], np.arange(5.0)[None]
    found = resampled(10 * rows + columns, np.arange(4.0), np.array([-1.0, 0.5, 2.25, 9.0]), 9)
    expected = 10 * np.array([0, 0.5, 2.25, 3])[:, None] + np.linspace(0, 4, 9)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(resampled(np.ones((1, 3)), np.zeros(1), np.arange(2.0), 5), np.ones((2, 5)))


def test_silence_has_no_pitch_and_stays_silent() -> None:
    made = changed(np.zeros(RATE), RATE, ratio=FLAT, ratio_times=TIMES, target=Pitch(5.0, 0.1))
    assert np.isfinite(made).all()
    assert np.abs(made).max() < 1e-3
    assert pitch_of(np.zeros(9)) is None


def test_without_the_package_or_at_low_rates_one_sentence_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="at least 8000 Hz"):
        changed(np.zeros(4000), 4000, ratio=FLAT, ratio_times=TIMES)
    ready = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pyworld":
            raise ImportError(name)
        return ready(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert missing() == world.INSTALL
    with pytest.raises(ValueError, match=r"pip install 'phonaut\[world\]'"):
        changed(np.zeros(RATE), RATE, ratio=FLAT, ratio_times=TIMES)
