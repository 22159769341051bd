"""What is played has one level, no offset, soft ends and no clipped sample; what measures it agrees with arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from phonaut.features.loudness import Level, level_for, level_of, playable

RATE = 16000


def speech_like(scale: float, pause_s: float = 0.5) -> np.ndarray:
    """Noise for a second, then a pause that is 60 dB fainter, and an offset."""
    rng = np.random.default_rng(0)
    talk, pause = rng.standard_normal(RATE), 1e-3 * rng.standard_normal(round(pause_s * RATE))
    return scale * (0.2 * np.concatenate([talk, pause]) + 0.3)


@pytest.mark.oracle
def test_the_level_is_that_of_what_is_heard_not_of_pauses() -> None:
    t = np.arange(RATE) / RATE
    sine = 0.25 * np.sin(2 * np.pi * 100 * t)
    wanted = 20 * np.log10(0.25 / np.sqrt(2))
    for pause_s in (0.0, 1.0, 9.0):
        found = level_of(np.concatenate([sine, np.zeros(round(pause_s * RATE))]), RATE)
        assert found.dbfs == pytest.approx(wanted, abs=1e-9)
        assert found.duration_s == 1.0 + pause_s
    assert level_of(np.array([1.0, -1.0, 0.999, 0.5]), RATE).n_clipped == 2
    assert level_of(np.array([0.5, -0.7, 0.5]), RATE)[1:] == (0.7, 0, pytest.approx(0.1), 3 / RATE)
    assert level_of(np.zeros(0), RATE) == Level(-np.inf, 0.0, 0, 0.0, 0.0)
    assert level_of(np.zeros(9), RATE).dbfs == -np.inf


def test_what_is_made_of_silence_is_played_as_silence_and_of_faint_speech_as_speech() -> None:
    assert level_for(speech_like(0.001, 0.0), RATE) == -26
    assert level_for(np.full(9, 1e-5), RATE) == pytest.approx(-100)
    assert level_for(np.zeros(9), RATE) == -np.inf
    assert not playable(speech_like(1.0, 0.0), RATE, level_dbfs=-np.inf).any()


@pytest.mark.parametrize("scale", [1e-4, 1.0, 300.0])
def test_recordings_of_any_level_are_played_at_one(scale: float) -> None:
    for pause_s in (0.0, 2.0):
        found = level_of(playable(speech_like(scale, pause_s), RATE), RATE)
        assert found.dbfs == pytest.approx(-26, abs=0.02)
        assert abs(found.dc) < 1e-7
        assert found.n_clipped == 0


def test_a_click_lowers_the_whole_and_is_not_clipped() -> None:
    audio = speech_like(0.1)
    audio[5000] = 4.0
    played = playable(audio, RATE)
    assert np.abs(played).max() == pytest.approx(0.95)
    inner = slice(100, -100)
    offset = np.cov(played[inner], audio[inner])
    assert offset[0, 1] ** 2 / (offset[0, 0] * offset[1, 1]) == pytest.approx(1.0)  # scaled, and nothing else


def test_both_ends_fade_over_five_milliseconds() -> None:
    played = playable(np.where(np.arange(8000) % 2, 0.1, -0.1), RATE)
    size = np.abs(played)
    assert size[0] < 0.002 * size[4000]
    assert size[-1] < 0.002 * size[4000]
    assert size[39] == pytest.approx(0.5 * size[4000], rel=0.03)
    assert size[80] == pytest.approx(size[4000], rel=1e-3)
    assert (np.diff(size[:80]) > 0).all()


@pytest.mark.parametrize("n", [0, 1, 2, 100])
def test_silence_and_short_recordings_stay_finite(n: int) -> None:
    for level in (0.0, 0.5):
        played = playable(np.full(n, level), RATE)
        assert played.shape == (n,)
        assert not played.any()  # an offset is silence


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="audio must be finite samples"):
        playable(np.array([0.0, np.nan]), RATE)
    with pytest.raises(ValueError, match=r"got shape \(1, 2\)"):
        playable(np.zeros((1, 2)), RATE)
