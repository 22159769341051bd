"""Sound of files, pipes and microphones is what was recorded, however it comes, and what ends it is said."""

from __future__ import annotations

import io
import itertools
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from helpers.fake_microphone import Fake
from phonaut.deploy import microphone
from phonaut.deploy.microphone import microphone_sound
from phonaut.deploy.pipe import pipe_sound
from phonaut.deploy.sound import file_sound

RATE = 16000
NOISE = np.rint(3000 * np.random.default_rng(0).standard_normal(5000)).astype(np.int16)
SOUND = NOISE.astype(np.float32) / 32768


def wav(values: np.ndarray, rate: int = RATE, **form: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, values, rate, format="WAV", **form)
    return buffer.getvalue()


def unending(data: bytes) -> bytes:
    """WAV as a program writes it into a pipe, before it knows how long it will be."""
    at = data.index(b"data") + 4
    return data[:4] + struct.pack("<I", 0xFFFFFFFF) + data[8:at] + struct.pack("<I", 0xFFFFFFFF) + data[at + 4 :]


class Dripping(io.BytesIO):
    """A pipe in which a few bytes are there at a time."""

    def read1(self, n: int | None = -1, /) -> bytes:
        return self.read(min(n or 1, 7))


def heard(data: bytes, rate: int = RATE, pcm_rate: int | None = None, drip: bool = False) -> np.ndarray:
    return np.concatenate(list(pipe_sound((Dripping if drip else io.BytesIO)(data), rate, pcm_rate)))


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("rate", [RATE, 8000, 44100])
def test_a_file_of_any_rate_is_what_soxr_makes_of_all_of_it(suffix: str, rate: int, tmp_path: Path) -> None:
    values = np.resize(SOUND, 25 * rate)  # more than two blocks
    soundfile.write(tmp_path / f"a{suffix}", values, rate)
    blocks = list(file_sound(tmp_path / f"a{suffix}", RATE))
    expected = soxr.resample(values, rate, RATE, "HQ") if rate != RATE else values
    assert len(blocks) == 3
    assert {block.dtype for block in blocks} == {np.dtype(np.float32)}
    np.testing.assert_allclose(np.concatenate(blocks), expected, atol=1e-6)


def test_what_is_kept_of_a_file_does_not_grow(tmp_path: Path) -> None:
    rate = 2000
    soundfile.write(tmp_path / "a.wav", np.zeros(20 * 60 * rate, np.int16), rate)
    sound = file_sound(tmp_path / "a.wav", rate)
    tracemalloc.start()
    for _ in range(10):
        next(sound)
    before = tracemalloc.get_traced_memory()[0]
    assert sum(len(block) for block in itertools.islice(sound, 100)) == 1000 * rate
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 100_000


def test_a_file_that_is_cut_off_is_heard_as_far_as_it_goes_and_refused_then(tmp_path: Path) -> None:
    whole = io.BytesIO()
    soundfile.write(whole, np.resize(SOUND, 25 * RATE), RATE, format="FLAC")
    (tmp_path / "a.flac").write_bytes(whole.getvalue()[: len(whole.getvalue()) * 2 // 3])
    sound = file_sound(tmp_path / "a.flac", RATE)
    assert len(next(sound)) == 10 * RATE
    with pytest.raises(ValueError, match=r"a\.flac: "):
        list(sound)
    with pytest.raises(ValueError, match="no such recording"):
        next(file_sound(tmp_path / "b.flac", RATE))


@pytest.mark.parametrize("drip", [False, True])
def test_samples_with_and_without_a_header_are_the_same(drip: bool) -> None:
    stereo = np.stack([NOISE, NOISE // 2], axis=1)
    for data, expected in (
        (NOISE.astype("<i2").tobytes(), SOUND),
        (wav(NOISE), SOUND),
        (unending(wav(NOISE)), SOUND),
        (wav(SOUND, subtype="FLOAT"), SOUND),
        (wav(NOISE.astype(np.int32) << 16, subtype="PCM_32"), SOUND),
        (wav(stereo), stereo.mean(axis=1) / 32768),
    ):
        np.testing.assert_allclose(heard(data, drip=drip), expected, atol=1e-7)


@pytest.mark.parametrize("drip", [False, True])
def test_files_that_are_joined_in_a_pipe_are_heard_on_without_their_headers(drip: bool) -> None:
    tagged = wav(NOISE) + b"LIST" + struct.pack("<I", 5) + b"abcde\0"
    for data in (wav(NOISE) + wav(NOISE), tagged + wav(NOISE), unending(wav(NOISE)) + wav(NOISE)):
        np.testing.assert_array_equal(heard(data, drip=drip), np.tile(SOUND, 2))


def test_a_pipe_is_resampled_and_bare_samples_have_the_rate_that_is_said() -> None:
    expected = soxr.resample(SOUND, 8000, RATE, "HQ")
    np.testing.assert_allclose(heard(wav(NOISE, 8000)), expected, atol=1e-6)
    np.testing.assert_allclose(heard(NOISE.astype("<i2").tobytes(), pcm_rate=8000, drip=True), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("data", "pcm_rate", "said"),
    [
        (b"", None, "standard input is empty"),
        (b"OggS" + bytes(100), None, "is OggS: send WAV or bare samples"),
        (b"fLaC" + bytes(100), None, "is fLaC: send WAV"),
        (b"RIFF" + bytes(100), None, "begins like WAV and is none"),
        (wav(NOISE)[:30], None, "is WAV that ends before its samples"),
        (wav(NOISE, subtype="PCM_24"), None, "WAV of kind 1 with 24 bits"),
        (wav(NOISE), 8000, "sample_rate= is of bare samples, and standard input says 16000 Hz itself"),
        (NOISE.tobytes(), 10, "sample rate of 10 Hz: must be 2000 to 768000"),
        (
            wav(NOISE) + wav(NOISE, 44100),
            None,
            "changes from 16000 Hz, 16 bits, 1 channels to 44100 Hz, 16 bits, 1 channels after 0.3 s",
        ),
        (unending(wav(NOISE)) + wav(np.stack([NOISE, NOISE], axis=1)), None, "to 16000 Hz, 16 bits, 2 channels after"),
        (NOISE.astype("<i2").tobytes() + wav(NOISE, 8000), None, "to 8000 Hz, 16 bits, 1 channels after 0.3 s"),
        (wav(np.full(9, np.nan, np.float32), subtype="FLOAT"), None, "NaN or infinite samples before 0.0 s"),
    ],
)
def test_a_pipe_that_cannot_be_heard_is_refused_in_a_sentence(data: bytes, pcm_rate: int | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        heard(data, pcm_rate=pcm_rate)


def test_a_pipe_that_breaks_off_gives_what_came_and_says_so() -> None:
    for data, said in ((wav(NOISE)[:-1001], "1,001 of 10,000 bytes did not come"), (NOISE.tobytes()[:-1], "a sample")):
        sound, parts = pipe_sound(io.BytesIO(data), RATE), []
        with pytest.raises(OSError, match=f"broke off.*{said}"):
            parts.extend(sound)
        n = sum(map(len, parts)) or 4999
        assert n >= 4499


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fake], None]:
    monkeypatch.setattr(microphone, "VANISHED_S", 0.05)
    return lambda module: monkeypatch.setitem(sys.modules, "sounddevice", module)


@pytest.mark.parametrize("rate", [RATE, 48000])
def test_a_microphone_of_any_rate_is_heard_until_it_vanishes(rate: int, fake: Callable[[Fake], None]) -> None:
    fake(Fake(np.split(SOUND, 50), rate))
    parts: list[np.ndarray] = []
    with pytest.raises(OSError, match="the microphone has vanished: no sound for"):
        parts.extend(microphone_sound(RATE))
    expected = soxr.resample(SOUND, rate, RATE, "HQ") if rate != RATE else SOUND
    got = np.concatenate(parts)
    assert len(got) > len(expected) - 0.02 * RATE  # what the resampler holds back
    np.testing.assert_allclose(got, expected[: len(got)], atol=1e-6)


def test_what_a_slow_model_misses_is_silence_so_that_times_stay(
    fake: Callable[[Fake], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(microphone, "WAITING_S", 10 * microphone.BLOCK_S)
    module = Fake([np.full(320, n, np.float32) for n in range(1, 16)])
    fake(module)
    told: list[str] = []
    sound = microphone_sound(RATE, told.append)
    parts = [next(sound) for _ in range(10)]  # the first ten found a place, five were lost
    assert [part[0] for part in parts] == list(range(1, 11))
    module.callback(np.full((320, 1), 16, np.float32), 320, None, None)
    silence, block = next(sound), next(sound)
    assert (len(silence), silence.any(), block[0]) == (5 * 320, False, 16)
    assert told == ["0.1 s of sound were lost: this computer is too slow for the model"]


def test_a_microphone_that_is_not_there_is_said(fake: Callable[[Fake], None], monkeypatch: pytest.MonkeyPatch) -> None:
    fake(Fake([], there=False))
    with pytest.raises(ValueError, match="there is no microphone: Error querying device"):
        next(microphone_sound(RATE))
    fake(Fake([], opens=False))
    with pytest.raises(OSError, match="the microphone cannot be heard: Device unavailable"):
        next(microphone_sound(RATE))
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(ValueError, match=r"needs sounddevice \(pip install 'phonaut\[microphone\]'\)"):
        next(microphone_sound(RATE))
