"""Recordings as people have them: what cannot be used is named and left out, the rest goes on."""

import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from phonaut.data.classes import classes_of
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import PreparedCorpus, UtteranceTable
from phonaut.data.utterance import Utterance

RATE = 16000
GOOD = np.random.default_rng(0).standard_normal(8000) / 10
OTHER = np.random.default_rng(1).standard_normal(8000) / 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good recording, to which tests add others."""
    (tmp_path / "files").mkdir()
    soundfile.write(tmp_path / "files" / "good.wav", GOOD, RATE)
    return tmp_path / "files"


def ids(table: UtteranceTable) -> list[str]:
    return [table.id(row) for row in range(len(table))]


def of(prepared: PreparedCorpus, name: str, split: str = "train") -> np.ndarray:
    table = prepared.utterances(split)
    return table.audio(ids(table).index(name))


def refusals(prepared: PreparedCorpus) -> list[dict[str, str]]:
    return [line for line in prepared.refused if line["path"] != "elsewhere.wav"]


def writes(*arguments: Any, **options: Any) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, *arguments, **options)


def cut_off(**options: Any) -> Callable[[Path], None]:
    """A file of which the second half is missing."""

    def write(path: Path) -> None:
        soundfile.write(path, np.tile(OTHER, 6), RATE, **options)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return write


def cut_off_behind_an_odd_chunk(path: Path) -> None:
    soundfile.write(path, OTHER, RATE)
    data = path.read_bytes()
    path.write_bytes(data[:36] + b"note" + struct.pack("<I", 3) + b"abc\0" + data[36:-1000])


def holding(value: float, subtype: str = "FLOAT") -> Callable[[Path], None]:
    audio = OTHER.copy()
    audio[100] = value
    return writes(audio, RATE, subtype=subtype)


def header_says(rate: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        soundfile.write(path, OTHER, RATE)
        data = bytearray(path.read_bytes())
        data[24:28] = struct.pack("<I", rate)
        path.write_bytes(data)

    return write


REFUSED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "truncated WAV": ("x.wav", cut_off(), r"^truncated: 47978 of 96000 bytes are there$"),
    "truncated WAV of floats": ("x.wav", cut_off(subtype="FLOAT"), r"^truncated: \d+ of 192000 bytes are there$"),
    "truncated big-endian WAV": ("x.wav", cut_off(endian="BIG"), "^truncated: 47978 of 96000 bytes are there$"),
    "truncated WAV with notes": ("x.wav", cut_off_behind_an_odd_chunk, "^truncated: 15000 of 16000 bytes are there$"),
    "truncated AIFF": ("x.aiff", cut_off(), r"^truncated: \d+ of 9600\d bytes are there$"),
    "truncated SPHERE": ("x.wav", cut_off(format="NIST"), "^truncated: 47488 of 96000 bytes are there$"),
    "truncated FLAC": ("x.flac", cut_off(), "^damaged: flac decoder lost sync$"),
    "truncated MP3": ("x.mp3", cut_off(format="MP3"), "^truncated: 41 of 86 frames are there$"),
    "nothing but a header": (
        "x.wav",
        lambda path: (holding(0)(path), os.truncate(path, 44)),
        "^not readable as audio: ",
    ),
    "half a header": ("x.wav", lambda path: (holding(0)(path), os.truncate(path, 20)), "^not readable as audio: "),
    "empty file": ("x.wav", lambda path: path.touch(), "^an empty file$"),
    "zero length": ("x.wav", writes(np.zeros(0), RATE), "^no samples$"),
    "NaN": ("x.wav", holding(float("nan")), "^NaN or infinite samples$"),
    "infinite": ("x.wav", holding(float("-inf")), "^NaN or infinite samples$"),
    "NaN among doubles": ("x.wav", holding(float("nan"), "DOUBLE"), "^NaN or infinite samples$"),
    "integers as floats": ("x.wav", holding(20000.0), "^samples up to 2e[+]04: .*lies between -1 and 1$"),
    "text named wav": ("x.wav", lambda path: path.write_text("I am no audio. " * 20), "^not readable as audio: "),
    "noise named wav": ("x.wav", lambda path: path.write_bytes(os.urandom(5000)), "^not readable as audio: "),
    "directory named wav": ("x.wav", lambda path: path.mkdir(), "^not readable as audio: "),
    "symlink loop": ("x.wav", lambda path: path.symlink_to(path), "^not readable as audio: Too many levels"),
    "link to nothing": ("x.wav", lambda path: path.symlink_to("gone.wav"), "^not readable as audio: No such file"),
    "a sample rate of 7 Hz": ("x.wav", header_says(7), "^a sample rate of 7 Hz: the header is damaged$"),
    "a sample rate of 2 GHz": ("x.wav", header_says(2**31 - 1), "^a sample rate of 2147483647 Hz"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_cannot_be_used_is_named_and_the_rest_goes_on(case: str, folder: Path, listed: Any) -> None:
    name, write, reason = REFUSED[case]
    write(folder / name)
    soundfile.write(folder / "z.wav", GOOD[::-1], RATE)
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    assert ids(prepared.utterances("train")) == ["good.wav", "z.wav"]
    (line,) = refusals(prepared)
    assert line["path"] == str(folder / name)
    assert re.search(reason, line["reason"]), line["reason"]
    for good in ("good.wav", "z.wav"):
        np.testing.assert_array_equal(of(prepared, good), soundfile.read(folder / good, dtype="float32")[0])


def test_an_unreadable_file_is_refused(folder: Path, listed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(folder / "secret.wav", OTHER, RATE)
    real = soundfile.SoundFile

    def guarded(path: Path, *arguments: Any) -> Any:  # tests may run as root, whom no permission stops
        if Path(path).name == "secret.wav":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments)

    monkeypatch.setattr("soundfile.SoundFile", guarded)
    (line,) = refusals(prepare(listed.folder(folder), sample_rate=RATE))
    assert line["reason"] == "not readable as audio: Permission denied"


def test_a_name_that_is_not_utf8_is_refused_and_written_down(folder: Path, listed: Any) -> None:
    soundfile.write(folder / "x.wav", OTHER, RATE)
    try:
        os.rename(folder / "x.wav", os.fsencode(folder) + b"/caf\xe9.wav")
    except OSError:
        pytest.skip("this file system takes no names that are not UTF-8")
    (line,) = refusals(prepare(listed.folder(folder), sample_rate=RATE))
    assert line == {
        "path": f"{folder}/caf\\xe9.wav",
        "reason": "the name is not UTF-8: rename the file",
        "cut": "caf\\xe9.wav",
    }


def test_a_listed_file_that_is_gone_is_refused(folder: Path, listed: Any) -> None:
    items = [Utterance(name, folder / name, "train", "s", "w") for name in ("good.wav", "gone.wav")]
    (line,) = refusals(prepare(listed(items), sample_rate=RATE))
    assert line["reason"] == "not readable as audio: No such file or directory"


def test_a_speaker_of_whom_nothing_is_kept_is_named_beside_how_the_corpus_is_divided(folder: Path, listed: Any) -> None:
    items = [Utterance(name, folder / f"{name}.wav", "train", name[0], "w") for name in ("good", "gone")]
    assert prepare(listed(items), sample_rate=RATE).notes == ["a list"]
    items[1] = Utterance("lost", folder / "gone.wav", "train", "l", "w")
    *_, note = prepare(listed(items), sample_rate=RATE).notes
    assert note == "1 speaker is in no split, for all their recordings were refused: l"


def clipped() -> np.ndarray:
    return np.clip(20 * OTHER, -1, 1)


REMARKED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "silent": ("x.wav", writes(np.zeros(8000), RATE), "silent"),
    "clipped": ("x.wav", writes(clipped(), RATE), "clipped"),
    "clipped floats": ("x.wav", writes(clipped(), RATE, subtype="FLOAT"), "clipped"),
    "beyond full scale": ("x.wav", holding(1.5), "samples beyond full scale, clipped"),
    "stereo": ("x.wav", writes(np.stack([OTHER, GOOD], axis=1), RATE), "2 channels mixed to one"),
    "opposite channels": ("x.wav", writes(np.stack([OTHER, -OTHER], axis=1), RATE), "silent; 2 channels mixed to one"),
    "8 kHz": ("x.wav", writes(OTHER[:4000], 8000), "resampled from 8000 Hz"),
    "44.1 kHz": ("x.wav", writes(np.tile(OTHER, 3)[:22050], 44100), "resampled from 44100 Hz"),
    "48 kHz": ("x.wav", writes(np.tile(OTHER, 3), 48000), "resampled from 48000 Hz"),
    "FLAC named wav": ("x.wav", writes(OTHER, RATE, format="FLAC"), "is FLAC, not what its name says"),
    "MP3 named wav": ("x.wav", writes(OTHER, RATE, format="MP3"), "is MP3, not what its name says"),
    "WAV named flac": ("x.flac", writes(OTHER, RATE, format="WAV"), "is WAV, not what its name says"),
    "stereo at 48 kHz": (
        "x.wav",
        writes(np.stack([np.tile(OTHER, 3)] * 2, axis=1), 48000),
        "2 channels mixed to one; resampled from 48000 Hz",
    ),
}


@pytest.mark.parametrize("case", REMARKED)
def test_what_is_kept_with_a_remark(case: str, folder: Path, listed: Any) -> None:
    name, write, remark = REMARKED[case]
    write(folder / name)
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    assert refusals(prepared) == []
    assert prepared.remarks == [{"path": str(folder / name), "remark": remark}]
    assert prepared.summary["remarks"] == dict.fromkeys(remark.split("; "), 1)
    audio = of(prepared, name)
    assert (audio.dtype, audio.shape) == (np.float32, (8000,))
    assert np.abs(audio).max() <= 1


USUAL = {"x.ogg": "OGG", "x.oga": "OGG", "x.WAV": "WAV", "x.AIF": "AIFF", "x.mp3": "MP3", "TIMIT.WAV": "NIST"}


@pytest.mark.parametrize("name", USUAL)
def test_usual_names_are_not_remarked_upon(name: str, folder: Path, listed: Any) -> None:
    soundfile.write(folder / name, OTHER, RATE, format=USUAL[name])
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    assert (prepared.remarks, refusals(prepared)) == ([], [])


def test_the_channels_are_averaged(folder: Path, listed: Any) -> None:
    soundfile.write(folder / "x.wav", np.stack([OTHER, GOOD], axis=1), RATE, subtype="FLOAT")
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    np.testing.assert_allclose(of(prepared, "x.wav"), (OTHER + GOOD) / 2, atol=1e-7)


WIDTH = {"PCM_U8": 2, "PCM_16": 2, "ULAW": 2, "ALAW": 2, "PCM_24": 4, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 4}


@pytest.mark.parametrize("subtype", WIDTH)
def test_every_sample_format_is_read_as_it_is(subtype: str, folder: Path, listed: Any) -> None:
    soundfile.write(folder / "x.wav", OTHER, RATE, subtype=subtype)
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    assert prepared.remarks == []
    expected = soundfile.read(folder / "x.wav", dtype="float64")[0].astype(np.float32)
    np.testing.assert_array_equal(of(prepared, "x.wav"), expected)
    assert (prepared.folder / "audio.bin").stat().st_size == 8000 * (2 + WIDTH[subtype]), "no more bytes than it takes"


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF, 0x7FFFF024])
def test_a_wav_written_to_a_pipe_is_not_truncated(length: int, folder: Path, listed: Any) -> None:
    soundfile.write(folder / "x.wav", OTHER, RATE)
    data = bytearray((folder / "x.wav").read_bytes())
    data[40:44] = struct.pack("<I", length)
    (folder / "x.wav").write_bytes(data)
    n_read = len(soundfile.read(folder / "x.wav")[0])  # of the length 0, libsndfile makes nothing
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    assert [line["reason"] for line in refusals(prepared)] == ([] if n_read else ["no samples"])
    assert n_read == 0 or len(of(prepared, "x.wav")) == 8000


@pytest.mark.peer
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_another_rate_is_resampled_as_soxr_does_in_one_go(rate: int, folder: Path, listed: Any, noise: Any) -> None:
    import soxr

    audio = noise(25, rate=rate)  # more than two blocks
    soundfile.write(folder / "x.wav", audio, rate, subtype="FLOAT")
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    np.testing.assert_allclose(of(prepared, "x.wav"), soxr.resample(audio, rate, RATE, quality="HQ"), atol=1e-6)


def test_what_turns_out_bad_after_a_minute_is_taken_back(folder: Path, listed: Any, noise: Any) -> None:
    long = noise(100)
    long[95 * RATE] = np.nan
    soundfile.write(folder / "long.wav", long, RATE, subtype="FLOAT")
    soundfile.write(folder / "z.wav", OTHER, RATE)
    prepared = prepare(listed.folder(folder), sample_rate=RATE)
    assert [line["reason"] for line in refusals(prepared)] == ["NaN or infinite samples"]
    np.testing.assert_array_equal(of(prepared, "z.wav"), soundfile.read(folder / "z.wav", dtype="float32")[0])
    assert (prepared.folder / "audio.bin").stat().st_size == 2 * 2 * 8000


LONG = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from conftest import Listed
import numpy as np, soundfile, soxr
from phonaut.data.preparation.prepare import prepare

def peak():  # not ru_maxrss: a new process starts from the peak of the one that started it
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024

soxr.resample(np.zeros(800, np.float32), 8000, 16000)
before = peak()
table = prepare(Listed.folder(Path({folder!r}), clip_s={clip_s}), sample_rate=16000).utterances("train")
row = [table.id(r) for r in range(len(table))].index("long.wav")
print(peak() - before)
audio = table.audio(row) if {clip_s} else table.audio(row, 1000 * 16000, 1001 * 16000)
print(int(table.n_samples[row]), int(table.start[row]), int(np.count_nonzero(np.abs(audio) > 0.02)))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this system")
@pytest.mark.parametrize("clip_s", [1.0, None])
def test_an_hour_is_read_in_bounded_memory(
    clip_s: float | None, folder: Path, noise: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, rate, loud_s = 3600, 8000, 1000
    n = 2 * seconds * rate
    fields = (b"RIFF", 36 + n, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", n)
    with (folder / "long.wav").open("wb") as file:  # an hour of silence, as a file with a hole
        file.write(struct.pack("<4sI4s4sIHHIIHH4sI", *fields))
        file.truncate(44 + n)
        file.seek(44 + 2 * loud_s * rate)
        file.write((30000 * noise(0.5, rate=rate)).astype("<i2").tobytes())
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / "cache"))
    code = LONG.format(tests=str(Path(__file__).parent), folder=str(folder), clip_s=clip_s)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown_mb, n_samples, start, n_loud = map(float, result.stdout.split())
    assert grown_mb < 64, "an hour at 16 kHz is 230 MB"
    assert n_samples == RATE * (clip_s or seconds)
    assert n_loud > 6000, "the half second of sound lies within the second"
    if clip_s:
        assert loud_s - 0.55 <= start / RATE <= loud_s + 0.05


@pytest.mark.parametrize("copy", ["wav", "float", "24 bits", "flac", "two equal channels"])
def test_the_same_audio_in_two_splits_stays_in_the_test(copy: str, folder: Path, listed: Any, noise: Any) -> None:
    for name in ("a", "b", "c"):
        soundfile.write(folder / f"{name}.wav", 4 * OTHER, RATE)
    if copy != "wav":  # the same sound in another format
        audio = soundfile.read(folder / "a.wav")[0]
        both = np.stack([audio] * 2, axis=1) if copy == "two equal channels" else audio
        subtype = {"float": "FLOAT", "24 bits": "PCM_24"}.get(copy, "PCM_16")
        soundfile.write(folder / "a.wav", both, RATE, subtype, format="FLAC" if copy == "flac" else "WAV")
    for name in ("quiet", "still"):
        soundfile.write(folder / f"{name}.wav", np.zeros(8000), RATE)
    soundfile.write(folder / "d.wav", noise(seed=3), RATE)
    splits = {"b": "validation", "c": "test", "d": "validation", "still": "test"}
    prepared = prepare(listed.folder(folder, **splits), sample_rate=RATE)
    assert {split: ids(prepared.utterances(split)) for split in ("train", "validation", "test")} == {
        "train": ["good.wav", "quiet.wav"],
        "validation": ["d.wav"],
        "test": ["c.wav", "still.wav"],
    }
    assert {line["cut"]: line["reason"] for line in refusals(prepared)} == dict.fromkeys(
        ["a.wav", "b.wav"], "the same audio is in the test split, which keeps it"
    )


def test_the_same_audio_twice_in_one_split_stays(folder: Path, listed: Any) -> None:
    soundfile.write(folder / "a.wav", GOOD, RATE)
    assert ids(prepare(listed.folder(folder), sample_rate=RATE).utterances("train")) == ["a.wav", "good.wav"]


def test_noise_may_be_heard_in_every_split(folder: Path, listed: Any) -> None:
    path = folder / "good.wav"
    splits = ("train", "noise", "noise_test")
    prepared = prepare(listed([Utterance(split, path, split, "s", "w") for split in splits]), sample_rate=RATE)
    assert [ids(prepared.utterances(split)) for split in splits] == [[split] for split in splits]
    items = [Utterance("t", path, "test", "s", "w"), Utterance("n", path, "noise", "")]
    assert len(prepare(listed(items), sample_rate=RATE).utterances("noise")) == 1


def test_without_one_usable_recording_the_reason_is_given(tmp_path: Path, listed: Any) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(ValueError, match=r"no usable recording: 2 were refused, the first being .*a\.wav: an empty"):
        prepare(listed.folder(tmp_path), sample_rate=RATE)


def test_a_split_that_comes_to_nothing_is_named(folder: Path, listed: Any) -> None:
    (folder / "a.wav").touch()
    with pytest.raises(ValueError, match=r"nothing is left in the test split of listed: .*\(.*a\.wav: an empty file\)"):
        prepare(listed.folder(folder, a="test"), sample_rate=RATE)


def test_one_class_alone_is_refused_where_classes_are_wanted(folder: Path, listed: Any) -> None:
    prepared = prepare(listed([Utterance("a", folder / "good.wav", "train", "s", "yes")]), sample_rate=RATE)
    with pytest.raises(ValueError, match="needs two classes in the training split of listed, found only yes"):
        classes_of(prepared, "keyword")


CUTS: dict[str, tuple[dict[str, float], str]] = {
    "starts nowhere": ({"start_s": float("nan")}, "^the cut starts at nan s and is None s long$"),
    "starts beyond all": ({"start_s": float("inf")}, "^the cut starts at inf s"),
    "has no length": ({"duration_s": float("nan")}, "^the cut starts at 0.0 s and is nan s long$"),
    "has no end": ({"duration_s": float("inf")}, "^the cut starts at 0.0 s and is inf s long$"),
    "starts before": ({"start_s": -1.0}, "^the cut starts at -1.00 s, but the recording has 0.50 s$"),
    "starts behind": ({"start_s": 7.0}, "^the cut starts at 7.00 s, but"),
    "is empty": ({"duration_s": 0.0}, "^the cut is 0.0 s long$"),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_that_is_none_is_refused_and_the_rest_goes_on(cut: str, folder: Path, listed: Any) -> None:
    times, reason = CUTS[cut]
    whole = Utterance("whole", folder / "good.wav", "train", "s", "w")
    bad: Any = Utterance("bad", folder / "good.wav", "train", "s", "w", **times)
    prepared = prepare(listed([whole, bad]), sample_rate=RATE)
    assert ids(prepared.utterances("train")) == ["whole"]
    (line,) = refusals(prepared)
    assert re.search(reason, line["reason"]), line


def test_a_recording_of_which_no_sample_is_left_is_refused(folder: Path, listed: Any) -> None:
    soundfile.write(folder / "x.wav", OTHER[:1], 44100)
    (line,) = refusals(prepare(listed.folder(folder), sample_rate=RATE))
    assert line["reason"] == "of its 1 samples none is left at 16000 Hz"
