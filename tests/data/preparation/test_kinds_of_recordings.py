"""Recordings of every kind that people have: each is read, all of it, or refused in one sentence."""

from __future__ import annotations

import gzip
import os
import re
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from helpers.sphere_files import write_sphere
from phonaut.data.preparation.audio import BadRecordingError, open_recording

RATE = 16000
N = 6400
# A tone in noise, with an end that is louder: a part of it is not like the whole, in any coding.
SOUND = 0.2 * np.sin(np.arange(N) / 9) * np.linspace(0.3, 1, N) + 0.02 * np.random.default_rng(0).standard_normal(N)

Write = Callable[[Path], object]


def bytes_of(path: Path, audio: np.ndarray = SOUND, rate: int = RATE, **options: Any) -> bytes:
    """The bytes of a file as soundfile writes it."""
    soundfile.write(path, audio, rate, **options)
    return path.read_bytes()


def written(audio: np.ndarray = SOUND, rate: int = RATE, **options: Any) -> Write:
    return lambda path: soundfile.write(path, audio, rate, **options)


def changed(change: Callable[[bytes], bytes], **options: Any) -> Write:
    return lambda path: path.write_bytes(change(bytes_of(path, **options)))


def patched(at: int, value: bytes, **options: Any) -> Write:
    return changed(lambda data: data[:at] + value + data[at + len(value) :], **options)


def cut(**options: Any) -> Write:
    """60 % of the bytes."""
    return changed(lambda data: data[: len(data) * 6 // 10], **options)


def joined(**options: Any) -> Write:
    return changed(lambda data: data * 2, **options)


def mp3(mode: str = "CONSTANT", rate: int = RATE, channels: int = 1) -> dict[str, Any]:
    audio = np.stack([SOUND] * channels, axis=1)
    return {"format": "MP3", "bitrate_mode": mode, "compression_level": 0.5, "audio": audio, "rate": rate}


def headless(data: bytes) -> bytes:
    """An MP3 without its first frame, which says how many follow."""
    second = data.find(data[:2], 4)
    assert b"Info" in data[:second] or b"Xing" in data[:second]
    return data[second:]


ID3 = b"ID3\x03\0\0\0\0\x01\x48" + b"\0" * 200
ID3V1 = b"TAG" + b"x" * 125


def sphere(**fields: Any) -> Write:
    return lambda path: write_sphere(path, np.rint(SOUND * 32768).astype(np.int16), **fields)


def raw(data: bytes) -> Write:
    return lambda path: path.write_bytes(data)


def unreadable(path: Path) -> None:
    soundfile.write(path, SOUND, RATE)
    path.chmod(0)


def resampled(rate: int) -> Write:
    """As long at another rate: the tone is as high."""
    n = N * rate // RATE
    return written(np.interp(np.arange(n) * RATE / rate, np.arange(N), SOUND), rate, subtype="FLOAT")


def spoiled(value: float, subtype: str = "FLOAT") -> Write:
    audio = SOUND.copy()
    audio[100] = value
    return written(audio, subtype=subtype)


PCM = {f"WAV {kind}": ("x.wav", written(subtype=kind)) for kind in
       ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "GSM610", "IMA_ADPCM")}  # fmt: skip
OTHERS = {
    f"{format} {kind}": (f"x.{suffix}", written(format=format, subtype=kind))
    for format, suffix, kinds in (
        ("WAVEX", "wav", ("PCM_16", "FLOAT")), ("RF64", "wav", ("PCM_16", "DOUBLE")), ("W64", "w64", ("PCM_24",)),
        ("AIFF", "aiff", ("PCM_16", "FLOAT", "ULAW")), ("AU", "au", ("PCM_16", "ALAW")),
        ("CAF", "caf", ("PCM_16", "ALAC_16")), ("FLAC", "flac", ("PCM_S8", "PCM_16", "PCM_24")),
        ("OGG", "ogg", ("VORBIS", "OPUS")), ("NIST", "sph", ("PCM_16", "PCM_24", "PCM_32", "ULAW")),
        ("SVX", "iff", ("PCM_16",)), ("AVR", "avr", ("PCM_16",)), ("IRCAM", "sf", ("PCM_16",)),
        ("PAF", "paf", ("PCM_16",)), ("PVF", "pvf", ("PCM_16",)), ("HTK", "htk", ("PCM_16",)),
        ("VOC", "voc", ("PCM_16",)), ("SDS", "sds", ("PCM_16",)),
    )
    for kind in kinds
}  # fmt: skip
READ: dict[str, tuple[str, Write]] = {
    **PCM,
    **OTHERS,
    "big-endian WAV": ("x.wav", written(endian="BIG")),
    "little-endian AU": ("x.au", written(endian="LITTLE")),
    "SPHERE of TIMIT": ("x.WAV", sphere()),
    "big-endian SPHERE": ("x.sph", sphere(order="10")),
    "WAV with a chunk before the samples": ("x.wav", changed(lambda d: d[:36] + b"note\3\0\0\0abc\0" + d[36:])),
    "WAV with chunks after the samples": ("x.wav", changed(lambda d: d + b"LIST\4\0\0\0RIFF")),
    "WAV from a pipe": ("x.wav", patched(40, b"\xff" * 4)),
    "AU from a pipe": ("x.au", patched(8, b"\xff" * 4)),
    "FLAC from a pipe": ("x.flac", changed(lambda d: d[:21] + bytes([d[21] & 0xF0]) + b"\0" * 4 + d[26:])),
    "MP3, constant bit rate": ("x.mp3", changed(bytes, **mp3())),
    "MP3, variable bit rate": ("x.mp3", changed(bytes, **mp3("VARIABLE"))),
    "MP3 with tags": ("x.mp3", changed(lambda d: ID3 + d + ID3V1, **mp3())),
    "MP3 and zeros": ("x.mp3", changed(lambda d: d + b"\0" * 3000, **mp3())),
    "AIFF that counts 4 billion": ("x.aiff", patched(22, b"\xff" * 4, format="AIFF")),
    "Ogg named wav": ("x.wav", written(format="OGG")),
    "WAV named mp3": ("x.mp3", written(format="WAV")),
    "8 kHz": ("x.wav", resampled(8000)),
    "11.025 kHz": ("x.wav", resampled(11025)),
    "22.05 kHz": ("x.wav", resampled(22050)),
    "44.1 kHz": ("x.wav", resampled(44100)),
    "48 kHz": ("x.wav", resampled(48000)),
    "192 kHz": ("x.wav", resampled(192000)),
    "stereo": ("x.wav", written(np.stack([SOUND, SOUND], axis=1))),
    "8 channels": ("x.flac", written(np.stack([SOUND] * 8, axis=1))),
    "300 channels": ("x.wav", written(np.stack([SOUND] * 300, axis=1))),
}


@pytest.mark.parametrize("kind", READ)
def test_all_of_it_is_read(kind: str, tmp_path: Path) -> None:
    name, write = READ[kind]
    write(tmp_path / name)
    recording, blocks = open_recording(tmp_path / name, RATE)
    audio = np.concatenate(list(blocks))
    audio = audio / (1 if recording.is_float else 32768)
    assert N <= len(audio) <= N + 1024, "codes have blocks"
    assert recording.n_samples == len(audio)
    assert np.corrcoef(audio[:N], SOUND)[0, 1] > 0.95


LEVELS: dict[str, tuple[Write, int, list[str]]] = {
    "silent": (written(np.zeros(N)), N, ["silent"]),
    "constant": (written(np.full(N, 0.5)), N, []),
    "clipped": (written(np.clip(20 * SOUND, -1, 1)), N, ["clipped"]),
    "quiet": (written(SOUND / 3000), N, []),
    "1 sample": (written(SOUND[-1:]), 1, []),
    "2 samples": (written(SOUND[-2:]), 2, []),
    "159 samples": (written(SOUND[-159:]), 159, []),
    "1 sample at 44.1 kHz": (written(SOUND[-1:], 44100), 0, ["resampled from 44100 Hz"]),
}


@pytest.mark.parametrize("kind", LEVELS)
def test_what_is_odd_and_audio_is_kept(kind: str, tmp_path: Path) -> None:
    write, n, remarks = LEVELS[kind]
    write(tmp_path / "x.wav")
    recording, blocks = open_recording(tmp_path / "x.wav", RATE)
    assert sum(map(len, blocks)) == n
    assert recording.remarks == remarks


TRUNCATED = "^(truncated: .* (bytes|frames|bytes of its last page|its last frame) are there|damaged: .* lost sync)$"
REFUSED: dict[str, tuple[str, Write, str]] = {
    **{f"truncated {format} {kind}": (f"x.{suffix}", cut(format=format, subtype=kind), TRUNCATED)
       for format, suffix, kinds in (
           ("WAV", "wav", ("PCM_16", "FLOAT", "ULAW", "GSM610", "IMA_ADPCM")), ("WAVEX", "wav", ("PCM_16",)),
           ("RF64", "wav", ("PCM_16", "FLOAT")), ("W64", "w64", ("PCM_16", "ALAW")),
           ("AIFF", "aiff", ("PCM_16", "ULAW")),
           ("AU", "au", ("PCM_16", "G721_32")), ("CAF", "caf", ("PCM_16", "ALAC_16")), ("SVX", "iff", ("PCM_16",)),
           ("AVR", "avr", ("PCM_16",)), ("VOC", "voc", ("PCM_16",)), ("NIST", "sph", ("PCM_16",)),
           ("WVE", "wve", ("ALAW",)),
           ("SDS", "sds", ("PCM_16",)), ("MPC2K", "snd", ("PCM_16",)), ("FLAC", "flac", ("PCM_16", "PCM_24")),
           ("OGG", "ogg", ("VORBIS", "OPUS")))
       for kind in kinds},
    "truncated MP3": ("x.mp3", cut(**mp3()), TRUNCATED),
    "truncated MP3 of variable bit rate": ("x.mp3", cut(**mp3("VARIABLE")), TRUNCATED),
    "truncated MP3 without a header": ("x.mp3", changed(lambda d: headless(d)[:-200], **mp3()), TRUNCATED),
    **{f"{format} joined": (f"x.{suffix}", joined(format=format), "^recordings are joined end to end in it")
       for format, suffix in (("WAV", "wav"), ("RF64", "wav"), ("AIFF", "aif"), ("W64", "w64"), ("AU", "au"),
                               ("CAF", "caf"))},
    "MP3 of two rates": (
        "x.mp3",
        lambda path: path.write_bytes(bytes_of(path, **mp3()) + bytes_of(path, **mp3(rate=22050))),
        "^recordings of several sample rates or numbers of channels are joined in it$",
    ),
    "an empty file": ("x.wav", raw(b""), "^an empty file$"),
    "no samples": ("x.wav", written(np.zeros(0)), "^no samples$"),
    "nothing but a header": ("x.wav", changed(lambda d: d[:44]), "^truncated: 0 of 12800 bytes are there$"),
    "half a header": ("x.wav", changed(lambda d: d[:20]), "^not readable as audio: "),
    "text": ("x.wav", raw(b"I am no audio. " * 20), "^not readable as audio: "),
    "noise": ("x.wav", raw(np.random.default_rng(0).bytes(5000)), "^not readable as audio: "),
    "zeros": ("x.wav", raw(b"\0" * 5000), "^not readable as audio: "),
    "0xff": ("x.mp3", raw(b"\xff" * 5000), "^not readable as audio: "),
    "a directory": ("x.wav", lambda path: path.mkdir(), "^not readable as audio: Is a directory$"),
    "a link to nothing": ("x.wav", lambda path: path.symlink_to("gone"), "^not readable as audio: No such file"),
    "a link to itself": ("x.wav", lambda path: path.symlink_to(path), "^not readable as audio: Too many levels"),
    "NaN": ("x.wav", spoiled(float("nan")), "^NaN or infinite samples$"),
    "infinite": ("x.wav", spoiled(float("-inf"), "DOUBLE"), "^NaN or infinite samples$"),
    "integers as floats": ("x.wav", spoiled(20000.0), "lies between -1 and 1$"),
    "0 Hz": ("x.wav", patched(24, struct.pack("<I", 0)), "^(a sample rate of 0 Hz: |not readable)"),
    "7 Hz": ("x.wav", patched(24, struct.pack("<I", 7)), "^a sample rate of 7 Hz: the header is damaged$"),
    "1 GHz": ("x.wav", patched(24, struct.pack("<I", 10**9)), "^a sample rate of 1000000000 Hz: "),
    "0 channels": ("x.wav", patched(22, b"\0\0"), "^not readable as audio: "),
    "65535 channels": ("x.wav", patched(22, b"\xff\xff"), "^not readable as audio: "),
    "AIFF of 65535 channels": ("x.aiff", patched(20, b"\xff\xff", format="AIFF"), "^not readable as audio: "),
    "WAV of 1 GB": ("x.wav", patched(40, struct.pack("<I", 10**9)), "^truncated: 12800 of 1000000000 bytes are there$"),
    "WAV of 3 GB": ("x.wav", patched(40, struct.pack("<I", 3 * 10**9)), "^truncated: 12800 of 3000000000 bytes"),
    "AU of 4 GB": ("x.au", patched(8, struct.pack(">I", 0xF0000000)), "^truncated: 12800 of "),
    "W64 of 10^12 bytes": ("x.w64", patched(96, struct.pack("<Q", 10**12)), "^(truncated|not readable)"),
    "FLAC of 2^36 samples": ("x.flac", changed(lambda d: d[:21] + bytes([d[21] | 15]) + b"\xff" * 4 + d[26:]),
                             "^(damaged|truncated)"),
    "SPHERE of 4 billion bytes a sample": (
        "x.WAV", sphere(sample_n_bytes="-i 4294967295"), "-i 4294967295: samples of 1 to 4 bytes are read$"
    ),
    "SPHERE of 10^12 samples": ("x.WAV", sphere(sample_count="-i 1000000000000"), "^truncated: 12800 of 20{12} bytes"),
    "SPHERE of 10^30 samples": ("x.WAV", sphere(sample_count="-i 1" + "0" * 30), "a whole number .-i. above 0"),
    "SPHERE of 10^9 channels": ("x.WAV", sphere(channel_count="-i 1000000000"), "^truncated: 12800 of "),
    "SPHERE of 10^9 Hz": ("x.WAV", sphere(sample_rate="-i 1000000000"), "^a sample rate of 1000000000 Hz"),
    "SPHERE of shorten": ("x.WAV", sphere(sample_coding="-s26 pcm,embedded-shorten-v2.00"), "compressed by shorten"),
    "m4a": ("x.m4a", raw(b"\0\0\0\x20ftypM4A \0" * 20), r"^is MPEG-4 \(m4a\), which is not read$"),
    "WebM named wav": ("x.wav", raw(b"\x1aE\xdf\xa3" * 20), "^is Matroska or WebM, which is not read$"),
    "AMR": ("x.amr", raw(b"#!AMR\n" * 20), "^is AMR, which is not read$"),
    "AAC": ("x.wav", raw(b"\xff\xf1" + b"\0" * 200), "^is AAC, which is not read$"),
    "a WAV in gzip": ("x.wav", raw(gzip.compress(b"RIFF" * 20)), "^is gzip, which is not read$"),
    "a pointer of Git LFS": ("x.wav", raw(b"version https://git-lfs.github.com/spec/v1\noid"), "Git LFS, not the file"),
    "no permission": ("x.wav", unreadable, "^not readable as audio: Permission denied$"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_cannot_be_read_to_its_end_is_refused_in_one_sentence_and_little_memory(kind: str, tmp_path: Path) -> None:
    name, write, reason = REFUSED[kind]
    if kind == "no permission" and os.geteuid() == 0:
        pytest.skip("root may read everything")
    write(tmp_path / name)
    tracemalloc.start()
    try:
        with pytest.raises(BadRecordingError) as caught:
            for _ in open_recording(tmp_path / name, RATE)[1]:
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert re.search(reason, str(caught.value)), caught.value
    assert str(caught.value).isprintable()
    assert peak < 64 << 20


def mono(path: Path, rate: int = RATE) -> np.ndarray:
    return np.concatenate(list(open_recording(path, rate)[1]))


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE", "AVERAGE"])
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 1), (22050, 2), (44100, 1), (48000, 2)])
def test_an_mp3_without_a_header_of_the_whole_has_every_sample(
    mode: str, rate: int, channels: int, tmp_path: Path
) -> None:
    whole = bytes_of(tmp_path / "x.mp3", **mp3(mode, rate, channels))
    expected = mono(tmp_path / "x.mp3", rate)
    assert len(expected) == N
    for before, after in ((b"", b""), (ID3, ID3V1), (ID3, b"APETAGEX" + struct.pack("<IIII8x", 2000, 32, 0, 0))):
        (tmp_path / "x.mp3").write_bytes(before + headless(whole) + after)
        audio = mono(tmp_path / "x.mp3", rate)
        lags = [
            lag
            for lag in range(len(audio) - N + 1)
            if np.abs(audio[lag + 1500 : lag + N] - expected[1500:]).max() < 1e-6
        ]
        assert len(lags) == 1, "all of the sound, after what the encoder put before it"


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_in_a_wav_is_read_as_an_mp3(mode: str, tmp_path: Path) -> None:
    whole = bytes_of(tmp_path / "x.mp3", **mp3(mode))
    for data in (whole, headless(whole)):
        (tmp_path / "x.mp3").write_bytes(data)
        kind = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE, 4000, 1, 0, 12, 1, 2, 144, 1, 1393)
        chunks = ((b"fmt ", kind), (b"fact", struct.pack("<I", N)), (b"data", data))
        body = b"WAVE" + b"".join(name + struct.pack("<I", len(one)) + one for name, one in chunks)
        (tmp_path / "x.wav").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
        np.testing.assert_array_equal(mono(tmp_path / "x.wav"), mono(tmp_path / "x.mp3"))


@pytest.mark.parametrize(
    "kind",
    [
        {"format": "FLAC"},
        {"format": "OGG"},
        {"format": "OGG", "subtype": "OPUS"},
        mp3(),
        mp3("VARIABLE"),
        mp3(rate=44100),
    ],
    ids=["flac", "vorbis", "opus", "mp3", "mp3 vbr", "mp3 44.1"],
)
def test_files_joined_end_to_end_are_read_one_after_another(kind: dict[str, Any], tmp_path: Path) -> None:
    rate = kind.get("rate", RATE)
    parts, expected = [], []
    path = tmp_path / f"x.{kind['format'].lower()}"
    for audio in (SOUND, SOUND[: N // 2], -SOUND):
        parts.append(bytes_of(path, **{**kind, "audio": audio}))
        expected.append(mono(path, rate))
    for tags in (False, True) if kind["format"] == "MP3" else (False,):
        path.write_bytes(b"".join(ID3 + part + ID3V1 if tags else part for part in parts))
        recording, blocks = open_recording(path, rate)
        np.testing.assert_array_equal(np.concatenate(list(blocks)), np.concatenate(expected))
        assert recording.n_source == len(np.concatenate(expected))
        assert recording.remarks == ["3 recordings are joined end to end in it"]


@pytest.mark.parametrize("kind", [{"format": "OGG"}, {"format": "OGG", "subtype": "OPUS"}], ids=["vorbis", "opus"])
def test_an_ogg_stream_whose_end_is_not_marked_is_remarked_upon(kind: dict[str, Any], tmp_path: Path) -> None:
    audio = np.tile(SOUND, 20)
    data = bytes_of(tmp_path / "x.ogg", audio=audio, **kind)
    last = data.rfind(b"OggS")
    (tmp_path / "x.ogg").write_bytes(data[:last])
    recording, blocks = open_recording(tmp_path / "x.ogg", RATE)
    assert 0 < sum(map(len, blocks)) < len(audio)
    assert recording.remarks == ["the end of the stream is not marked: it may be cut off"]


def test_what_lies_between_the_frames_of_an_mp3_is_remarked_upon(tmp_path: Path) -> None:
    data = headless(bytes_of(tmp_path / "x.mp3", **mp3()))
    third = data.find(data[:2], data.find(data[:2], 4) + 1)
    (tmp_path / "x.mp3").write_bytes(data[:third] + b"no frame" * 5 + data[third:])
    recording, blocks = open_recording(tmp_path / "x.mp3", RATE)
    assert sum(map(len, blocks)) >= N
    assert recording.remarks == ["40 bytes in it are no MP3, and were passed over"]


def test_a_recording_without_a_header_is_read_where_its_rate_is_said(tmp_path: Path) -> None:
    samples = np.rint(SOUND * 32767).astype("<i2")
    samples[0] = -3585  # FF F1, as AAC begins
    (tmp_path / "x.pcm").write_bytes(samples.tobytes())
    recording, blocks = open_recording(tmp_path / "x.pcm", RATE, None, RATE)
    np.testing.assert_array_equal(np.concatenate(list(blocks)), samples)
    assert (recording.source_rate, recording.n_source, recording.remarks) == (RATE, N, [])
    recording, blocks = open_recording(tmp_path / "x.pcm", RATE, None, RATE // 2)
    assert abs(sum(map(len, blocks)) - 2 * N) <= 1, "at half the rate it lasts twice as long"
    with pytest.raises(BadRecordingError):
        list(open_recording(tmp_path / "x.pcm", RATE)[1])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (bytes(1601), "truncated: 1,601 bytes are no whole number of samples of 16 bits"),
        (b"RIFF" + bytes(1600), "has a header, RIFF, and the corpus says that there is none"),
    ],
)
def test_a_recording_without_a_header_that_cannot_be_one_is_refused(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "x.pcm").write_bytes(content)
    with pytest.raises(BadRecordingError, match=reason):
        open_recording(tmp_path / "x.pcm", RATE, None, RATE)
