"""NIST SPHERE: headers as TIMIT has them are read, and every odd one is refused by name with what to do."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.sphere_files import RATE, speechlike, write_sphere
from phonaut.data.preparation.audio import BadRecordingError, open_recording
from phonaut.data.preparation.sphere import swapped

AUDIO = speechlike(8000)


def samples(path: Path) -> np.ndarray:
    return np.concatenate(list(open_recording(path, RATE)[1]))


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"order": "10"},
        {"sample_coding": "-s3 pcm"},
        {"size": 2048},
        {"sample_min": None, "sample_max": None},
        {"sample_count": None},
        {"database_id": "-s22 TIMIT with a long name"},
    ],
    ids=str,
)
def test_headers_as_they_are_in_the_world_give_the_samples_that_were_written(header: Any, tmp_path: Path) -> None:
    write_sphere(tmp_path / "x.WAV", AUDIO, **header)
    np.testing.assert_array_equal(samples(tmp_path / "x.WAV"), AUDIO)


ODD: dict[str, tuple[dict[str, Any], str]] = {
    "shorten": (
        {"sample_coding": "-s26 pcm,embedded-shorten-v2.00"},
        r"compressed by shorten \(sample_coding pcm,embedded-shorten-v2.00\).*unpack it, sph2pipe -f wav",
    ),
    "wavpack": ({"sample_coding": "-s20 pcm,embedded-wavpack"}, "SPHERE with sample_coding pcm,embedded-wavpack"),
    "no rate": ({"sample_rate": None}, "does not say sample_rate"),
    "rate as a real number": ({"sample_rate": "-r 16000.0"}, r"says sample_rate -r 16000.0: a whole number \(-i\)"),
    "no channels": ({"channel_count": None}, "does not say channel_count"),
    "0 channels": ({"channel_count": "-i 0"}, "says channel_count -i 0"),
    "no width": ({"sample_n_bytes": None}, "does not say sample_n_bytes"),
    "no order": ({"sample_byte_format": None}, "does not say sample_byte_format, the order of bytes"),
    "order of another width": ({"sample_byte_format": "-s4 0123"}, "sample_byte_format 0123 for samples of 2 bytes"),
    "order that is none": ({"sample_byte_format": "-s3 vax"}, "vax .*01 .little-endian. or 10 .big-endian. are read"),
    "negative count": ({"sample_count": "-i -5"}, "says sample_count -i -5"),
    "shortened": ({"sample_count": "-i 16000"}, "^truncated: 16000 of 32000 bytes are there$"),
    "of a shorter one": ({"sample_count": "-i 4000"}, "promises 8000 bytes of samples, and 16000 are there"),
    "wrong order": ({"sample_byte_format": "-s2 10"}, "the other order of bytes than sample_byte_format"),
    "wrong order, without peaks": (
        {"sample_byte_format": "-s2 10", "sample_min": None, "sample_max": None},
        "the other order of bytes than sample_byte_format",
    ),
    "wrong order, big-endian": ({"order": "10", "sample_byte_format": "-s2 01"}, "the other order of bytes"),
    "no end": ({"end": ""}, "no size or no end_head"),
    "line ends of text": ({"newline": "\r\n"}, "line ends were changed, as text"),
    "a huge header": ({"says": "9999999"}, "no size or no end_head"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_header_is_refused_by_name(case: str, tmp_path: Path) -> None:
    header, reason = ODD[case]
    write_sphere(tmp_path / "x.WAV", AUDIO, **header)
    with pytest.raises(BadRecordingError) as caught:
        samples(tmp_path / "x.WAV")
    assert re.search(reason, str(caught.value)), caught.value


def test_a_file_that_is_cut_off_in_its_header_is_refused(tmp_path: Path) -> None:
    write_sphere(tmp_path / "x.WAV", AUDIO)
    os.truncate(tmp_path / "x.WAV", 300)
    assert b"end_head" in (tmp_path / "x.WAV").read_bytes(), "the text is whole, the padding is not"
    with pytest.raises(BadRecordingError, match=r"^truncated: 0 of 16000 bytes are there$"):
        samples(tmp_path / "x.WAV")


def test_noise_has_no_order_that_could_be_wrong() -> None:
    noise = np.random.default_rng(0).integers(-20000, 20000, 16000).astype(np.int16)
    differentiated = np.diff(noise, prepend=np.int16(0)).astype(np.int16)
    for audio in (noise, differentiated, np.zeros(16000, np.int16), (noise // 256 * 256).astype(np.int16)):
        assert not swapped(audio)


def test_the_order_of_a_quiet_recording_is_known_by_its_peaks_alone(tmp_path: Path) -> None:
    quiet = AUDIO // 50
    assert not swapped(quiet.byteswap()), "its sound does not tell"
    assert swapped(quiet.byteswap(), (int(quiet.min()), int(quiet.max())))
    write_sphere(tmp_path / "x.WAV", quiet, sample_byte_format="-s2 10")
    with pytest.raises(BadRecordingError, match="the other order of bytes"):
        samples(tmp_path / "x.WAV")
    write_sphere(tmp_path / "y.WAV", quiet, sample_min="-i -2191", sample_max="-i 2790")
    np.testing.assert_array_equal(samples(tmp_path / "y.WAV"), quiet)


@pytest.mark.corpus
def test_real_speech_is_in_the_right_order_and_known_to_be_in_the_wrong_one(real_speech: Any) -> None:
    import soundfile

    for path in sorted(real_speech("LibriSpeech").rglob("*.flac"))[::4]:
        audio, _ = soundfile.read(path, dtype="int16", frames=160_000)
        assert (swapped(audio), swapped(audio.byteswap())) == (False, True), path
