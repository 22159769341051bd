"""Simulated rooms: decay, levels and noise as stated, and no sound moved."""

from __future__ import annotations

import numpy as np
import pytest

from phonaut.corpora.synthetic.reverberation import impulse_response, noise, record

RATE = 16000


@pytest.mark.oracle
@pytest.mark.parametrize("rt60_s", [0.2, 0.5, 1.0])
def test_the_reverberation_time_is_that_of_schroeders_integral(rt60_s: float) -> None:
    tail = impulse_response(rt60_s, 0.0, RATE, np.random.default_rng(0))[1:]
    left = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))  # Schroeder 1965
    early = np.flatnonzero((left < -5) & (left > -25))
    slope = np.polyfit(early / RATE, left[early], 1)[0]
    assert -60 / slope == pytest.approx(rt60_s, rel=0.1)


@pytest.mark.parametrize("direct_db", [-3.0, 0.0, 12.0])
def test_direct_sound_and_reverberation_have_the_stated_energies(direct_db: float) -> None:
    response = impulse_response(0.3, direct_db, RATE, np.random.default_rng(1))
    assert response[0] == 1.0
    assert 10 * np.log10(1.0 / np.sum(response[1:] ** 2)) == pytest.approx(direct_db, abs=1e-9)


@pytest.mark.parametrize("rt60_s", [0.0001, 0.1, 0.6])
def test_a_room_does_not_move_a_click(rt60_s: float) -> None:
    speech = np.zeros(8000)
    speech[1234] = 1.0
    response = impulse_response(rt60_s, 0.0, RATE, np.random.default_rng(2))
    heard = record(speech, speech > -1, response, np.zeros(8000), snr_db=30, level_db=-30)
    assert np.argmax(np.abs(heard)) == 1234
    assert not heard[:1234].any()


def test_level_and_noise_are_as_stated_while_someone_speaks() -> None:
    rng = np.random.default_rng(3)
    spoken = np.arange(RATE) < RATE // 2
    speech = np.where(spoken, rng.standard_normal(RATE), 0.0)
    background = noise("white", RATE, RATE, rng)
    clean = record(speech, spoken, np.ones(1), background, snr_db=200, level_db=-25) / 32767
    noisy = record(speech, spoken, np.ones(1), background, snr_db=10, level_db=-25) / 32767
    assert 10 * np.log10(np.mean(clean[spoken] ** 2)) == pytest.approx(-25, abs=0.01)
    assert 10 * np.log10(np.mean((noisy - clean) ** 2)) == pytest.approx(-35, abs=0.01)


def test_what_would_clip_is_made_quieter() -> None:
    speech = np.random.default_rng(4).standard_normal(RATE)
    heard = record(speech, speech > -9, np.ones(1), np.zeros(RATE), snr_db=30, level_db=0)
    assert np.abs(heard).max() == round(0.95 * 32767)
    correlation = np.corrcoef(heard, speech)[0, 1]
    assert correlation > 0.99999  # scaled, not clipped


def test_silence_stays_silent() -> None:
    heard = record(np.zeros(100), np.zeros(100, dtype=bool), np.ones(1), np.zeros(100), snr_db=30, level_db=-20)
    assert not heard.any()


@pytest.mark.oracle
@pytest.mark.parametrize(("colour", "db_per_octave"), [("white", 0.0), ("pink", -3.01)])
def test_the_spectrum_of_noise_falls_as_its_colour_says(colour: str, db_per_octave: float) -> None:
    from scipy.signal import welch

    samples = noise(colour, 20 * RATE + 7, RATE, np.random.default_rng(5))
    assert len(samples) == 20 * RATE + 7
    assert np.mean(samples**2) == pytest.approx(1.0)
    frequencies, power = welch(samples, RATE, nperseg=4096)
    band = (frequencies > 100) & (frequencies < 6000)
    slope = np.polyfit(np.log2(frequencies[band]), 10 * np.log10(power[band]), 1)[0]
    assert slope == pytest.approx(db_per_octave, abs=0.15)
