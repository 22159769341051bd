"""Recordings as people have them: what cannot be used is named and left out, the rest goes on."""

import os
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from phonaut.corpora.base import Item
from phonaut.corpora.prepare import prepare
from phonaut.data.prepared import PreparedCorpus

RATE = 16000


class Files:
    """The files of a folder, one item each; an adapter without any rules."""

    name = "files"

    def __init__(self, folder: Path, clip_s: float | None = None, **splits: str) -> None:
        self.folder, self.clip_s, self.splits = folder, clip_s, splits

    def settings(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "splits": self.splits}

    def items(self) -> Iterator[Item]:
        for path in sorted(self.folder.iterdir()):
            split = self.splits.get(path.stem, "train")
            yield Item(id=path.name, path=path, split=split, speaker="s", word=path.stem)

    def words(self) -> None:
        return None

    def notes(self) -> list[str]:
        return ["all in one"]

    def refused(self) -> list[dict[str, str]]:
        return []


def speech(seconds: float = 0.5, rate: int = RATE, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * rate))).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    soundfile.write(tmp_path / "files" / "good.wav", speech(), RATE)
    return tmp_path / "files"


def truncated_wav(path: Path) -> None:
    soundfile.write(path, speech(seed=1), RATE)
    path.write_bytes(path.read_bytes()[:4000])


def truncated_flac(path: Path) -> None:
    soundfile.write(path, speech(seconds=3, seed=1), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def not_numbers(value: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        audio = speech(seed=1)
        audio[100] = value
        soundfile.write(path, audio, RATE, subtype="FLOAT")

    return write


def loop(path: Path) -> None:
    path.symlink_to(path)


REFUSED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "truncated": ("x.wav", truncated_wav, "truncated: 3956 of 16000 bytes"),
    "truncated flac": ("x.flac", truncated_flac, "truncated|damaged"),
    "empty file": ("x.wav", lambda path: path.touch(), "an empty file"),
    "zero length": ("x.wav", lambda path: soundfile.write(path, speech(0), RATE), "no samples"),
    "NaN": ("x.wav", not_numbers(float("nan")), "NaN or infinite"),
    "infinite": ("x.wav", not_numbers(float("inf")), "NaN or infinite"),
    "integers as floats": ("x.wav", not_numbers(20000.0), "between -1 and 1"),
    "text named wav": (
        "x.wav",
        lambda path: path.write_text("I am no audio, but long enough to look at" * 9),
        "not readable",
    ),
    "directory named wav": ("x.wav", lambda path: path.mkdir(), "not readable"),
    "symlink loop": ("x.wav", loop, "not readable"),
    "link to nothing": ("x.wav", lambda path: path.symlink_to("gone.wav"), "not readable"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_used_is_named_and_the_rest_goes_on(case: str, folder: Path) -> None:
    name, write, reason = REFUSED[case]
    write(folder / name)
    prepared = prepare(Files(folder), sample_rate=RATE)
    assert [prepared.cuts("train").id(row) for row in range(len(prepared.cuts("train")))] == ["good.wav"]
    (line,) = prepared.refused
    assert line["path"].endswith(name)
    assert re.search(reason, line["reason"]), line["reason"]
    np.testing.assert_allclose(prepared.cuts("train").audio(0), soundfile.read(folder / "good.wav")[0], atol=1e-7)


def test_an_unreadable_file_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(folder / "secret.wav", speech(seed=1), RATE)
    real = soundfile.SoundFile

    def guarded(path: Path, *arguments: Any) -> Any:  # tests may run as root, whom no permission stops
        if Path(path).name == "secret.wav":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments)

    monkeypatch.setattr("soundfile.SoundFile", guarded)
    (line,) = prepare(Files(folder), sample_rate=RATE).refused
    assert line["reason"] == "not readable as audio: Permission denied"


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    name = os.fsencode(folder) + b"/caf\xe9.wav"
    soundfile.write(folder / "x.wav", speech(seed=1), RATE)
    os.rename(folder / "x.wav", name)
    prepared = prepare(Named(folder), sample_rate=RATE)
    (line,) = prepared.refused
    assert line["path"].endswith("caf\\xe9.wav")
    assert "not UTF-8" in line["reason"]


class Named(Files):
    """Ids that are numbers, for names that are no text."""

    def items(self) -> Iterator[Item]:
        for number, item in enumerate(super().items()):
            yield Item(id=str(number), path=item.path, split="train", speaker="s", word="w")


def stereo(path: Path) -> None:
    soundfile.write(path, np.stack([speech(), speech(seed=1)], axis=1), RATE)


def clipped(path: Path) -> None:
    soundfile.write(path, np.clip(20 * speech(), -1, 1), RATE)


REMARKED: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "silent": ("x.wav", lambda path: soundfile.write(path, np.zeros(8000), RATE), "silent"),
    "clipped": ("x.wav", clipped, "clipped"),
    "stereo": ("x.wav", stereo, "2 channels mixed to one"),
    "8 kHz": ("x.wav", lambda path: soundfile.write(path, speech(rate=8000), 8000), "resampled from 8000 Hz"),
    "44.1 kHz": ("x.wav", lambda path: soundfile.write(path, speech(rate=44100), 44100), "resampled from 44100 Hz"),
    "48 kHz": ("x.wav", lambda path: soundfile.write(path, speech(rate=48000), 48000), "resampled from 48000 Hz"),
    "flac named wav": ("x.wav", lambda path: soundfile.write(path, speech(), RATE, format="FLAC"), "is FLAC"),
}


@pytest.mark.parametrize("case", REMARKED)
def test_what_is_kept_with_a_remark(case: str, folder: Path) -> None:
    name, write, remark = REMARKED[case]
    write(folder / name)
    prepared = prepare(Files(folder, good="validation"), sample_rate=RATE)
    assert prepared.refused == []
    assert next(line["remark"] for line in prepared.remarks if line["path"].endswith(name)).startswith(remark)
    audio = prepared.cuts("train").audio(0)
    assert audio.dtype == np.float32
    assert len(audio) == 8000
    assert np.abs(audio).max() <= 1


@pytest.mark.parametrize(
    ("subtype", "tolerance"), [("PCM_U8", 1e-7), ("PCM_24", 1e-7), ("FLOAT", 1e-7), ("PCM_16", 1e-7)]
)
def test_every_sample_format_is_read_as_it_is(subtype: str, tolerance: float, folder: Path) -> None:
    soundfile.write(folder / "x.wav", speech(seed=1), RATE, subtype=subtype)
    prepared = prepare(Files(folder), sample_rate=RATE)
    expected = soundfile.read(folder / "x.wav", dtype="float64")[0]
    np.testing.assert_allclose(prepared.cuts("train").audio(1), expected, atol=tolerance)


@pytest.mark.peer
@pytest.mark.parametrize("rate", [8000, 44100, 48000])
def test_another_rate_is_resampled_as_soxr_does_in_one_go(rate: int, folder: Path) -> None:
    import soxr

    audio = speech(seconds=1.5, rate=rate)
    soundfile.write(folder / "x.wav", audio, rate, subtype="FLOAT")
    prepared = prepare(Files(folder), sample_rate=RATE)
    np.testing.assert_allclose(prepared.cuts("train").audio(1), soxr.resample(audio, rate, RATE), atol=1e-6)


def test_of_a_very_long_file_the_loudest_window_is_taken(folder: Path) -> None:
    seconds, rate = 3600, 8000
    with (folder / "long.wav").open("wb") as file:  # an hour of silence, as a file with a hole
        n = 2 * seconds * rate
        file.write(
            struct.pack(
                "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + n, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", n
            )
        )
        file.truncate(44 + n)
        file.seek(44 + 2 * 1000 * rate)
        file.write((3000 * speech(0.5, rate) / 0.1).astype("<i2").tobytes())
    prepared = prepare(Files(folder, clip_s=1.0), sample_rate=8000)
    table = prepared.cuts("train")
    row = [table.id(r) for r in range(len(table))].index("long.wav")
    assert table.n_samples[row] == 8000
    assert np.count_nonzero(table.audio(row)) > 3900, "the half second of sound lies within the window"


def test_without_one_usable_recording_the_reason_is_given(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    with pytest.raises(ValueError, match=r"no usable recording \(.*a\.wav: an empty file"):
        prepare(Files(tmp_path), sample_rate=RATE)


def test_the_same_audio_in_two_splits_stays_in_the_test(folder: Path) -> None:
    for name in ("a", "b", "c"):
        soundfile.write(folder / f"{name}.wav", speech(seed=1), RATE)
    for name in ("quiet", "still"):
        soundfile.write(folder / f"{name}.wav", np.zeros(8000), RATE)
    prepared = prepare(Files(folder, b="validation", c="test", still="test"), sample_rate=RATE)
    ids = {
        split: [prepared.cuts(split).id(r) for r in range(len(prepared.cuts(split)))]
        for split in ("train", "validation", "test")
    }
    assert ids == {"train": ["good.wav", "quiet.wav"], "validation": [], "test": ["c.wav", "still.wav"]}
    assert {line["cut"]: line["reason"] for line in prepared.refused} == dict.fromkeys(
        ["a.wav", "b.wav"], "the same audio is in the test split, which keeps it"
    )


def test_prepared_folders_are_read_by_the_class_that_wrote_them(folder: Path) -> None:
    prepared = prepare(Files(folder), sample_rate=RATE)
    assert isinstance(prepared, PreparedCorpus)
    assert prepared.notes == ["all in one"]
