"""Sounds and pictures on the page are what was recorded."""

import base64
import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from phonaut.reports.media import LEVELS, data_uri, png, spectrogram, wav

RATE = 16000


def decoded(uri: str) -> bytes:
    return base64.b64decode(uri.split(",", 1)[1])


@pytest.mark.oracle
def test_a_player_gets_the_samples_to_16_bits_and_no_more() -> None:
    audio = np.random.default_rng(0).uniform(-1, 1, 4001).astype(np.float32)
    read, rate = soundfile.read(io.BytesIO(decoded(data_uri("audio/wav", wav(audio, RATE)))), dtype="float64")
    assert rate == RATE
    assert np.abs(read - audio).max() <= 1 / 32768


def test_what_is_beyond_full_scale_is_clipped_and_does_not_wrap() -> None:
    read, _ = soundfile.read(io.BytesIO(wav(np.array([1.5, -1.5], np.float32), RATE)), dtype="int16")
    assert read.tolist() == [32767, -32768]


@pytest.mark.oracle
@pytest.mark.parametrize(("rate", "hz"), [(16000, 1000.0), (16000, 6000.0), (8000, 3000.0), (44100, 2500.0)])
def test_a_tone_is_a_line_at_its_frequency(rate: int, hz: float) -> None:
    image = spectrogram(np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32), rate)
    top_hz = min(8000, rate / 2)
    found_hz = top_hz * (1 - image[:, 10:-10].mean(axis=1).argmax() / (len(image) - 1))
    assert found_hz == pytest.approx(hz, abs=top_hz / (len(image) - 1))


@pytest.mark.oracle
def test_a_click_is_a_line_at_its_time() -> None:
    audio = np.zeros(RATE, np.float32)
    audio[4000] = 1.0
    image = spectrogram(audio, RATE)
    assert image.sum(axis=0).argmax() / image.shape[1] == pytest.approx(0.25, abs=0.005)


def test_silence_and_very_short_sounds_have_a_picture() -> None:
    assert spectrogram(np.zeros(RATE, np.float32), RATE).max() == 0
    assert spectrogram(np.ones(3, np.float32), RATE).size > 0


@pytest.mark.oracle
def test_a_picture_is_read_back_as_drawn_and_darkens_with_level() -> None:
    image = np.tile(np.linspace(0, 1, LEVELS), (5, 1))
    pixels = np.asarray(Image.open(io.BytesIO(png(image))).convert("RGB")).astype(int)
    assert pixels.shape == (5, LEVELS, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert (np.diff(pixels[0].sum(axis=1)) < 0).all()
    assert (pixels == pixels[0]).all()
