"""What a run takes for its words where nobody says one is collected, trained on as none of them, and not tested on."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import phonaut
from helpers.runs_of_tones import RATE
from phonaut.cli import main
from phonaut.deploy.sound import file_sound
from phonaut.runs.listening import listener_of

LISTENING = ["window_ms=500", "smoothing_ms=100"]
TONES = [(1.0, 315.0), (4.0, 2600.0), (7.3, 330.0)]  # seconds, Hz: near those of `low` and `high`


@pytest.fixture
def run(listeners: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The causal run, in a folder with two recordings: of three tones, and of none."""
    monkeypatch.chdir(tmp_path)
    rng, seconds = np.random.default_rng(0), np.arange(RATE // 2) / RATE
    audio = 0.001 * rng.standard_normal(10 * RATE)
    for start_s, hz in TONES:
        audio[round(start_s * RATE) : round(start_s * RATE) + len(seconds)] += 0.2 * np.sin(2 * np.pi * hz * seconds)
    Path("background/inner").mkdir(parents=True)
    soundfile.write("background/inner/radio.wav", audio, RATE)
    soundfile.write("background/quiet.wav", 0.001 * rng.standard_normal(4 * RATE), RATE)
    return listeners / "tc-res8"


def listed(folder: str = "mined") -> list[dict[str, str]]:
    with (Path(folder) / "mined.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.oracle
@pytest.mark.slow
def test_clips_are_the_sound_at_the_peaks_and_no_two_overlap(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", str(run), "background", "threshold=0.3", *LISTENING]) == 0
    rows, out = listed(), capsys.readouterr().out
    assert f"{len(rows)} clips in mined" in out
    assert f"{len(rows)} windows in 0:00:14.00 of sound taken for a word at 0.3" in out
    probabilities = [float(row["probability"]) for row in rows]
    assert probabilities == sorted(probabilities, reverse=True)
    assert min(probabilities) >= 0.3
    assert {Path(row["clip"]).suffix for row in rows} == {".wav"}
    for start_s, _ in TONES:
        near = [row for row in rows if float(row["start_s"]) < start_s + 0.5 and float(row["end_s"]) > start_s]
        assert any("radio" in row["recording"] for row in near)
    for name in ("radio", "quiet"):
        path = next(Path("background").rglob(f"{name}.wav"))
        listener, _ = listener_of(phonaut.load(run), window_ms=500.0, smoothing_ms=100.0, threshold=0.3)
        track = listener.track(file_sound(path, RATE))
        best, whole = track.probabilities.max(axis=1), soundfile.read(path)[0]
        mine = [row for row in rows if Path(row["recording"]) == path.resolve()]
        all_ends = np.maximum(0.5, track.end_s - 0.05)
        ends = np.array([float(row["end_s"]) for row in mine])
        for row in mine:
            here = np.abs(all_ends - float(row["end_s"])) < 1e-3  # several at the beginning
            at = int(np.where(here, best, -1.0).argmax())
            assert float(row["probability"]) == pytest.approx(best[at], abs=1e-4)
            assert row["word"] == listener.detector.words[int(track.probabilities[at].argmax())]
            clip, rate = soundfile.read(Path("mined") / row["clip"])
            assert (len(clip), rate) == (RATE // 2, RATE)
            first = round(float(row["start_s"]) * RATE)
            assert np.abs(clip - whole[first : first + len(clip)]).max() < 2e-3
        gaps = np.abs(ends[:, None] - ends)[~np.eye(len(ends), dtype=bool)]
        assert (gaps >= 0.5 - 2e-3).all()
        left = best >= 0.3
        for end in ends:
            left &= np.abs(all_ends - end) >= 0.5 - 2e-3
        assert not left.any()  # every window at the threshold is kept, or overlaps one that is


@pytest.mark.slow
def test_the_most_probable_of_all_recordings_are_kept(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mine", str(run), "background", "threshold=0.3", *LISTENING]) == 0
    every = listed()
    assert main(["mine", str(run), "background", "threshold=0.3", "most=2", *LISTENING]) == 2
    assert "output=mined is there: name another folder, or overwrite=true" in capsys.readouterr().err
    assert listed() == every
    assert main(["mine", str(run), "background", "threshold=0.3", "most=2", "output=two", *LISTENING]) == 0
    assert [row["start_s"] for row in listed("two")] == [row["start_s"] for row in every[:2]]
    assert len(list(Path("two").glob("*.wav"))) == 2


@pytest.mark.slow
def test_where_nothing_is_taken_for_a_word_nothing_is_written(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("background/bad.wav").write_bytes(b"no sound")
    assert main(["mine", str(run), "background", "threshold=1", *LISTENING]) == 0
    out = capsys.readouterr().out
    assert "0 windows in 0:00:14.00 of sound taken for a word at 1" in out
    assert "nothing was written" in out
    assert "passed over: background/bad.wav: " in out
    assert not Path("mined").exists()
    Path("empty").mkdir()
    for folder, said in (("empty", "empty holds no recordings"), ("gone", "gone is no folder")):
        assert main(["mine", str(run), folder]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_what_was_mined_is_trained_on_as_unknown_and_the_test_may_not_have_it(
    run: Path, listeners: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mine", str(run), "background", "threshold=0.3", *LISTENING]) == 0
    n = len(listed())
    words = ["dataset=folder", f"dataset.data_folder={listeners / 'tones'}", "features.sample_rate=8000",
             "negatives.folder=mined", "trainer.max_epochs=1", "streaming=true", "experiment_id=next",
             "model.channels=[4,4,4,4]", "trainer.enable_progress_bar=false"]  # fmt: skip
    assert main(["train", *words]) == 0
    corpus = json.loads(Path("trained_models/next/tc-res8/corpus.json").read_text())
    splits = corpus["summary"]["splits"]
    assert splits["train"]["words"]["_unknown_"] == n
    assert all("_unknown_" not in splits[split]["words"] for split in ("validation", "test"))
    assert f"_unknown_ of training has {n} recordings of mined" in " ".join(corpus["notes"])
    capsys.readouterr()
    test = ["evaluate", "trained_models/next", "protocol=detection", "minutes=3", "insertions=4"]
    assert main([*test, "negatives=background/inner"]) == 2
    assert "background/inner has recordings that the run was trained on as negatives, radio.wav" in (
        capsys.readouterr().err
    )
    Path("mined").rename("moved")
    assert main(["evaluate", "trained_models/next"]) == 2
    assert "negatives.folder=... says where it lies now" in capsys.readouterr().err
    assert main(["evaluate", "trained_models/next", "negatives.folder=moved"]) == 0
