"""Voice activity: bounds of tones in noise are found, what has no level of its own is kept whole."""

from __future__ import annotations

import numpy as np
import pytest

from phonaut.features.vad import activity

RATE = 16000


def tone_in_noise(before_s: float, tone_s: float, after_s: float, level: float = 0.3, noise: float = 0.003):
    rng = np.random.default_rng(0)
    n = [round(s * RATE) for s in (before_s, tone_s, after_s)]
    audio = noise * rng.standard_normal(sum(n))
    audio[n[0] : n[0] + n[1]] += level * np.sin(2 * np.pi * 440 * np.arange(n[1]) / RATE)
    return audio.astype(np.float32)


@pytest.mark.parametrize(("before_s", "tone_s", "after_s"), [(0.5, 0.6, 0.4), (0.0, 1.0, 1.0), (1.5, 0.3, 0.0)])
@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_the_bounds_are_those_of_the_tone_whatever_the_gain(
    before_s: float, tone_s: float, after_s: float, gain: float
) -> None:
    found = activity(gain * tone_in_noise(before_s, tone_s, after_s), RATE, margin_s=0.0)
    assert found.start_s == pytest.approx(before_s, abs=0.03)
    assert found.end_s == pytest.approx(before_s + tone_s, abs=0.03)
    assert found.speech_s == pytest.approx(tone_s, abs=0.05)
    assert found.range_db > 20


def test_a_margin_is_kept_as_far_as_there_is_audio() -> None:
    found = activity(tone_in_noise(0.05, 0.5, 1.0), RATE, margin_s=0.1)
    assert found.start_s == 0.0
    assert found.end_s == pytest.approx(0.65, abs=0.03)


def test_pauses_within_are_kept_and_do_not_count_as_speech() -> None:
    audio = np.concatenate([tone_in_noise(0.3, 0.4, 0.5), tone_in_noise(0.0, 0.4, 0.3)])
    found = activity(audio, RATE, margin_s=0.0)
    assert found.end_s - found.start_s == pytest.approx(1.3, abs=0.05)
    assert found.speech_s == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize(
    "audio",
    [np.zeros(RATE, np.float32), np.full(RATE, 0.5, np.float32), np.random.default_rng(0).standard_normal(RATE) * 0.1],
    ids=["silence", "constant", "noise"],
)
def test_where_nothing_stands_out_all_of_it_is_kept(audio: np.ndarray) -> None:
    found = activity(audio, RATE)
    assert (found.start_s, found.end_s) == (0.0, 1.0)


def test_a_click_is_no_speech_and_the_shortest_recordings_are_kept() -> None:
    audio = tone_in_noise(1.0, 0.5, 0.5)
    audio[8000] = 1.0
    assert activity(audio, RATE, margin_s=0.0).start_s == pytest.approx(1.0, abs=0.03)
    assert activity(np.ones(3, np.float32), RATE).end_s == 3 / RATE
