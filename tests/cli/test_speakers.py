"""Speakers are enrolled, verified, listed, renamed and deleted from the command line, each mistake one sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile

from helpers.speakers_of_tones import RATE, spoken, trained
from phonaut.cli import main
from phonaut.cli.verify import REJECTED


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = trained(tmp_path_factory.getbasetemp())
    for take in range(5):
        soundfile.write(place / f"{take}.wav", spoken(11, "rise", take), RATE)
    soundfile.write(place / "other.wav", spoken(3, "fall", 0), RATE)
    return place


@pytest.fixture(autouse=True)
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("PHONAUT_TRUST", "helpers")
    shutil.rmtree(home / "store", ignore_errors=True)


def phonaut(*words: str) -> int:
    return main(["--config-dir", "conf", *words])


def test_a_speaker_from_enrolment_to_deletion(capsys: pytest.CaptureFixture[str]) -> None:
    assert phonaut("enroll", "runs/toy", "store", "Anna Ö", "0.wav", "1.wav", "phrase=rise") == 0
    assert "Anna Ö is enrolled in store: 2 takes, " in capsys.readouterr().out
    assert phonaut("verify", "runs/toy", "store", "Anna Ö", "3.wav") == 0
    out = capsys.readouterr().out
    assert "threshold  0.000  the least that is accepted" in out
    assert "decision   accepted as Anna Ö: score " in out
    assert "measured   At a threshold of 0, " in out
    assert phonaut("verify", "runs/toy", "store", "Anna Ö", "other.wav") == REJECTED == 3
    assert "decision   rejected as Anna Ö: score -" in capsys.readouterr().out
    assert phonaut("verify", "runs/toy", "store", "Anna Ö", "1.wav") == REJECTED
    assert "decision   played back: the recording is the enrolled take 1.wav itself" in capsys.readouterr().out
    assert phonaut("speakers", "store", "add", "Anna Ö", "2.wav") == 0
    assert "Anna Ö has 3 takes, " in capsys.readouterr().out
    assert phonaut("speakers", "store", "rename", "Anna Ö", "anna") == 0
    assert phonaut("speakers", "store", "delete", "anna", "take=1") == 0
    capsys.readouterr()
    assert phonaut("speakers", "store", "list") == 0
    head, anna, *takes = capsys.readouterr().out.splitlines()
    assert head.split() == ["speaker", "takes", "speech", "phrase", "enrolled"]
    assert anna.split()[:2] == ["anna", "2"]
    assert anna.split()[4] == "rise"
    assert [line.split()[:2] for line in takes] == [["1", "1.wav"], ["2", "2.wav"]]
    assert phonaut("speakers", "store", "delete", "anna") == 0
    assert not list(Path("store").glob("*.npz"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["enroll", "runs/toy", "store", "0.wav", "1.wav"], "0.wav is a file where the speaker's name should be"),
        (["enroll", "runs/toy", "store", "anna"], "usage: phonaut enroll RUN STORE NAME FILE ..."),
        (["enroll", "runs/toy", "store", "anna", "no.wav", "phrase=rise"], "no.wav: no such recording"),
        (["enroll", "runs/toy", "store", "anna", "conf/model/toy.yaml", "phrase=rise"], "not readable as audio"),
        (["enroll", "runs/toy", "voices", "anna", "0.wav", "phrase=rise"], "voices is no store of speakers"),
        (
            ["enroll", "runs/toy", "store", "anna", "0.wav", "0.wav", "phrase=rise"],
            "take 2 (0.wav) is the same recording",
        ),
        (["verify", "runs/toy", "store", "anna", "0.wav"], "store has no speaker anna; it has no speaker yet"),
        (["speakers", "store", "list"], "store is no store of speakers yet"),
        (["speakers", "store", "lst"], "got lst; did you mean list"),
        (["speakers", "store", "rename", "anna"], "usage: phonaut speakers STORE rename OLD NEW"),
        (
            ["enroll", "runs/toy", "store", "x" * 300, "0.wav", "phrase=rise"],
            "a speaker's name must be printable text of",
        ),
        (["verify", "runs/toy", "store", "x" * 300, "0.wav"], "store has no speaker xxxxx"),
        (["speakers", "store", "list", "take=1"], "take= goes with delete, not with list"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_sentence(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert phonaut(*words) == 2
    assert said in capsys.readouterr().err
    assert not list(Path("store").glob("*.npz"))


def test_a_run_that_is_gone_or_was_trained_anew_adds_nothing(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("runs", tmp_path / "runs")
    store = str(tmp_path / "store")
    assert phonaut("enroll", str(tmp_path / "runs" / "toy"), store, "anna", "0.wav", "1.wav", "phrase=rise") == 0
    assert phonaut("speakers", store, "add", "anna", "2.wav", "run_folder=nope") == 2
    assert "phonaut: run_folder=nope: there is no such folder" in capsys.readouterr().err
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert phonaut("speakers", store, "add", "anna", "2.wav") == 2
    assert "is not there any more: say where it is (run_folder=RUN)" in capsys.readouterr().err
    moved = tmp_path / "moved" / "toy" / "toy"
    (moved / "config.yaml").write_text((moved / "config.yaml").read_text().replace("trim: true", "trim: false"))
    assert phonaut("speakers", store, "add", "anna", "2.wav", f"run_folder={moved}") == 2
    assert "was made by another model" in capsys.readouterr().err
    assert phonaut("speakers", store, "add", "anna", "2.wav", "run_folder=runs/toy") == 0
