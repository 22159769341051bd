"""`phonaut predict` says which word is in recordings, for people and for programs, and what it passed over."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import phonaut
from helpers.runs_of_tones import RATE, run_settings, write_tones
from phonaut.cli import main
from phonaut.runs.load import load
from phonaut.runs.prediction import predict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on tones of half a second, and recordings: two tones, a long one of three, something else."""
    place = tmp_path_factory.mktemp("predicting")
    settings = run_settings(write_tones(place / "tones"))
    words = ["dataset.clip_s=0.5", f"output_dir={place}", "experiment_id=x", "trainer.enable_progress_bar=false"]
    assert main(["train", *settings, *words]) == 0
    sounds = place / "sounds"
    sounds.mkdir()
    tones = {word: soundfile.read(place / "tones" / word / "s6_0.wav")[0] for word in ("low", "middle", "high")}
    for word in ("low", "high"):
        soundfile.write(sounds / f"{word}.wav", tones[word], RATE)
    soundfile.write(sounds / "three.wav", np.concatenate(list(tones.values())), RATE)
    (sounds / "notes.txt").write_text("none")
    (sounds / "broken.wav").write_bytes(b"none")
    return place


def test_a_folder_is_answered_file_by_file_and_long_files_in_windows(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(home / "x"), str(home / "sounds"), "format=csv"]) == 0
    told = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(told.out)))
    assert [(Path(row["path"]).stem, row["label"]) for row in rows[:2]] == [("high", "high"), ("low", "low")]
    windows = {(float(row["start_s"]), float(row["end_s"])): row["label"] for row in rows[2:]}
    assert list(windows) == [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0), (0.75, 1.25), (1.0, 1.5)]
    assert [windows[start, start + 0.5] for start in (0.0, 0.5, 1.0)] == ["low", "middle", "high"]
    assert "broken.wav: not readable as audio" in told.err
    assert "passed over: 1 .txt" in told.err


def test_probabilities_are_those_of_the_run_in_python(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = home / "sounds" / "low.wav"
    assert main(["predict", str(home / "x"), str(file), "format=json"]) == 0
    row = json.loads(capsys.readouterr().out)
    answer = phonaut.load(home / "x").predict(file)
    assert row["probabilities"] == answer.probabilities
    ranked = sorted(answer.probabilities.items(), key=lambda one: -one[1])
    assert [row["label"], row["second"]] == [ranked[0][0], ranked[1][0]]
    assert [row["probability"], row["second_probability"]] == [ranked[0][1], ranked[1][1]]


def test_standard_input_is_a_recording(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = io.TextIOWrapper(io.BytesIO((home / "sounds" / "high.wav").read_bytes()))
    monkeypatch.setattr(sys, "stdin", given)
    assert main(["predict", str(home / "x"), "-"]) == 0
    line = capsys.readouterr().out
    assert line.startswith("high ")
    assert line.rstrip().endswith("   -")


def test_standard_input_that_is_no_recording_is_named_as_it_was_given(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert main(["predict", str(home / "x"), "-"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told == ["passed over: -: an empty file", "phonaut: no recording could be used of -"]


def test_one_reason_is_told_once_for_all_windows_of_a_recording(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "slow.wav", np.zeros(4000), 1000)
    assert main(["predict", str(home / "x"), str(tmp_path / "slow.wav")]) == 2
    told = capsys.readouterr().err
    assert told.count("a sample rate of 1000 Hz") == 1


def test_a_batch_of_which_nothing_can_be_used_does_not_end_the_rest(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("phonaut.runs.prediction.AT_ONCE", 1)
    soundfile.write(tmp_path / "slow.wav", np.zeros(400), 1000)
    assert main(["predict", str(home / "x"), str(tmp_path / "slow.wav"), str(home / "sounds" / "low.wav")]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("low ")
    assert "slow.wav: a sample rate of 1000 Hz" in told.err


def test_a_file_that_is_there_is_kept(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, words = (
        tmp_path / "answers.csv",
        ["predict", str(home / "x"), str(home / "sounds" / "low.wav"), "format=csv"],
    )
    assert main([*words, f"output={output}"]) == 0
    before = output.read_text()
    assert len(before.splitlines()) == 2
    assert main([*words, f"output={output}"]) == 2
    assert "overwrite=true replaces it" in capsys.readouterr().err
    assert main([*words, f"output={output}", "overwrite=true"]) == 0
    assert output.read_text() == before


def test_what_cannot_be_answered_is_one_sentence(home: Path) -> None:
    run = load(home / "x")
    with pytest.raises(ValueError, match="no such recording or folder: nowhere"):
        list(predict(run, [Path("nowhere")]))
    with pytest.raises(ValueError, match="no recording could be used of"):
        list(predict(run, [home / "sounds" / "broken.wav"], lambda text: None))


def test_what_is_too_improbable_is_none_of_these_unless_it_is_asked_otherwise(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, file = load(home / "x").about["rejection"], str(home / "sounds" / "low.wav")
    assert kept["of"] == "validation"
    command = ["predict", str(home / "x"), file]
    assert main([*command, "threshold=1"]) == 0
    assert capsys.readouterr().out.startswith("none of these (low)")
    assert main([*command, "format=csv", "threshold=1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(",true")
    for words in (["reject=false"], ["threshold=0.01"]):
        assert main([*command, *words]) == 0
        assert capsys.readouterr().out.startswith("low ")
    for words, why in (
        (["threshold=2"], "threshold=2 must be a probability"),
        (["threshold=0.5", "reject=false"], "threshold= has no effect with reject=false"),
    ):
        assert main([*command, *words]) == 2
        assert why in capsys.readouterr().err
    answer = phonaut.load(home / "x").predict(file)
    assert answer.none_of_these is (answer.probability < kept["threshold"])
    assert phonaut.load(home / "x").predict(file, threshold=1.0).none_of_these
    del (unsure := load(home / "x")).about["rejection"]
    with pytest.raises(ValueError, match="keeps no threshold below which it rejects"):
        list(predict(unsure, [Path(file)], reject=False))
    unsure.about["rejection"] = {"false_accepts": 0.01, "threshold": 0.4}
    with pytest.raises(ValueError, match=r"with a cosine of 0\.4, which model\.false_accepts= chose"):
        list(predict(unsure, [Path(file)], threshold=0.5))


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_heard(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["predict", str(home / "x"), str(home / "sounds" / "low.wav")]
    assert main([*given, f"output={tmp_path}/none/a.csv"]) == 2
    assert f"output={tmp_path}/none/a.csv: there is no folder {tmp_path}/none" in capsys.readouterr().err
    assert main([*given, f"output={tmp_path}", "overwrite=true"]) == 2
    assert f"output={tmp_path} is a folder: name a file in it" in capsys.readouterr().err


def test_a_name_with_a_line_break_stays_on_its_line(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a\nb.wav").write_bytes((home / "sounds" / "low.wav").read_bytes())
    assert main(["predict", str(home / "x"), str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("a\\nb.wav")
